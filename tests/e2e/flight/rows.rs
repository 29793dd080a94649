//! Every type goes in and comes out with its values, in plain types unless the engine's own are asked for.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Schema, TimeUnit};
use serde_json::json;

use super::session::{Session, batch};
use crate::e2e::server::{Start, dir};

const NANOS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// A column of every kind, with nulls, edges and unicode, in the order in which SQL shows columns.
fn everything() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> =
        [Some("a b"), None, Some("ü, \"x\" = 日本"), Some("a b")].into_iter().collect();
    batch(vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None])) as ArrayRef),
        ("float", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::MIN), None, Some(-0.0)]))),
        ("int", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX), Some(0)]))),
        ("tag", Arc::new(tags)),
        ("text", Arc::new(StringArray::from(vec![Some(""), Some("line\nfeed"), Some("🦀"), None]))),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from(vec![-1, 0, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002])),
        ),
        ("uint", Arc::new(UInt64Array::from(vec![None, Some(u64::MAX), Some(0), None]))),
    ])
}

/// The same with tags as plain text.
fn plain(rows: &RecordBatch) -> Vec<ArrayRef> {
    rows.columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Dictionary(..) => arrow_cast::cast(column, &DataType::Utf8).unwrap(),
            _ => column.clone(),
        })
        .collect()
}

fn kinds(schema: &Schema) -> Vec<(&str, Option<&str>)> {
    let kind = |metadata: &HashMap<String, String>| metadata.get("iox::column::type").cloned();
    schema
        .fields()
        .iter()
        .map(|field| {
            let kind = kind(field.metadata()).map(|kind| match kind.strip_prefix("iox::column_type::") {
                Some("tag") => "tag",
                Some("timestamp") => "timestamp",
                Some("field::float") => "float",
                Some("field::integer") => "integer",
                Some("field::uinteger") => "uinteger",
                Some("field::string") => "string",
                Some("field::boolean") => "boolean",
                _ => "strange",
            });
            (field.name().as_str(), kind)
        })
        .collect()
}

#[tokio::test]
async fn every_type_makes_the_round_trip() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    let rows = everything();
    assert_eq!(session.store(&["mine", "all"], vec![rows.clone()]).await, [json!({ "rows": 4, "durable": true })]);

    let back = session.sql("mine", "SELECT * FROM \"all\" ORDER BY time").await.unwrap();
    let types: Vec<&DataType> = back.schema.fields().iter().map(|field| field.data_type()).collect();
    let utf8 = &DataType::Utf8;
    let (bool, float, int, uint) = (&DataType::Boolean, &DataType::Float64, &DataType::Int64, &DataType::UInt64);
    assert_eq!(types, [bool, float, int, utf8, utf8, &NANOS, uint]);
    assert_eq!(back.whole().columns(), plain(&rows));
    assert_eq!(
        kinds(&back.schema),
        [
            ("bool", Some("boolean")),
            ("float", Some("float")),
            ("int", Some("integer")),
            ("tag", Some("tag")),
            ("text", Some("string")),
            ("time", Some("timestamp")),
            ("uint", Some("uinteger")),
        ]
    );
    // The same over HTTP, as the other readers see it.
    let text = server.sql("mine", "SELECT tag, text FROM \"all\" WHERE int = 9223372036854775807").await;
    assert_eq!(text, json!([{ "tag": "ü, \"x\" = 日本", "text": "🦀" }]));
}

#[tokio::test]
async fn computed_columns_have_no_kind_and_plain_types() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    session.store(&["mine", "all"], vec![everything()]).await;
    let sql = "SELECT tag AS t, int + 1 AS more, CAST(int AS VARCHAR) AS int, count(*) AS n, \
               arrow_cast('x', 'Utf8View') AS view, arrow_cast(1, 'Timestamp(Millisecond, Some(\"+02:00\"))') AS ms \
               FROM \"all\" WHERE float = 1.5 OR int = 0 GROUP BY tag, int ORDER BY n, t, more";
    let back = session.sql("mine", sql).await.unwrap();
    let types: Vec<&DataType> = back.schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Utf8, &DataType::Int64, &DataType::Utf8, &DataType::Int64, &DataType::Utf8, &NANOS]);
    let kinds = kinds(&back.schema);
    assert_eq!(kinds[0], ("t", Some("tag")));
    assert!(kinds[1..].iter().all(|(_, kind)| kind.is_none()), "{kinds:?}");
    let whole = back.whole();
    assert_eq!(whole.column(3).as_primitive::<Int64Type>().values(), &[1, 1]);
    assert_eq!(whole.column(2).as_string::<i32>().value(0), "-9223372036854775808");
}

#[tokio::test]
async fn native_types_come_where_they_are_asked_for() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    session.store(&["mine", "all"], vec![everything()]).await;
    let sql = "SELECT tag, time FROM \"all\" ORDER BY time";
    let native = session.with("ochre-native-types", "true").sql("mine", sql).await.unwrap();
    assert!(
        matches!(native.schema.field(0).data_type(), DataType::Dictionary(_, values) if **values == DataType::Utf8)
    );
    assert_eq!(kinds(&native.schema), [("tag", Some("tag")), ("time", Some("timestamp"))]);
    let plain = session.sql("mine", sql).await.unwrap().whole();
    let tags = arrow_cast::cast(native.whole().column(0), &DataType::Utf8).unwrap();
    assert_eq!(&tags, plain.column(0));
    assert!(plain.column(0).is_null(1));
}

#[tokio::test]
async fn an_answer_without_rows_has_its_columns() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    session.store(&["mine", "all"], vec![everything()]).await;
    let none = session.sql("mine", "SELECT tag, uint FROM \"all\" WHERE false").await.unwrap();
    assert_eq!(kinds(&none.schema), [("tag", Some("tag")), ("uint", Some("uinteger"))]);
    assert_eq!(none.whole().num_rows(), 0);
}

#[tokio::test]
async fn parameters_are_bound() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    session.store(&["mine", "all"], vec![everything()]).await;
    let ticket = json!({
        "bucket": "mine",
        "sql_query": "SELECT int FROM \"all\" WHERE text = $text AND uint >= $least",
        "params": { "text": "🦀", "$least": 0 },
    });
    let back = session.get(ticket.to_string().into_bytes()).await.unwrap().whole();
    assert_eq!(back.column(0).as_primitive::<Int64Type>().values(), &[i64::MAX]);
}
