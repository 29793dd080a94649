//! `kill -9` at random instants under concurrent writers.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::by_tier;
use super::journal::{TABLES, question};
use super::writers::Writers;
use crate::e2e::server::{OCHRE, Server, Start, dir};
use crate::fuzz::random::Random;

const WRITERS: usize = 6;
/// Small, so that kills hit freezes, persists and commits: chunks are frozen and persisted at nearly every look of the
/// lifecycle, which looks every second.
const SMALL_CHUNKS: [&str; 6] =
    ["--freeze-rows", "200", "--freeze-after", "700ms", "--persist-after", "1200ms"];
/// The longest time from ready to a kill.
const LONGEST_LIFE: u64 = 2_600;
/// The longest time from the start to a kill before ready.
const LONGEST_START: u64 = 400;
/// Every which kill comes while the server starts.
const EARLY: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let kills = by_tier(3, 30, 500);
    let seed = match std::env::var("OCHRE_CRASH_SEED") {
        Ok(seed) => seed.parse().expect("OCHRE_CRASH_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    };
    println!("OCHRE_CRASH_SEED={seed}, {kills} kills");
    let mut random = Random::new(seed);
    let dir = dir();
    let start = Start::in_dir(dir.path()).args(&SMALL_CHUNKS);
    prepare(start.clone()).await;
    let mut writers = Writers::new(WRITERS);
    let mut early = 0;
    for kill in 0..kills {
        if kill > 0 && random.below(EARLY) == 0 {
            early += 1;
            kill_while_starting(dir.path(), Duration::from_millis(random.below(LONGEST_START))).await;
        }
        let mut server = start.clone().start();
        check(&server, &mut writers, &format!("seed {seed}, before kill {kill}")).await;
        let life = Duration::from_millis(random.below(LONGEST_LIFE));
        let url = server.url("");
        writers.work(&url, &mut random, async { 
            tokio::time::sleep(life).await;
            server.kill();
        }).await;
    }
    let mut server = start.start();
    check(&server, &mut writers, "after the last kill").await;
    assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
    let server = server.again().start();
    check(&server, &mut writers, "after a graceful stop").await;
    let persisted = server.sql("crash", "SELECT count(*) AS n FROM system.chunks WHERE stage = 'persisted'").await;
    let (batches, rows) = writers.journal.lock().there();
    println!("{kills} kills and {early} while starting: {batches} batches, {rows} rows, in {} chunks", persisted[0]["n"]);
    assert!(rows > kills as u64, "the kills must hit a server that works");
}

/// Makes the database and, by rows that are no part of the test's, both tables.
async fn prepare(start: Start) {
    let mut server = start.start();
    assert_eq!(server.post("/write?db=crash", lines(FIRST, 3)).await.status, 204);
    assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
}

/// Starts a server and kills it before it has said anything.
async fn kill_while_starting(data_dir: &std::path::Path, after: Duration) {
    let mut command = Command::new(OCHRE);
    command.args(["serve", "--listen", "127.0.0.1:0", "--node-id", "a", "--memory", "512MiB", "--data-dir"]);
    command.arg(data_dir).args(SMALL_CHUNKS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// That a server that has just started has what the journal says, each row once, and no fewer than queries have shown.
pub async fn check(server: &Server, writers: &mut Writers, when: &str) {
    let known = server.sql("crash", "SELECT \"table\" FROM system.tables").await;
    if known.as_array().map_or(0, Vec::len) < TABLES.len() {
        // A batch of one or two rows makes one table only.
        assert_eq!(writers.seen.load(Ordering::Relaxed), 0, "{when}: tables are gone");
        return;
    }
    let answer = server.sql("crash", &question()).await;
    let answer = answer.as_array().expect("an array of rows");
    if let Err(violation) = writers.journal.lock().check(answer) {
        panic!("{when}: {violation}\n{}", server.logs());
    }
    let rows: u64 = answer.iter().map(|row| row["n"].as_u64().unwrap()).sum();
    let stored = server.sql("crash", "SELECT sum(\"rows\") AS n FROM system.chunks").await;
    assert_eq!(stored[0]["n"].as_u64(), Some(rows), "{when}: rows stand in two chunks, or are hidden by others");
    let seen = writers.seen.load(Ordering::Relaxed);
    assert!(rows >= seen, "{when}: a query showed {seen} rows, and now there are {rows}");
}
