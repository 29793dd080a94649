//! Old revisions are removed, and nothing that anybody needs goes with them.

use ochre_doubles::objects::ObjectFault;

use super::*;

/// The numbers of the revisions that are there.
async fn left(bench: &Bench) -> Vec<u64> {
    let paths = bench.objects.paths().await;
    let number = |path: &Path| path.filename()?.strip_suffix(".pb")?.parse().ok();
    paths.iter().filter(|path| path.as_ref().contains("/catalog/")).filter_map(number).collect()
}

async fn commit(catalog: &Catalog, count: u64) {
    for number in 0..count {
        catalog.commit(vec![table(&format!("t{number}"))]).await.unwrap();
    }
}

fn now(bench: &Bench) -> u64 {
    bench.env.clock.wall_millis()
}

#[tokio::test(start_paused = true)]
async fn what_two_checkpoints_and_the_first_of_each_epoch_make_up_for_goes() {
    let bench = Bench::new(1);
    let first = bench.open(&bench.owner(1, 4).await).await.unwrap();
    commit(&first, 9).await;
    let second = bench.open(&bench.owner(2, 4).await).await.unwrap();
    commit(&second, 12).await;
    let before = bench.loaded().await;
    let all = left(&bench).await;
    assert_eq!(all.len() as u64, second.revision().0);
    let taken_over = first.revision().0 + 1;
    assert_eq!(second.collect_revisions(now(&bench)).await.unwrap(), 0, "none is older than the grace");

    bench.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let removed = second.collect_revisions(now(&bench)).await.unwrap();
    let kept = left(&bench).await;
    assert_eq!(kept.len() as u64 + removed, all.len() as u64);
    // Revision 1 is a checkpoint, and then every fifth.
    assert_eq!(kept, [vec![1, taken_over], (21..=all.len() as u64).collect()].concat());
    assert_eq!(second.collect_revisions(now(&bench)).await.unwrap(), 0);
    assert_eq!(bench.loaded().await, before);

    // With the newest checkpoint damaged, the older one serves.
    bench.objects.flip(&bench.object(26), 40, 1).await.unwrap();
    assert_eq!(bench.loaded().await, before);
    // The first is not the owner any more, and is told so, though the numbers after its own are free again.
    assert!(matches!(first.commit(vec![table("late")]).await, Err(CommitError::Fenced(_))));
    assert_eq!(bench.loaded().await, before);
    assert!(matches!(first.collect_revisions(now(&bench)).await, Err(CollectError::Fenced(_))));

    // A third start removes nothing but what has become old since, and keeps what tells its predecessor.
    let third = bench.open(&bench.owner(3, 4).await).await.unwrap();
    commit(&third, 12).await;
    bench.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let before = bench.loaded().await;
    third.collect_revisions(now(&bench)).await.unwrap();
    let kept = left(&bench).await;
    assert_eq!(kept[..2], [1, taken_over]);
    assert!(kept.contains(&(second.revision().0 + 1)), "{kept:?}");
    assert_eq!(bench.loaded().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_half_way_is_finished_later() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 3).await).await.unwrap();
    commit(&catalog, 20).await;
    bench.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let before = bench.loaded().await;
    let operations = bench.objects.operations();
    for fault in 1..40 {
        bench.objects.fail_at(operations + fault, ObjectFault::Refused);
        let _ = catalog.collect_revisions(now(&bench)).await;
        assert_eq!(bench.loaded().await, before);
    }
    bench.objects.heal();
    catalog.collect_revisions(now(&bench)).await.unwrap();
    let kept = left(&bench).await;
    assert!(kept.len() <= 9 && kept[0] == 1, "{kept:?}");
    assert_eq!(bench.loaded().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_asked_of_the_state_that_is_changed() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 4).await).await.unwrap();
    let has = |name: &'static str| move |state: &CatalogState| tables(state).contains(&name.to_owned());
    assert_eq!(catalog.commit_if(vec![table("b")], has("a")).await.unwrap(), None);
    commit(&catalog, 1).await;
    assert!(catalog.commit_if(vec![table("b")], has("t0")).await.unwrap().is_some());
    assert_eq!(tables(&bench.loaded().await.1), ["b", "t0"]);
    // The answer is lost: the next try finds that the edits got in.
    let operations = bench.objects.operations();
    (1..=5).for_each(|lost| bench.objects.fail_at(operations + lost, ObjectFault::LostAnswer));
    let lost = catalog.commit_if(vec![table("c")], has("b")).await;
    assert!(lost.is_err_and(|error| error.is_retryable()));
    assert!(catalog.commit_if(vec![table("c")], has("c")).await.unwrap().is_some());
    assert_eq!(tables(&bench.loaded().await.1), ["b", "c", "t0"]);
}
