//! The home in an object store: what is kept, crashes, damage, and who may write.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload};
use ochre_doubles::objects::{FaultRates, ObjectFault, SimObjects};
use ochre_types::{ByteSize, Epoch, LogId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{DamageCause, DirectoryReader, ObjectHome, inspect_objects};

/// Seams without a disk.
fn machine() -> Env {
    env(&SimDisk::new(1))
}

pub(super) fn store(seed: u64) -> SimObjects {
    SimObjects::new(machine().clock, seed)
}

pub(super) fn home(objects: &SimObjects, epoch: u64) -> LogConfig {
    let mut config = LogConfig::new(Home::ObjectStore(ObjectHome {
        store: Arc::new(objects.clone()),
        folder: ObjectPath::from("a/log"),
        epoch: Epoch(epoch),
        known: None,
        flush_every: ObjectHome::FLUSH_EVERY,
    }));
    config.max_group_bytes = ByteSize(4_096);
    config
}

/// A process on a machine of its own.
pub(super) async fn start(objects: &SimObjects, epoch: u64) -> (Env, Log, Opened) {
    let env = machine();
    let (log, opened) = open(&env, home(objects, epoch), epoch).await;
    (env, log, opened)
}

async fn segments(objects: &SimObjects) -> Vec<String> {
    let paths = objects.paths().await;
    let short = |path: &ObjectPath| {
        let parts: Vec<_> = path.as_ref().trim_end_matches(".seg").rsplit('/').take(2).map(str::to_owned).collect();
        format!("{}/{}", parts[1].trim_start_matches('0'), parts[0].trim_start_matches('0'))
    };
    paths.iter().map(short).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_on_an_empty_machine() {
    let objects = store(1);
    let (env, log, opened) = start(&objects, 3).await;
    assert!(opened.created && opened.damage.is_empty());
    assert_eq!(put(&log, "a", record(3, 1, "one")).await.unwrap(), Sequence(1));
    assert_eq!(put(&log, "ü b", record(3, 2, "two")).await.unwrap(), Sequence(1));
    kill(&env, log).await;

    let (env, log, opened) = start(&objects, 4).await;
    assert_eq!((opened.created, opened.sealed, opened.log_id), (false, false, LogId(7)));
    assert_eq!(opened.damage, []);
    assert_eq!(opened.highest_stamp, Hlc(3_002));
    let predecessor = opened.databases[&db("a")].predecessor.unwrap();
    assert_eq!((predecessor.incarnation, predecessor.last_origin_sequence), (Incarnation(3), 1));
    assert_eq!(frames(&log, "a", 0).await, [(1, "one".to_owned())]);
    assert_eq!(frames(&log, "ü b", 0).await, [(1, "two".to_owned())]);
    assert_eq!(put(&log, "a", record(4, 1, "three")).await.unwrap(), Sequence(2));
    log.close().await.unwrap();
    assert!(matches!(log.append(&db("a"), record(4, 2, "late")), Err(LogError::Closed)));
    drop((env, log));

    let (_env, log, opened) = start(&objects, 9).await;
    assert!(opened.sealed && opened.damage.is_empty(), "{opened:?}");
    assert_eq!(frames(&log, "a", 0).await, [(1, "one".to_owned()), (2, "three".to_owned())]);
    // Epochs 1 and 2 were closed by the first start, 5 to 8 by the last one.
    let there = segments(&objects).await;
    assert_eq!(
        there,
        ["1/1", "2/1", "3/1", "3/2", "3/3", "3/4", "4/1", "4/2", "4/3", "5/1", "6/1", "7/1", "8/1", "9/1"]
    );
}

#[tokio::test(start_paused = true)]
async fn groups_go_by_time_or_bytes_and_are_acknowledged_in_order() {
    let objects = store(1);
    let (env, log, _) = start(&objects, 1).await;
    let puts = objects.puts();
    put(&log, "a", record(1, 1, "at once")).await.unwrap();
    let begin = env.clock.monotonic();
    let appended: Vec<_> = (2..30).map(|i| log.append(&db("a"), record(1, i, "x")).unwrap()).collect();
    for one in &appended {
        log.synced(one).await.unwrap();
    }
    assert_eq!(objects.puts() - puts, 2, "what comes within the time is one segment");
    assert_eq!(env.clock.monotonic() - begin, ObjectHome::FLUSH_EVERY);
    let big = "x".repeat(3_000);
    let appended: Vec<_> = (30..36).map(|i| log.append(&db("a"), record(1, i, &big)).unwrap()).collect();
    objects.set_rates(FaultRates { max_delay: Duration::from_millis(100), ..FaultRates::default() });
    for (i, one) in appended.iter().enumerate() {
        log.synced(one).await.unwrap();
        assert!(log.synced_through(&db("a")) >= Sequence(30 + i as u64));
    }
    assert_eq!(objects.puts() - puts, 8, "a full segment does not wait");
    assert_eq!(frames(&log, "a", 0).await.len(), 35);
}

#[tokio::test(start_paused = true)]
async fn segments_go_oldest_first_and_seals_stay() {
    let objects = store(1);
    let (env, log, _) = start(&objects, 1).await;
    for i in 1..=5 {
        put(&log, "a", record(1, i, "x")).await.unwrap();
    }
    log.open_cursor("peer", &db("a"), 1, Sequence(0)).await.unwrap();
    kill(&env, log).await;
    let (env, log, opened) = start(&objects, 2).await;
    assert_eq!(log.cursors()[0].position, Sequence(0), "cursors are in the segments");
    assert_eq!(opened.databases[&db("a")].oldest, Sequence(1));
    put(&log, "b", record(2, 1, "y")).await.unwrap();
    log.release(&BTreeMap::from([(db("a"), Sequence(5)), (db("b"), Sequence(1))]));
    env.clock.sleep(Duration::from_secs(5)).await;
    assert_eq!(log.status().segments, 9, "the cursor has not moved: only what is before the first frame goes");
    log.advance_cursor("peer", &db("a"), Sequence(5)).unwrap();
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(log.cursors()[0].flushed, Sequence(5));
    log.release(&BTreeMap::new());
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(log.status().segments, 2, "the newest, and the one that says so");
    assert_eq!(segments(&objects).await, ["1/8", "2/4", "2/5"]);
    assert!(matches!(log.read(&db("a"), Sequence(0)).next().await, Err(LogError::Gone { .. })));
    kill(&env, log).await;
    let (_env, log, opened) = start(&objects, 3).await;
    assert_eq!(opened.damage, []);
    assert_eq!(opened.databases[&db("a")].last, Sequence(5), "heads remember what was dropped");
    assert_eq!(log.cursors()[0].position, Sequence(5));
    assert_eq!(put(&log, "a", record(3, 1, "next")).await.unwrap(), Sequence(6));
    log.delete_cursor("peer", &db("a")).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(start(&objects, 4).await.1.cursors(), []);
}

/// What an outside observer knows.
#[derive(Debug, Default)]
struct Journal {
    appended: BTreeMap<u64, Vec<String>>,
    acknowledged: BTreeMap<u64, String>,
    released: u64,
    cursor: u64,
}

async fn work(log: &Log, life: u64, journal: &mut Journal) -> Result<(), LogError> {
    log.open_cursor("peer", &db("a"), 1, Sequence(0)).await?;
    for round in 0..5u64 {
        let mut waiting = Vec::new();
        for i in 0..3 {
            let text = format!("{life} {round} {i} {}", "x".repeat(1_500));
            let appended = log.append(&db("a"), record(life, round * 3 + i + 1, &text))?;
            journal.appended.entry(appended.sequence.0).or_default().push(text.clone());
            waiting.push((text, appended));
        }
        for (text, appended) in waiting {
            log.synced(&appended).await?;
            journal.acknowledged.insert(appended.sequence.0, text);
        }
        let synced = log.synced_through(&db("a"));
        log.advance_cursor("peer", &db("a"), synced)?;
        if round % 2 == 1 {
            log.flush_cursors().await?;
            (journal.cursor, journal.released) = (synced.0, synced.0 - 1);
            log.release(&BTreeMap::from([(db("a"), Sequence(journal.released))]));
        }
    }
    log.close().await
}

async fn check(log: &Log, opened: &Opened, journal: &Journal, what: &str) {
    assert_eq!(opened.damage, [], "{what}");
    let oldest = opened.databases.get(&db("a")).map_or(1, |tail| tail.oldest.0);
    assert!(oldest <= journal.released + 1, "{what}: dropped up to {oldest}");
    let read: BTreeMap<u64, String> = frames(log, "a", oldest - 1).await.into_iter().collect();
    for (sequence, text) in &journal.acknowledged {
        assert!(*sequence < oldest || read.get(sequence) == Some(text), "{what}: {sequence} is lost");
    }
    for (sequence, text) in &read {
        assert!(journal.appended[sequence].contains(text), "{what}: {sequence} is a phantom");
    }
    let cursor = log.cursors().first().map_or(0, |cursor| cursor.position.0);
    assert!(cursor >= journal.cursor, "{what}: the cursor went back to {cursor}");
}

/// Lets the process of the first life end at the given operation, in the given way; returns the operations of each.
async fn lives(at: u64, fault: Option<ObjectFault>, second: Option<u64>) -> Vec<u64> {
    let what = format!("{fault:?} at {at}, then {second:?}");
    let objects = store(at);
    let mut journal = Journal::default();
    let mut counts = Vec::new();
    for life in 1..=3 {
        let before = objects.operations();
        let ends_at = match life {
            1 => Some(at),
            2 => second,
            _ => None,
        };
        if let Some(ends_at) = ends_at {
            objects.fail_at(before + ends_at, fault.unwrap_or(ObjectFault::Refused));
            (1..500).for_each(|later| objects.fail_at(before + ends_at + later, ObjectFault::Refused));
        }
        let env = machine();
        let run = async {
            let (log, opened) = Log::open(&env, home(&objects, life), Incarnation(life)).await?;
            check(&log, &opened, &journal, &format!("{what}, life {life}")).await;
            work(&log, life, &mut journal).await
        };
        let deadline = env.clock.sleep(Duration::from_secs(5));
        tokio::select! { biased; ended = run => assert!(ended.is_ok() || ends_at.is_some(), "{what}: {ended:?}"), () = deadline => {} }
        env.tasks.abort().await;
        counts.push(objects.operations() - before);
        // What the process had not heard of arrives when it is dead.
        objects.clear_planned();
        objects.deliver_late().await;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_wherever_the_process_ends() {
    let counts = lives(u64::MAX / 4, None, None).await;
    assert!(counts[0] > 20, "{counts:?}");
    for at in 1..=counts[0] {
        for fault in [ObjectFault::Refused, ObjectFault::LostAnswer, ObjectFault::Late] {
            lives(at, Some(fault), None).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn opening_may_end_anywhere_too() {
    let counts = lives(u64::MAX / 4, None, None).await;
    for at in (1..=counts[0]).step_by(3) {
        for second in 1..=12 {
            for fault in [ObjectFault::LostAnswer, ObjectFault::Late] {
                lives(at, Some(fault), Some(second)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn single_faults_are_survived_without_an_end() {
    for seed in 0..40 {
        let objects = store(seed);
        let rate = FaultRates { refused: 40, lost_answer: 40, late: 20, max_delay: Duration::from_millis(300) };
        objects.set_rates(rate);
        let mut journal = Journal::default();
        for life in 1..=3 {
            let (env, log, opened) = start(&objects, life).await;
            check(&log, &opened, &journal, &format!("seed {seed}, life {life}")).await;
            work(&log, life, &mut journal).await.unwrap();
            env.tasks.abort().await;
            objects.deliver_late().await;
        }
    }
}

/// The first process writes while the second takes over; then it goes on trying.
async fn fencing_round(seed: u64) -> usize {
    let mut random = SmallRng::seed_from_u64(seed);
    let objects = store(seed);
    let rate = FaultRates {
        refused: 20,
        lost_answer: 40,
        late: 20,
        max_delay: Duration::from_millis(random.random_range(0..400)),
    };
    let (env, first, _) = start(&objects, 1).await;
    objects.set_rates(rate);
    let acknowledged = Arc::new(parking_lot::Mutex::new(BTreeMap::new()));
    let (told, writer) = (acknowledged.clone(), first.clone());
    let size = random.random_range(1..800);
    env.tasks.spawn("first", async move {
        for i in 1..400 {
            let text = format!("{i} {}", "x".repeat(size));
            match writer.append(&db("a"), record(1, i, &text)) {
                Ok(appended) if i % 3 == 0 => match writer.synced(&appended).await {
                    Ok(()) => drop(told.lock().insert(appended.sequence.0, text)),
                    Err(_) => return,
                },
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    env.clock.sleep(Duration::from_millis(random.random_range(0..1_500))).await;
    let env2 = machine();
    let opened = Log::open(&env2, home(&objects, 2), Incarnation(2)).await;
    let (second, opened) = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(opened.damage, [], "seed {seed}");
    // Whatever is appended from now on is never acknowledged.
    let late = first.append(&db("a"), record(1, 5_000, "after the take-over"));
    let late = match late {
        Ok(late) => first.synced(&late).await,
        Err(error) => Err(error),
    };
    assert!(matches!(late, Err(LogError::Fenced { .. })), "seed {seed}: {late:?}");
    objects.deliver_late().await;
    assert!(first.status().fenced && matches!(first.close().await, Err(LogError::Fenced { .. })));
    let read: BTreeMap<u64, String> = frames(&second, "a", 0).await.into_iter().collect();
    let acknowledged = acknowledged.lock().clone();
    for (sequence, text) in &acknowledged {
        assert_eq!(read.get(sequence), Some(text), "seed {seed}: {sequence} was acknowledged and is not in the log");
    }
    acknowledged.len()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_that_the_next_owner_does_not_have() {
    let mut acknowledged = 0;
    for seed in 0..200 {
        acknowledged += fencing_round(seed).await;
    }
    assert!(acknowledged > 200, "{acknowledged}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_slept_for_long_meets_the_seal() {
    let objects = store(1);
    let (_env, first, _) = start(&objects, 1).await;
    put(&first, "a", record(1, 1, "x")).await.unwrap();
    for epoch in 2..6 {
        let (env, log, opened) = start(&objects, epoch).await;
        assert_eq!(opened.damage, []);
        put(&log, "a", record(epoch, 1, "y")).await.unwrap();
        log.release(&BTreeMap::from([(db("a"), log.synced_through(&db("a")))]));
        env.clock.sleep(Duration::from_secs(60)).await;
        kill(&env, log).await;
    }
    assert_eq!(segments(&objects).await, ["1/3", "2/4", "3/4", "4/4", "5/2", "5/3"]);
    let late = put(&first, "a", record(1, 2, "late")).await;
    assert!(matches!(late, Err(LogError::Fenced { .. })), "{late:?}");
    assert!(matches!(first.append(&db("a"), record(1, 3, "x")), Err(LogError::Fenced { .. })));
    assert!(matches!(Log::open(&machine(), home(&objects, 4), Incarnation(9)).await, Err(LogError::Fenced { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_lies_behind_a_segment_that_never_arrived_was_not_acknowledged() {
    let objects = store(1);
    let (env, log, _) = start(&objects, 1).await;
    put(&log, "a", record(1, 1, "kept")).await.unwrap();
    let big = "x".repeat(4_000);
    // The next segment is refused for as long as the process lives; those behind it arrive.
    let (refused, ok) = (objects.operations() + 1, objects.operations() + 2);
    objects.fail_at(refused, ObjectFault::Refused);
    (ok + 2..ok + 100).for_each(|operation| objects.fail_at(operation, ObjectFault::Refused));
    let lost: Vec<_> = (2..5).map(|i| log.append(&db("a"), record(1, i, &big)).unwrap()).collect();
    env.clock.sleep(Duration::from_millis(20)).await;
    assert_eq!(segments(&objects).await, ["1/1", "1/2", "1/4", "1/5"]);
    assert!(futures::FutureExt::now_or_never(log.synced(&lost[1])).is_none());
    kill(&env, log).await;
    objects.clear_planned();
    let (env, log, opened) = start(&objects, 2).await;
    assert_eq!((opened.damage, opened.databases[&db("a")].last), (vec![], Sequence(1)));
    assert_eq!(frames(&log, "a", 0).await, [(1, "kept".to_owned())]);
    env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(segments(&objects).await, ["1/1", "1/2", "1/3", "2/1"], "what was not acknowledged is removed");
}

/// A log of two processes, and what it serves.
async fn several(objects: &SimObjects) -> BTreeMap<String, Vec<(u64, String)>> {
    let (env, log, _) = start(objects, 1).await;
    for i in 0..5 {
        put(&log, if i % 3 == 0 { "b" } else { "a" }, record(1, i, &format!("payload {i}"))).await.unwrap();
    }
    kill(&env, log).await;
    let (env, log, _) = start(objects, 2).await;
    put(&log, "a", record(2, 1, "of the second")).await.unwrap();
    let served =
        BTreeMap::from([("a".to_owned(), frames(&log, "a", 0).await), ("b".to_owned(), frames(&log, "b", 0).await)]);
    kill(&env, log).await;
    served
}

/// The same objects in another store.
async fn copy(objects: &SimObjects) -> SimObjects {
    let copy = store(2);
    for path in objects.paths().await {
        let bytes = objects.memory().get(&path).await.unwrap().bytes().await.unwrap();
        copy.memory().put(&path, PutPayload::from_bytes(bytes)).await.unwrap();
    }
    copy
}

async fn check_read(log: &Log, name: &str, expected: &[(u64, String)], what: &str) -> usize {
    let mut got: BTreeMap<u64, Option<String>> = BTreeMap::new();
    for item in items(log, name, 0).await {
        match item {
            ReadItem::Frame(frame) => drop(got.insert(frame.header.sequence.0, Some(text(&frame)))),
            ReadItem::Damage(damage) => {
                let (first, last) = damage.sequences[&db(name)];
                got.extend((first.0..=last.0).map(|sequence| (sequence, None)));
            }
            ReadItem::Gap { .. } => panic!("{what}: a gap"),
        }
    }
    let lost = expected.iter().filter(|(sequence, text)| match got.get(sequence) {
        Some(Some(served)) => {
            assert_eq!(served, text, "{what}");
            false
        }
        Some(None) => true,
        None => panic!("{what}: {sequence} of {name} is neither served nor named"),
    });
    lost.count()
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_anywhere_is_named_and_never_served() {
    let original = store(1);
    let served = several(&original).await;
    for path in original.paths().await {
        let length = original.memory().head(&path).await.unwrap().size as usize;
        for offset in 0..length {
            let what = format!("{path} at {offset}");
            let objects = copy(&original).await;
            objects.flip(&path, offset, 1 << (offset % 8)).await.unwrap();
            let (env, log, opened) = start(&objects, 3).await;
            assert_eq!(opened.log_id, LogId(7), "{what}");
            assert_eq!(
                opened.damage.is_empty(),
                path.as_ref().ends_with("0001/00000000000000000007.seg") && offset >= 64,
                "{what}: {:?}",
                opened.damage
            );
            for (name, expected) in &served {
                assert!(check_read(&log, name, expected, &what).await <= 1, "{what}");
            }
            let last = opened.databases[&db("a")].last;
            assert!(put(&log, "a", record(3, 1, "more")).await.unwrap() > last, "{what}");
            kill(&env, log).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_cut_swapped_and_foreign_segments_are_named() {
    let original = store(1);
    let served = several(&original).await;
    let paths = original.paths().await;
    let causes = |opened: &Opened| opened.damage.iter().map(|damage| damage.cause.clone()).collect::<Vec<_>>();

    let objects = copy(&original).await;
    objects.memory().delete(&paths[2]).await.unwrap();
    let (env, log, opened) = start(&objects, 3).await;
    assert_eq!(causes(&opened), [DamageCause::MissingSegment]);
    assert_eq!(opened.damage[0].file, "00000000000000000001/00000000000000000003.seg");
    let mut lost = 0;
    for (name, expected) in &served {
        lost += check_read(&log, name, expected, "missing").await;
    }
    assert_eq!(lost, 1);
    kill(&env, log).await;

    let bytes = |at: usize| {
        let (objects, path) = (original.clone(), paths[at].clone());
        async move { objects.memory().get(&path).await.unwrap().bytes().await.unwrap() }
    };
    let objects = copy(&original).await;
    let whole = bytes(2).await;
    objects.memory().put(&paths[2], PutPayload::from_bytes(whole.slice(..whole.len() - 100))).await.unwrap();
    let (_env, _log, opened) = start(&objects, 3).await;
    let expected = whole.len() as u64;
    assert!(causes(&opened).contains(&DamageCause::Shortened { expected }), "{opened:?}");

    let objects = copy(&original).await;
    objects.memory().put(&paths[2], PutPayload::from_bytes(bytes(1).await)).await.unwrap();
    let (_env, _log, opened) = start(&objects, 3).await;
    assert_eq!(causes(&opened), [DamageCause::OtherNumber { found: (1 << 32) + 2 }]);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_looked_at_without_touching_it() {
    let objects = store(1);
    let served = several(&objects).await;
    let puts = objects.puts();
    let env = machine();
    let folder = || ObjectPath::from("a/log");
    let store: Arc<dyn object_store::ObjectStore> = Arc::new(objects.clone());
    let looked = inspect_objects(&env, store.clone(), folder()).await.unwrap();
    assert_eq!((looked.log_id, looked.sealed, looked.damage), (Some(LogId(7)), false, vec![]));
    assert_eq!(looked.databases[&db("a")].synced_through, Sequence(4));
    assert_eq!(looked.segments.iter().map(|segment| segment.frames).sum::<u64>(), 6);
    let mut reader = DirectoryReader::open_objects(&env, store.clone(), folder()).await.unwrap();
    let mut read: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    while let Some(item) = reader.next().await.unwrap() {
        let ReadItem::Frame(frame) = item else { panic!("{item:?}") };
        read.entry(frame.header.database.to_string()).or_default().push((frame.header.sequence.0, text(&frame)));
    }
    assert_eq!(read, served);
    assert_eq!(objects.puts(), puts);
    let nothing = inspect_objects(&env, store, ObjectPath::from("b/log")).await.unwrap();
    assert_eq!((nothing.log_id, nothing.segments), (None, vec![]));
}

#[tokio::test(start_paused = true)]
async fn every_segment_has_a_name_of_its_own() {
    let objects = store(3);
    several(&objects).await;
    let there = segments(&objects).await;
    assert_eq!(there.iter().collect::<BTreeSet<_>>().len(), there.len());
    assert_eq!(crate::object::split(crate::object::ordinal(7, 9)), (7, 9));
}
