//! Tests of the log over a disk that loses what was not synced.

mod basics;
mod crash;
mod damage;
mod faults;
mod objects;
mod outage;
mod queues;
mod repair;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ochre_env::{Clock, Compute, Entropy, Env, Tasks};
use ochre_types::{DatabaseName, Hlc, Incarnation, Sequence, Stamp};

use crate::{Frame, Home, Log, LogConfig, LogError, Opened, ReadItem, Record};
use ochre_doubles::disk::SimDisk;

/// Tokio's paused time.
#[derive(Debug)]
struct TestClock(tokio::time::Instant);

#[allow(clippy::disallowed_methods, reason = "time is paused")]
impl Clock for TestClock {
    fn wall_nanos(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[derive(Debug)]
struct Seven;

impl Entropy for Seven {
    fn next_u64(&self) -> u64 {
        7
    }
}

const DIR: &str = "/log";

#[allow(clippy::disallowed_methods, reason = "time is paused")]
fn env(disk: &SimDisk) -> Env {
    Env {
        clock: Arc::new(TestClock(tokio::time::Instant::now())),
        entropy: Arc::new(Seven),
        disk: Arc::new(disk.clone()),
        tasks: Tasks::new(),
        compute: Compute::inline(),
    }
}

fn config() -> LogConfig {
    let mut config = LogConfig::new(Home::Disk { dir: PathBuf::from(DIR) });
    config.disk_reserve = ochre_types::ByteSize(0);
    config
}

fn db(name: &str) -> DatabaseName {
    DatabaseName::new(name).unwrap()
}

/// A record whose payload tells its text.
fn record(incarnation: u64, number: u64, text: &str) -> Record {
    let incarnation = Incarnation(incarnation);
    let stamp = Stamp { hlc: Hlc(1_000 * incarnation.0 + number), incarnation };
    Record::rows(incarnation, number, stamp, 1, Bytes::copy_from_slice(text.as_bytes()))
}

fn text(frame: &Frame) -> String {
    String::from_utf8(frame.payload.to_vec()).unwrap()
}

async fn open(env: &Env, config: LogConfig, incarnation: u64) -> (Log, Opened) {
    Log::open(env, config, Incarnation(incarnation)).await.unwrap()
}

/// Appends and waits until it is durable.
async fn put(log: &Log, database: &str, record: Record) -> Result<Sequence, LogError> {
    let appended = log.append(&db(database), record)?;
    log.synced(&appended).await?;
    Ok(appended.sequence)
}

/// All items of a database after a position.
async fn items(log: &Log, database: &str, after: u64) -> Vec<ReadItem> {
    let mut reader = log.read(&db(database), Sequence(after));
    let mut items = Vec::new();
    while let Some(item) = reader.next().await.unwrap() {
        items.push(item);
    }
    items
}

/// Sequences and texts of a database's frames; panics at damage.
async fn frames(log: &Log, database: &str, after: u64) -> Vec<(u64, String)> {
    let frame = |item| match item {
        ReadItem::Frame(frame) => (frame.header.sequence.0, text(&frame)),
        other => panic!("{other:?}"),
    };
    items(log, database, after).await.into_iter().map(frame).collect()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(crate::format::segment_name(number))
}

/// Names in the log's directory.
fn names(disk: &SimDisk) -> Vec<String> {
    use ochre_env::Disk;
    disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

/// Stops everything at once, as the end of the process would.
async fn kill(env: &Env, log: Log) {
    env.tasks.abort().await;
    drop(log);
}

/// A log whose segments are tiny.
fn tiny_segments() -> LogConfig {
    let mut config = config();
    config.segment_size = ochre_types::ByteSize(600);
    config
}
