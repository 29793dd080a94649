//! A flipped byte in a segment of the log, in a catalog, in Parquet: named, never served.

use std::path::Path as FilePath;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_database::operations::{Operation, OperationState};
use ochre_database::scrub::ScrubOrder;
use ochre_store::catalog::ChunkId;

use super::in_process::{Captured, Home, Running, database, line, pairs_of};

const BATCHES: i64 = 4;
const ROWS: i64 = 3;
/// An idle log marks what is synced after a second: what is below the mark can't pass for a torn tail.
const UNTIL_MARKED: Duration = Duration::from_millis(1_300);

fn everything() -> Vec<(i64, i64)> {
    (0..BATCHES).flat_map(|batch| pairs_of(batch, ROWS)).collect()
}

/// A node that was written to and crashed, where the first half of the batches may have been persisted.
async fn crashed_home(persist: bool) -> Home {
    let home = Home::new();
    let running = home.open().await.unwrap();
    for batch in 0..BATCHES {
        running.write(&(0..ROWS).map(|row| line(batch, row)).collect::<String>()).await;
        if persist && batch == BATCHES / 2 - 1 {
            running.node.database(&database()).unwrap().persist_all().await.unwrap();
        }
    }
    tokio::time::sleep(UNTIL_MARKED).await;
    running.crash().await;
    home
}

/// Rows of an answer must be right ones, batches whole. Returns how many batches are missing.
fn missing(pairs: &[(i64, i64)], what: &str) -> usize {
    let (mut rest, mut missing) = (pairs.to_vec(), 0);
    for batch in 0..BATCHES {
        let whole: Vec<_> = pairs_of(batch, ROWS).collect();
        let found: Vec<_> = pairs.iter().filter(|(number, _)| *number == batch).copied().collect();
        assert!(found.is_empty() || found == whole, "{what}: batch {batch} is served as {found:?}");
        missing += usize::from(found.is_empty());
        rest.retain(|(number, _)| *number != batch);
    }
    assert_eq!(rest, [], "{what}: nobody wrote these");
    missing
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1 << (at % 8);
}

