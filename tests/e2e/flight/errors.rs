//! What is refused, with which code and details; and what is not served.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, TimestampNanosecondArray};
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor};
use arrow_schema::{DataType, Schema};
use futures::{StreamExt, stream};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::session::{Session, batch, ticket};
use crate::e2e::server::{Server, Start, dir};

async fn filled(dir: &tempfile::TempDir) -> (Server, Session) {
    let server = Start::in_dir(dir.path()).args(&["--no-auto-create"]).start();
    assert_eq!(server.post("/api/v3/configure/database", "{\"db\": \"mine\"}").await.status, 200);
    assert_eq!(server.post("/write?db=mine", "cpu,host=a usage=1.5 1\n").await.status, 204);
    let session = Session::to(&server).await;
    (server, session)
}

fn field(status: &Status) -> String {
    let details = status.get_error_details();
    details.bad_request().map_or_else(String::new, |bad| bad.field_violations[0].field.clone())
}

#[tokio::test]
async fn queries_fail_with_a_code_and_details() {
    let dir = dir();
    let (_server, session) = filled(&dir).await;
    for (sql, code, word) in [
        ("SELEC 1", Code::InvalidArgument, "SQL"),
        ("SELECT nothing FROM cpu", Code::InvalidArgument, "nothing"),
        ("SELECT * FROM nowhere", Code::InvalidArgument, "nowhere"),
        ("DROP TABLE cpu", Code::Unimplemented, "SELECT"),
        (
            "SELECT arrow_cast(9223372036854775, 'Timestamp(Second, None)') AS t",
            Code::InvalidArgument,
            "ochre-native-types",
        ),
    ] {
        let status = session.sql("mine", sql).await.unwrap_err();
        assert_eq!(status.code(), code, "{sql}: {status:?}");
        assert!(status.message().contains(word), "{sql}: {}", status.message());
        let expected = if code == Code::InvalidArgument { "ticket.sql_query" } else { "" };
        assert_eq!(field(&status), expected, "{sql}");
    }
    let unknown = session.sql("other", "SELECT 1").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let details = unknown.get_error_details();
    assert_eq!(details.resource_info().unwrap().resource_name, "other");
    let influxql = json!({ "database": "mine", "sql_query": "SHOW DATABASES", "query_type": "influxql" });
    let influxql = session.get(influxql.to_string().into_bytes()).await.unwrap_err();
    assert_eq!(influxql.code(), Code::Unimplemented);
    assert!(influxql.message().contains("SQL"));
    let nonsense = session.get(b"nonsense".to_vec()).await.unwrap_err();
    assert_eq!((nonsense.code(), field(&nonsense)), (Code::InvalidArgument, "ticket".to_owned()));
    let native = session.with("ochre-native-types", "perhaps").sql("mine", "SELECT 1").await.unwrap_err();
    assert_eq!((native.code(), field(&native)), (Code::InvalidArgument, "ochre-native-types".to_owned()));
}

#[tokio::test]
async fn long_messages_are_cut() {
    let dir = dir();
    let (_server, session) = filled(&dir).await;
    let sql = format!("SELECT \"{}\" FROM cpu", "x".repeat(10_000));
    let status = session.sql("mine", &sql).await.unwrap_err();
    assert_eq!((status.code(), status.message().len()), (Code::InvalidArgument, 2_000));
}

#[tokio::test]
async fn writes_fail_with_a_code_and_details() {
    let dir = dir();
    let (_server, session) = filled(&dir).await;
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let rows = batch(vec![("time", times), ("v", Arc::new(Int64Array::from(vec![1])))]);
    let (_, ended) = session.put(&["other", "t"], vec![rows]).await;
    let status = ended.unwrap();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert_eq!(status.get_error_details().resource_info().unwrap().resource_name, "other");

    let descriptor = || FlightDescriptor::new_path(vec!["mine".to_owned(), "t".to_owned()]);
    let nonsense = FlightData::new().with_descriptor(descriptor()).with_data_header("nonsense");
    let (_, ended) = session.put_messages(stream::iter([nonsense])).await;
    assert_eq!(ended.unwrap().code(), Code::InvalidArgument);
    let large = FlightData::new().with_descriptor(descriptor()).with_data_body(vec![0_u8; 65 << 20]);
    let (_, ended) = session.put_messages(stream::iter([large])).await;
    let status = ended.unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("67108864 bytes"), "{}", status.message());
}

#[tokio::test]
async fn a_query_is_described_by_its_ticket() {
    let dir = dir();
    let (_server, session) = filled(&dir).await;
    let mut client = session.client.clone();
    let command = ticket("mine", "SELECT host, usage FROM cpu");
    let descriptor = FlightDescriptor::new_cmd(command.clone());
    let info = client.get_flight_info(descriptor.clone()).await.unwrap().into_inner();
    assert_eq!((info.endpoint.len(), info.total_records), (1, -1));
    assert!(info.endpoint[0].location.is_empty());
    let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
    assert_eq!(ticket, command);
    let schema = info.try_decode_schema().unwrap();
    let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Utf8, &DataType::Float64]);
    assert_eq!(session.get(ticket.to_vec()).await.unwrap().whole().num_rows(), 1);
    let answered = client.get_schema(descriptor).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(&answered).unwrap(), schema);
    let empty = client.get_flight_info(FlightDescriptor::new_path(vec![])).await.unwrap_err();
    assert_eq!((empty.code(), field(&empty)), (Code::InvalidArgument, "descriptor.cmd".to_owned()));
}

#[tokio::test]
async fn what_is_not_served_says_what_is() {
    let dir = dir();
    let (_server, session) = filled(&dir).await;
    let mut client = session.client.clone();
    let descriptor = FlightDescriptor::new_cmd(ticket("mine", "SELECT 1"));
    for status in [
        client.list_flights(Criteria::default()).await.unwrap_err(),
        client.poll_flight_info(descriptor).await.unwrap_err(),
        client.do_action(Action::new("x", "y")).await.unwrap_err(),
        client.do_exchange(stream::empty::<FlightData>()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("is not served: "), "{}", status.message());
    }
    let actions = client.list_actions(Empty {}).await.unwrap().into_inner();
    assert_eq!(actions.count().await, 0);
}
