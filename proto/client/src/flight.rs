//! Arrow Flight: rows out by SQL, rows in as batches.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_flight::decode::{DecodedPayload, FlightRecordBatchStream};
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightClient, FlightDescriptor, PutResult, Ticket};
use arrow_schema::SchemaRef;
use futures::stream::{BoxStream, Stream, StreamExt};
use ochre_types::{DatabaseName, TableName};
use serde_json::{Map, Value, json};

use crate::connection::Authorized;
use crate::error::Error;
use crate::grpc_error::{from_flight, from_status};

/// Bytes that one message of an answer may have. Servers send far smaller ones, unless a single row is that large.
const MAX_MESSAGE: usize = 64 << 20;

/// What columns of batches are for, where their field metadata, the table and the conventions don't say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    /// The columns that are tags. `None`: not said.
    pub tags: Option<Vec<String>>,
    /// The column that is the time. `None`: not said.
    pub time: Option<String>,
}

/// What a server did with one message of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The rows that were taken.
    pub rows: u64,
    /// Whether they are on stable storage.
    pub durable: bool,
}

/// Rows out and in. Cheap to clone.
#[derive(Clone)]
pub struct Flight {
    client: FlightServiceClient<Authorized>,
    url: Arc<str>,
    native_types: bool,
    gzip: bool,
}

impl Flight {
    pub(crate) fn new(channel: Authorized, url: Arc<str>) -> Self {
        let client = FlightServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        Self { client, url, native_types: false, gzip: false }
    }

    /// The same, asking for the engine's own types (dictionaries, views) instead of plain ones.
    pub fn with_native_types(self) -> Self {
        Self { native_types: true, ..self }
    }

    /// The same with bodies in gzip, in both directions: for slow links.
    pub fn with_gzip(self) -> Self {
        use tonic::codec::CompressionEncoding::Gzip;
        Self { client: self.client.accept_compressed(Gzip).send_compressed(Gzip), gzip: true, ..self }
    }

    /// Runs a query. `params` are its named parameters (`$name` in the text).
    ///
    /// Returns once the shape of the answer is known; its rows come as they are asked for. Dropping the answer ends the
    /// query.
    pub async fn query(&self, database: &DatabaseName, sql: &str, params: Map<String, Value>) -> Result<Answer, Error> {
        let mut ticket = json!({ "database": database.as_str(), "sql_query": sql, "query_type": "sql" });
        if !params.is_empty() {
            ticket["params"] = params.into();
        }
        let mut client = FlightClient::new_from_inner(self.client.clone());
        if self.native_types {
            self.header(&mut client, "ochre-native-types", "true")?;
        }
        if self.gzip {
            self.header(&mut client, "ochre-accept-gzip", "true")?;
        }
        let failed = |error| from_flight(error, &self.url);
        let mut messages = client.do_get(Ticket::new(ticket.to_string())).await.map_err(failed)?.into_inner();
        // The schema is the first thing that comes; what holds nothing may come before it.
        while let Some(message) = messages.next().await {
            match message.map_err(failed)?.payload {
                DecodedPayload::None => {}
                DecodedPayload::Schema(schema) => {
                    let rows = FlightRecordBatchStream::new(messages);
                    return Ok(Answer { schema, rows, url: self.url.clone() });
                }
                DecodedPayload::RecordBatch(_) => break,
            }
        }
        Err(Error::Internal { message: format!("{} answered a query without a schema", self.url) })
    }

    /// Writes batches into a table, which is made if it is new.
    ///
    /// Batches are sent as the server takes them. Each acknowledgement stands for one message, in order: a large batch
    /// is several. What was acknowledged stays, whatever happens to the rest. A failure of `batches` ends the call with
    /// [`Error::Source`]. Writing the same rows again is safe: they have the same keys.
    pub async fn put<S, E>(
        &self,
        database: &DatabaseName,
        table: &TableName,
        batches: S,
        roles: &Roles,
    ) -> Result<Acknowledgements, Error>
    where
        S: Stream<Item = Result<RecordBatch, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let path = vec![database.to_string(), table.to_string()];
        let batches = batches.map(|batch| batch.map_err(|error| FlightError::ExternalError(Box::new(error))));
        let messages = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_path(path)))
            // That a column is a dictionary says what it is for.
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(batches);
        let mut client = FlightClient::new_from_inner(self.client.clone());
        if let Some(tags) = &roles.tags {
            self.header(&mut client, "ochre-tags", &tag_list(tags)?)?;
        }
        if let Some(time) = &roles.time {
            self.header(&mut client, "ochre-time", &column(time)?)?;
        }
        let results = client.do_put(messages).await.map_err(|error| from_flight(error, &self.url))?;
        Ok(Acknowledgements { results, url: self.url.clone() })
    }

    /// Shows the token and takes the answer: whether the server knows it.
    pub async fn handshake(&self) -> Result<(), Error> {
        let mut client = self.client.clone();
        let request = futures::stream::iter([arrow_flight::HandshakeRequest::default()]);
        let mut answers =
            client.handshake(request).await.map_err(|status| from_status(&status, &self.url))?.into_inner();
        while answers.message().await.map_err(|status| from_status(&status, &self.url))?.is_some() {}
        Ok(())
    }

    fn header(&self, client: &mut FlightClient<Authorized>, name: &str, value: &str) -> Result<(), Error> {
        client.add_header(name, value).map_err(|error| from_flight(error, &self.url))
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Flight");
        debug.field("url", &self.url).field("native_types", &self.native_types).finish_non_exhaustive()
    }
}

/// A column's name as a header can carry it.
fn column(name: &str) -> Result<String, Error> {
    let fits = !name.is_empty() && !name.contains(',') && name.trim() == name;
    if fits && name.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Ok(name.to_owned());
    }
    Err(Error::Usage(format!(
        "the column {name:?} can't be named in a header: give its field the metadata iox::column::type instead"
    )))
}

fn tag_list(tags: &[String]) -> Result<String, Error> {
    let tags: Result<Vec<String>, Error> = tags.iter().map(|tag| column(tag)).collect();
    Ok(tags?.join(","))
}

/// The rows that a query answers.
pub struct Answer {
    schema: SchemaRef,
    rows: FlightRecordBatchStream,
    url: Arc<str>,
}

impl Answer {
    /// The columns of all batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.rows.poll_next_unpin(context);
        next.map(|item| item.map(|batch| batch.map_err(|error| from_flight(error, &self.url))))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What a server says of the messages that were put, in their order.
pub struct Acknowledgements {
    results: BoxStream<'static, Result<PutResult, FlightError>>,
    url: Arc<str>,
}

impl Acknowledgements {
    fn read(&self, result: Result<PutResult, FlightError>) -> Result<Acknowledgement, Error> {
        let metadata = result.map_err(|error| from_flight(error, &self.url))?.app_metadata;
        let said: Value = serde_json::from_slice(&metadata).unwrap_or(Value::Null);
        match (said["rows"].as_u64(), said["durable"].as_bool()) {
            (Some(rows), Some(durable)) => Ok(Acknowledgement { rows, durable }),
            _ => {
                let said = String::from_utf8_lossy(&metadata);
                let message = format!("{} acknowledged with {said:?}, not with {{\"rows\", \"durable\"}}", self.url);
                Err(Error::Internal { message })
            }
        }
    }
}

impl Stream for Acknowledgements {
    type Item = Result<Acknowledgement, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.results.poll_next_unpin(context);
        next.map(|item| item.map(|result| self.read(result)))
    }
}

impl fmt::Debug for Acknowledgements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledgements").field("url", &self.url).finish_non_exhaustive()
    }
}
