//! Backups while rows are written: what was acknowledged before is in them, and nothing that was never sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::attach::lines;
use super::super::server::{Server, Start, dir};
use super::{create, restore, serve};

/// Rows of one write.
const BATCH: usize = 20;

/// Writes until it is told to end: rows from 0 on, one after the other.
async fn write(server: Arc<Server>, acknowledged: Arc<AtomicUsize>, end: Arc<AtomicBool>) {
    while !end.load(Ordering::Relaxed) {
        let from = acknowledged.load(Ordering::Relaxed);
        assert_eq!(server.post("/write?db=d", lines(from, BATCH)).await.status, 204);
        acknowledged.store(from + BATCH, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_what_was_acknowledged_before_it() {
    let rounds = match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("full") => 50,
        Ok("quick") => 2,
        _ => 5,
    };
    let (data, target) = (dir(), dir());
    let server = Arc::new(Start::in_dir(data.path()).args(&["--freeze-rows", "300"]).start());
    let (acknowledged, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = tokio::spawn(write(server.clone(), acknowledged.clone(), end.clone()));
    let mut least = Vec::new();
    for _ in 0..rounds {
        let before = acknowledged.load(Ordering::Relaxed);
        while acknowledged.load(Ordering::Relaxed) < before + 10 * BATCH {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let known = acknowledged.load(Ordering::Relaxed);
        let (server, target) = (server.clone(), target.path().to_owned());
        let id = tokio::task::spawn_blocking(move || create(&server, &target)).await.unwrap();
        least.push((id, known));
    }
    end.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let sent = acknowledged.load(Ordering::Relaxed);
    for (id, known) in least {
        let (objects, data) = (dir(), dir());
        restore(target.path(), &id, objects.path());
        let restored = serve(data.path(), objects.path());
        let rows = restored.sql("d", "SELECT v, time FROM cpu ORDER BY v").await;
        let rows = rows.as_array().unwrap();
        assert!(
            rows.len() >= known && rows.len() <= sent,
            "{known} were acknowledged before {id}, and {} are there",
            rows.len()
        );
        assert_eq!(rows.len() % BATCH, 0, "a write is in it as a whole or not at all");
        for (expected, row) in rows.iter().enumerate() {
            assert_eq!(row["v"], expected, "no row is missing or there twice");
        }
    }
}
