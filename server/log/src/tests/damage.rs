//! Torn tails and damage.

use std::collections::BTreeMap;

use ochre_env::Disk;
use proptest::prelude::*;

use super::*;
use crate::format::{self, Place, RawHeader};
use crate::{DamageCause, fuzz_decode};

/// A log of three frames that was killed before a mark; the offset and end of the last frame.
async fn three_frames(disk: &SimDisk) -> (u64, u64) {
    let env = env(disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "first")).await.unwrap();
    put(&log, "b", record(1, 2, "second")).await.unwrap();
    let start = log.status().bytes;
    put(&log, "a", record(1, 3, "the last frame's payload")).await.unwrap();
    let end = log.status().bytes;
    kill(&env, log).await;
    disk.crash();
    (start, end)
}

async fn check_torn(disk: &SimDisk, start: u64, tail: &[u8], what: &str) {
    let env = env(disk);
    let (log, opened) = open(&env, config(), 2).await;
    assert_eq!(opened.damage, [], "{what}");
    assert_eq!(frames(&log, "a", 0).await, [(1, "first".to_owned())], "{what}");
    assert_eq!(frames(&log, "b", 0).await, [(1, "second".to_owned())], "{what}");
    assert_eq!(disk.read(&segment(1)).unwrap().len() as u64, start, "{what}");
    match opened.torn_tail {
        None => assert!(tail.is_empty(), "{what}"),
        Some(torn) => {
            assert_eq!((torn.offset, torn.length), (start, tail.len() as u64), "{what}");
            let kept = Path::new(DIR).join(torn.kept_as.unwrap());
            assert_eq!(disk.read(&kept).unwrap(), tail, "{what}");
        }
    }
    assert_eq!(put(&log, "a", record(2, 1, "anew")).await.unwrap(), Sequence(2));
    log.close().await.unwrap();
    drop(log);
    let (log, opened) = open(&env, config(), 3).await;
    assert!(opened.damage.is_empty() && opened.torn_tail.is_none(), "{what}: {opened:?}");
    assert_eq!(frames(&log, "a", 1).await, [(2, "anew".to_owned())], "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_tail_torn_at_any_byte_is_cut_and_kept() {
    let original = SimDisk::new(1);
    let (start, end) = three_frames(&original).await;
    let bytes = original.read(&segment(1)).unwrap();
    assert_eq!(bytes.len() as u64, end);
    for cut in start..end {
        let disk = original.copy(2);
        disk.put(&segment(1), &bytes[..cut as usize]);
        check_torn(&disk, start, &bytes[start as usize..cut as usize], &format!("cut at {cut}")).await;
        for fill in [0u8, 0xa5] {
            let disk = original.copy(2);
            let mut garbled = bytes.clone();
            garbled[cut as usize..].fill(fill);
            if garbled == bytes {
                continue;
            }
            disk.put(&segment(1), &garbled);
            check_torn(&disk, start, &garbled[start as usize..], &format!("{fill} from {cut}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_segment_torn_anywhere_is_no_damage() {
    let original = SimDisk::new(1);
    three_frames(&original).await;
    let env1 = env(&original);
    let (log, _) = open(&env1, config(), 2).await;
    kill(&env1, log).await;
    let bytes = original.read(&segment(2)).unwrap();
    for cut in 0..bytes.len() {
        let disk = original.copy(2);
        disk.put(&segment(2), &bytes[..cut]);
        let env = env(&disk);
        let (log, opened) = open(&env, config(), 3).await;
        assert_eq!(opened.damage, [], "cut at {cut}");
        assert_eq!(opened.torn_tail.is_some(), cut != 64, "cut at {cut}");
        assert_eq!(frames(&log, "a", 0).await.len(), 2);
        assert_eq!(put(&log, "a", record(3, 1, "x")).await.unwrap(), Sequence(3));
        kill(&env, log).await;
        assert_eq!(open(&env, config(), 4).await.1.damage, [], "cut at {cut}, opened again");
    }
}

/// A sealed log of several small segments, and what it serves.
pub(super) async fn several_segments(disk: &SimDisk) -> BTreeMap<String, Vec<(u64, String)>> {
    let env = env(disk);
    let (log, _) = open(&env, tiny_segments(), 1).await;
    for i in 0..9 {
        let name = if i % 3 == 0 { "b" } else { "a" };
        put(&log, name, record(1, i, &format!("payload {i}"))).await.unwrap();
    }
    log.open_cursor("p", &db("a"), 1, Sequence(2)).await.unwrap();
    let served =
        BTreeMap::from([("a".to_owned(), frames(&log, "a", 0).await), ("b".to_owned(), frames(&log, "b", 0).await)]);
    assert!(log.status().segments >= 3);
    log.close().await.unwrap();
    served
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_anywhere_is_named_and_never_served() {
    let original = SimDisk::new(1);
    let served = several_segments(&original).await;
    let files = names(&original);
    let newest = files.iter().rfind(|name| name.ends_with(".seg")).unwrap().clone();
    for file in &files {
        let path = Path::new(DIR).join(file);
        for offset in 0..original.read(&path).unwrap().len() as u64 {
            let what = format!("{file} at {offset}");
            let disk = original.copy(3);
            disk.flip(&path, offset, 1 << (offset % 8));
            let env = env(&disk);
            let (log, opened) = open(&env, tiny_segments(), 2).await;
            let torn = opened.torn_tail.as_ref();
            assert!(!opened.damage.is_empty() || torn.is_some_and(|torn| torn.file == newest), "{what}");
            let cursors_lost = opened.damage.iter().any(|damage| damage.cause == DamageCause::Cursors);
            assert_eq!(cursors_lost, file == "cursors", "{what}: {opened:?}");
            for (name, expected) in &served {
                check_read(&log, name, expected, torn.is_some(), &what).await;
            }
            let last = opened.databases[&db("a")].last;
            assert!(put(&log, "a", record(2, 1, "more")).await.unwrap() > last, "{what}");
        }
    }
}

/// Every frame is served as it was, or its sequence is named as lost.
async fn check_read(log: &Log, name: &str, expected: &[(u64, String)], torn: bool, what: &str) {
    let mut got: BTreeMap<u64, Option<String>> = BTreeMap::new();
    for item in items(log, name, 0).await {
        match item {
            ReadItem::Frame(frame) => {
                assert!(got.insert(frame.header.sequence.0, Some(text(&frame))).is_none(), "{what}: twice");
            }
            ReadItem::Damage(damage) => {
                let (first, last) = damage.sequences[&db(name)];
                (first.0..=last.0).for_each(|sequence| assert!(got.insert(sequence, None).is_none(), "{what}: twice"));
            }
            ReadItem::Gap { first, last } => panic!("{what}: a gap from {first} to {last}"),
        }
    }
    let mut lost = 0;
    for (sequence, text) in expected {
        match got.get(sequence) {
            Some(Some(served)) => assert_eq!(served, text, "{what}"),
            Some(None) => lost += 1,
            None => assert!(torn, "{what}: {sequence} of {name} is neither served nor named"),
        }
    }
    assert!(lost <= 1, "{what}: one flipped byte cost {lost} frames of {name}");
}

#[tokio::test(start_paused = true)]
async fn missing_shortened_foreign_and_swapped_segments_are_named() {
    let original = SimDisk::new(1);
    let served = several_segments(&original).await;
    let causes = |opened: &Opened| opened.damage.iter().map(|damage| damage.cause.clone()).collect::<Vec<_>>();

    let disk = original.copy(2);
    disk.remove_file(&segment(2)).unwrap();
    let env1 = env(&disk);
    let (log, opened) = open(&env1, tiny_segments(), 2).await;
    assert_eq!(causes(&opened), [DamageCause::MissingSegment]);
    let lost: u64 = opened.damage[0].sequences.values().map(|(first, last)| last.0 - first.0 + 1).sum();
    let mut read = 0;
    for name in served.keys() {
        let items = items(&log, name, 0).await;
        read += items.iter().filter(|item| matches!(item, ReadItem::Frame(_))).count() as u64;
    }
    assert!(lost > 0);
    assert_eq!(read + lost, 9);

    let disk = original.copy(2);
    let bytes = disk.read(&segment(1)).unwrap();
    disk.put(&segment(1), &bytes[..bytes.len() - 144]);
    let expected = bytes.len() as u64;
    let (_, opened) = open(&env(&disk), tiny_segments(), 2).await;
    assert_eq!(causes(&opened), [DamageCause::Shortened { expected }]);

    let disk = original.copy(2);
    let other = SimDisk::new(9);
    several_segments(&other).await;
    let mut foreign = other.read(&segment(2)).unwrap();
    let header = format::SegmentHeader {
        log_id: ochre_types::LogId(8),
        incarnation: Incarnation(1),
        number: 2,
        previous_length: 0,
    };
    foreign[..64].copy_from_slice(&header.encode());
    disk.put(&segment(2), &foreign);
    let (_, opened) = open(&env(&disk), tiny_segments(), 2).await;
    assert_eq!(causes(&opened), [DamageCause::OtherLog { found: ochre_types::LogId(8) }]);
    assert_eq!(opened.damage[0].file, format::segment_name(2));

    let disk = original.copy(2);
    disk.put(&segment(2), &original.read(&segment(1)).unwrap());
    let (_, opened) = open(&env(&disk), tiny_segments(), 2).await;
    assert_eq!(causes(&opened), [DamageCause::OtherNumber { found: 1 }]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_inside_a_payload_is_not_taken_for_one() {
    let disk = SimDisk::new(1);
    let env1 = env(&disk);
    let (log, _) = open(&env1, config(), 1).await;
    put(&log, "a", record(1, 1, "bait")).await.unwrap();
    let start = log.status().bytes as usize;
    let bait = disk.read(&segment(1)).unwrap();
    let mut outer = record(1, 2, "");
    outer.payload = Bytes::copy_from_slice(&bait);
    put(&log, "a", outer).await.unwrap();
    put(&log, "a", record(1, 3, "after")).await.unwrap();
    kill(&env1, log).await;
    disk.flip(&segment(1), start as u64 + 8, 1);
    let (log, opened) = open(&env(&disk), config(), 2).await;
    assert_eq!(opened.damage.len(), 1);
    assert_eq!(opened.damage[0].offset, start as u64);
    assert_eq!(opened.damage[0].sequences[&db("a")], (Sequence(2), Sequence(2)));
    let read = items(&log, "a", 0).await;
    assert!(matches!(&read[..], [ReadItem::Frame(_), ReadItem::Damage(_), ReadItem::Frame(_)]), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_last_frame_below_a_mark_is_damage() {
    let disk = SimDisk::new(1);
    let env1 = env(&disk);
    let (log, _) = open(&env1, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    let end = log.status().bytes;
    env1.clock.sleep(Duration::from_millis(1_100)).await;
    assert_eq!(log.status().bytes, end + 112);
    kill(&env1, log).await;
    disk.flip(&segment(1), end - 1, 1);
    let (log, opened) = open(&env(&disk), config(), 2).await;
    assert_eq!(opened.torn_tail, None);
    assert_eq!(opened.damage[0].cause, DamageCause::Payload);
    assert_eq!(opened.databases[&db("a")].last, Sequence(1), "its number is not given again");
    assert!(matches!(&items(&log, "a", 0).await[..], [ReadItem::Damage(_)]));
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_read_without_claiming_it() {
    let disk = SimDisk::new(1);
    let served = several_segments(&disk).await;
    let operations = disk.operations();
    let env = env(&disk);
    let looked = crate::inspect(&env.disk, &env.compute, DIR.into()).await.unwrap();
    assert!(looked.sealed && looked.damage.is_empty() && looked.torn_tail.is_none());
    assert_eq!(looked.databases[&db("a")].synced_through, Sequence(6));
    assert_eq!(looked.cursors[0].position, Sequence(2));
    assert_eq!(looked.segments.iter().map(|segment| segment.frames).sum::<u64>(), 9);
    let mut reader = crate::DirectoryReader::open(&env.disk, &env.compute, DIR.into()).await.unwrap();
    let mut read: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    while let Some(item) = reader.next().await.unwrap() {
        let ReadItem::Frame(frame) = item else { panic!("{item:?}") };
        read.entry(frame.header.database.to_string()).or_default().push((frame.header.sequence.0, text(&frame)));
    }
    assert_eq!(read, served);
    assert_eq!(disk.operations(), operations);
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_decode(&bytes);
    }

    #[test]
    fn decoding_changed_files_never_panics(at in 0usize..400, value: u8, cut in 0usize..400) {
        let place = Place { log_id: ochre_types::LogId(3), segment: 1, offset: 64 };
        let header = format::SegmentHeader {
            log_id: place.log_id, incarnation: Incarnation(1), number: 1, previous_length: 0,
        };
        let mut bytes = header.encode().to_vec();
        let frame = record(1, 1, "payload").into_frame(db("a"), Sequence(1), Sequence(0));
        format::encode_record(&mut bytes, &frame, 64, place);
        let raw = RawHeader::decode(&bytes[64..], place).unwrap();
        prop_assert_eq!(raw.frame_length() as usize, bytes.len() - 64);
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(cut);
        fuzz_decode(&bytes);
        fuzz_decode(bytes.get(64..).unwrap_or_default());
    }

    #[test]
    fn a_frame_is_only_whole_at_its_place(payload in prop::collection::vec(any::<u8>(), 0..100), name in "[a-zé]{1,9}", hops in 0usize..=64) {
        let mut record = record(1, 5, "");
        record.payload = payload.into();
        record.path = vec![Incarnation(6); hops];
        let size = format::encoded_size(&db(&name), &record);
        let frame = record.into_frame(db(&name), Sequence(9), Sequence(7));
        let place = Place { log_id: ochre_types::LogId(3), segment: 2, offset: 640 };
        let mut bytes = Vec::new();
        format::encode_record(&mut bytes, &frame, 600, place);
        prop_assert_eq!(bytes.len() as u64, size);
        let raw = RawHeader::decode(&bytes, place).unwrap();
        prop_assert!(raw.header_length.is_multiple_of(8) && raw.payload_matches(&bytes[raw.header_length..], place));
        prop_assert_eq!(raw.synced_through, 600);
        let format::Entry::Record(header) = raw.entry else { panic!("not a record") };
        prop_assert_eq!(header, frame.header);
        let moved = [Place { offset: 648, ..place }, Place { segment: 3, ..place }];
        for elsewhere in moved {
            prop_assert_eq!(RawHeader::decode(&bytes, elsewhere), None);
        }
    }
}
