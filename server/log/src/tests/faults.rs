//! Full and failing disks.

use ochre_types::ByteSize;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_then_heals_and_nothing_refused_is_replayed() {
    // Every amount of room that cuts a group somewhere.
    for room in 0..=300 {
        let disk = SimDisk::new(room);
        let env = env(&disk);
        let (log, _) = open(&env, config(), 1).await;
        put(&log, "a", record(1, 1, "kept")).await.unwrap();
        // The check of free space is passed: the room goes away only when the bytes arrive.
        disk.hide_capacity(true);
        disk.set_capacity(disk.used() + room);
        let first = log.append(&db("a"), record(1, 2, "refused")).unwrap();
        let second = log.append(&db("b"), record(1, 3, "refused")).unwrap();
        let (one, two) = (log.synced(&first).await, log.synced(&second).await);
        if room >= 272 {
            assert!(one.is_ok() && two.is_ok(), "{room}: {one:?} {two:?}");
            continue;
        }
        assert!(matches!((&one, &two), (Err(LogError::Full { .. }), Err(LogError::Full { .. }))), "{room}: {one:?}");
        assert!(matches!(log.append(&db("a"), record(1, 4, "refused")), Err(LogError::Full { .. })));
        assert!(log.status().full.is_some());
        assert_eq!(frames(&log, "a", 0).await, [(1, "kept".to_owned())]);
        disk.set_capacity(u64::MAX);
        env.clock.sleep(Duration::from_millis(1_100)).await;
        assert_eq!(log.status().full, None, "{room}");
        if room % 2 == 0 {
            assert_eq!(put(&log, "a", record(1, 5, "healed")).await.unwrap(), Sequence(3), "2 stays unused");
            assert_eq!(frames(&log, "a", 1).await, [(3, "healed".to_owned())]);
        }
        kill(&env, log).await;
        disk.crash();
        let (log, opened) = open(&env, config(), 2).await;
        assert_eq!(opened.damage, [], "{room}: a hole that was refused is no damage");
        let healed = if room % 2 == 0 { vec![(3, "healed".to_owned())] } else { vec![] };
        assert_eq!(frames(&log, "a", 1).await, healed, "{room}");
        assert_eq!(frames(&log, "b", 0).await, [], "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_kept_free() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let mut config = config();
    config.disk_reserve = ByteSize(10_000);
    let (log, _) = open(&env, config, 1).await;
    disk.set_capacity(disk.used() + 10_000 + 136);
    put(&log, "a", record(1, 1, "12345678")).await.unwrap();
    let operations = disk.operations();
    assert!(matches!(put(&log, "a", record(1, 2, "12345678")).await, Err(LogError::Full { .. })));
    assert_eq!(disk.operations(), operations, "nothing was tried");
}

#[tokio::test(start_paused = true)]
async fn no_room_for_a_new_segment_refuses_and_heals() {
    for room in [0, 10, 64, 100, 200] {
        let disk = SimDisk::new(room);
        let env = env(&disk);
        let mut config = config();
        config.segment_size = ByteSize(64);
        let (log, _) = open(&env, config.clone(), 1).await;
        disk.hide_capacity(true);
        disk.set_capacity(disk.used() + room);
        assert!(matches!(put(&log, "a", record(1, 1, "x")).await, Err(LogError::Full { .. })), "{room}");
        disk.set_capacity(u64::MAX);
        env.clock.sleep(Duration::from_millis(1_100)).await;
        assert_eq!(put(&log, "a", record(1, 2, "y")).await.unwrap(), Sequence(2));
        kill(&env, log).await;
        disk.crash();
        // A server must come up on a full disk, to persist and so make room.
        disk.hide_capacity(true);
        disk.set_capacity(disk.used());
        let (log, opened) = open(&env, config, 2).await;
        assert!(opened.damage.is_empty() && opened.torn_tail.is_none(), "{opened:?}");
        assert_eq!(frames(&log, "a", 0).await, [(2, "y".to_owned())]);
        assert!(matches!(log.append(&db("a"), record(2, 1, "z")), Err(LogError::Full { .. })));
        disk.set_capacity(u64::MAX);
        env.clock.sleep(Duration::from_millis(1_100)).await;
        assert_eq!(put(&log, "a", record(2, 1, "z")).await.unwrap(), Sequence(3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_ends_the_log() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    disk.fail_syncs(true);
    let failed = put(&log, "a", record(1, 2, "y")).await.unwrap_err();
    assert!(matches!(&failed, LogError::Failed { .. }) && !failed.is_retryable(), "{failed}");
    disk.fail_syncs(false);
    let operations = disk.operations();
    assert!(matches!(log.append(&db("a"), record(1, 3, "z")), Err(LogError::Failed { .. })));
    env.clock.sleep(Duration::from_secs(5)).await;
    assert!(log.status().failed.is_some());
    assert_eq!(log.synced_through(&db("a")), Sequence(1));
    assert_eq!(frames(&log, "a", 0).await, [(1, "x".to_owned())]);
    assert!(matches!(log.close().await, Err(LogError::Failed { .. })));
    assert_eq!(disk.operations(), operations, "nothing is written after it");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_log_writes_what_is_queued_and_lets_the_directory_go() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    log.append(&db("a"), record(1, 1, "accepted")).unwrap();
    drop(log);
    env.tasks.join().await;
    let (log, opened) = open(&env, config(), 2).await;
    assert!(!opened.sealed);
    assert_eq!(frames(&log, "a", 0).await, [(1, "accepted".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_writer_leaves_nobody_waiting() {
    let disk = SimDisk::new(1);
    let env = env(&disk);
    let (log, _) = open(&env, config(), 1).await;
    put(&log, "a", record(1, 1, "x")).await.unwrap();
    let appended = log.append(&db("a"), record(1, 2, "y")).unwrap();
    env.tasks.abort().await;
    assert!(matches!(log.synced(&appended).await, Err(LogError::Closed)));
    assert!(log.close().await.is_ok());
}
