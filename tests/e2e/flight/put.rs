//! Batches in: which column is what, what is acknowledged, and what stays.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow_flight::{FlightData, FlightDescriptor};
use arrow_schema::{Field, Schema};
use futures::stream;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use super::session::{Session, batch};
use crate::e2e::server::{Start, dir};

fn nanos(values: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(values))
}

fn numbers(times: std::ops::Range<i64>) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(times.clone()));
    batch(vec![("time", nanos(times)), ("v", values)])
}

async fn count(session: &Session, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    session.sql("mine", &sql).await.unwrap().whole().column(0).as_primitive::<Int64Type>().value(0)
}

/// What the table's columns are, as `name:kind`.
async fn kinds(session: &Session, table: &str) -> Vec<String> {
    let rows = session.sql("mine", &format!("SELECT * FROM {table}")).await.unwrap();
    let kind = |field: &Field| field.metadata()["iox::column::type"].replace("iox::column_type::", "");
    rows.schema.fields().iter().map(|field| format!("{}:{}", field.name(), kind(field))).collect()
}

#[tokio::test]
async fn columns_are_told_by_convention_header_or_metadata() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let ms: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_500]).with_timezone("UTC"));
    let plain = batch(vec![
        ("host", text("a")),
        ("room", text("b")),
        ("n", Arc::new(Int32Array::from(vec![7]))),
        ("time", ms.clone()),
    ]);
    session.store(&["mine", "convention"], vec![plain.clone()]).await;
    assert_eq!(
        kinds(&session, "convention").await,
        ["host:field::string", "n:field::integer", "room:field::string", "time:timestamp"]
    );
    let tagged = session.with("ochre-tags", "host, room").with("database", "mine");
    tagged.store(&["header"], vec![plain]).await;
    assert_eq!(kinds(&session, "header").await, ["host:tag", "n:field::integer", "room:tag", "time:timestamp"]);
    let at = batch(vec![("at", ms), ("time of day", text("noon")), ("n", Arc::new(Int32Array::from(vec![7])))]);
    session.with("ochre-time", "at").with("ochre-tags", "").store(&["mine", "at"], vec![at]).await;
    assert_eq!(kinds(&session, "at").await, ["n:field::integer", "time:timestamp", "time of day:field::string"]);
    let time = session.sql("mine", "SELECT time FROM at").await.unwrap().whole();
    assert_eq!(time.column(0).as_primitive::<TimestampNanosecondType>().value(0), 1_500_000_000);

    let said = |name: &str, array: &ArrayRef, kind: &str| {
        let metadata = HashMap::from([("iox::column::type".to_owned(), format!("iox::column_type::{kind}"))]);
        Field::new(name, array.data_type().clone(), true).with_metadata(metadata)
    };
    let (host, n): (ArrayRef, ArrayRef) = (text("a"), Arc::new(Float64Array::from(vec![0.5])));
    let when = nanos(5..6);
    let schema =
        Schema::new(vec![said("host", &host, "tag"), said("n", &n, "field::float"), said("when", &when, "timestamp")]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![host, n, when]).unwrap();
    session.store(&["mine", "metadata"], vec![rows]).await;
    assert_eq!(kinds(&session, "metadata").await, ["host:tag", "n:field::float", "time:timestamp"]);
    // What came out goes in again as it is, metadata and all.
    let out = session.sql("mine", "SELECT * FROM metadata").await.unwrap().whole();
    session.store(&["mine", "copy"], vec![out.clone()]).await;
    assert_eq!(session.sql("mine", "SELECT * FROM copy").await.unwrap().whole(), out);
}

