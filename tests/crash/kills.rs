//! `kill -9` at random instants under concurrent writers.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::by_tier;
use super::deleter::Deleter;
use super::journal::{Fate, lines, question};
use super::writers::Writers;
use crate::e2e::server::{OCHRE, Server, Start, client, dir, ochre};
use crate::fuzz::random::Random;

const WRITERS: usize = 6;
/// Small, so that kills hit freezes, persists and commits: chunks are frozen and persisted at nearly every look of the
/// lifecycle, which looks every second.
const SMALL_CHUNKS: [&str; 6] = ["--freeze-rows", "200", "--freeze-after", "700ms", "--persist-after", "1200ms"];
/// The longest time from ready to a kill, in milliseconds.
const LONGEST_LIFE: u64 = 2_200;
/// The longest time from the start to a kill before ready, in milliseconds.
const LONGEST_START: u64 = 400;
/// One in so many kills comes while the server starts.
const EARLY: u64 = 4;
/// After so many kills a new database is begun: each start is checked row by row.
const ROUND: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let kills = number("OCHRE_CRASH_KILLS").unwrap_or_else(|| by_tier(3, 30, 500));
    let seed = number("OCHRE_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("OCHRE_CRASH_SEED={seed}, {kills} kills");
    let mut random = Random::new(seed);
    let mut left = kills;
    // Half of them with the log on disk, half with the log in the object store.
    let round = ROUND.min(kills.div_ceil(2));
    for home in ["disk", "object-store"].into_iter().cycle() {
        if left == 0 {
            return;
        }
        kill_often(round.min(left), seed, &mut random, home).await;
        left -= round.min(left);
    }
}

/// One database and `kills` kills, with the log at `home`. Meanwhile chunks are joined, rows are deleted and backups made.
async fn kill_often(kills: u64, seed: u64, random: &mut Random, home: &str) {
    let dir = dir();
    let backups = dir.path().join("backups");
    let start = Start::in_dir(dir.path()).args(&SMALL_CHUNKS).args(&["--log", home]);
    let mut writers = Writers::new(WRITERS);
    let deleter = Deleter::default();
    begin(start.clone(), &mut writers).await;
    let mut early = 0;
    for kill in 1..=kills {
        if random.below(EARLY) == 0 {
            early += 1;
            kill_while_starting(dir.path(), home, Duration::from_millis(random.below(LONGEST_START))).await;
        }
        let mut server = start.clone().start();
        let when = format!("seed {seed}, log {home}, before kill {kill}");
        check(&server, &writers, &when).await;
        deleter.check(&server, &when).await;
        let (url, life) = (server.url(""), Duration::from_millis(random.below(LONGEST_LIFE)));
        let stop = Arc::new(AtomicBool::new(false));
        let deleting = deleter.clone().work(client(), url.clone(), Random::new(random.next()), stop.clone());
        let deleting = tokio::spawn(deleting);
        let mut asked = ask_for_work(&url, &backups, random);
        let until_killed = async {
            tokio::time::sleep(life).await;
            server.kill();
            stop.store(true, Ordering::Relaxed);
        };
        writers.work(&url, random, until_killed).await;
        deleting.await.unwrap();
        asked.wait().unwrap();
    }
    let mut server = start.start();
    check(&server, &writers, "after the last kill").await;
    deleter.check(&server, "after the last kill").await;
    let again = server.again();
    assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
    let server = again.start();
    check(&server, &writers, "after a graceful stop").await;
    deleter.check(&server, "after a graceful stop").await;
    check_backups(&backups);
    let chunks = server.sql("crash", "SELECT stage, count(*) AS n FROM system.chunks GROUP BY stage").await;
    let (batches, rows) = writers.journal.lock().there();
    let deletions = deleter.deletions();
    println!(
        "log {home}: {kills} kills and {early} more while starting: {batches} batches, {rows} rows, {deletions} \
         deletions, chunks {chunks}"
    );
    assert!(rows > 20 * kills, "the kills must hit a server that works");
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: give a number")))
}

/// Makes the database and its tables by one batch.
pub async fn begin(start: Start, writers: &mut Writers) {
    let mut server = start.start();
    let (name, rows) = ((1_000, 0), 3);
    assert_eq!(server.post("/write?db=crash", lines(name, rows)).await.status, 204);
    writers.journal.lock().note(name, rows, Fate::There);
    server.kill();
}

/// Begins something that takes its time, so that kills hit it.
fn ask_for_work(url: &str, backups: &Path, random: &mut Random) -> Child {
    let to = format!("file://{}", backups.display());
    let work: &[&str] = match random.below(3) {
        0 => &["backup", "create", "--to", &to, "--host", url],
        _ => &["partition", "compact", "--database", "crash", "--host", url],
    };
    let mut command = Command::new(OCHRE);
    command.args(work).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Each backup that is listed is whole, whatever was killed meanwhile.
fn check_backups(backups: &Path) {
    if backups.exists() {
        let verified = ochre(&["backup", "verify", "--from", &format!("file://{}", backups.display())]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

/// Starts a server and kills it before it has said anything.
async fn kill_while_starting(data_dir: &Path, home: &str, after: Duration) {
    let mut command = Command::new(OCHRE);
    command.args(["serve", "--listen", "127.0.0.1:0", "--node-id", "a", "--memory", "512MiB", "--data-dir"]);
    command
        .arg(data_dir)
        .arg("--without-auth")
        .args(["--log", home])
        .args(SMALL_CHUNKS)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// That a server that has just started has what the journal says, each row once, and no fewer than queries have shown.
pub async fn check(server: &Server, writers: &Writers, when: &str) {
    let answer = server.sql("crash", &question()).await;
    let answer = answer.as_array().expect("an array of rows");
    let checked = writers.journal.lock().check(answer);
    if let Err(violation) = checked {
        panic!("{when}: {violation}\n{}", server.logs());
    }
    let rows: u64 = answer.iter().map(|row| row["n"].as_u64().unwrap()).sum();
    let stored = server.sql("crash", "SELECT sum(\"rows\") AS n FROM system.chunks WHERE \"table\" <> 'doomed'").await;
    assert_eq!(stored[0]["n"].as_u64(), Some(rows), "{when}: rows stand in two chunks: {}", server.logs());
    let seen = writers.seen.load(Ordering::Relaxed);
    assert!(rows >= seen, "{when}: a query showed {seen} rows, and now there are {rows}");
}
