//! Two servers on one prefix.

use ochre_doubles::objects::ObjectFault;
use ochre_types::Epoch;
use std::time::Duration;

use super::record::Decoded;
use super::*;

async fn writers(bench: &Bench, revision: Revision) -> Vec<u64> {
    let mut epochs = Vec::new();
    for number in 1..=revision.0 {
        let bytes = crate::object::create::read(&bench.store, &bench.env.clock, &bench.object(number)).await.unwrap();
        epochs.push(Decoded::<CatalogState>::read(Revision(number), &bytes).unwrap().envelope.epoch.0);
    }
    epochs
}

#[tokio::test(start_paused = true)]
async fn after_a_take_over_nothing_of_the_older_writer_enters() {
    let bench = Bench::new(1);
    let old_owner = bench.owner(1, 100).await;
    let old = bench.open(&old_owner).await.unwrap();
    old.commit(vec![table("a")]).await.unwrap();
    let new_owner = bench.owner(2, 100).await;
    // Between the claim and the take-over the older one may still commit.
    old.commit(vec![table("b")]).await.unwrap();
    let new = bench.open(&new_owner).await.unwrap();
    assert_eq!(tables(&new.state()), ["a", "b"]);

    let error = old.commit(vec![table("c")]).await.unwrap_err();
    let CommitError::Fenced(fenced) = error else { panic!("{error}") };
    assert_eq!((fenced.ours, fenced.by, fenced.by_incarnation), (Epoch(1), Epoch(2), Some(Incarnation(2))));
    assert_eq!(old_owner.fence.check_held(), Err(fenced.clone()));
    assert_eq!(old_owner.fence.fallen().await, fenced);
    let puts = bench.objects.puts();
    assert!(matches!(old.commit(vec![table("d")]).await, Err(CommitError::Fenced(_))));
    assert_eq!(bench.objects.puts(), puts, "a fallen fence is asked before the store");

    new.commit(vec![table("e")]).await.unwrap();
    assert_eq!(tables(&bench.loaded().await.1), ["a", "b", "e"]);
    assert_eq!(writers(&bench, new.revision()).await, [1, 1, 1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_older_writers_commit_that_comes_first_is_kept() {
    for every in [1, 2, 100] {
        let bench = Bench::new(1);
        let old_owner = bench.owner(1, every).await;
        let old = bench.open(&old_owner).await.unwrap();
        let new_owner = bench.owner(2, every).await;
        // The new one lists and loads, and finds its number taken when it commits.
        bench.objects.pause(true);
        let (new, ()) = tokio::join!(bench.open(&new_owner), async {
            tokio::task::yield_now().await;
            bench.objects.pause(false);
            for name in ["a", "b", "c"] {
                old.commit(vec![table(name)]).await.unwrap_or_default();
            }
        });
        let new = new.unwrap();
        new.commit(vec![table("z")]).await.unwrap();
        assert_eq!(bench.loaded().await, (new.revision(), (*new.state()).clone()));
        let seen = tables(&old.state());
        let found = tables(&new.state());
        assert!(seen.iter().all(|name| found.contains(name)), "every {every}: {seen:?} in {found:?}");
        let epochs = writers(&bench, new.revision()).await;
        assert!(epochs.is_sorted(), "every {every}: {epochs:?}");
        assert!(matches!(old.commit(vec![table("x")]).await, Err(CommitError::Fenced(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebase_takes_over_what_the_older_writer_did() {
    let bench = Bench::new(1);
    let old_owner = bench.owner(1, 100).await;
    let old = bench.open(&old_owner).await.unwrap();
    let new_owner = bench.owner(2, 100).await;
    // The older one's put is on its way while the new one loads, and arrives before the take-over.
    bench.objects.fail_next(5, ObjectFault::Late);
    assert!(old.commit(vec![table("late")]).await.unwrap_err().is_retryable());
    // Listing and two revisions are read; the first put fails, and while the next one waits the late one arrives.
    bench.objects.fail_at(bench.objects.operations() + 4, ObjectFault::Refused);
    let (new, delivered) = tokio::join!(bench.open(&new_owner), async {
        bench.env.clock.sleep(Duration::from_millis(10)).await;
        bench.objects.deliver_late().await
    });
    assert_eq!(delivered, 1);
    let new = new.unwrap();
    assert_eq!(tables(&new.state()), ["late"]);
    assert!(matches!(old.commit(vec![table("x")]).await, Err(CommitError::Fenced(_))));
    assert_eq!(tables(&bench.loaded().await.1), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_put_of_a_fenced_writer_finds_its_number_taken() {
    let bench = Bench::new(1);
    let old = bench.open(&bench.owner(1, 100).await).await.unwrap();
    bench.objects.fail_next(5, ObjectFault::Late);
    assert!(old.commit(vec![table("late")]).await.unwrap_err().is_retryable());
    let new = bench.open(&bench.owner(2, 100).await).await.unwrap();
    assert_eq!(bench.objects.deliver_late().await, 0);
    let error = old.commit(vec![table("x")]).await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced(_)), "{error}");
    new.commit(vec![table("y")]).await.unwrap();
    assert_eq!(tables(&bench.loaded().await.1), ["y"]);
}

#[tokio::test(start_paused = true)]
async fn two_new_catalogs_of_one_database_become_one() {
    let bench = Bench::new(1);
    let (first, second) = (bench.owner(1, 100).await, bench.owner(2, 100).await);
    let (old, new) = tokio::join!(bench.open(&first), bench.open(&second));
    let new = new.unwrap();
    new.commit(vec![table("a")]).await.unwrap();
    if let Ok(old) = old {
        assert!(matches!(old.commit(vec![table("x")]).await, Err(CommitError::Fenced(_))));
    }
    let (_, loaded) = bench.loaded().await;
    assert_eq!((tables(&loaded), loaded.catalog_id), (vec!["a".to_owned()], new.state().catalog_id));
}

#[tokio::test(start_paused = true)]
async fn one_epoch_with_two_incarnations_is_a_conflict() {
    let bench = Bench::new(1);
    let old = bench.open(&bench.owner(1, 100).await).await.unwrap();
    // A copy of the prefix gave the same epoch to another server.
    let copy = Bench::new(2).owner(2, 100).await;
    let other = Owner { store: bench.store.clone(), ..copy };
    bench.open(&other).await.unwrap();
    let error = old.commit(vec![table("x")]).await.unwrap_err();
    let CommitError::Fenced(fenced) = error else { panic!("{error}") };
    assert_eq!((fenced.by, fenced.by_incarnation), (Epoch(1), Some(Incarnation(2))));
    assert_eq!(tables(&bench.loaded().await.1), [""; 0]);
}

#[cfg(feature = "planted")]
#[tokio::test(start_paused = true)]
async fn taking_a_lost_put_for_ours_loses_what_was_answered() {
    use ochre_env::planted::{self, Planted};

    let bench = Bench::new(1);
    let old = bench.open(&bench.owner(1, 100).await).await.unwrap();
    bench.open(&bench.owner(2, 100).await).await.unwrap();
    planted::set(Some(Planted::AssumePutWasOurs));
    let answer = old.commit(vec![table("x")]).await;
    planted::set(None);
    assert_eq!(answer.unwrap(), Revision(3), "the bug answers well");
    assert_eq!(tables(&bench.loaded().await.1), [""; 0], "and what it answered is not there");
}
