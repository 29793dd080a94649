//! Power losses between every two disk operations.

use std::collections::BTreeMap;

use super::*;
use ochre_doubles::disk::Fault;

/// What an outside observer knows of one database.
#[derive(Debug, Default, Clone)]
struct Journal {
    /// Everything ever appended, by sequence: several after restarts, since an unacknowledged one may be given again.
    appended: BTreeMap<u64, Vec<String>>,
    acknowledged: BTreeMap<u64, String>,
    released: u64,
    cursor: u64,
}

type Journals = BTreeMap<&'static str, Journal>;

/// Writes, reads, moves a cursor and releases until the end or until the power is lost.
async fn work(log: &Log, incarnation: u64, journals: &mut Journals) -> Result<(), LogError> {
    log.open_cursor("peer", &db("a"), 1, Sequence(0)).await?;
    for round in 0..6u64 {
        let mut waiting = Vec::new();
        for name in ["a", "b", "a"] {
            let number = round * 3 + waiting.len() as u64 + 1;
            let text = format!("{name} {incarnation} {number}");
            let appended = log.append(&db(name), record(incarnation, number, &text))?;
            let journal = journals.entry(name).or_default();
            journal.appended.entry(appended.sequence.0).or_default().push(text.clone());
            waiting.push((name, text, appended));
        }
        for (name, text, appended) in waiting {
            log.synced(&appended).await?;
            journals.entry(name).or_default().acknowledged.insert(appended.sequence.0, text);
        }
        let journal = journals.entry("a").or_default();
        let synced = log.synced_through(&db("a"));
        log.advance_cursor("peer", &db("a"), synced)?;
        if round % 2 == 1 {
            log.flush_cursors().await?;
            journal.cursor = synced.0;
            journal.released = synced.0 - 1;
            journals.entry("b").or_default().released = log.synced_through(&db("b")).0 - 1;
            let marks = journals.iter().map(|(name, journal)| (db(name), Sequence(journal.released)));
            log.release(&marks.collect());
        }
        tokio::task::yield_now().await;
    }
    log.close().await
}

async fn check(log: &Log, opened: &Opened, journals: &Journals, what: &str) {
    assert_eq!(opened.damage, [], "{what}");
    for (name, journal) in journals {
        let oldest = opened.databases.get(&db(name)).map_or(1, |tail| tail.oldest.0);
        assert!(oldest <= journal.released + 1, "{what}: {name} was dropped up to {oldest} before it was released");
        let read: BTreeMap<u64, String> = frames(log, name, oldest - 1).await.into_iter().collect();
        for (sequence, text) in &journal.acknowledged {
            assert!(*sequence < oldest || read.get(sequence) == Some(text), "{what}: {name} {sequence} is lost");
        }
        for (sequence, text) in &read {
            assert!(journal.appended[sequence].contains(text), "{what}: {name} {sequence} {text} is a phantom");
        }
    }
    let cursor = log.cursors().iter().find(|cursor| cursor.name == "peer").map_or(0, |cursor| cursor.position.0);
    let journal = &journals["a"];
    assert!(cursor >= journal.cursor, "{what}: the cursor went back to {cursor} behind {}", journal.cursor);
}

/// Loses power at the operation `first` of the first life and `second` of the next one. Returns the operations of each.
async fn lives(seed: u64, first: u64, second: u64) -> (u64, u64) {
    let what = format!("seed {seed}, power lost at {first} and {second}");
    let disk = SimDisk::new(seed);
    let mut journals = Journals::from([("a", Journal::default()), ("b", Journal::default())]);
    let mut counts = Vec::new();
    for (life, lost_at) in [(1, first), (2, second), (3, u64::MAX)] {
        let before = disk.operations();
        disk.fail_at(before.saturating_add(lost_at), Fault::PowerLoss);
        let env = env(&disk);
        let opened = Log::open(&env, tiny_segments(), Incarnation(life)).await;
        if let Ok((log, opened)) = opened {
            check(&log, &opened, &journals, &format!("{what}, life {life}")).await;
            let ended = work(&log, life, &mut journals).await;
            assert_eq!(ended.is_ok(), disk.operations() < before.saturating_add(lost_at), "{what}: {ended:?}");
            kill(&env, log).await;
        } else {
            assert!(lost_at < u64::MAX, "{what}: {opened:?}");
        }
        counts.push(disk.operations() - before);
        disk.crash();
    }
    (counts[0], counts[1])
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    let (operations, _) = lives(0, u64::MAX, u64::MAX).await;
    assert!(operations > 40, "{operations}");
    for first in 1..=operations {
        for seed in 0..8 {
            lives(seed, first, u64::MAX).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn opening_after_a_power_loss_may_lose_power_too() {
    let (operations, _) = lives(0, u64::MAX, u64::MAX).await;
    for first in 1..=operations {
        for second in 1..=14 {
            lives(first * 31 + second, first, second).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_synced_is_mostly_lost() {
    // The double is worth something only if it takes what was not synced.
    let mut lost = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let env = env(&disk);
        let (log, _) = open(&env, config(), 1).await;
        put(&log, "a", record(1, 1, "synced")).await.unwrap();
        let unsynced = log.append(&db("a"), record(1, 2, "unsynced")).unwrap();
        disk.fail_at(disk.operations() + 2, Fault::PowerLoss);
        assert!(log.synced(&unsynced).await.is_err());
        kill(&env, log).await;
        disk.crash();
        let (log, _) = open(&env, config(), 2).await;
        let read = frames(&log, "a", 0).await;
        assert_eq!(read[0], (1, "synced".to_owned()));
        lost += usize::from(read.len() == 1);
    }
    assert!(lost > 5, "{lost}");
}

#[cfg(feature = "planted")]
#[tokio::test(start_paused = true)]
async fn planted_bugs_lose_acknowledged_frames() {
    use ochre_env::planted::{Planted, set};
    for bug in [Planted::SkipFsync, Planted::EarlyAck] {
        let mut lost = 0;
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let env = env(&disk);
            let (log, _) = open(&env, config(), 1).await;
            set(Some(bug));
            put(&log, "a", record(1, 1, "acknowledged")).await.unwrap();
            set(None);
            kill(&env, log).await;
            disk.crash();
            let (log, _) = open(&env, config(), 2).await;
            lost += usize::from(frames(&log, "a", 0).await.is_empty());
        }
        assert!(lost > 5, "{bug:?}: {lost}");
    }
}
