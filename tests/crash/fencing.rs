//! A server that is stopped by SIGSTOP, replaced on its prefix, and let go on; with the log at home on disk, and in the
//! object store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::by_tier;
use crate::e2e::server::{Server, Start, client, dir, now, ochre};
use crate::fuzz::random::Random;

/// Rows that are persisted before the stop.
const PERSISTED: usize = 300;
/// Rows that are acknowledged before the stop and in no Parquet.
const IN_LOG_ONLY: usize = 40;
/// A stop longer than this makes a server look whether it still owns its prefix before it acknowledges anything.
const LONG: Duration = Duration::from_secs(11);
/// How long a replaced server may go on: it looks every five seconds, and then stops.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// The first server and its successor, on one prefix.
struct Pair {
    first: Server,
    first_dir: tempfile::TempDir,
    second_dir: tempfile::TempDir,
    objects: tempfile::TempDir,
}

fn start(data_dir: &Path, objects: &Path) -> Server {
    let url = format!("file://{}", objects.display());
    // Whatever has 300 rows is persisted at the next look; what has fewer stays in memory.
    Start::in_dir(data_dir).args(&["--freeze-rows", "300", "--object-store", &url]).start()
}

fn lines(table: &str, from: usize, count: usize) -> String {
    (from..from + count).map(|row| format!("{table} v={row}i {}\n", 1_740_787_200_000_000_000 + row as u64)).collect()
}

impl Pair {
    /// A server with rows of both kinds, stopped.
    async fn stopped() -> Self {
        let (first_dir, second_dir, objects) = (dir(), dir(), dir());
        let first = start(first_dir.path(), objects.path());
        assert_eq!(first.post("/write?db=d", lines("old", 0, PERSISTED)).await.status, 204);
        let stages = "SELECT stage FROM system.chunks WHERE \"table\" = 'old'";
        let begun = now();
        while first.sql("d", stages).await != serde_json::json!([{ "stage": "persisted" }]) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", first.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(first.post("/write?db=d", lines("new", 0, IN_LOG_ONLY)).await.status, 204);
        first.signal(Signal::STOP);
        Self { first, first_dir, second_dir, objects }
    }

    fn successor(&self) -> Server {
        start(self.second_dir.path(), self.objects.path())
    }

    /// Every object that a catalog could be made of, or point to.
    fn everything(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.objects.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "pb" || end == "parquet") {
                    found.insert(path);
                }
            }
        }
        found
    }

    /// Waits for the first server's own end, which must be soon after `let_go` and say why.
    fn first_ends(&mut self, let_go: Instant) {
        let status = self.first.wait();
        let (took, log) = (let_go.elapsed(), self.first.logs());
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(took < ENDS_WITHIN, "it took {took:?}\n{log}");
        let why =
            log.lines().find(|line| line.contains("stopping:")).unwrap_or_else(|| panic!("it does not say why: {log}"));
        assert!(why.contains("ERROR") && why.contains("fenced by epoch 2") && why.contains("epoch 1"), "{why}");
        println!("the first server ended {took:?} after it was let go on: {why}");
    }

    /// What `ochre inspect` says of the first server's log.
    fn in_log_only(&self) -> Value {
        let url = format!("file://{}", self.objects.path().display());
        let dir = self.first_dir.path().to_str().unwrap().to_owned();
        let output = ochre(&["inspect", "--object-store", &url, "--output", "json", &dir]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let databases = report["databases"].as_array().unwrap();
        databases.iter().find(|database| database["name"] == "d").unwrap()["in_log_only"].clone()
    }
}

/// Writes a row of its own; whether it was acknowledged, or `None` if there was no answer.
async fn write(server: &Server, row: usize) -> Option<bool> {
    let request = reqwest::Client::new().post(server.url("/write?db=d")).timeout(Duration::from_secs(10));
    let answer = request.body(lines("new", row, 1)).send().await.ok()?;
    match answer.status().as_u16() {
        204 => Some(true),
        503 => Some(false),
        status => panic!("a write to a replaced server was answered with {status}"),
    }
}

/// That nothing of the first server is, or comes to be, in what the second one serves.
async fn second_has_the_prefix_alone(pair: &Pair, mut second: Server, before: &BTreeSet<PathBuf>) {
    assert_eq!(&pair.everything(), before, "something was put on the prefix that only the first server can have put");
    has_what_was_persisted(&second).await;
    let again = second.again();
    assert_eq!(second.stop().code(), Some(0), "{}", second.logs());
    has_what_was_persisted(&again.start()).await;
}

