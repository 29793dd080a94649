//! What holds while nothing goes wrong.

use std::collections::BTreeMap;

use ochre_types::ByteSize;

use super::*;
use crate::frame::{FrameKind, Predecessor};

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_back_before_and_after_a_restart() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, opened) = open(&env, config(), 10).await;
    assert!(opened.created && opened.databases.is_empty() && opened.damage.is_empty());
    let predecessor = Predecessor { incarnation: Incarnation(9), last_origin_sequence: 4 };
    let stamp = Stamp { hlc: Hlc(5), incarnation: Incarnation(10) };
    put(&log, "a", Record::start(Incarnation(10), stamp, predecessor)).await.unwrap();
    let mut full = record(10, 1, "rows");
    full.path = vec![Incarnation(3), Incarnation(4)];
    (full.slice, full.covers, full.format, full.min_reader) = (77, (5, 9), 3, 2);
    put(&log, "a", full.clone()).await.unwrap();
    put(&log, "ü b", record(10, 2, "")).await.unwrap();
    let before = (items(&log, "a", 0).await, items(&log, "ü b", 0).await);
    let [ReadItem::Frame(start), ReadItem::Frame(rows)] = &before.0[..] else { panic!("{before:?}") };
    assert_eq!(start.predecessor(), Some(predecessor));
    let h = &rows.header;
    assert_eq!((h.kind, h.sequence, h.previous), (FrameKind::Rows, Sequence(2), Sequence(1)));
    assert_eq!((h.origin, h.origin_sequence, h.stamp), (full.origin, full.origin_sequence, full.stamp));
    assert_eq!((&h.path, h.slice, h.covers, h.format, h.min_reader), (&full.path, 77, (5, 9), 3, 2));
    assert_eq!(rows.payload, full.payload);
    assert_eq!(log.synced_through(&db("a")), Sequence(2));
    log.close().await.unwrap();
    assert!(matches!(log.append(&db("a"), record(10, 3, "late")), Err(LogError::Closed)));
    drop(log);

    let (log, opened) = open(&env, config(), 11).await;
    assert!(!opened.created && opened.sealed && opened.torn_tail.is_none());
    assert_eq!(opened.damage, []);
    assert_eq!(opened.highest_stamp, Hlc(10_002));
    let tail = opened.databases[&db("a")];
    assert_eq!((tail.oldest, tail.last), (Sequence(1), Sequence(2)));
    let wrote = Predecessor { incarnation: Incarnation(10), last_origin_sequence: 1 };
    assert_eq!(tail.predecessor, Some(wrote));
    assert_eq!((items(&log, "a", 0).await, items(&log, "ü b", 0).await), before);
    assert_eq!(put(&log, "a", record(11, 1, "more")).await.unwrap(), Sequence(3));
    assert_eq!(frames(&log, "a", 2).await, [(3, "more".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn appends_that_wait_share_one_sync() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    let syncs = disk.file_syncs();
    let appended: Vec<_> =
        (0..100).map(|i| log.append(&db(if i % 2 == 0 { "a" } else { "b" }), record(1, i, "x")).unwrap()).collect();
    assert_eq!(log.synced_through(&db("a")), Sequence(0), "nothing is synced before the writer ran");
    assert_eq!(items(&log, "a", 0).await, [], "no reader gets past what is synced");
    for one in &appended {
        log.synced(one).await.unwrap();
    }
    assert_eq!(disk.file_syncs(), syncs + 1);
    let sequences: Vec<u64> = frames(&log, "b", 0).await.into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(sequences, (1..=50).collect::<Vec<_>>());
    let status = log.status();
    assert_eq!((status.synced_groups_total, status.appended_frames_total, status.pending_bytes), (1, 100, 0));
}

#[tokio::test(start_paused = true)]
async fn groups_and_what_waits_are_bounded() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let mut config = config();
    (config.max_group_bytes, config.pending_limit) = (ByteSize(300), ByteSize(1_000));
    let (log, _) = open(&env, config, 1).await;
    let appended: Vec<_> = (0..7).map(|i| log.append(&db("a"), record(1, i, "12345678")).unwrap()).collect();
    let busy = log.append(&db("a"), record(1, 8, "12345678")).unwrap_err();
    assert!(matches!(busy, LogError::Busy { pending: 952, .. }) && busy.is_retryable(), "{busy}");
    log.synced(&appended[6]).await.unwrap();
    assert_eq!(log.status().synced_groups_total, 4, "two frames of 136 bytes fit into a group");
    let large = "x".repeat(5_000);
    assert_eq!(put(&log, "a", record(1, 9, &large)).await.unwrap(), Sequence(8));
    assert_eq!(frames(&log, "a", 7).await, [(8, large)]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_log_marks_what_was_acknowledged() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    let look = || crate::inspect(&env.disk, &env.compute, DIR.into());
    assert_eq!(look().await.unwrap().databases[&db("a")].synced_through, Sequence(0));
    let operations = disk.operations();
    env.clock.sleep(Duration::from_millis(1_100)).await;
    assert_eq!(look().await.unwrap().databases[&db("a")].synced_through, Sequence(1));
    assert_eq!(disk.operations(), operations + 2);
    env.clock.sleep(Duration::from_secs(10)).await;
    assert_eq!(disk.operations(), operations + 2, "one mark is enough");
}

#[tokio::test(start_paused = true)]
async fn segments_go_only_when_persisted_and_passed_by_flushed_cursors() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, tiny_segments(), 1).await;
    for i in 1..=20 {
        put(&log, "a", record(1, i, "some payload")).await.unwrap();
    }
    put(&log, "b", record(1, 1, "pins nothing old")).await.unwrap();
    let all = log.status().segments;
    assert!(all >= 4, "{all}");
    log.open_cursor("peer", &db("a"), 1, Sequence(0)).await.unwrap();
    let settle = || env.clock.sleep(Duration::from_millis(10));
    log.release(&BTreeMap::from([(db("a"), Sequence(20))]));
    settle().await;
    assert_eq!(log.status().segments, all, "the cursor has not moved");
    log.advance_cursor("peer", &db("a"), Sequence(20)).unwrap();
    log.release(&BTreeMap::new());
    settle().await;
    assert_eq!(log.status().segments, all, "the cursor was not flushed");
    log.flush_cursors().await.unwrap();
    log.release(&BTreeMap::new());
    settle().await;
    let status = log.status();
    assert_eq!(status.segments, 1, "b is not persisted, and the newest stays");
    assert_eq!(names(&disk).len(), 2, "{:?}", names(&disk));
    let gone = log.read(&db("a"), Sequence(0)).next().await.unwrap_err();
    let oldest = status.databases[&db("a")].oldest;
    assert!(matches!(gone, LogError::Gone { oldest: o, .. } if o == oldest), "{gone}");
    assert_eq!(frames(&log, "b", 0).await.len(), 1);
    log.close().await.unwrap();
    drop(log);
    let (log, opened) = open(&env, tiny_segments(), 2).await;
    assert_eq!(opened.damage, []);
    assert_eq!(opened.databases[&db("a")].last, Sequence(20), "heads remember what was dropped");
    assert_eq!(opened.databases[&db("a")].oldest, oldest);
    assert_eq!(put(&log, "a", record(2, 1, "next")).await.unwrap(), Sequence(21));
}

