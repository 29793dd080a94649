//! A client that writes rows and deletes them again, while the server is killed: what was deleted stays deleted, what was
//! not stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::journal::Fate;
use crate::e2e::server::Server;
use crate::fuzz::random::Random;

/// Rows of a batch, which one delete takes.
const ROWS: u64 = 7;
/// Times of all rows lie within these.
const START: &str = "2025-03-01T00:00:00Z";
const END: &str = "2025-03-09T00:00:00Z";

/// A batch: whether its rows are there, and whether their deletion is.
#[derive(Debug, Clone, Copy)]
struct Doomed {
    written: Fate,
    deleted: Option<Fate>,
}

/// What the client was told.
#[derive(Debug, Clone, Default)]
pub struct Deleter {
    batches: Arc<Mutex<BTreeMap<u64, Doomed>>>,
}

impl Deleter {
    /// Writes and deletes until `stop` is set, or the server is gone.
    pub async fn work(self, client: reqwest::Client, url: String, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let batch = self.batches.lock().len() as u64;
            self.batches.lock().insert(batch, Doomed { written: Fate::Unknown, deleted: None });
            let sent = client.post(format!("{url}/write?db=crash")).body(lines(batch)).send().await;
            let Ok(status) = sent.map(|answer| answer.status().as_u16()) else { return };
            if status == 204 {
                self.note(batch, |doomed| doomed.written = Fate::There);
            }
            if random.below(3) == 0 {
                // Any batch so far, also one that was deleted or that never got in.
                let batch = random.below(batch + 1);
                self.note(batch, |doomed| {
                    doomed.deleted.get_or_insert(Fate::Unknown);
                });
                let predicate = format!("_measurement=\"doomed\" AND b=\"b{batch}\"");
                let body = json!({ "start": START, "stop": END, "predicate": predicate }).to_string();
                let sent = client.post(format!("{url}/api/v2/delete?bucket=crash")).body(body).send().await;
                let Ok(status) = sent.map(|answer| answer.status().as_u16()) else { return };
                if status == 204 {
                    self.note(batch, |doomed| doomed.deleted = Some(Fate::There));
                }
            }
            tokio::time::sleep(Duration::from_millis(random.below(20))).await;
        }
    }

    fn note(&self, batch: u64, change: impl Fn(&mut Doomed)) {
        self.batches.lock().get_mut(&batch).into_iter().for_each(change);
    }

    /// Compares with what a server has after a restart, and learns from it.
    pub async fn check(&self, server: &Server, when: &str) {
        if self.batches.lock().values().all(|doomed| doomed.written != Fate::There) {
            return;
        }
        let sql = "SELECT b, count(*) AS n, sum(value) AS s FROM doomed GROUP BY b";
        let answer = server.sql("crash", sql).await;
        let mut found = BTreeSet::new();
        for row in answer.as_array().expect("an array of rows") {
            let batch: u64 = row["b"].as_str().and_then(|b| b[1..].parse().ok()).expect("batches are numbered");
            assert_eq!((row["n"].as_u64(), row["s"].as_u64()), (Some(ROWS), Some(sum(batch))), "{when}: torn: {row}");
            found.insert(batch);
        }
        for (batch, doomed) in self.batches.lock().iter_mut() {
            let is_there = found.contains(batch);
            match (doomed.written, doomed.deleted, is_there) {
                (_, Some(Fate::There), true) => panic!("{when}: batch {batch} is back: {}", server.logs()),
                (Fate::There, None | Some(Fate::Gone), false) => {
                    panic!("{when}: batch {batch} is lost: {}", server.logs())
                }
                (Fate::Gone, _, true) => panic!("{when}: batch {batch} was never there: {}", server.logs()),
                _ => {}
            }
            // What a start has decided, no later one may decide otherwise.
            if doomed.written == Fate::Unknown && doomed.deleted.is_none() {
                doomed.written = if is_there { Fate::There } else { Fate::Gone };
            }
            if doomed.deleted == Some(Fate::Unknown) && doomed.written == Fate::There {
                doomed.deleted = Some(if is_there { Fate::Gone } else { Fate::There });
            }
        }
    }

    /// How many deletions were acknowledged or seen.
    pub fn deletions(&self) -> usize {
        self.batches.lock().values().filter(|doomed| doomed.deleted == Some(Fate::There)).count()
    }
}

fn value(batch: u64, row: u64) -> u64 {
    batch * 1_000_003 + row * 17
}

fn sum(batch: u64) -> u64 {
    (0..ROWS).map(|row| value(batch, row)).sum()
}

fn lines(batch: u64) -> String {
    let line = |row: u64| {
        // Several days: a delete reaches over partitions.
        let nanos = (1_740_787_200 + row % 3 * 86_400) * 1_000_000_000 + batch * 1_000 + row;
        format!("doomed,b=b{batch} value={}i {nanos}\n", value(batch, row))
    };
    (0..ROWS).map(line).collect()
}
