//! Flight: what goes over the wire, and what comes of it.

use std::sync::{Arc, Mutex};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use arrow_schema::{ArrowError, DataType};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::{Script, with_server};
use crate::{Acknowledgement, Error, Flight, Roles};

/// A server that answers with the batches that were put last, and hears what is said.
#[derive(Default)]
struct Fake {
    script: Script,
    said: Mutex<Vec<Value>>,
    batches: Mutex<Vec<RecordBatch>>,
    /// What every acknowledgement says, if not the truth.
    acknowledgement: Mutex<Option<String>>,
}

struct Service(Arc<Fake>);

type Stream<T> = BoxStream<'static, Result<T, Status>>;

fn header<T>(request: &Request<T>, name: &str) -> Value {
    request.metadata().get(name).map_or(Value::Null, |value| value.to_str().unwrap().into())
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this test"))
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Stream<HandshakeResponse>;
    type ListFlightsStream = Stream<FlightInfo>;
    type DoGetStream = Stream<FlightData>;
    type DoPutStream = Stream<PutResult>;
    type DoExchangeStream = Stream<FlightData>;
    type DoActionStream = Stream<arrow_flight::Result>;
    type ListActionsStream = Stream<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.0.script.admit("handshake", request)?;
        Ok(Response::new(stream::iter([Ok(HandshakeResponse::default())]).boxed()))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let native = header(&request, "ochre-native-types");
        let ticket = self.0.script.admit("get", request)?;
        let ticket: Value = serde_json::from_slice(&ticket.ticket).unwrap();
        self.0.said.lock().unwrap().push(json!({ "ticket": ticket, "native": native }));
        let batches = self.0.batches.lock().unwrap().clone();
        let schema = batches[0].schema();
        let failure = (ticket["sql_query"] == "fail").then(|| Err(Status::resource_exhausted("too large").into()));
        let batches = stream::iter(batches.into_iter().map(Ok).chain(failure));
        let messages = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
        Ok(Response::new(messages.map_err(Status::from).boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let headers = json!({ "tags": header(&request, "ochre-tags"), "time": header(&request, "ochre-time") });
        let mut messages = self.0.script.admit("put", request)?.map_err(Into::into).boxed().peekable();
        let first = std::pin::Pin::new(&mut messages).peek().await.unwrap();
        let path = first.as_ref().ok().and_then(|message| message.flight_descriptor.clone()).map(|d| d.path);
        self.0.said.lock().unwrap().push(json!({ "path": path, "headers": headers }));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(messages)
            .try_collect()
            .await
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let odd = self.0.acknowledgement.lock().unwrap().clone();
        let said = |batch: &RecordBatch| {
            odd.clone().unwrap_or(json!({ "rows": batch.num_rows(), "durable": true }).to_string())
        };
        let results: Vec<_> = batches.iter().map(|batch| Ok(PutResult { app_metadata: said(batch).into() })).collect();
        *self.0.batches.lock().unwrap() = batches;
        Ok(Response::new(stream::iter(results).boxed()))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        nothing()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        nothing()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        nothing()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        nothing()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        nothing()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        nothing()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        nothing()
    }
}

async fn run<F: Future<Output = ()>>(test: impl FnOnce(Flight, Arc<Fake>) -> F) {
    let fake = Arc::<Fake>::default();
    let router = Server::builder().add_service(FlightServiceServer::new(Service(fake.clone())));
    with_server(router, async |connection| test(connection.flight(), fake).await).await;
}

fn batch(from: i64, rows: i64) -> RecordBatch {
    let hosts: DictionaryArray<Int32Type> = (0..rows).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    let values = Int64Array::from_iter_values(from..from + rows);
    let columns = [("host", Arc::new(hosts) as ArrayRef), ("f", Arc::new(values) as ArrayRef)];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn source(batches: Vec<RecordBatch>) -> impl futures::Stream<Item = Result<RecordBatch, ArrowError>> + Send + 'static {
    stream::iter(batches.into_iter().map(Ok))
}

#[tokio::test]
async fn rows_go_in_and_come_out() {
    run(async |flight, fake| {
        let (m, cpu) = ("m".parse().unwrap(), "cpu".parse().unwrap());
        flight.handshake().await.unwrap();
        let roles = Roles { tags: Some(vec!["host".to_owned(), "a b".to_owned()]), time: Some("t".to_owned()) };
        let batches = vec![batch(0, 3), batch(3, 4)];
        let said = flight.put(&m, &cpu, source(batches), &roles).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(said, [3, 4].map(|rows| Acknowledgement { rows, durable: true }));
        let received = fake.batches.lock().unwrap()[0].schema().field(0).data_type().clone();
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(received, dictionary, "what says that it is a tag arrives");

        let params = Map::from_iter([("host".to_owned(), json!("a"))]);
        let answer = flight.clone().with_native_types().query(&m, "SELECT 1", params).await.unwrap();
        assert_eq!(answer.schema().field(1).name(), "f");
        let rows: Vec<RecordBatch> = answer.try_collect().await.unwrap();
        let values = rows[1].column(1).as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!((rows.len(), values.values().to_vec()), (2, vec![3, 4, 5, 6]));

        let calls = ["handshake", "put", "get"].map(|call| format!("{call} Bearer ochre_secret"));
        assert_eq!(fake.script.calls(), calls);
        let headers = json!({ "tags": "host,a b", "time": "t" });
        let ticket = json!({
            "database": "m", "sql_query": "SELECT 1", "query_type": "sql", "params": { "host": "a" }
        });
        let expected =
            [json!({ "path": ["m", "cpu"], "headers": headers }), json!({ "ticket": ticket, "native": "true" })];
        assert_eq!(*fake.said.lock().unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn gzip_changes_nothing_but_the_bytes() {
    let fake = Arc::<Fake>::default();
    let gzip = tonic::codec::CompressionEncoding::Gzip;
    let service = FlightServiceServer::new(Service(fake.clone())).accept_compressed(gzip).send_compressed(gzip);
    with_server(Server::builder().add_service(service), async |connection| {
        let (m, cpu) = ("m".parse().unwrap(), "cpu".parse().unwrap());
        let flight = connection.flight().with_gzip();
        let put = flight.put(&m, &cpu, source(vec![batch(0, 1_000)]), &Roles::default()).await.unwrap();
        assert_eq!(put.try_collect::<Vec<_>>().await.unwrap(), [Acknowledgement { rows: 1_000, durable: true }]);
        let answer = flight.query(&m, "SELECT 1", Map::new()).await.unwrap();
        let rows: Vec<RecordBatch> = answer.try_collect().await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000);
        let said = fake.said.lock().unwrap();
        assert_eq!(said[1]["ticket"], json!({ "database": "m", "sql_query": "SELECT 1", "query_type": "sql" }));
        assert_eq!((&said[1]["native"], &said[0]["headers"]["tags"]), (&Value::Null, &Value::Null));
    })
    .await;
}

#[tokio::test]
async fn failures_before_and_within_the_rows() {
    run(async |flight, fake| {
        let (m, cpu) = ("m".parse().unwrap(), "cpu".parse().unwrap());
        fake.script.fail([Status::not_found("no database m")]);
        let error = flight.query(&m, "SELECT 1", Map::new()).await.unwrap_err();
        assert_eq!(error, Error::NotFound { message: "no database m".to_owned() });

        *fake.batches.lock().unwrap() = vec![batch(0, 3)];
        let answer = flight.query(&m, "fail", Map::new()).await.unwrap();
        let rows: Vec<Result<RecordBatch, Error>> = answer.collect().await;
        assert_eq!(rows[0].as_ref().unwrap().num_rows(), 3);
        assert_eq!(rows[1].as_ref().unwrap_err(), &Error::TooLarge { message: "too large".to_owned() });
        assert_eq!(rows.len(), 2);

        let broken = stream::iter([Ok(batch(0, 1)), Err(ArrowError::CsvError("line 7".to_owned()))]);
        let error = match flight.put(&m, &cpu, broken, &Roles::default()).await {
            Ok(said) => said.try_collect::<Vec<_>>().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error, Error::Source("Csv error: line 7".to_owned()));

        *fake.acknowledgement.lock().unwrap() = Some("fine".to_owned());
        let said = flight.put(&m, &cpu, source(vec![batch(0, 1)]), &Roles::default()).await.unwrap();
        let error = said.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(&error, Error::Internal { message } if message.contains("\"fine\"")), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn columns_that_no_header_can_name_are_refused() {
    run(async |flight, fake| {
        let (m, cpu) = ("m".parse().unwrap(), "cpu".parse().unwrap());
        for name in ["a,b", "", " a", "ü", "a\n"] {
            let tags = Roles { tags: Some(vec![name.to_owned()]), time: None };
            let time = Roles { tags: None, time: Some(name.to_owned()) };
            for roles in [tags, time] {
                let error = flight.put(&m, &cpu, source(vec![batch(0, 1)]), &roles).await.unwrap_err();
                let expected = format!(
                    "the column {name:?} can't be named in a header: give its field the metadata iox::column::type instead"
                );
                assert_eq!(error, Error::Usage(expected));
            }
        }
        assert_eq!(fake.script.calls(), Vec::<String>::new());
    })
    .await;
}