async fn has_what_was_persisted(server: &Server) {
    assert_eq!(server.sql("d", "SELECT count(*) AS n FROM old").await[0]["n"], PERSISTED);
    let other = "SELECT \"table\" FROM system.tables WHERE \"table\" <> 'old'";
    assert_eq!(server.sql("d", other).await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_server_acknowledges_nothing_after_a_long_pause() {
    let mut pair = Pair::stopped().await;
    let second = pair.successor();
    tokio::time::sleep(LONG).await;
    let before = pair.everything();
    let let_go = now();
    pair.first.signal(Signal::CONT);
    for row in 0..5 {
        let acknowledged = write(&pair.first, 10_000 + row).await;
        assert_ne!(acknowledged, Some(true), "a server that was replaced {LONG:?} ago acknowledged a write");
        if acknowledged.is_none() {
            break;
        }
    }
    pair.first_ends(let_go);
    let only = pair.in_log_only();
    assert_eq!(only["rows"], IN_LOG_ONLY, "{only}");
    assert_eq!(only["batches"], 1, "{only}");
    second_has_the_prefix_alone(&pair, second, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_server_stops_within_seconds_after_a_short_pause() {
    let mut pair = Pair::stopped().await;
    let second = pair.successor();
    let before = pair.everything();
    let let_go = now();
    pair.first.signal(Signal::CONT);
    // It may still believe that the prefix is its own, for as long as one look is good for.
    let (mut acknowledged, mut unknown) = (0, 0);
    for row in 0.. {
        assert!(let_go.elapsed() < ENDS_WITHIN, "it goes on acknowledging");
        match write(&pair.first, 10_000 + row).await {
            Some(true) => acknowledged += 1,
            Some(false) | None => {
                unknown += 1;
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.first_ends(let_go);
    let rows = pair.in_log_only()["rows"].as_u64().unwrap() as usize;
    let exactly = IN_LOG_ONLY + acknowledged;
    println!("{acknowledged} rows were acknowledged before the server noticed");
    assert!(
        (exactly..=exactly + unknown).contains(&rows),
        "{rows} rows are only in the log, and {exactly} were acknowledged"
    );
    second_has_the_prefix_alone(&pair, second, &before).await;
}

/// Rounds that go on at a time: most of each is waiting.
const AT_ONCE: usize = 5;

/// What one writer was told of its rows.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    /// Rows after the last one were never sent.
    sent: u64,
}

/// Writes to `server` until it is gone.
async fn write_until_gone(url: String) -> Told {
    let (client, mut told) = (client(), Told::default());
    loop {
        let row = told.sent;
        told.sent += 1;
        let request = client.post(&url).timeout(Duration::from_secs(30)).body(lines("new", row as usize, 1));
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(204) => drop(told.acknowledged.insert(row)),
            Ok(503) => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(status) => panic!("a write was answered with {status}"),
            Err(_) => return told,
        }
    }
}

/// One server that is stopped, replaced and let go on, at times of chance.
async fn replaced_at_random(home: &str, mut random: Random) {
    let (first_dir, second_dir, objects) = (dir(), dir(), dir());
    let url = format!("file://{}", objects.path().display());
    let start = |data_dir: &Path| {
        // Chunks of a few rows, so that the first is often stopped while it persists.
        Start::in_dir(data_dir).args(&["--freeze-rows", "7", "--log", home, "--object-store", &url]).start()
    };
    let first = start(first_dir.path());
    assert_eq!(first.post("/write?db=d", lines("new", 1_000_000, 1)).await.status, 204);
    let writer = tokio::spawn(write_until_gone(first.url("/write?db=d")));
    tokio::time::sleep(Duration::from_millis(random.below(900))).await;
    first.signal(Signal::STOP);
    let second = start(second_dir.path());
    let rows = async || {
        let ask = serde_json::json!({ "db": "d", "q": "SELECT v FROM new ORDER BY v", "format": "json" });
        let answer = second.post("/api/v3/query_sql", ask.to_string()).await;
        if answer.status == 400 && answer.text().contains("is not known") {
            // The first had persisted nothing yet, and its log is on its own disk.
            return BTreeSet::new();
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let rows = answer.json();
        rows.as_array().unwrap().iter().map(|row| row["v"].as_u64().unwrap()).collect::<BTreeSet<u64>>()
    };
    let has = rows().await;
    tokio::time::sleep(Duration::from_millis(random.below(3_000))).await;
    let mut pair = Pair { first, first_dir, second_dir, objects };
    let let_go = now();
    pair.first.signal(Signal::CONT);
    let mut pair = tokio::task::spawn_blocking(move || {
        let status = pair.first.wait();
        assert_eq!(status.code(), Some(1), "{}", pair.first.logs());
        assert!(let_go.elapsed() < ENDS_WITHIN, "{}", pair.first.logs());
        pair
    })
    .await
    .unwrap();
    let told = writer.await.unwrap();
    assert_eq!(rows().await, has, "{home}: rows came to the second server after it had taken over");
    assert!(has.iter().all(|row| *row < told.sent || *row == 1_000_000), "{home}: a row was never sent");
    if home == "object-store" {
        let lost: Vec<&u64> = told.acknowledged.difference(&has).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged by the first server, and the second does not have them");
    } else {
        // What the first has acknowledged and no catalog has is in its log, and counted.
        let only = pair.in_log_only()["rows"].as_u64().unwrap() as usize;
        let missing = told.acknowledged.difference(&has).count();
        assert!(only >= missing, "{missing} acknowledged rows are not in the catalog, and {only} only in the log");
    }
    let again = second.again();
    drop(second);
    let second = again.start();
    if !has.is_empty() {
        let after = second.sql("d", "SELECT count(*) AS n FROM new").await;
        assert_eq!(after[0]["n"], has.len(), "{home}: after a restart");
    }
    pair.first.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_replaced_at_any_moment_brings_nothing_in() {
    let rounds = by_tier(2, 10, 100);
    let seed = std::env::var("OCHRE_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("OCHRE_CRASH_SEED={seed}, {rounds} rounds");
    let all: Vec<u64> = (0..rounds).collect();
    for some in all.chunks(AT_ONCE) {
        let round = |round: &u64| {
            let home = if round.is_multiple_of(2) { "object-store" } else { "disk" };
            replaced_at_random(home, Random::new(seed.wrapping_add(*round)))
        };
        futures::future::join_all(some.iter().map(round)).await;
    }
}