/// What happened over all flips, for the record.
#[derive(Debug, Default)]
struct Tally {
    flips: usize,
    refused: usize,
    named: usize,
    harmless: usize,
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_is_named_and_not_served() {
    let captured = Captured::start();
    let home = crashed_home(false).await;
    let mut tally = Tally::default();
    for segment in home.segments() {
        let name = segment.file_name().unwrap().to_owned();
        let original = std::fs::read(&segment).unwrap();
        // Every byte of the header and the first frames, a sample of the rest.
        for at in (0..original.len()).filter(|at| *at < 64 || at % 5 == 0) {
            let copy = home.copy();
            let file = copy.newest_segment().with_file_name(&name);
            let mut bytes = original.clone();
            flip(&mut bytes, at);
            std::fs::write(&file, bytes).unwrap();
            captured.take();
            let what = format!("byte {at} of {} of {}", original.len(), file.display());
            log_flip(&copy, &captured, &what, FilePath::new(&name), &mut tally).await;
        }
    }
    println!("{tally:?}");
    assert!(tally.flips > 100 && tally.named > 50);
}

async fn log_flip(copy: &Home, captured: &Captured, what: &str, name: &FilePath, tally: &mut Tally) {
    tally.flips += 1;
    let name = name.file_stem().unwrap().to_str().unwrap();
    let running = match copy.open().await {
        Ok(running) => running,
        Err(error) => {
            assert!(error.to_string().contains(name), "{what}: the refusal does not name the file: {error}");
            tally.refused += 1;
            return;
        }
    };
    let pairs = running.pairs().await.unwrap();
    let log = captured.take();
    let named = log.contains("damage") || log.contains("unfinished write");
    if missing(&pairs, what) > 0 {
        assert!(named, "{what}: rows are missing, and nothing says so: {log}");
    }
    if named {
        tally.named += 1;
    } else {
        tally.harmless += 1;
    }
    running.crash().await;
}

/// The objects whose path ends so.
async fn objects(home: &Home, end: &str) -> Vec<Path> {
    let all: Vec<_> = home.objects.list(None).try_collect().await.unwrap();
    let mut paths: Vec<Path> =
        all.into_iter().map(|meta| meta.location).filter(|path| path.as_ref().ends_with(end)).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// A copy of a home where one byte of an object is flipped.
async fn with_flipped_object(home: &Home, path: &Path, original: &[u8], at: usize) -> Home {
    let copy = home.copy();
    let mut bytes = original.to_vec();
    flip(&mut bytes, at);
    copy.objects.put(path, bytes.into()).await.unwrap();
    copy
}

async fn bytes_of(home: &Home, path: &Path) -> Vec<u8> {
    home.objects.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

/// Every so manieth byte: all of them in the full tier. A crate's tests flip all bytes of a revision in every tier.
fn sampled(step: u64) -> usize {
    super::by_tier(step * 3, step, 1) as usize
}

#[tokio::test]
async fn a_flipped_byte_in_a_catalog_or_an_epoch_takes_nothing_away() {
    let captured = Captured::start();
    let home = crashed_home(true).await;
    let mut paths = objects(&home, ".pb").await;
    paths.extend(objects(&home, "/epoch/00000000000000000001").await);
    let mut tally = Tally::default();
    for path in paths {
        let original = bytes_of(&home, &path).await;
        for at in (0..original.len()).filter(|at| *at < 16 || at % sampled(37) == 0) {
            tally.flips += 1;
            let copy = with_flipped_object(&home, &path, &original, at).await;
            captured.take();
            let running = copy.open().await.unwrap_or_else(|error| panic!("byte {at} of {path}: {error}"));
            assert_eq!(running.pairs().await.unwrap(), everything(), "byte {at} of {path}: another answer");
            let named: Vec<_> = running.node.damage().into_iter().map(|found| found.damage.place).collect();
            running.crash().await;
            // An old epoch's record is not read any more, nor is what a newer checkpoint replaces.
            match named.as_slice() {
                [] => tally.harmless += 1,
                [only] if *only == path.as_ref() => tally.named += 1,
                others => panic!("byte {at} of {path}: {others:?}"),
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.named > tally.flips / 2, "{tally:?}");
}

#[tokio::test]
async fn a_catalog_without_a_sound_copy_is_named_and_not_served() {
    let captured = Captured::start();
    let home = crashed_home(true).await;
    let catalog = objects(&home, ".pb").await.into_iter().filter(|path| path.as_ref().contains("/catalog/"));
    let mut refused = 0;
    for path in catalog {
        let original = bytes_of(&home, &path).await;
        let half = original.len() / 2;
        for at in (0..half).filter(|at| at % sampled(61) == 0) {
            let copy = home.copy();
            let mut bytes = original.clone();
            flip(&mut bytes, at);
            flip(&mut bytes, half + at);
            copy.objects.put(&path, bytes.into()).await.unwrap();
            captured.take();
            let running = copy.open().await.unwrap_or_else(|error| panic!("the server starts: {error}"));
            match running.pairs().await {
                // The first checkpoint, whose state a newer one repeats.
                Ok(pairs) => assert_eq!(pairs, everything(), "byte {at} of {path}: another answer"),
                Err(error) => {
                    assert!(error.to_string().contains(path.as_ref()), "byte {at} of {path}: {error}");
                    let found = running.node.damage();
                    assert!(found.iter().any(|found| found.damage.place == path.as_ref()), "{found:?}");
                    assert!(captured.take().contains(path.as_ref()));
                    refused += 1;
                }
            }
            running.crash().await;
        }
    }
    assert!(refused > 10, "{refused}");
}

/// Where Parquet's metadata begins.
fn footer(bytes: &[u8]) -> usize {
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    bytes.len() - 8 - length as usize
}

#[tokio::test]
async fn a_flipped_byte_in_parquet_is_named_and_never_served() {
    let captured = Captured::start();
    let home = crashed_home(true).await;
    let running = home.open().await.unwrap();
    let paths = objects(&home, ".parquet").await;
    let mut flips = 0;
    for path in &paths {
        let original = bytes_of(&home, path).await;
        let footer = footer(&original);
        for at in (0..original.len()).filter(|at| at % sampled(7) == 0 || (*at >= footer && at % sampled(2) == 0)) {
            flips += 1;
            let mut bytes = original.clone();
            flip(&mut bytes, at);
            home.objects.put(path, bytes.into()).await.unwrap();
            let error = running.pairs().await.expect_err("wrong bytes are served").to_string();
            for part in [path.as_ref(), "chunk ", "3 rows", "2025-03-0", "--set-aside"] {
                assert!(error.contains(part), "byte {at} of {path}: {part} is not in {error}");
            }
        }
        home.objects.put(path, original.into()).await.unwrap();
    }
    assert!(flips > 500, "{flips}");
    let log = captured.take();
    assert_eq!(log.lines().filter(|line| line.contains("damage was found")).count(), paths.len(), "once each: {log}");
    let places: Vec<_> = running.node.damage().into_iter().map(|found| found.damage.place).collect();
    assert_eq!(places, paths.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(running.pairs().await.unwrap(), everything(), "their bytes are back");
    running.crash().await;
}

#[tokio::test]
async fn every_byte_of_a_parquet_file_of_64_kib_is_guarded() {
    let home = Home::new();
    let running = home.open().await.unwrap();
    let rows = 18_000;
    running.write(&(0..rows).map(|row| line(0, row)).collect::<String>()).await;
    running.node.database(&database()).unwrap().persist_all().await.unwrap();
    running.crash().await;
    let [path] = &objects(&home, ".parquet").await[..] else { panic!("one chunk") };
    let original = bytes_of(&home, path).await;
    assert!(original.len() > 32 << 10, "{}", original.len());
    let running = home.open().await.unwrap();
    let step = sampled(401);
    for at in (0..original.len()).step_by(step) {
        let mut bytes = original.clone();
        flip(&mut bytes, at);
        home.objects.put(path, bytes.into()).await.unwrap();
        let error = running.pairs().await.expect_err("wrong bytes are served").to_string();
        assert!(error.contains(path.as_ref()), "byte {at}: {error}");
    }
    home.objects.put(path, original.into()).await.unwrap();
    assert_eq!(running.pairs().await.unwrap(), pairs_of(0, rows).collect::<Vec<_>>());
    running.crash().await;
}

async fn scrub(running: &Running, set_aside: bool) -> Operation {
    let order = ScrubOrder { database: None, remove_orphans: false, set_aside, by: String::new() };
    let begun = running.node.scrub(order).unwrap();
    let ended = running.node.operations().wait(&begun.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!(ended.state, OperationState::Done, "{ended:?}");
    ended
}

fn day(batch: i64) -> Vec<(i64, i64)> {
    pairs_of(batch, ROWS).collect()
}

#[tokio::test]
async fn what_is_damaged_is_set_aside_stays_named_and_comes_back() {
    let _captured = Captured::start();
    let home = crashed_home(true).await;
    let paths = objects(&home, ".parquet").await;
    let running = home.open().await.unwrap();
    let sound = scrub(&running, true).await;
    assert_eq!((sound.findings.as_slice(), sound.done), (&[][..], paths.len() as u64), "{}", sound.message);

    let original = bytes_of(&home, &paths[0]).await;
    let mut bytes = original.clone();
    flip(&mut bytes, 100);
    home.objects.put(&paths[0], bytes.into()).await.unwrap();
    let found = scrub(&running, false).await;
    assert!(found.message.contains("1 objects damaged"), "{}", found.message);
    assert!(found.findings[0].contains(paths[0].as_ref()), "{:?}", found.findings);
    let [damage] = &running.node.damage()[..] else { panic!("one thing is damaged") };
    assert_eq!(damage.damage.missing.split(" of chunk").next(), Some("3 rows"));

    let aside = scrub(&running, true).await;
    assert!(aside.message.contains("1 objects damaged, 1 set aside"), "{}", aside.message);
    let without: Vec<_> = (1..BATCHES).flat_map(day).collect();
    assert_eq!(running.pairs().await.unwrap(), without);
    assert_eq!(objects(&home, ".parquet").await, paths, "its object stays");
    running.crash().await;

    let running = home.open().await.unwrap();
    assert_eq!(running.pairs().await.unwrap(), without);
    let [damage] = &running.node.damage()[..] else { panic!("it is named for as long as it is missing") };
    assert_eq!(damage.damage.place, paths[0].as_ref());
    assert!(damage.damage.missing.starts_with("3 rows of partition \"2025-03-01\", 2025-03-01T00:00:00Z to "));
    let served = running.node.database(&database()).unwrap();
    let chunk = served_chunk(&paths[0]);
    let error = running.node.take_back(&served, chunk).await.unwrap_err();
    assert!(error.to_string().contains("stays set aside"), "{error}");
    home.objects.put(&paths[0], original.into()).await.unwrap();
    assert!(scrub(&running, true).await.findings[0].contains(&format!("--restore {chunk}")));
    running.node.take_back(&served, chunk).await.unwrap();
    assert_eq!(running.pairs().await.unwrap(), everything());
    assert_eq!(running.node.damage(), []);
    running.crash().await;
    let running = home.open().await.unwrap();
    assert_eq!(running.pairs().await.unwrap(), everything());
    running.crash().await;
}

fn served_chunk(path: &Path) -> ChunkId {
    path.filename().unwrap().strip_suffix(".parquet").unwrap().parse().unwrap()
}

#[tokio::test]
async fn queries_that_do_not_need_a_damaged_chunk_are_answered() {
    let _captured = Captured::start();
    let home = crashed_home(true).await;
    let paths = objects(&home, ".parquet").await;
    for (damage, what) in [(Some(100), "has the checksum"), (None, "it is missing")] {
        let copy = home.copy();
        let running = copy.open().await.unwrap();
        let mut bytes = bytes_of(&copy, &paths[1]).await;
        match damage {
            Some(at) => {
                flip(&mut bytes, at);
                copy.objects.put(&paths[1], bytes.into()).await.unwrap();
            }
            None => copy.objects.delete(&paths[1]).await.unwrap(),
        }
        let error = running.pairs().await.unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(paths[1].as_ref()), "{error}");
        let only = "SELECT batch, value FROM t WHERE time < '2025-03-02' ORDER BY batch, value";
        assert_eq!(running.pairs_by(only).await.unwrap(), day(0));
        running.crash().await;
    }
}
