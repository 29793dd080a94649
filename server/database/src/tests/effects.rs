//! What each rule does to whatever comes after it was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use futures::FutureExt;
use ochre_ingest::arrow::Roles;
use ochre_query::{Params, QueryError};
use ochre_types::TableName;

use super::rules::put;
use super::*;

async fn keys(node: &Node, table: &str) -> Vec<String> {
    let snapshot = node.database(&name("d")).unwrap().buffer.snapshot(table).unwrap();
    snapshot.chunks.iter().map(|chunk| chunk.key.to_string()).collect()
}

async fn refused(node: &Node, lines: &str) -> Vec<(usize, String)> {
    let written = write(node, "d", lines).await.unwrap();
    written.rejected.iter().map(|rejected| (rejected.line_number, rejected.error.to_string())).collect()
}

/// A node with an empty database `d`.
async fn node() -> (Arc<Node>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (node, _env) = open(&objects(), dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    (node, dir)
}

#[tokio::test]
async fn partition_decides_keys_table_by_table_from_the_next_write_on() {
    let (node, _dir) = node().await;
    write(&node, "d", "cpu,host=a f=1 1").await.unwrap();
    put(&node, "d", "partition: [{tables: cpu, by: [{tag: host}]}, {tables: \"m*\", by: []}]").await;
    write(&node, "d", "cpu,host=a f=1 2\ncpu,host=b f=1 2\nmem f=1 2\ndisk f=1 2").await.unwrap();
    let mut cpu = keys(&node, "cpu").await;
    cpu.sort();
    assert_eq!(cpu, ["1970-01-01", "a", "b"], "what was there stays where it is");
    assert_eq!(
        (keys(&node, "mem").await, keys(&node, "disk").await),
        (vec![String::new()], vec!["1970-01-01".to_owned()])
    );
    node.close().await.unwrap();
}

#[tokio::test]
async fn columns_pins_the_kind_of_what_is_not_there_yet() {
    let (node, _dir) = node().await;
    write(&node, "d", "old usage=1i 1").await.unwrap();
    put(&node, "d", "columns: {load: float, host: tag}").await;
    let rejected = refused(&node, "cpu load=1i 1\ncpu load=2 2\ncpu host=\"a\" 3\nold load=\"x\" 4").await;
    let conflict = |table: &str, found: &str| {
        format!(
            "field type conflict: input field \"load\" on measurement \"{table}\" is type {found}, already exists as type float"
        )
    };
    assert_eq!(rejected.len(), 3);
    assert_eq!((&rejected[0], &rejected[2]), (&(1, conflict("cpu", "integer")), &(4, conflict("old", "string"))));
    assert!(rejected[1].1.starts_with("column kind conflict: field \"host\" on table \"cpu\""), "{}", rejected[1].1);
    put(&node, "d", "columns: {}\nlimits: {columns: 2}").await;
    let rejected = refused(&node, "new a=1,b=2 1\nnew a=1,b=2,c=3 1").await;
    assert_eq!(rejected, [(2, "too many columns: table \"new\" may have 2, and \"c\" would be one more".to_owned())]);
    put(&node, "d", "columns: {c: float}\nlimits: {columns: 2}").await;
    assert_eq!(refused(&node, "new a=1,b=2,c=3 1").await.len(), 1, "a pin makes no room");
    node.close().await.unwrap();
}

#[tokio::test]
async fn ack_accepted_shows_rows_at_once_and_durable_rows_stay_in_order() {
    let (node, _dir) = node().await;
    for ack in ["accepted", "durable", "accepted"] {
        put(&node, "d", &format!("log: {{ack: {ack}}}")).await;
        let before = of(&node.status(), "d").buffered_rows;
        write(&node, "d", "cpu f=1 1").await.unwrap();
        assert_eq!(of(&node.status(), "d").buffered_rows, before + 1);
    }
    node.close().await.unwrap();
}

#[tokio::test]
async fn buffer_and_sort_rules_reach_the_lifecycle() {
    let (node, _dir) = node().await;
    put(&node, "d", "buffer: {freeze_rows: 2}\nlifecycle: {sort: [b]}").await;
    write(&node, "d", "cpu,a=1,b=1 f=1 1\ncpu,a=2,b=2 f=1 2").await.unwrap();
    let database = node.database(&name("d")).unwrap();
    database.lifecycle.step(ochre_store::lifecycle::Demand::Due).await.unwrap();
    assert_eq!(of(&node.status(), "d").persisted_rows, 2, "a full chunk is persisted");
    let order = database.buffer.snapshot("cpu").unwrap().order;
    let tags: Vec<&str> = order.tags().iter().map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["b", "a"]);
    node.close().await.unwrap();
}

