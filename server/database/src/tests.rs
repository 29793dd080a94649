//! A node from opening to closing, over a real directory and an object store in memory. Crashes at every point,
//! faults and concurrency are the simulation's part.

use std::path::Path as FilePath;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_env::Env;
use ochre_ingest::line_protocol::Options;
use ochre_store::catalog::Checkpoints;
use ochre_types::rules::Rules;
use ochre_types::{ByteSize, DatabaseName};

use super::*;

mod damage;
mod deletes;
mod effects;
mod explain;
mod memory;
mod race;
mod rules;
mod tokens;

type Objects = std::sync::Arc<dyn ObjectStore>;

fn objects() -> Objects {
    std::sync::Arc::new(InMemory::new())
}

async fn open(objects: &Objects, dir: &FilePath) -> (std::sync::Arc<Node>, Env) {
    open_with(objects, dir, ByteSize::mib(256)).await
}

async fn open_with(objects: &Objects, dir: &FilePath, memory: ByteSize) -> (std::sync::Arc<Node>, Env) {
    let env = Env::system();
    let config = NodeConfig {
        node_id: "a".parse().unwrap(),
        prefix: Path::default(),
        log: LogHome::Disk(dir.to_owned()),
        memory,
        resources: Default::default(),
        rules: Rules::default(),
        auto_create: true,
        spill_dir: None,
        query_threads: 1,
        checkpoints: Checkpoints::default(),
    };
    (Node::open(env.clone(), objects.clone(), config).await.unwrap(), env)
}

fn name(name: &str) -> DatabaseName {
    name.parse().unwrap()
}

async fn write(node: &Node, database: &str, lines: &str) -> Result<Written, WriteError> {
    let database = node.database_or_create(&name(database)).await?;
    database.write_lines(Bytes::copy_from_slice(lines.as_bytes()), &Options::default()).await
}

fn of<'a>(status: &'a NodeStatus, database: &str) -> &'a DatabaseStatus {
    status.databases.iter().find(|status| status.name == name(database)).unwrap()
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_replay() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    let written = write(&node, "metrics", "cpu,host=a usage=1 1\ncpu,host=b usage=2 1\nbad line\n").await.unwrap();
    assert_eq!((written.lines, written.rejected_total, written.rejected[0].line_number), (2, 1, 3));
    assert_eq!(of(&node.status(), "metrics").buffered_rows, 2);
    node.close().await.unwrap();

    let (node, _env) = open(&objects, dir.path()).await;
    let status = node.status();
    let metrics = of(&status, "metrics");
    assert_eq!((metrics.buffered_rows, metrics.persisted_rows, metrics.persisted_chunks), (0, 2, 1));
    assert_eq!(status.epoch.0, 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_replayed_after_a_crash_and_nothing_twice() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    write(&node, "metrics", "cpu,host=a usage=1 1").await.unwrap();
    node.database(&name("metrics")).unwrap().persist_all().await.unwrap();
    write(&node, "metrics", "cpu,host=a usage=2 2\ncpu,host=a usage=3 86400000000000").await.unwrap();
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    let status = node.status();
    let metrics = of(&status, "metrics");
    assert_eq!((metrics.persisted_rows, metrics.buffered_rows, metrics.buffered_chunks), (1, 2, 2));
    node.close().await.unwrap();
    let layout = ochre_store::object::Layout::new(&Path::default(), &"a".parse().unwrap());
    let report = inspect::inspect(&Env::system(), &objects, &layout, Some(dir.path().to_owned())).await.unwrap();
    let only = report.databases[0].in_log_only.clone().unwrap_or_default();
    assert_eq!((report.databases[0].catalog.clone().unwrap().rows, only.rows), (3, 0));
}

#[tokio::test]
async fn a_log_larger_than_the_memory_is_replayed_within_it() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open_with(&objects, dir.path(), ByteSize::mib(512)).await;
    let text = "x".repeat(4_000);
    for batch in 0..36u64 {
        let lines: String =
            (0..250).map(|row| format!("events,host=h{row} message=\"{batch} {row} {text}\" {batch}\n")).collect();
        assert_eq!(write(&node, "logs", &lines).await.unwrap().lines, 250);
    }
    assert!(node.status().buffer_bytes > 34_000_000, "more than the next start may hold");
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open_with(&objects, dir.path(), ByteSize::mib(64)).await;
    let status = node.status();
    let logs = of(&status, "logs");
    assert_eq!(logs.persisted_rows + logs.buffered_rows, 36 * 250);
    assert!(logs.persisted_rows > 0, "chunks were persisted on the way");
    // Sorting a chunk takes its rows a second time for a moment.
    let bound = 2 * status.buffer_limit_bytes;
    assert!(status.buffer_peak_bytes < bound, "{} bytes of {bound}", status.buffer_peak_bytes);
    node.close().await.unwrap();
}

