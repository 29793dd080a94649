//! The memory of a node: what a write holds, what is refused for good, and the guard of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use ochre_query::{Params, QueryError};

use super::*;

async fn count(node: &Arc<Node>, sql: &str) -> Result<usize, QueryError> {
    let batches: Vec<_> = node.query(&name("m"), sql, &Params::default()).await?.stream.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

#[tokio::test]
async fn a_write_that_can_never_fit_is_refused_for_good_and_holds_nothing() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open_with(&objects, dir.path(), ByteSize::mib(64)).await;
    write(&node, "m", "t f=1 1").await.unwrap();
    let held = node.status().buffer_bytes;
    // Every row has another column: 3,000 rows of 3,000 columns are nine million values.
    let sparse: String = (0..3_000).map(|row| format!("t f{row}=1 {row}\n")).collect();
    let error = write(&node, "m", &sparse).await.unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { .. }) && error.retry_after().is_none(), "{error}");
    let text = "x".repeat(1 << 20);
    let long: String = (0..20).map(|row| format!("t message=\"{text}\" {row}\n")).collect();
    let error = write(&node, "m", &long).await.unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { .. }), "{error}");
    assert_eq!(node.status().buffer_bytes, held);
    write(&node, "m", "t f=2 2").await.unwrap();
    assert_eq!(count(&node, "SELECT f FROM t").await.unwrap(), 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn every_share_is_shown_and_what_chunks_hold_counts_as_open_then_as_frozen() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "m", "t f=1 1").await.unwrap();
    let share = |wanted: &str| {
        let shares = node.memory_shares();
        shares.iter().find(|share| share.name == wanted).unwrap_or_else(|| panic!("{wanted}: {shares:?}")).usage
    };
    assert!(share("open").used > 1_000 && share("frozen").used == 0, "{:?}", node.memory_shares());
    node.database(&name("m")).unwrap().freeze_all().await.unwrap();
    assert!(share("open").used == 0 && share("frozen").used > 1_000, "{:?}", node.memory_shares());
    assert!(share("persist").peak > 0 && share("persist").used == 0, "freezing borrows what it needs");
    let mib = |name: &str| share(name).limit >> 20;
    assert_eq!(["open", "frozen", "queries", "caches", "persist"].map(mib), [66, 40, 51, 10, 38]);
    node.close().await.unwrap();
}

#[tokio::test]
async fn the_guard_ends_the_largest_query_and_lets_none_begin_until_there_is_memory_again() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    write(&node, "m", "t f=1 1").await.unwrap();
    let taken = Arc::new(AtomicU64::new(1));
    node.guard_memory({
        let taken = taken.clone();
        move || Some(taken.load(Ordering::Relaxed))
    });
    let mut running = node.query(&name("m"), "SELECT f FROM t", &Params::default()).await.unwrap();
    assert_eq!(node.status().queries.running, 1);
    taken.store(ByteSize::mib(270).0, Ordering::Relaxed);
    while node.status().queries.ended == 0 {
        env.clock.sleep(Duration::from_millis(20)).await;
    }
    let error = running.stream.try_next().await.unwrap_err();
    assert!(matches!(error, QueryError::ServerMemory(_)), "{error}");
    let error = count(&node, "SELECT f FROM t").await.unwrap_err();
    assert!(matches!(error, QueryError::ServerMemory(_)), "{error}");
    assert_eq!(node.status().queries.ended, 1);
    write(&node, "m", "t f=2 2").await.unwrap();

    taken.store(ByteSize::mib(200).0, Ordering::Relaxed);
    let started = env.clock.monotonic();
    while count(&node, "SELECT f FROM t").await.is_err() {
        assert!(env.clock.monotonic() - started < Duration::from_secs(5), "it does not heal");
        env.clock.sleep(Duration::from_millis(20)).await;
    }
    let resident = node.memory_shares().into_iter().find(|share| share.name == "resident").unwrap().usage;
    assert_eq!((resident.peak >> 20, resident.limit >> 20), (270, 256));
    node.close().await.unwrap();
}