#[tokio::test]
async fn immutable_and_unstored_databases_refuse_writes_that_senders_keep() {
    let (node, _dir) = node().await;
    put(&node, "d", "lifecycle: {mutable: false}").await;
    let error = write(&node, "d", "cpu f=1 1").await.unwrap_err();
    assert!(
        matches!(error, WriteError::ReadOnly(_)) && error.retry_after() == Some(Duration::from_secs(60)),
        "{error}"
    );
    put(&node, "d", "store: none").await;
    let error = write(&node, "d", "cpu f=1 1").await.unwrap_err();
    assert!(
        matches!(error, WriteError::NotStored(_)) && error.retry_after() == Some(Duration::from_secs(60)),
        "{error}"
    );
    assert_eq!(of(&node.status(), "d").writes.refused_writes, 2);
    put(&node, "d", "store: all").await;
    assert_eq!(write(&node, "d", "cpu f=1 1").await.unwrap().lines, 1);
    node.close().await.unwrap();
}

#[tokio::test]
async fn store_match_refuses_rows_line_by_line() {
    let (node, _dir) = node().await;
    put(&node, "d", "store: {match: {tables: [cpu, mem], where: \"region = 'eu'\"}}").await;
    let rejected = refused(&node, "cpu,region=eu f=1 1\ncpu,region=us f=1 1\ndisk,region=eu f=1 1\nmem f=1 1").await;
    let why = "the row does not match store.match in the database's rules, and is not kept".to_owned();
    assert_eq!(rejected, [(2, why.clone()), (3, why.clone()), (4, why)]);
    assert_eq!((of(&node.status(), "d").buffered_rows, of(&node.status(), "d").tables), (1, 1));
    node.close().await.unwrap();
}

