//! A flipped byte in a segment of the log, in a catalog, in Parquet: named, never served.

use std::path::Path as FilePath;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::in_process::{Captured, Home, database, line, pairs_of};

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

#[tokio::test]
async fn a_flipped_byte_in_a_catalog_is_named_and_not_served() {
    let _captured = Captured::start();
    let home = crashed_home(true).await;
    let mut tally = Tally::default();
    for path in objects(&home, ".pb").await {
        let original = bytes_of(&home, &path).await;
        for at in (0..original.len()).filter(|at| *at < 16 || at % 7 == 0) {
            tally.flips += 1;
            let copy = with_flipped_object(&home, &path, &original, at).await;
            let refusal = match copy.open().await {
                Err(error) => Some(error.to_string()),
                Ok(running) => {
                    let pairs = running.pairs().await;
                    running.crash().await;
                    match pairs {
                        Err(error) => Some(error.to_string()),
                        Ok(pairs) => {
                            assert_eq!(pairs, everything(), "byte {at} of {path}: another answer");
                            None
                        }
                    }
                }
            };
            match refusal {
                Some(error) => {
                    let (folder, name) = path.as_ref().rsplit_once('/').unwrap();
                    let named = error.contains(folder) && error.contains(name.trim_end_matches(".pb"));
                    assert!(named, "byte {at} of {path}: the refusal does not name the object: {error}");
                    tally.refused += 1;
                }
                None => tally.harmless += 1,
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.refused > 50, "{tally:?}");
}

/// Parquet has no checksum of ours: what the encodings don't notice is served (`docs/guarantees.md` says so). What is
/// noticed must be named, and nothing may bring the process down.
#[tokio::test]
async fn a_flipped_byte_in_parquet_is_named_where_it_is_noticed() {
    let home = crashed_home(true).await;
    let mut tally = Tally::default();
    let mut unnoticed = 0;
    for path in objects(&home, ".parquet").await {
        let original = bytes_of(&home, &path).await;
        for at in (0..original.len()).filter(|at| at % 11 == 0) {
            tally.flips += 1;
            let copy = with_flipped_object(&home, &path, &original, at).await;
            let running = copy.open().await.unwrap_or_else(|error| panic!("byte {at} of {path}: {error}"));
            match running.pairs().await {
                Ok(pairs) if pairs == everything() => tally.harmless += 1,
                Ok(_) => unnoticed += 1,
                Err(error) => {
                    let error = error.to_string();
                    let named = error.contains("Parquet") || error.contains(path.filename().unwrap());
                    assert!(named, "byte {at} of {path}: the error does not say that Parquet is at fault: {error}");
                    tally.named += 1;
                }
            }
            running.crash().await;
        }
    }
    println!("{tally:?}, not noticed: {unnoticed}");
    assert!(tally.named > 20, "{tally:?}");
}
