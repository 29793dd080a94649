//! Answers that are lost, refused, or come late.

use ochre_doubles::objects::{FaultRates, ObjectFault};
use std::time::Duration;

use super::*;
use crate::object::paused::block_on;

/// More than one operation tries.
const ALL_ATTEMPTS: u64 = 5;

#[test]
fn whatever_single_operation_fails_each_commit_is_in_exactly_once() {
    for fault in [ObjectFault::Refused, ObjectFault::LostAnswer, ObjectFault::Late] {
        let mut operation = 1;
        loop {
            let finished = block_on(async {
                let bench = Bench::new(1);
                let owner = bench.owner(1, 2).await;
                bench.objects.fail_at(bench.objects.operations() + operation, fault);
                let catalog = bench.open(&owner).await.unwrap();
                for name in ["a", "b", "c", "d"] {
                    catalog.commit(vec![table(name)]).await.unwrap();
                    bench.objects.deliver_late().await;
                }
                assert_eq!(tables(&catalog.state()), ["a", "b", "c", "d"]);
                assert_eq!(bench.loaded().await, (catalog.revision(), (*catalog.state()).clone()));
                assert_eq!(catalog.revision(), Revision(8), "no number is wasted: 1, 4 and 7 are checkpoints");
                bench.objects.faults() == 0
            });
            if finished {
                break;
            }
            operation += 1;
        }
        assert!(operation > 9, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revision_of_unknown_outcome_is_settled_before_the_next() {
    for fault in [ObjectFault::Refused, ObjectFault::LostAnswer, ObjectFault::Late] {
        let bench = Bench::new(1);
        let catalog = bench.open(&bench.owner(1, 100).await).await.unwrap();
        bench.objects.fail_next(ALL_ATTEMPTS, fault);
        let error = catalog.commit(vec![table("a")]).await.unwrap_err();
        assert!(matches!(error, CommitError::Unknown { .. }) && error.is_retryable(), "{error}");
        assert_eq!(tables(&catalog.state()), [""; 0], "not visible while it is not known");

        bench.objects.fail_next(ALL_ATTEMPTS, ObjectFault::Refused);
        let error = catalog.commit(vec![table("b")]).await.unwrap_err();
        assert!(matches!(error, CommitError::Waiting { .. }) && error.is_retryable(), "{error}");

        bench.objects.deliver_late().await;
        assert_eq!(catalog.commit(vec![table("b")]).await.unwrap(), Revision(4));
        assert_eq!(tables(&catalog.state()), ["a", "b"]);
        // Who got the error commits again.
        catalog.commit(vec![table("a")]).await.unwrap();
        assert_eq!(tables(&bench.loaded().await.1), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_dropped_is_settled_by_the_next() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 100).await).await.unwrap();
    bench.objects.pause(true);
    let dropped = tokio::time::timeout(Duration::from_secs(1), catalog.commit(vec![table("a")])).await;
    assert!(dropped.is_err());
    bench.objects.pause(false);
    assert_eq!(catalog.commit(vec![table("b")]).await.unwrap(), Revision(4));
    assert_eq!(tables(&bench.loaded().await.1), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_was_given_up_disturbs_nothing_when_it_arrives_late() {
    let bench = Bench::new(1);
    let owner = bench.owner(1, 100).await;
    bench.open(&owner).await.unwrap().commit(vec![table("a")]).await.unwrap();
    let owner = bench.owner(2, 100).await;
    let next = bench.objects.operations() + 1;
    // Listing, three revisions, then the take-over.
    for put in next + 4..next + 4 + ALL_ATTEMPTS {
        bench.objects.fail_at(put, ObjectFault::Late);
    }
    let error = bench.open(&owner).await.unwrap_err();
    assert!(matches!(error, OpenError::TakeOver(CommitError::Unknown { .. })) && error.is_retryable(), "{error}");
    assert_eq!(bench.load().await.unwrap().unwrap().0, Revision(3));
    bench.objects.pause(true);
    let (catalog, _) = tokio::join!(bench.open(&owner), async {
        bench.env.clock.sleep(Duration::from_secs(1)).await;
        bench.objects.pause(false);
        bench.objects.deliver_late().await;
    });
    let catalog = catalog.unwrap();
    owner.fence.check_held().unwrap();
    catalog.commit(vec![table("b")]).await.unwrap();
    assert_eq!(tables(&bench.loaded().await.1), ["a", "b"]);
}

#[test]
fn under_any_faults_what_was_answered_is_there_in_order() {
    for seed in 0..60 {
        block_on(async {
            let bench = Bench::new(seed);
            let owner = bench.owner(1, 3).await;
            let max_delay = Duration::from_millis(20);
            bench.objects.set_rates(FaultRates { refused: 300, lost_answer: 200, late: 200, max_delay });
            let catalog = loop {
                match bench.open(&owner).await {
                    Ok(catalog) => break catalog,
                    Err(error) => assert!(error.is_retryable(), "seed {seed}: {error}"),
                }
            };
            let mut answered = Vec::new();
            for number in 0..20u64 {
                let name = format!("{number:02}");
                match catalog.commit(vec![table(&name)]).await {
                    Ok(_) => answered.push(name),
                    Err(error) => assert!(error.is_retryable(), "seed {seed}: {error}"),
                }
                if number % 3 == 0 {
                    bench.objects.deliver_late().await;
                }
            }
            bench.objects.set_rates(FaultRates::default());
            catalog.commit(Vec::new()).await.unwrap();
            let state = catalog.state();
            assert_eq!(bench.loaded().await, (catalog.revision(), (*state).clone()), "seed {seed}");
            let found = tables(&state);
            assert!(answered.iter().all(|name| found.contains(name)), "seed {seed}: {answered:?} in {found:?}");
        });
    }
}