#[tokio::test]
async fn limits_are_the_databases_own() {
    let (node, _dir) = node().await;
    put(&node, "d", "limits: {tables: 1, line: 40, body: 1KiB, partitions_per_write: 2}").await;
    let rejected = refused(&node, &format!("a f=1 1\nb f=1 1\na g=\"{}\" 1", "x".repeat(40))).await;
    assert_eq!(rejected[0].1, "too many tables: the database may have 1, and \"b\" would be one more");
    assert_eq!((rejected.len(), &*rejected[1].1), (2, "line too long: 48 bytes, where 40 are allowed"));
    assert_eq!((node.body_limit(&name("d")), node.body_limit(&name("e"))), (ByteSize(1024), ByteSize::mib(64)));

    assert_eq!(of(&node.status(), "d").partition_alarm, None);
    let days =
        |count: u64| -> String { (0..count).map(|day| format!("a f=1 {}\n", day * 86_400_000_000_000)).collect() };
    let error = write(&node, "d", &days(3)).await.unwrap_err();
    assert!(matches!(error, WriteError::TooManyPartitions { partitions: 3, limit: 2 }), "{error}");
    let alarm = of(&node.status(), "d").partition_alarm.clone().unwrap();
    assert!(alarm.starts_with("a write touched 3 partitions, and limits.partitions_per_write is 2: "), "{alarm}");
    assert_eq!(write(&node, "d", &days(2)).await.unwrap().lines, 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn many_thin_partitions_raise_an_alarm() {
    let (node, _dir) = node().await;
    put(&node, "d", "partition: [{tables: \"*\", by: [{tag: id}]}]").await;
    let lines: String = (0..1_000).map(|id| format!("cpu,id={id} f=1 1\n")).collect();
    write(&node, "d", &lines).await.unwrap();
    let alarm = of(&node.status(), "d").partition_alarm.clone().unwrap();
    assert!(alarm.starts_with("1000 partitions in memory hold 1 rows on average"), "{alarm}");
    node.database(&name("d")).unwrap().persist_all().await.unwrap();
    assert_eq!(of(&node.status(), "d").partition_alarm, None);
    node.close().await.unwrap();
}

#[tokio::test]
async fn queries_wait_for_their_turn_and_beyond_the_queue_are_refused() {
    let (node, _dir) = node().await;
    put(&node, "d", "limits: {concurrent_queries: 1}").await;
    let (database, params) = (name("d"), Params::default());
    let first = node.query(&database, "SELECT 1", &params).await.unwrap();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(node.query(&database, "SELECT 1", &params))).collect();
    assert!(waiting.iter_mut().all(|query| query.now_or_never().is_none()));
    let error = node.query(&database, "SELECT 1", &params).await.unwrap_err();
    assert!(matches!(error, QueryError::TooManyQueries { running: 1, waiting: 4 }), "{error}");
    drop(first);
    assert!(waiting.remove(0).await.is_ok());
    drop(waiting);

    put(&node, "d", "limits: {concurrent_queries: 1, query_time: 50ms}").await;
    let _running = node.query(&database, "SELECT 1", &params).await.unwrap();
    let error = node.query(&database, "SELECT 1", &params).await.unwrap_err();
    assert!(matches!(error, QueryError::TimedOut(time) if time == Duration::from_millis(50)), "{error}");
    node.close().await.unwrap();
}

fn record_batch(load: ArrayRef, times: &[i64]) -> RecordBatch {
    let regions: ArrayRef = Arc::new(StringArray::from(vec!["eu"; times.len()]));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times.to_vec()));
    RecordBatch::try_from_iter([("region", regions), ("load", load), ("time", times)]).unwrap()
}

#[tokio::test]
async fn record_batches_follow_the_same_rules_as_lines() {
    let (node, _dir) = node().await;
    put(&node, "d", "columns: {load: float}\npartition: [{tables: cpu, by: [{tag: region}]}]").await;
    let database = node.database(&name("d")).unwrap();
    let (cpu, roles) = (TableName::new("cpu").unwrap(), Roles { tags: Some(vec!["region".to_owned()]), time: None });
    let floats = record_batch(Arc::new(Float64Array::from(vec![1.0, 2.0])), &[1, 2]);
    assert_eq!(database.write_arrow(&cpu, &floats, &roles).await.unwrap(), 2);
    assert_eq!(keys(&node, "cpu").await, ["eu"]);
    let texts = record_batch(Arc::new(StringArray::from(vec!["x"])), &[3]);
    let error = database.write_arrow(&cpu, &texts, &roles).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(_)) && error.retry_after().is_none(), "{error}");
    let integers = record_batch(Arc::new(Int64Array::from(vec![1])), &[3]);
    let mem = TableName::new("mem").unwrap();
    assert!(matches!(database.write_arrow(&mem, &integers, &roles).await, Err(WriteError::Refused(_))), "pinned");

    put(&node, "d", "store: {match: {where: \"region = 'us'\"}}").await;
    assert!(matches!(database.write_arrow(&cpu, &floats, &roles).await, Err(WriteError::Refused(_))), "not kept");
    let totals = database.totals();
    assert_eq!((totals.rows, totals.refused_writes), (2, 3));
    node.close().await.unwrap();
}