#[tokio::test(start_paused = true)]
async fn cursors_are_flushed_within_a_second_and_never_pass_what_is_synced() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    put(&log, "a", record(1, 2, "y")).await.unwrap();
    let a = db("a");
    assert!(matches!(log.advance_cursor("p", &a, Sequence(1)), Err(LogError::NoCursor { .. })));
    log.open_cursor("p", &a, 1, Sequence(0)).await.unwrap();
    assert!(matches!(log.advance_cursor("p", &a, Sequence(3)), Err(LogError::CursorAhead { .. })));
    log.advance_cursor("p", &a, Sequence(2)).unwrap();
    log.advance_cursor("p", &a, Sequence(1)).unwrap();
    assert_eq!((log.cursors()[0].position, log.cursors()[0].flushed), (Sequence(2), Sequence(0)));
    env.clock.sleep(Duration::from_millis(1_100)).await;
    assert_eq!(log.cursors()[0].flushed, Sequence(2));
    assert_eq!(log.open_cursor("p", &a, 1, Sequence(0)).await.unwrap().position, Sequence(2));
    kill(&env, log).await;
    disk.crash();
    let (log, _) = open(&env, config(), 2).await;
    assert_eq!(log.cursors()[0].position, Sequence(2));
    assert_eq!(log.open_cursor("p", &a, 2, Sequence(1)).await.unwrap().position, Sequence(1), "a new filter");
    log.delete_cursor("p", &a).await.unwrap();
    assert_eq!(log.cursors(), []);
}