#[tokio::test]
async fn full_buffers_push_back_and_heal_when_chunks_can_be_persisted_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Env::system().clock;
    let store = std::sync::Arc::new(ochre_doubles::objects::SimObjects::new(clock, 1));
    let objects: Objects = store.clone();
    let (node, _env) = open_with(&objects, dir.path(), ByteSize::mib(64)).await;
    let text = "x".repeat(4_000);
    let lines = |batch: u64| -> String {
        (0..500).map(|row| format!("events,host=h{row} message=\"{batch} {text}\" {batch}\n")).collect()
    };
    write(&node, "logs", &lines(0)).await.unwrap();
    store.set_unavailable(true);
    let mut acknowledged = 1;
    let error = loop {
        match write(&node, "logs", &lines(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 40, "80 MB were taken into 32 MB");
    };
    assert!(matches!(error, WriteError::MemoryFull { .. }) && error.retry_after().is_some(), "{error}");

    store.set_unavailable(false);
    let deadline = std::time::Duration::from_secs(60);
    let started = node.shared.env.clock.monotonic();
    while let Err(error) = write(&node, "logs", &lines(acknowledged)).await {
        assert!(matches!(error, WriteError::MemoryFull { .. }), "{error}");
        assert!(node.shared.env.clock.monotonic() - started < deadline, "it does not heal");
        node.shared.env.clock.sleep(std::time::Duration::from_millis(200)).await;
    }
    let status = node.status();
    let logs = of(&status, "logs");
    assert_eq!(logs.persisted_rows + logs.buffered_rows, (acknowledged + 1) * 500);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_type_conflict_is_refused_by_line_and_leaves_no_trace() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "metrics", "cpu usage=1 1").await.unwrap();
    let written = write(&node, "metrics", "cpu usage=1i 2\ncpu usage=3 3").await.unwrap();
    assert_eq!((written.lines, written.rejected_total), (1, 1));
    assert_eq!(
        written.rejected[0].message(),
        "field type conflict: input field \"usage\" on measurement \"cpu\" is type integer, already exists as type float"
    );
    assert_eq!(of(&node.status(), "metrics").buffered_rows, 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_catalog_takes_only_its_own_database_away() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "good", "cpu usage=1 1").await.unwrap();
    write(&node, "broken", "cpu usage=1 1").await.unwrap();
    node.close().await.unwrap();
    let folder = Path::from("a/broken/catalog");
    for object in objects.list_with_delimiter(Some(&folder)).await.unwrap().objects {
        let mut bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap().to_vec();
        // Both copies.
        let half = bytes.len() / 2;
        bytes[half / 2] ^= 1;
        bytes[half + half / 2] ^= 1;
        objects.put(&object.location, bytes.into()).await.unwrap();
    }

    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "good", "cpu usage=2 2").await.unwrap();
    let error = write(&node, "broken", "cpu usage=2 2").await.unwrap_err();
    assert!(matches!(&error, WriteError::NotServed { reason, .. } if reason.contains("damaged")), "{error}");
    assert!(error.retry_after().is_some(), "senders keep the rows");
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_prefix_was_claimed_acknowledges_nothing_more() {
    let (objects, first_dir, second_dir) = (objects(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, env) = open(&objects, first_dir.path()).await;
    write(&first, "metrics", "cpu usage=1 1").await.unwrap();
    let (second, _env) = open(&objects, second_dir.path()).await;
    // Within the ten seconds for which the first look is good, the log may still take rows; the catalog does not.
    let error = first.database(&name("metrics")).unwrap().persist_all().await.unwrap_err();
    assert!(error.to_string().contains("belongs to epoch 2"), "{error}");
    let error = write(&first, "metrics", "cpu usage=2 2").await.unwrap_err();
    assert!(matches!(error, WriteError::Fenced(_)), "{error}");
    assert!(matches!(first.stopped().await, StopReason::Fenced(reason) if reason.contains("epoch 2")));
    env.tasks.abort().await;
    second.close().await.unwrap();
}
