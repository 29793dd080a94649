//! Cursors that lag: every policy, in every home.

use std::collections::BTreeMap;

use ochre_types::ByteSize;
use proptest::prelude::*;

use super::objects::{home, store};
use super::*;
use crate::{QueueLimit, WhenFull};

/// Logs that drop at a byte's notice in every home.
fn homes() -> Vec<LogConfig> {
    vec![config(), home(&store(1), 1), LogConfig::new(Home::Memory { limit: ByteSize::mib(64) })]
}

fn limit(bytes: u64, when_full: WhenFull) -> Option<QueueLimit> {
    Some(QueueLimit { max_bytes: Some(ByteSize(bytes)), max_age: None, when_full })
}

/// A step of a backlog: a frame of its own for each.
fn big(incarnation: u64, number: u64) -> Record {
    record(incarnation, number, &"x".repeat(70_000))
}

#[tokio::test(start_paused = true)]
async fn writes_wait_or_are_refused_and_pass_once_the_reader_has_caught_up() {
    for config in homes() {
        let env = env(&SimDisk::new(1));
        let (log, _) = open(&env, config, 1).await;
        let a = db("a");
        log.open_cursor("peer", &a, 1, Sequence(0)).await.unwrap();
        for i in 1..=3 {
            put(&log, "a", big(1, i)).await.unwrap();
        }
        log.admit(&a).await.unwrap();
        log.limit_cursor("peer", &a, limit(150_000, WhenFull::RefuseWrites)).unwrap();
        let status = &log.status().cursors[0];
        assert_eq!((status.lag_bytes, status.cursor.dropped_total), (3 * 70_128, 0));
        let refused = log.admit(&a).await.unwrap_err();
        assert!(matches!(&refused, LogError::QueueFull { lag_bytes: 210_384, .. }) && refused.is_retryable());
        log.admit(&db("b")).await.unwrap();
        put(&log, "a", big(1, 4)).await.unwrap();

        log.limit_cursor("peer", &a, limit(150_000, WhenFull::Block)).unwrap();
        let begin = env.clock.monotonic();
        assert!(matches!(log.admit(&a).await, Err(LogError::QueueFull { .. })));
        assert_eq!(env.clock.monotonic() - begin, Duration::from_secs(5));
        let reader = async {
            env.clock.sleep(Duration::from_secs(1)).await;
            log.advance_cursor("peer", &a, Sequence(1)).unwrap();
            env.clock.sleep(Duration::from_secs(1)).await;
            log.advance_cursor("peer", &a, Sequence(2)).unwrap();
        };
        let begin = env.clock.monotonic();
        let (admitted, ()) = tokio::join!(log.admit(&a), reader);
        admitted.unwrap();
        assert_eq!(env.clock.monotonic() - begin, Duration::from_secs(2));
        log.limit_cursor("peer", &a, None).unwrap();
        assert_eq!(log.status().cursors[0].limit, None);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_is_counted_durable_and_a_gap_for_the_reader() {
    for config in homes() {
        let is_memory = matches!(config.home, Home::Memory { .. });
        let disk = SimDisk::new(1);
        let env1 = env(&disk);
        let (log, _) = open(&env1, config.clone(), 1).await;
        let a = db("a");
        log.open_cursor("peer", &a, 1, Sequence(0)).await.unwrap();
        log.limit_cursor("peer", &a, limit(150_000, WhenFull::DropOldest)).unwrap();
        let mut reader = log.read_cursor("peer", &a).unwrap();
        for i in 1..=5 {
            put(&log, "a", big(1, i)).await.unwrap();
        }
        log.admit(&a).await.unwrap();
        let cursor = log.cursors()[0].clone();
        assert_eq!((cursor.position, cursor.dropped_through, cursor.dropped_total), (Sequence(0), Sequence(3), 3));
        assert_eq!(reader.next().await.unwrap(), Some(ReadItem::Gap { first: Sequence(1), last: Sequence(3) }));
        let Some(ReadItem::Frame(frame)) = reader.next().await.unwrap() else { panic!("no frame") };
        assert_eq!(frame.header.sequence, Sequence(4));
        // What was dropped pins nothing any more.
        log.flush_cursors().await.unwrap();
        assert_eq!(log.cursors()[0].flushed, Sequence(0));
        log.release(&BTreeMap::from([(a.clone(), Sequence(5))]));
        env1.clock.sleep(Duration::from_secs(2)).await;
        if is_memory {
            let gone = log.read(&a, Sequence(0)).next().await.unwrap_err();
            assert!(matches!(gone, LogError::Gone { oldest: Sequence(4), .. }), "{gone}");
            continue;
        }
        kill(&env1, log).await;
        disk.crash();
        // A restart does not hide the gap.
        let next = match config.home {
            Home::ObjectStore(mut home) => {
                home.epoch = ochre_types::Epoch(2);
                LogConfig { home: Home::ObjectStore(home), ..config }
            }
            _ => config,
        };
        let (log, _) = open(&env(&disk), next, 2).await;
        let mut reader = log.read_cursor("peer", &a).unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(ReadItem::Gap { first: Sequence(1), last: Sequence(3) }));
        log.advance_cursor("peer", &a, Sequence(3)).unwrap();
        let mut reader = log.read_cursor("peer", &a).unwrap();
        assert!(
            matches!(reader.next().await.unwrap(), Some(ReadItem::Frame(frame)) if frame.header.sequence == Sequence(4))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_too_old_are_dropped_though_nobody_writes() {
    let env = env(&SimDisk::new(1));
    let env = Env { clock: Arc::new(ochre_doubles::clock::SimClock::new()), ..env };
    let (log, _) = open(&env, config(), 1).await;
    let a = db("a");
    log.open_cursor("peer", &a, 1, Sequence(0)).await.unwrap();
    let max_age = Some(Duration::from_secs(60));
    let limit = QueueLimit { max_bytes: None, max_age, when_full: WhenFull::DropOldest };
    log.limit_cursor("peer", &a, Some(limit)).unwrap();
    for i in 1..=2 {
        let mut record = record(1, i, "x");
        record.stamp.hlc = Hlc::from_millis(env.clock.wall_millis());
        put(&log, "a", record).await.unwrap();
        env.clock.sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(log.cursors()[0].dropped_through, Sequence(0));
    assert_eq!(log.status().cursors[0].lag_age, Duration::from_secs(60));
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(log.cursors()[0].dropped_through, Sequence(1));
    env.clock.sleep(Duration::from_secs(30)).await;
    assert_eq!((log.cursors()[0].dropped_through, log.cursors()[0].dropped_total), (Sequence(2), 2));
}

#[derive(Debug, Clone)]
enum Step {
    Write,
    Advance(u64),
    Read,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Write),
        1 => (0u64..5).prop_map(Step::Advance),
        2 => Just(Step::Read),
        1 => Just(Step::Restart),
    ]
}

/// What a reader of a queue of at most `most` frames has to see, frame by frame.
#[derive(Debug, Default)]
struct Model {
    written: u64,
    position: u64,
    dropped: u64,
    dropped_total: u64,
}

impl Model {
    fn drop_oldest(&mut self, most: u64) {
        let passed = self.position.max(self.dropped);
        if self.written - passed > most {
            self.dropped_total += self.written - most - passed;
            self.dropped = self.written - most;
        }
    }
}

async fn run(steps: Vec<Step>, most: u64) {
    let disk = SimDisk::new(1);
    let a = db("a");
    let (mut env_, mut life) = (env(&disk), 1);
    let mut log = open(&env_, config(), life).await.0;
    let mut model = Model::default();
    log.open_cursor("peer", &a, 1, Sequence(0)).await.unwrap();
    let limits = limit(most * 70_128, WhenFull::DropOldest);
    log.limit_cursor("peer", &a, limits).unwrap();
    for step in steps {
        match step {
            Step::Write => {
                model.written += 1;
                put(&log, "a", big(life, model.written)).await.unwrap();
                model.drop_oldest(most);
            }
            Step::Advance(by) => {
                model.position = (model.position + by).min(model.written);
                log.advance_cursor("peer", &a, Sequence(model.position)).unwrap();
            }
            Step::Read => {
                let mut reader = log.read_cursor("peer", &a).unwrap();
                let mut at = model.position;
                while let Some(item) = reader.next().await.unwrap() {
                    let expected = if at < model.dropped { (at + 1, model.dropped) } else { (at + 1, at + 1) };
                    let got = match item {
                        ReadItem::Gap { first, last } => (first.0, last.0),
                        ReadItem::Frame(frame) => (frame.header.sequence.0, frame.header.sequence.0),
                        ReadItem::Damage(damage) => panic!("{damage}"),
                    };
                    assert_eq!(got, expected);
                    at = expected.1;
                }
                assert_eq!(at, model.written);
            }
            Step::Restart => {
                log.flush_cursors().await.unwrap();
                kill(&env_, log).await;
                disk.crash();
                (env_, life) = (env(&disk), life + 1);
                log = open(&env_, config(), life).await.0;
                log.limit_cursor("peer", &a, limits).unwrap();
            }
        }
        let cursor = &log.cursors()[0];
        let now = (cursor.position.0, cursor.dropped_through.0, cursor.dropped_total);
        assert_eq!(now, (model.position, model.dropped, model.dropped_total));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_queue_that_drops_its_oldest_is_as_the_model_says(steps in prop::collection::vec(step(), 1..40), most in 1u64..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, most));
    }
}
