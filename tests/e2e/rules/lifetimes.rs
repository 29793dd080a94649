//! What the rules of the lifecycle do with chunks and drops, as operators see it.

use ochre_client::Partitions;
use ochre_wire::v1;
use serde_json::json;

use super::super::server::{now, ochre, pause};
use super::{Database, LOOK, SOON};

/// How many chunks of the table there are in Parquet.
const PERSISTED: &str = "SELECT CAST(count(*) AS VARCHAR) AS v FROM system.chunks WHERE stage = 'persisted'";
/// How long nothing happens to chunks that nothing is to happen to: the server looks every second.
const LEFT_ALONE: std::time::Duration = std::time::Duration::from_secs(3);

/// Does work with all partitions, and waits for its end.
async fn work(database: &Database<'_>, work: v1::PartitionWork) -> v1::Operation {
    let storage = database.connection.storage();
    let mut now = storage.work_on_partitions(&database.name, &Partitions::default(), work).await.unwrap();
    while now.state() == v1::OperationState::Running {
        now = storage.wait(&now.id).await.unwrap();
    }
    assert_eq!(now.state(), v1::OperationState::Done, "{now:?}");
    now
}

/// Chunks in Parquet that all have one key.
async fn overlapping(database: &Database<'_>, chunks: u64) {
    for value in 0..chunks {
        database.store(format!("cpu,host=a v={value} 1")).await;
        work(database, v1::PartitionWork::Persist).await;
    }
}

async fn chunks(database: &Database<'_>, key: &str) -> Vec<v1::ChunkInfo> {
    let table = "cpu".parse().unwrap();
    database.connection.storage().partition(&database.name, &table, key).await.unwrap().chunks
}

/// The only row is the last one that was written, and in one chunk.
async fn until_joined(database: &Database<'_>, last: f64) {
    database.until(PERSISTED, &["1"]).await;
    assert_eq!(database.sql("SELECT v FROM cpu").await, json!([{ "v": last }]));
}

/// A database without peers settles at once, whatever the window.
pub async fn settled_at_once(database: &Database<'_>) {
    overlapping(database, 2).await;
    work(database, v1::PartitionWork::Compact).await;
    let chunks = chunks(database, "1970-01-01").await;
    assert!(chunks.len() == 1 && chunks[0].level == 1 && chunks[0].settled.is_some(), "{chunks:?}");
}

/// Chunks stay as they are until the rules let them be joined.
pub async fn left_alone(database: &Database<'_>) {
    overlapping(database, 3).await;
    pause(LEFT_ALONE);
    database.until(PERSISTED, &["3"]).await;
    database.apply("lifecycle: {compact: {max_files: 2, quiet_after: 0s}}").await;
    until_joined(database, 2.0).await;
}

/// As many chunks as the rules say are joined, though the partition was not quiet.
pub async fn joined_by_count(database: &Database<'_>) {
    overlapping(database, 3).await;
    until_joined(database, 2.0).await;
}

/// A few chunks are joined once the partition is quiet.
pub async fn joined_when_quiet(database: &Database<'_>) {
    overlapping(database, 2).await;
    until_joined(database, 1.0).await;
}

/// What is joined is cut by time.
pub async fn cut(database: &Database<'_>) {
    // Text that does not compress: the digits of a chaotic map.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = || -> String {
        let word = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:016x}", state ^ (state >> 29))
        };
        (0..32).map(word).collect()
    };
    for half in 0..2 {
        let lines: String = (0..6_000).map(|row| format!("cpu s=\"{}\" {}\n", text(), row * 2 + half)).collect();
        database.store(lines).await;
        work(database, v1::PartitionWork::Persist).await;
    }
    work(database, v1::PartitionWork::Compact).await;
    let mut chunks = chunks(database, "1970-01-01").await;
    chunks.sort_by_key(|chunk| chunk.time_min.map(|time| (time.seconds, time.nanos)));
    assert!(chunks.len() >= 2, "{chunks:?}");
    assert!(chunks.iter().all(|chunk| chunk.level == 1 && chunk.bytes < 3 << 20), "{chunks:?}");
    let times = |time: Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
    assert!(chunks.is_sorted_by(|a, b| times(a.time_max) < times(b.time_min)), "{chunks:?}");
    assert_eq!(database.sql("SELECT count(DISTINCT s) AS n FROM cpu").await, json!([{ "n": 12_000 }]));
}

/// A query for a value that is not there skips what the statistics can't exclude.
pub async fn skipped_by_bloom(database: &Database<'_>) {
    let lines: String = (0..1_000).map(|row| format!("cpu,host=a s=\"v{row:04}\" {row}\n")).collect();
    database.store(lines).await;
    work(database, v1::PartitionWork::Compact).await;
    let plan = |value: &str| format!("EXPLAIN ANALYZE SELECT count(*) FROM cpu WHERE s = '{value}'");
    let skipped = |plan: &str| plan.contains("row_groups_pruned_bloom_filter=1 total → 0 matched");
    // The server may still have the copy in memory: joined chunks have none.
    let absent = database.ask(&plan("v0500x")).await;
    assert!(absent.0 == 200 && skipped(&absent.1), "{}", absent.1);
    let present = database.ask(&plan("v0500")).await;
    assert!(present.0 == 200 && !skipped(&present.1), "{}", present.1);
}

/// Objects that nothing names any more stay for the grace, and then go.
pub async fn objects_go(database: &Database<'_>) {
    overlapping(database, 2).await;
    let before = chunks(database, "1970-01-01").await;
    let names: Vec<String> = before.iter().map(|chunk| chunk.object.clone()).collect();
    assert_eq!(names.iter().filter(|name| database.server.has_object(name)).count(), 2, "{names:?}");
    work(database, v1::PartitionWork::Compact).await;
    let begun = now();
    while names.iter().any(|name| database.server.has_object(name)) {
        assert!(begun.elapsed() < SOON, "{names:?} are still there");
        pause(LOOK);
    }
    let after = chunks(database, "1970-01-01").await;
    assert!(after.iter().all(|chunk| database.server.has_object(&chunk.object)), "{after:?}");
    assert_eq!(database.sql("SELECT v FROM cpu").await, json!([{ "v": 1.0 }]));
}

/// What was dropped can't be brought back.
pub async fn gone_at_once(database: &Database<'_>) {
    database.store("cpu v=1 1").await;
    let url = database.server.url("");
    let table = |what| ochre(&["table", what, "cpu", "--host", &url, "--database", database.name.as_str()]);
    let dropped = table("drop");
    assert_eq!(dropped.status.code(), Some(0), "{dropped:?}");
    let undropped = table("undrop");
    assert_eq!(undropped.status.code(), Some(1), "{undropped:?}");
}
