//! Repairing a damaged log, and damage at every byte of a large segment.

use std::collections::BTreeMap;

use ochre_env::Disk;

use super::damage::several_segments;
use super::*;
use crate::{DamageCause, Repair, repair};

async fn run(disk: &SimDisk, apply: bool) -> Repair {
    let env = env(disk);
    repair(&env.disk, &env.compute, DIR.into(), apply).await.unwrap()
}

/// Every frame is served, or in a gap; returns how many are not served.
async fn check(log: &Log, name: &str, expected: &[(u64, String)], what: &str) -> usize {
    let mut got: BTreeMap<u64, Option<String>> = BTreeMap::new();
    for item in items(log, name, 0).await {
        match item {
            ReadItem::Frame(frame) => drop(got.insert(frame.header.sequence.0, Some(text(&frame)))),
            ReadItem::Gap { first, last } => got.extend((first.0..=last.0).map(|sequence| (sequence, None))),
            ReadItem::Damage(damage) => panic!("{what}: {damage}"),
        }
    }
    let lost = expected.iter().filter(|(sequence, text)| match &got[sequence] {
        Some(served) => {
            assert_eq!(served, text, "{what}");
            false
        }
        None => true,
    });
    lost.count()
}

#[tokio::test(start_paused = true)]
async fn a_repaired_log_is_not_damaged_any_more_and_nothing_is_deleted() {
    let original = SimDisk::new(1);
    let served = several_segments(&original).await;
    let files: Vec<String> = names(&original).into_iter().filter(|name| name.ends_with(".seg")).collect();
    for file in &files {
        let path = Path::new(DIR).join(file);
        let length = original.read(&path).unwrap().len() as u64;
        for offset in (0..length).step_by(5) {
            let what = format!("{file} at {offset}");
            let disk = original.copy(3);
            disk.flip(&path, offset, 4);
            let bytes = disk.read(&path).unwrap();
            let looked = run(&disk, false).await;
            assert!(!looked.applied && disk.read(&path).unwrap() == bytes, "{what}: looking changed something");
            let repaired = run(&disk, true).await;
            assert_eq!(repaired.damage, looked.damage, "{what}");
            let Some(segment) = repaired.segments.first() else {
                assert!(repaired.damage.is_empty(), "{what}: {repaired:?}");
                continue;
            };
            let kept = segment.kept_as.as_ref().unwrap();
            assert_eq!((&segment.file, disk.read(&Path::new(DIR).join(kept)).unwrap()), (file, bytes), "{what}");
            assert_eq!(run(&disk, false).await.damage, [], "{what}: found again");
            let env = env(&disk);
            let (log, opened) = open(&env, tiny_segments(), 2).await;
            assert_eq!(opened.damage, [], "{what}");
            for (name, expected) in &served {
                assert!(check(&log, name, expected, &what).await <= 1, "{what}");
            }
            let last = opened.databases[&db("a")].last;
            assert!(put(&log, "a", record(2, 1, "more")).await.unwrap() > last, "{what}");
            kill(&env, log).await;
            assert_eq!(open(&super::env(&disk), tiny_segments(), 3).await.1.damage, [], "{what}: at the next start");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_cut_and_foreign_segments_are_replaced() {
    let original = SimDisk::new(1);
    let served = several_segments(&original).await;
    let whole = original.read(&segment(2)).unwrap();
    let cases: [(&str, Option<Vec<u8>>); 3] = [
        ("missing", None),
        ("cut", Some(whole[..whole.len() - 60].to_vec())),
        ("swapped", Some(original.read(&segment(1)).unwrap())),
    ];
    for (what, bytes) in cases {
        let disk = original.copy(2);
        disk.remove_file(&segment(2)).unwrap();
        if let Some(bytes) = &bytes {
            disk.put(&segment(2), bytes);
        }
        let repaired = run(&disk, true).await;
        assert!(!repaired.damage.is_empty(), "{what}");
        assert_eq!(repaired.segments.len(), 1, "{what}");
        assert_eq!(repaired.segments[0].kept_as.is_some(), bytes.is_some(), "{what}");
        assert_eq!(disk.read(&segment(2)).unwrap().len(), whole.len(), "{what}");
        let (log, opened) = open(&env(&disk), tiny_segments(), 2).await;
        assert_eq!(opened.damage, [], "{what}");
        let mut lost = 0;
        for (name, expected) in &served {
            lost += check(&log, name, expected, what).await;
        }
        assert!(lost > 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_in_use_is_left_alone() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    assert!(matches!(repair(&env.disk, &env.compute, DIR.into(), true).await, Err(LogError::InUse { .. })));
    drop(log);
}

#[test]
fn every_byte_of_a_large_segment_may_flip() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let original = SimDisk::new(1);
        let env1 = env(&original);
        let (log, _) = open(&env1, config(), 1).await;
        for i in 1..=7u64 {
            put(&log, if i % 2 == 0 { "a" } else { "b" }, record(1, i, &format!("{i}").repeat(9_300))).await.unwrap();
        }
        log.close().await.unwrap();
        drop(log);
        let bytes = original.read(&segment(1)).unwrap();
        assert!((65_536..70_000).contains(&bytes.len()), "{}", bytes.len());
        let dir = Path::new(DIR);
        let survey = |disk: &SimDisk| crate::recover::survey(disk, dir).unwrap();
        assert!(survey(&original).damage.is_empty());
        let disk = original.copy(2);
        for offset in 0..bytes.len() {
            let mask = 1 << (offset % 8);
            disk.flip(&segment(1), offset as u64, mask);
            let found = survey(&disk);
            disk.flip(&segment(1), offset as u64, mask);
            let named = found.damage.iter().any(|damage| damage.cause != DamageCause::MissingFrames);
            assert!(named || found.torn_tail.is_some(), "at {offset}: nothing was noticed");
            // At most one frame is not whole; of a whole one every byte was checked.
            assert!(found.segments[0].frames >= 6, "at {offset}: {} frames", found.segments[0].frames);
        }
    });
}
