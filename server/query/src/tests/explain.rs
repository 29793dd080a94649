//! What is left out, and what is folded.

use std::sync::Arc;

use object_store::memory::InMemory;
use ochre_store::snapshot::Stage;
use ochre_types::ByteSize;

use super::double::{Batch, Chunk, Double, Partitioning, Row, ask, engine};

const DAY: i64 = 86_400_000_000_000;

fn rows(days: std::ops::Range<i64>, hosts: &[&'static str], stamp: u64) -> Batch {
    let row =
        |day: i64, host: &&'static str| Row { host: Some(host), time: day * DAY, hits: Some(1), ..Row::default() };
    Batch { stamp, rows: days.flat_map(|day| hosts.iter().map(move |host| row(day, host))).collect() }
}

async fn plan_of(chunks: &[Chunk], sql: &str) -> String {
    let store = Arc::new(InMemory::new());
    let source = Double::new(&store, "e", chunks).await;
    let lines = ask(&engine(&store, 2, ByteSize::mib(64)), &source, &format!("EXPLAIN {sql}")).await.unwrap();
    lines.join("\n")
}

fn chunk(stage: Stage, partitioning: Partitioning, batches: Vec<Batch>) -> Chunk {
    Chunk { stage, partitioning, batches }
}

#[tokio::test]
async fn chunks_are_left_out_by_time_key_and_tags() {
    let persisted = |partitioning, stamp| chunk(Stage::Persisted, partitioning, vec![rows(0..10, &["a", "b"], stamp)]);
    let plan = plan_of(&[persisted(Partitioning::Day, 1)], "SELECT * FROM cpu WHERE time >= '1970-01-09'").await;
    assert!(
        plan.contains("chunks=10, pruned=8 (time=8, key=0, tags=0), deduplicate=false, alone=2, folded=0 in 0 groups"),
        "{plan}"
    );
    assert!(!plan.contains("FoldExec"), "{plan}");

    let plan = plan_of(&[persisted(Partitioning::HostAndDay, 1)], "SELECT * FROM cpu WHERE host = 'a'").await;
    assert!(plan.contains("chunks=20, pruned=10 (time=0, key=10, tags=0), deduplicate=false, alone=10"), "{plan}");

    let ab = chunk(Stage::Frozen, Partitioning::Unreadable, vec![rows(0..1, &["a", "b"], 1)]);
    let xy = chunk(Stage::Frozen, Partitioning::Unreadable, vec![rows(0..1, &["x", "y"], 2)]);
    let plan = plan_of(&[ab, xy], "SELECT * FROM cpu WHERE host IN ('c', 'x')").await;
    assert!(plan.contains("chunks=2, pruned=1 (time=0, key=0, tags=1), deduplicate=false, alone=1"), "{plan}");
}

#[tokio::test]
async fn only_overlapping_or_open_chunks_are_folded() {
    let day = Partitioning::Day;
    let chunks = [
        chunk(Stage::Persisted, day, vec![rows(0..4, &["a"], 1)]),
        chunk(Stage::Persisted, day, vec![rows(2..4, &["a"], 2)]),
        chunk(Stage::Open, day, vec![rows(5..6, &["a"], 3)]),
    ];
    let plan = plan_of(&chunks, "SELECT host, hits FROM cpu").await;
    assert!(plan.contains("deduplicate=true, alone=2, folded=5 in 3 groups"), "{plan}");
    assert!(plan.contains("FoldExec: chunks=2, order=["), "{plan}");
    assert!(!plan.contains("SortExec"), "the chunks are in order already: {plan}");
    let plan = plan_of(&chunks, "SELECT host, hits FROM cpu WHERE time < '1970-01-03'").await;
    assert!(plan.contains("deduplicate=false, alone=2"), "{plan}");
}

#[tokio::test]
async fn counting_chunks_with_unique_keys_reads_nothing() {
    let chunks = [chunk(Stage::Persisted, Partitioning::Day, vec![rows(0..3, &["a", "b"], 1)])];
    let plan = plan_of(&chunks, "SELECT count(*), max(time) FROM cpu").await;
    assert!(plan.contains("PlaceholderRowExec"), "{plan}");
}