#[tokio::test(start_paused = true)]
async fn a_raised_database_goes_on_above() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    log.raise(&db("a"), Sequence(40));
    assert_eq!(put(&log, "a", record(1, 1, "x")).await.unwrap(), Sequence(41));
    assert_eq!(frames(&log, "a", 40).await, [(41, "x".to_owned())]);
    assert!(matches!(log.read(&db("a"), Sequence(3)).next().await, Err(LogError::Gone { .. })));
    log.close().await.unwrap();
    drop(log);
    let (_, opened) = open(&env, config(), 2).await;
    assert_eq!(opened.damage, []);
    assert_eq!(opened.databases[&db("a")].oldest, Sequence(41));
}

#[tokio::test(start_paused = true)]
async fn sequences_that_were_skipped_are_a_gap_and_nothing_is_gone() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    for sequence in [40, 7] {
        log.skip_to(&db("a"), Sequence(sequence));
    }
    let expected = [(1, "x".to_owned()), (41, "y".to_owned())];
    assert_eq!(put(&log, "a", record(1, 2, "y")).await.unwrap(), Sequence(41));
    assert_eq!(frames(&log, "a", 0).await, expected);
    log.close().await.unwrap();
    drop(log);
    let (log, opened) = open(&env, config(), 2).await;
    assert_eq!((opened.damage, opened.databases[&db("a")].oldest), (vec![], Sequence(1)));
    assert_eq!(frames(&log, "a", 0).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_claimed_once() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    assert!(matches!(Log::open(&env, config(), Incarnation(2)).await, Err(LogError::InUse { .. })));
    log.close().await.unwrap();
    Log::open(&env, config(), Incarnation(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_log_in_memory_keeps_the_same_rules() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let config = LogConfig::new(Home::Memory { limit: ByteSize(300) });
    let (log, _) = open(&env, config, 1).await;
    assert_eq!(put(&log, "a", record(1, 1, "12345678")).await.unwrap(), Sequence(1));
    assert_eq!(put(&log, "a", record(1, 2, "12345678")).await.unwrap(), Sequence(2));
    assert!(matches!(put(&log, "a", record(1, 3, "12345678")).await, Err(LogError::Full { .. })));
    log.open_cursor("p", &db("a"), 1, Sequence(0)).await.unwrap();
    log.release(&BTreeMap::from([(db("a"), Sequence(1))]));
    assert_eq!(frames(&log, "a", 0).await.len(), 2);
    log.advance_cursor("p", &db("a"), Sequence(2)).unwrap();
    log.release(&BTreeMap::new());
    assert_eq!(frames(&log, "a", 1).await, [(2, "12345678".to_owned())]);
    assert!(matches!(log.read(&db("a"), Sequence(0)).next().await, Err(LogError::Gone { .. })));
    assert_eq!(put(&log, "a", record(1, 3, "12345678")).await.unwrap(), Sequence(3));
    assert_eq!(disk.operations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tailing_reader_wakes_for_what_is_new() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    let waiting = log.clone();
    let a = db("a");
    let (past, appended) = tokio::join!(waiting.synced_past(&a, Sequence(0)), put(&log, "a", record(1, 1, "x")));
    past.unwrap();
    assert_eq!(appended.unwrap(), Sequence(1));
    let (past, closed) = tokio::join!(waiting.synced_past(&a, Sequence(1)), log.close());
    assert!(matches!(past, Err(LogError::Closed)));
    closed.unwrap();
}

#[tokio::test]
async fn it_works_on_the_machine_s_own_disk() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::system();
    let mut config = LogConfig::new(Home::Disk { dir: dir.path().join("log") });
    (config.segment_size, config.disk_reserve) = (ByteSize(4_096), ByteSize(0));
    let (log, _) = open(&env, config.clone(), 1).await;
    let writers = (0..8).map(|w| {
        let log = log.clone();
        async move {
            for i in 0..20 {
                put(&log, &format!("db{}", w % 3), record(1, i, &"x".repeat(i as usize * 7))).await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    let before = (frames(&log, "db0", 0).await, frames(&log, "db2", 0).await);
    assert_eq!((before.0.len(), before.1.len()), (60, 40));
    log.close().await.unwrap();
    drop(log);
    let (log, opened) = open(&env, config, 2).await;
    assert!(opened.sealed && opened.damage.is_empty(), "{opened:?}");
    assert_eq!((frames(&log, "db0", 0).await, frames(&log, "db2", 0).await), before);
}
