//! Answers to the byte.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use datafusion::arrow::ipc::reader::StreamReader;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use ochre_store::snapshot::Stage;
use ochre_types::ByteSize;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::double::{Batch, Chunk, Double, Partitioning, Row, WIDE, engine};
use crate::{Format, Params};

/// 2025-01-01T00:00:00Z.
const TIME: i64 = 1_735_689_600_000_000_000;

async fn encode(format: Format, sql: &str) -> Bytes {
    let rows = vec![
        Row {
            host: Some("a"),
            time: TIME,
            usage: Some(1.0),
            hits: Some(-3),
            note: Some("say \"hi\", you"),
            ..Row::default()
        },
        Row { host: Some("b"), time: TIME + 1_500_000_000, ok: Some(true), ..Row::default() },
        Row { time: TIME + 1, usage: Some(f64::NAN), ..Row::default() },
        Row { host: Some("c"), time: TIME + 2, usage: Some(1e300), ..Row::default() },
    ];
    let batches = vec![Batch { stamp: 1, rows }];
    let chunks = [Chunk { stage: Stage::Frozen, partitioning: Partitioning::Day, batches }];
    let store = Arc::new(InMemory::new());
    let source = Double::new(&store, "o", &chunks).await;
    let result = engine(&store, 1, ByteSize::mib(64)).query(source, sql, &Params::default(), WIDE).await.unwrap();
    let pieces: Vec<Bytes> = format.encode(result).try_collect().await.unwrap();
    pieces.concat().into()
}

const ALL: &str = "SELECT host, time, usage, hits, note, ok FROM cpu ORDER BY time";
const NONE: &str = "SELECT host, time FROM cpu WHERE host = 'z'";

#[tokio::test]
async fn json_has_an_object_a_row_without_nulls() {
    let text = encode(Format::Json, ALL).await;
    let expected = r#"[{"host":"a","time":"2025-01-01T00:00:00","usage":1.0,"hits":-3,"note":"say \"hi\", you"},{"time":"2025-01-01T00:00:00.000000001","usage":null},{"host":"c","time":"2025-01-01T00:00:00.000000002","usage":1.0e300},{"host":"b","time":"2025-01-01T00:00:01.500","ok":true}]"#;
    assert_eq!(text, expected);
    assert_eq!(encode(Format::Json, NONE).await, "[]");
}

#[tokio::test]
async fn json_lines_have_an_object_a_line() {
    let sql = "SELECT host, time FROM cpu WHERE host IS NOT NULL ORDER BY host LIMIT 2";
    let expected =
        "{\"host\":\"a\",\"time\":\"2025-01-01T00:00:00\"}\n{\"host\":\"b\",\"time\":\"2025-01-01T00:00:01.500\"}\n";
    assert_eq!(encode(Format::JsonLines, sql).await, expected);
    assert_eq!(encode(Format::JsonLines, NONE).await, "");
}

#[tokio::test]
async fn csv_has_a_header() {
    let expected = "host,time,usage,hits,note,ok\n\
                    a,2025-01-01T00:00:00,1.0,-3,\"say \"\"hi\"\", you\",\n\
                    ,2025-01-01T00:00:00.000000001,NaN,,,\n\
                    c,2025-01-01T00:00:00.000000002,1e300,,,\n\
                    b,2025-01-01T00:00:01.500,,,,true\n";
    assert_eq!(encode(Format::Csv, ALL).await, expected);
    assert_eq!(encode(Format::Csv, NONE).await, "host,time\n");
}

#[tokio::test]
async fn pretty_is_a_table() {
    let expected = "\
+------+-------------------------+
| host | time                    |
+------+-------------------------+
| a    | 2025-01-01T00:00:00     |
| b    | 2025-01-01T00:00:01.500 |
+------+-------------------------+";
    let sql = "SELECT host, time FROM cpu WHERE host < 'c' ORDER BY host";
    assert_eq!(encode(Format::Pretty, sql).await, expected);
    assert_eq!(
        encode(Format::Pretty, NONE).await,
        "+------+------+\n| host | time |\n+------+------+\n+------+------+"
    );
}

fn hosts(batches: &[RecordBatch]) -> Vec<Option<String>> {
    let host = |batch: &RecordBatch| {
        let array = batch.column(0).as_any().downcast_ref::<arrow_array::StringArray>().unwrap().clone();
        array.iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(host).collect()
}

#[tokio::test]
async fn binary_formats_can_be_read_back() {
    let expected = [Some("a".to_owned()), None, Some("c".to_owned()), Some("b".to_owned())];
    let parquet = encode(Format::Parquet, ALL).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(hosts(&batches), expected);

    let arrow = encode(Format::Arrow, ALL).await;
    let reader = StreamReader::try_new(&arrow[..], None).unwrap();
    let schema = reader.schema();
    assert_eq!(schema.field(0).metadata()["iox::column::type"], "iox::column_type::tag");
    assert_eq!(schema.field(2).metadata()["iox::column::type"], "iox::column_type::field::float");
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(hosts(&batches), expected);
    assert!(batches[0].column(5).is_null(0));

    let empty = encode(Format::Parquet, NONE).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(empty).unwrap().build().unwrap();
    assert_eq!(reader.map(Result::unwrap).map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert_eq!("json_lines".parse(), Ok(Format::JsonLines));
    let error = "xml".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "format \"xml\" is not known: use json, jsonl, csv, pretty, parquet or arrow");
}