#[tokio::test]
async fn many_rows_go_in_and_come_out_in_bounded_messages() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    // The last one is longer than what is stored at a time, and still acknowledged once.
    let sizes = [10_000, 0, 20_000, 70_000];
    let mut from = 0;
    let batches: Vec<RecordBatch> = sizes
        .iter()
        .map(|rows| {
            let times = from..from + rows;
            from += rows;
            let texts = StringArray::from_iter_values(times.clone().map(|i| format!("{i:0>100}")));
            let mut columns = numbers(times).columns().to_vec();
            columns.push(Arc::new(texts));
            batch(["time", "v", "text"].into_iter().zip(columns).collect())
        })
        .collect();
    let acknowledged: Vec<i64> =
        session.store(&["mine", "big"], batches).await.iter().map(|one| one["rows"].as_i64().unwrap()).collect();
    assert!(acknowledged == sizes || acknowledged == [10_000, 20_000, 70_000], "{acknowledged:?}");

    let back = session.sql("mine", "SELECT v, text FROM big ORDER BY time").await.unwrap();
    assert!(back.batches.len() > 5, "{}", back.batches.len());
    for piece in &back.batches {
        assert!(piece.get_array_memory_size() < 3 << 20, "{}", piece.get_array_memory_size());
    }
    let whole = back.whole();
    assert!((0..100_000).eq(whole.column(0).as_primitive::<Int64Type>().values().iter().copied()));
    assert_eq!(whole.column(1).as_string::<i32>().value(99_999), format!("{:0>100}", 99_999));
}

#[tokio::test]
async fn a_wrong_batch_ends_the_stream_and_what_was_acknowledged_stays() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    session.store(&["mine", "t"], vec![numbers(0..10)]).await;

    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let other = batch(vec![("time", nanos(100..101)), ("v", floats)]);
    let (acknowledged, ended) = session.put(&["mine", "t"], vec![other]).await;
    let status = ended.unwrap();
    assert_eq!((acknowledged.len(), status.code()), (0, Code::InvalidArgument));
    assert!(status.message().contains("\"v\"") && status.message().contains("Float64"), "{}", status.message());
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "record_batch");

    let missing: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(20), None]));
    let bad = batch(vec![("time", missing), ("v", Arc::new(Int64Array::from(vec![1, 2])))]);
    let (acknowledged, ended) = session.put(&["mine", "t"], vec![numbers(10..15), bad, numbers(30..40)]).await;
    assert_eq!(acknowledged, [json!({ "rows": 5, "durable": true })]);
    let status = ended.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("row 1 has no time"), "{}", status.message());
    assert_eq!(count(&session, "t").await, 15);
    // The same batch again is the same rows.
    session.store(&["mine", "t"], vec![numbers(10..15)]).await;
    assert_eq!(count(&session, "t").await, 15);
}

#[tokio::test]
async fn a_stream_says_where_its_rows_go() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    for path in [&["t"][..], &["a", "b", "c"], &[], &["", "t"], &["mine", ""]] {
        let (_, ended) = session.put(path, vec![numbers(0..1)]).await;
        let status = ended.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{path:?}");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "descriptor.path", "{path:?}");
    }
    let (_, ended) = session.put_messages(stream::empty()).await;
    assert!(ended.unwrap().message().contains("[database, table]"));
    // A descriptor and no rows is nothing to do.
    let descriptor = FlightDescriptor::new_path(vec!["mine".to_owned(), "t".to_owned()]);
    let none = session.put_messages(stream::iter([FlightData::new().with_descriptor(descriptor)])).await;
    assert!(matches!(none, (acknowledged, None) if acknowledged.is_empty()));
}

#[tokio::test]
async fn acknowledged_rows_survive_a_kill() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    let acknowledged = session.store(&["mine", "t"], vec![numbers(0..1_000), numbers(1_000..1_500)]).await;
    assert_eq!(acknowledged, [json!({ "rows": 1_000, "durable": true }), json!({ "rows": 500, "durable": true })]);
    server.kill();
    let server = server.again().start();
    assert_eq!(count(&Session::to(&server).await, "t").await, 1_500);
}

#[tokio::test]
async fn a_log_in_memory_is_said_not_to_be_durable() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--log", "memory"]).start();
    let session = Session::to(&server).await;
    assert_eq!(session.store(&["mine", "t"], vec![numbers(0..2)]).await, [json!({ "rows": 2, "durable": false })]);
}
