//! Writes while the partition rules change all the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::rules::put;
use super::*;

/// Rule changes of the race.
const CHANGES: u64 = 100;
/// Tasks that write meanwhile.
const WRITERS: u64 = 4;

const TEMPLATES: [&str; 3] =
    ["[{tag: host}]", "[{time: \"%Y-%m-%d\"}]", "[{bucket: {tag: host, count: 2}}, {table: {}}]"];

/// The rows in memory, by what tells them apart.
fn rows_in_memory(database: &Database) -> Vec<(String, i64)> {
    use ochre_store::snapshot::ChunkBody;
    let mut rows = Vec::new();
    for table in database.buffer.tables() {
        let snapshot = database.buffer.snapshot(table.as_str()).unwrap();
        for chunk in &snapshot.chunks {
            let blocks = match &chunk.body {
                ChunkBody::Blocks(blocks) => blocks.to_vec(),
                ChunkBody::Sorted(rows) => vec![rows.clone()],
                ChunkBody::Parquet { .. } => panic!("nothing is evicted here"),
            };
            for block in blocks {
                rows.extend(block.rows.times().iter().map(|time| (table.to_string(), *time)));
            }
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_that_race_with_template_changes_lose_nothing() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    let (done, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (send, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..WRITERS {
        let (node, done, next, send) = (node.clone(), done.clone(), next.clone(), send.clone());
        env.tasks.spawn("writer", async move {
            while !done.load(Ordering::Relaxed) {
                let time = next.fetch_add(1, Ordering::Relaxed);
                let lines = format!("cpu,host=h{} f=1 {time}\nmem,host=a f=1 {time}\n", time % 5);
                match write(&node, "d", &lines).await {
                    Ok(written) => assert_eq!((written.lines, written.rejected_total), (2, 0)),
                    Err(error) => panic!("{error}"),
                }
                send.send(time as i64).unwrap();
            }
        });
    }
    drop(send);
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let by = TEMPLATES[change as usize % TEMPLATES.len()];
        assert_eq!(put(&node, "d", &format!("partition: [{{tables: cpu, by: {by}}}]")).await, change + 1);
        // So that at least one write is between any two changes.
        times.extend(acknowledged.recv().await);
    }
    done.store(true, Ordering::Relaxed);
    while let Some(time) = acknowledged.recv().await {
        times.push(time);
    }
    let tables = ["cpu", "mem"].map(str::to_owned);
    let expected: BTreeSet<(String, i64)> =
        times.iter().flat_map(|time| tables.iter().map(|table| (table.clone(), *time))).collect();

    let found = rows_in_memory(&node.database(&name("d")).unwrap());
    assert_eq!(found.len(), expected.len(), "no row twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    let found = rows_in_memory(&node.database(&name("d")).unwrap());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "after a crash");
    node.close().await.unwrap();
}

#[tokio::test]
async fn rows_persisted_under_one_template_are_not_lost_under_another() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    let by = |template: &str| format!("partition: [{{tables: cpu, by: {template}}}]");
    for (step, template) in TEMPLATES.iter().cycle().take(9).enumerate() {
        put(&node, "d", &by(template)).await;
        for row in 0..10 {
            write(&node, "d", &format!("cpu,host=h{} f=1 {}", row % 3, step * 10 + row)).await.unwrap();
        }
        if step % 3 == 2 {
            node.database(&name("d")).unwrap().persist_all().await.unwrap();
        }
    }
    write(&node, "d", "cpu,host=h1 f=1 1000").await.unwrap();
    env.tasks.abort().await;
    drop(node);

    let layout = ochre_store::object::Layout::new(&Path::default(), &"a".parse().unwrap());
    let report = inspect::inspect(&Env::system(), &objects, &layout, Some(dir.path().to_owned())).await.unwrap();
    let only = report.databases[0].in_log_only.clone().unwrap();
    assert_eq!((only.batches, only.rows), (1, 1), "what lies in chunks of any template is not in the log only");

    let (node, _env) = open(&objects, dir.path()).await;
    let status = node.status();
    let found = of(&status, "d");
    assert_eq!((found.persisted_rows, found.buffered_rows), (90, 1));
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_of_earlier_rules_is_not_logged_after_the_reply() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    let database = node.database(&name("d")).unwrap();
    let parse = || ochre_ingest::line_protocol::parse(b"cpu f=1 1", &ochre_batch::NoColumns, &Options::default()).batch;
    let prepare = || accept::Prepared::new(parse(), database.rules_in_force()).unwrap();
    let early = prepare();
    put(&node, "d", "limits: {tables: 5}").await;
    let hold = || node.shared.memory.hold(1);
    let error = database.acceptor.log(early, hold()).unwrap_err();
    assert!(matches!(error, WriteError::RulesChanged(_)) && error.retry_after().is_some(), "{error}");
    let logged = database.acceptor.log(prepare(), hold()).unwrap();
    database.acceptor.settle(&logged, node.shared.env.clock.monotonic()).await.unwrap();
    assert_eq!(of(&node.status(), "d").buffered_rows, 1);
    node.close().await.unwrap();
}
