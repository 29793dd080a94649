//! A client of Arrow Flight, as the libraries of other languages make one.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use arrow_schema::SchemaRef;
use futures::{Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::e2e::server::Server;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Rows {
    /// The columns as they were sent.
    pub schema: SchemaRef,
    /// The rows, message by message.
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// All rows as one batch.
    pub fn whole(&self) -> RecordBatch {
        arrow_select::concat::concat_batches(&self.schema, &self.batches).unwrap()
    }
}

/// A connection, with headers that go with every call.
#[derive(Clone)]
pub struct Session {
    /// The library's own client.
    pub client: FlightServiceClient<Channel>,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

impl Session {
    /// Connects.
    pub async fn to(server: &Server) -> Self {
        let channel = Endpoint::from_shared(server.url("")).unwrap().connect().await.unwrap();
        let client = FlightServiceClient::new(channel).max_decoding_message_size(64 << 20);
        Self { client, headers: Vec::new() }
    }

    /// The same with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.parse().unwrap(), value.parse().unwrap()));
        other
    }

    /// A request with the headers.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.headers {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        request
    }

    /// `DoGet`, as it comes.
    pub async fn stream(
        &self,
        ticket: Vec<u8>,
    ) -> Result<impl Stream<Item = Result<FlightData, Status>> + use<>, Status> {
        let request = self.request(Ticket { ticket: ticket.into() });
        Ok(self.client.clone().do_get(request).await?.into_inner())
    }

    /// `DoGet`, read to its end.
    pub async fn get(&self, ticket: Vec<u8>) -> Result<Rows, Status> {
        let stream = self.stream(ticket).await?.map_err(|status| FlightError::Tonic(Box::new(status)));
        let mut rows = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(stream);
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch.map_err(Status::from)?);
        }
        Ok(Rows { schema: rows.schema().unwrap().clone(), batches })
    }

    /// Asks in SQL.
    pub async fn sql(&self, database: &str, sql: &str) -> Result<Rows, Status> {
        self.get(ticket(database, sql)).await
    }

    /// `DoPut`: what was acknowledged, and how it ended.
    pub async fn put(&self, path: &[&str], batches: Vec<RecordBatch>) -> (Vec<Value>, Option<Status>) {
        let descriptor = FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect());
        let schema = batches[0].schema();
        let messages = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(descriptor))
            .with_max_flight_data_size(usize::MAX)
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(futures::stream::iter(batches.into_iter().map(Ok)));
        self.put_messages(messages.map(|message| message.unwrap())).await
    }

    /// `DoPut` of messages as they are.
    pub async fn put_messages(
        &self,
        messages: impl Stream<Item = FlightData> + Send + 'static,
    ) -> (Vec<Value>, Option<Status>) {
        let mut acknowledged = Vec::new();
        let mut results = match self.client.clone().do_put(self.request(messages)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return (acknowledged, Some(status)),
        };
        loop {
            match results.message().await {
                Ok(Some(result)) => acknowledged.push(serde_json::from_slice(&result.app_metadata).unwrap()),
                Ok(None) => return (acknowledged, None),
                Err(status) => return (acknowledged, Some(status)),
            }
        }
    }

    /// `DoPut` that has to succeed: what was acknowledged.
    pub async fn store(&self, path: &[&str], batches: Vec<RecordBatch>) -> Vec<Value> {
        match self.put(path, batches).await {
            (acknowledged, None) => acknowledged,
            (acknowledged, Some(status)) => panic!("{status:?} after {acknowledged:?}"),
        }
    }
}

/// The ticket that clients of InfluxDB 3 send.
pub fn ticket(database: &str, sql: &str) -> Vec<u8> {
    json!({ "database": database, "sql_query": sql, "query_type": "sql" }).to_string().into_bytes()
}

/// A batch of columns, all of which may have nulls.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}
