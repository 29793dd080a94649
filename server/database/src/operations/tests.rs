//! Operations: progress, their ends, waiting, bounds.

use super::*;

fn operations() -> Operations {
    Operations::new(&Env::system(), Incarnation(7))
}

fn work(kind: &'static str) -> Work {
    Work { kind, database: None, target: "all".to_owned(), unit: "chunks", begun_by: "ann".to_owned() }
}

#[tokio::test]
async fn progress_is_seen_and_kept_after_the_end() {
    let operations = operations();
    let progress = operations.begin(work("scrub")).unwrap();
    assert_eq!(progress.id(), "0000000000000007-1");
    progress.set_total(3);
    progress.advance(2);
    progress.finding("one");
    let seen = operations.get(progress.id()).unwrap();
    assert_eq!((seen.state, seen.done, seen.total, seen.ended_millis), (OperationState::Running, 2, 3, None));
    assert_eq!((seen.work, seen.findings), (work("scrub"), vec!["one".to_owned()]));
    progress.finish("all is well");
    progress.fail("too late");
    let id = progress.id().to_owned();
    drop(progress);
    let seen = operations.get(&id).unwrap();
    assert_eq!((seen.state, &*seen.message), (OperationState::Done, "all is well"));
    assert!(seen.ended_millis >= Some(seen.started_millis));
    assert_eq!(operations.list(), [seen]);
    for unknown in ["0000000000000007-2", "0000000000000008-1", "0000000000000007-01", "1", "", "-"] {
        assert_eq!(operations.get(unknown), None, "{unknown}");
    }
}

#[tokio::test]
async fn what_is_dropped_or_asked_to_end_says_so() {
    let operations = operations();
    let dropped = operations.begin(work("a")).unwrap().id().to_owned();
    assert_eq!(operations.get(&dropped).unwrap().state, OperationState::Failed);

    let stopped = operations
        .spawn(work("b"), |progress| async move {
            progress.cancellation().await;
            Err("it was asked to end".to_owned())
        })
        .unwrap();
    assert_eq!(operations.wait(&stopped.id, Duration::ZERO).await.unwrap().state, OperationState::Running);
    operations.cancel(&stopped.id).unwrap();
    let ended = operations.wait(&stopped.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!((ended.state, &*ended.message), (OperationState::Cancelled, "it was asked to end"));

    let failed = operations.spawn(work("c"), |_| async { Err("broken".to_owned()) }).unwrap();
    let ended = operations.wait(&failed.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!((ended.state, &*ended.message), (OperationState::Failed, "broken"));
    let kinds: Vec<_> = operations.list().iter().map(|operation| operation.work.kind).collect();
    assert_eq!(kinds, ["c", "b", "a"]);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let operations = operations();
    let first = operations.begin(work("runs on")).unwrap();
    for _ in 0..MAX_ENDED + 10 {
        operations.begin(work("ends")).unwrap().finish("");
    }
    assert_eq!(operations.list().len(), MAX_ENDED + 1);
    assert_eq!(operations.get(first.id()).unwrap().state, OperationState::Running);
    let running: Vec<_> = (1..MAX_RUNNING).map(|_| operations.begin(work("runs")).unwrap()).collect();
    assert_eq!(operations.begin(work("one more")).unwrap_err(), OperationError::TooMany);
    drop(running);
    for number in 0..MAX_FINDINGS + 2 {
        first.finding(number.to_string());
    }
    let findings = first.operation().findings;
    assert_eq!((findings.len(), &*findings[MAX_FINDINGS]), (MAX_FINDINGS + 1, "and 2 more"));
}
