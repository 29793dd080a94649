//! Clients that write to a server until it is gone, and one that reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::journal::{Fate, Journal, TABLES, lines};
use crate::fuzz::random::Random;

/// Rows of a batch at most.
const MOST_ROWS: u64 = 40;
/// How long a writer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clients of one test, over any number of servers.
pub struct Writers {
    /// What they were told.
    pub journal: Arc<Mutex<Journal>>,
    /// The next batch of each writer.
    next: Vec<u64>,
    /// The most rows that a query has counted.
    pub seen: Arc<AtomicU64>,
}

impl Writers {
    /// This many writers, which have written nothing.
    pub fn new(count: usize) -> Self {
        Self { journal: Arc::default(), next: vec![0; count], seen: Arc::default() }
    }

    /// Lets all of them work on the server at `url` until `stop` is set, or until it answers no more; a writer gives
    /// up after the first answer that is not clear. `until` is awaited while they work.
    pub async fn work(&mut self, url: &str, random: &mut Random, until: impl Future<Output = ()>) {
        let stop = Arc::new(AtomicBool::new(false));
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut writers = JoinSet::new();
        for (writer, next) in self.next.iter().enumerate() {
            let (client, url, journal, stop) = (client.clone(), url.to_owned(), self.journal.clone(), stop.clone());
            let (random, next) = (Random::new(random.next()), *next);
            writers
                .spawn(async move { (writer, write(client, url, writer as u64, next, random, &journal, &stop).await) });
        }
        let reader = tokio::spawn(read(client, url.to_owned(), self.seen.clone(), stop.clone()));
        until.await;
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = writers.join_next().await {
            let (writer, next) = ended.unwrap();
            self.next[writer] = next;
        }
        reader.await.unwrap();
    }
}

/// Writes batch after batch; returns the number of the next one.
async fn write(
    client: reqwest::Client,
    url: String,
    writer: u64,
    mut batch: u64,
    mut random: Random,
    journal: &Mutex<Journal>,
    stop: &AtomicBool,
) -> u64 {
    while !stop.load(Ordering::Relaxed) {
        let (name, rows) = ((writer, batch), 1 + random.below(MOST_ROWS));
        batch += 1;
        let sent = client.post(format!("{url}/write?db=crash")).body(lines(name, rows)).send().await;
        let status = sent.map(|answer| answer.status().as_u16());
        let fate = if matches!(status, Ok(204)) { Fate::There } else { Fate::Unknown };
        journal.lock().note(name, rows, fate);
        match status {
            Ok(204) => {}
            Ok(503) => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(status) => panic!("a good write was answered with {status}"),
            Err(_) => break,
        }
    }
    batch
}

/// Counts rows again and again: no answer may have fewer than one before it.
async fn read(client: reqwest::Client, url: String, seen: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Some(rows) = count(&client, &url).await else { continue };
        let before = seen.fetch_max(rows, Ordering::Relaxed);
        assert!(rows >= before, "a query counts {rows} rows, and an earlier one counted {before}");
    }
}

/// The rows of all tables; `None` if there is no whole answer, as of a server that is killed meanwhile.
pub async fn count(client: &reqwest::Client, url: &str) -> Option<u64> {
    let sums = TABLES.map(|table| format!("(SELECT count(*) FROM {table})")).join(" + ");
    let ask = serde_json::json!({ "db": "crash", "q": format!("SELECT {sums} AS n"), "format": "json" });
    let answer = client.post(format!("{url}/api/v3/query_sql")).body(ask.to_string()).send().await.ok()?;
    let body = answer.bytes().await.ok()?;
    let rows: serde_json::Value = serde_json::from_slice(&body).ok()?;
    rows[0]["n"].as_u64()
}
