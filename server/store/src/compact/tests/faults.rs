//! Whatever operation of the object store fails while chunks are joined, their content stays, once.

use std::time::Duration;

use ochre_doubles::objects::ObjectFault;

use super::bench::{Bench, DAY, Running};
use super::{TEMPLATES, row};
use crate::lifecycle::Demand;

/// Three chunks that overlap, and a deletion.
async fn scene() -> (Bench, Running) {
    let mut bench = Bench::new();
    let running = bench.start(TEMPLATES[2]).await;
    for field in ["usage", "hits", "usage"] {
        bench.write(&running, &[row("a", 0, &[field]), row("b", DAY, &[field]), row("c", 5, &["hits"])]);
        running.lifecycle.step(Demand::PersistAll).await.unwrap();
    }
    bench.delete(&running, Some("b"), (0, 2 * DAY));
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    (bench, running)
}

/// The operations that joining takes where nothing fails.
async fn operations() -> (u64, u64) {
    let (bench, running) = scene().await;
    let before = bench.faults.operations();
    bench.compact(&running).await;
    let count = bench.faults.operations() - before;
    bench.check(&running).await;
    assert_eq!(running.catalog.state().chunks().count(), 1);
    (before, count)
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_fails_or_loses_its_answer_costs_nothing() {
    let (before, count) = operations().await;
    assert!(count >= 8, "{count}");
    for fault in [ObjectFault::Refused, ObjectFault::LostAnswer, ObjectFault::Late] {
        for operation in 1..=count {
            let (mut bench, running) = scene().await;
            assert_eq!(bench.faults.operations(), before, "a scene is always the same");
            bench.faults.fail_at(before + operation, fault);
            // Reads are not repeated here: the job fails then, and goes through next time.
            let first = bench.try_compact(&running).await;
            bench.check(&running).await;
            if first.is_err() {
                bench.compact(&running).await;
            }
            bench.faults.deliver_late().await;
            bench.check(&running).await;
            assert_eq!(running.catalog.state().chunks().count(), 1, "{fault:?} at {operation}");
            let running = bench.start(TEMPLATES[2]).await;
            bench.check(&running).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_operation_leaves_inputs_or_outputs() {
    let (before, count) = operations().await;
    let mut joined = 0;
    for operation in 0..=count {
        let (mut bench, running) = scene().await;
        // From here on nothing gets through; then the server is gone.
        for lost in operation + 1..=operation + 200 {
            bench.faults.fail_at(before + lost, ObjectFault::Refused);
        }
        let stuck = bench.env.clock.sleep(Duration::from_secs(20));
        tokio::select! {
            biased;
            _ = bench.try_compact(&running) => {}
            () = stuck => {}
        }
        bench.env.tasks.abort().await;
        drop(running);
        bench.faults.heal();
        let running = bench.start(TEMPLATES[2]).await;
        let chunks = running.catalog.state().chunks().count();
        assert!(chunks == 1 || chunks >= 3, "{chunks} after {operation}");
        joined += usize::from(chunks == 1);
        bench.check(&running).await;
        bench.compact(&running).await;
        bench.check(&running).await;
        assert_eq!(running.catalog.state().chunks().count(), 1);
    }
    assert!(joined > 0 && joined < count as usize, "{joined}");
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_for_a_commit_does_not_stop_it() {
    let (before, count) = operations().await;
    let (bench, running) = scene().await;
    // The last operation is the commit's put: all tries of it fail, and it is repeated for as long as it takes.
    for lost in 0..5 {
        bench.faults.fail_at(before + count + lost, ObjectFault::Refused);
    }
    let impatient = bench.env.clock.sleep(Duration::from_millis(900));
    tokio::select! {
        biased;
        done = bench.try_compact(&running) => panic!("the commit can't be there: {done:?}"),
        () = impatient => {}
    }
    bench.check(&running).await;
    bench.env.clock.sleep(Duration::from_secs(10)).await;
    assert_eq!(running.catalog.state().chunks().count(), 1);
    bench.check(&running).await;
}
