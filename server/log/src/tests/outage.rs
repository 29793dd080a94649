//! An object store that is away: what waits is held up to a limit, and nothing is lost or out of order.

use ochre_types::ByteSize;

use super::objects::{home, start, store};
use super::*;

#[tokio::test(start_paused = true)]
async fn an_outage_is_absorbed_up_to_the_limit_and_heals_by_itself() {
    let objects = store(1);
    let env = env(&SimDisk::new(1));
    let mut config = home(&objects, 1);
    config.pending_limit = ByteSize(20_000);
    let (log, _) = open(&env, config, 1).await;
    put(&log, "a", record(1, 1, "before")).await.unwrap();
    objects.set_unavailable(true);
    let mut waiting = Vec::new();
    let refused = loop {
        let number = waiting.len() as u64 + 2;
        match log.append(&db("a"), record(1, number, &format!("{number} {}", "x".repeat(1_000)))) {
            Ok(appended) => waiting.push(appended),
            Err(error) => break error,
        }
        env.clock.sleep(Duration::from_secs(60)).await;
    };
    assert!(matches!(&refused, LogError::Full { .. }) && refused.is_retryable(), "{refused}");
    assert_eq!(waiting.len(), 17);
    assert!(log.status().pending_bytes <= 20_000 && log.status().pending_bytes > 18_000);
    assert!(futures::FutureExt::now_or_never(log.synced(&waiting[0])).is_none());
    env.clock.sleep(Duration::from_secs(1_800)).await;
    objects.set_unavailable(false);
    for one in &waiting {
        log.synced(one).await.unwrap();
    }
    assert_eq!(log.status().pending_bytes, 0);
    put(&log, "a", record(1, 99, "after")).await.unwrap();
    let read = frames(&log, "a", 0).await;
    let numbers: Vec<String> = read.iter().map(|(_, text)| text.split(' ').next().unwrap().to_owned()).collect();
    let expected: Vec<String> = (2..19).map(|number: u64| number.to_string()).collect();
    assert_eq!(&numbers[1..18], &expected[..]);
    assert_eq!((numbers[0].as_str(), numbers[18].as_str()), ("before", "after"));
    kill(&env, log).await;
    assert_eq!(frames(&start(&objects, 2).await.1, "a", 0).await, read);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_ever() {
    let objects = store(1);
    let (env, log, _) = start(&objects, 1).await;
    put(&log, "a", record(1, 1, "kept")).await.unwrap();
    objects.set_unavailable(true);
    let lost = log.append(&db("a"), record(1, 2, "never acknowledged")).unwrap();
    let begin = env.clock.monotonic();
    assert!(matches!(log.close().await, Err(LogError::Failed { .. })));
    assert_eq!(env.clock.monotonic() - begin, Duration::from_secs(20));
    assert!(matches!(log.synced(&lost).await, Err(LogError::Failed { .. })));
    objects.set_unavailable(false);
    assert_eq!(frames(&start(&objects, 2).await.1, "a", 0).await, [(1, "kept".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_lets_no_log_open_and_breaks_nothing() {
    let objects = store(1);
    let (env, log, _) = start(&objects, 1).await;
    put(&log, "a", record(1, 1, "kept")).await.unwrap();
    kill(&env, log).await;
    objects.set_unavailable(true);
    let opened = Log::open(&env, home(&objects, 2), Incarnation(2)).await;
    assert!(matches!(opened, Err(LogError::Object { .. })), "{opened:?}");
    objects.set_unavailable(false);
    assert_eq!(frames(&start(&objects, 3).await.1, "a", 0).await, [(1, "kept".to_owned())]);
}
