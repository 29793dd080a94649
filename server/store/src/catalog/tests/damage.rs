//! Damage is named, never served.

use object_store::ObjectStoreExt;

use super::*;

/// Revisions 1 checkpoint, 2 take-over, 3 and 4 deltas, 5 checkpoint, 6 and 7 deltas.
pub(super) async fn filled() -> Bench {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 3).await).await.unwrap();
    catalog.commit(arbitrary::first()).await.unwrap();
    catalog.commit(vec![Edit::AddChunks { chunks: vec![arbitrary::some_chunk(1)] }]).await.unwrap();
    catalog.commit(vec![Edit::AddChunks { chunks: vec![arbitrary::some_chunk(2)] }]).await.unwrap();
    catalog.commit(vec![Edit::MeetPeer]).await.unwrap();
    assert_eq!(catalog.revision(), Revision(7));
    bench
}

async fn size(bench: &Bench, revision: u64) -> usize {
    bench.objects.memory().head(&bench.object(revision)).await.unwrap().size as usize
}

/// Spoils both copies of a revision at the same place.
pub(super) async fn spoil(bench: &Bench, revision: u64, offset: usize, mask: u8) {
    let half = size(bench, revision).await / 2;
    for copy in [0, half] {
        bench.objects.flip(&bench.object(revision), copy + offset, mask).await.unwrap();
    }
}

fn named(error: &LoadError) -> Vec<u64> {
    let LoadError::Damaged { revisions, .. } = error else { panic!("{error}") };
    revisions.iter().map(|damaged| damaged.revision.0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_anywhere_is_named_and_takes_nothing_away() {
    let bench = filled().await;
    let whole = bench.loaded().await;
    let folder = bench.layout.catalog(&bench.database);
    for revision in [5, 6, 7] {
        for offset in 0..size(&bench, revision).await {
            for mask in [0x01, 0xff] {
                bench.objects.flip(&bench.object(revision), offset, mask).await.unwrap();
                let head = load::load::<CatalogState>(&bench.store, &bench.env.clock, &folder).await.unwrap().unwrap();
                assert_eq!((head.revision, &*head.state), (whole.0, &whole.1), "byte {offset}");
                let found: Vec<_> = head.found.iter().map(|found| found.revision.0).collect();
                assert_eq!(found, [revision], "byte {offset}");
                bench.objects.flip(&bench.object(revision), offset, mask).await.unwrap();
            }
        }
    }
    bench.objects.flip(&bench.object(6), 40, 1).await.unwrap();
    let catalog = bench.open(&bench.owner(2, 3).await).await.unwrap();
    let [found] = catalog.found_damaged() else { panic!("{:?}", catalog.found_damaged()) };
    assert_eq!(
        found.to_string(),
        format!("revision 6 ({}): of one copy, its body does not match its checksum", bench.object(6))
    );
}

#[tokio::test(start_paused = true)]
async fn a_delta_without_a_sound_copy_is_named_and_nothing_is_served() {
    let bench = filled().await;
    for revision in [6, 7] {
        for offset in 0..size(&bench, revision).await / 2 {
            for mask in [0x01, 0xff] {
                spoil(&bench, revision, offset, mask).await;
                let error = bench.load().await.unwrap_err();
                assert_eq!(named(&error), [revision], "byte {offset}");
                assert!(error.to_string().contains(bench.object(revision).as_ref()), "{error}");
                spoil(&bench, revision, offset, mask).await;
            }
        }
    }
    let owner = bench.owner(2, 3).await;
    spoil(&bench, 6, 40, 1).await;
    let error = bench.open(&owner).await.unwrap_err();
    assert!(matches!(&error, OpenError::Load(LoadError::Damaged { .. })) && !error.is_retryable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_without_a_sound_copy_is_passed_over() {
    let bench = filled().await;
    let whole = bench.loaded().await;
    for offset in 0..size(&bench, 5).await / 2 {
        for mask in [0x01, 0xff] {
            spoil(&bench, 5, offset, mask).await;
            assert_eq!(bench.loaded().await, whole, "byte {offset}");
            spoil(&bench, 5, offset, mask).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_without_an_older_one_is_named() {
    let bench = filled().await;
    spoil(&bench, 5, 40, 1).await;
    spoil(&bench, 1, 40, 1).await;
    assert_eq!(named(&bench.load().await.unwrap_err()), [1, 5]);
    spoil(&bench, 1, 40, 1).await;
    spoil(&bench, 3, 40, 1).await;
    assert_eq!(named(&bench.load().await.unwrap_err()), [3], "the older one needs the deltas after it");
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_checkpoint_replaces_does_not_matter() {
    let bench = filled().await;
    let whole = bench.loaded().await;
    bench.objects.flip(&bench.object(3), 40, 1).await.unwrap();
    bench.objects.memory().delete(&bench.object(2)).await.unwrap();
    assert_eq!(bench.loaded().await, whole);
}

#[tokio::test(start_paused = true)]
async fn missing_revisions_are_named() {
    for (missing, expected) in [(6, Some(6)), (5, None), (7, None)] {
        let bench = filled().await;
        bench.objects.memory().delete(&bench.object(missing)).await.unwrap();
        match expected {
            Some(revision) => assert_eq!(named(&bench.load().await.unwrap_err()), [revision]),
            None => drop(bench.loaded().await),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_in_the_wrong_place_are_refused() {
    let bench = filled().await;
    let memory = bench.objects.memory();
    memory.copy(&bench.object(6), &bench.object(8)).await.unwrap();
    assert_eq!(named(&bench.load().await.unwrap_err()), [8], "it says that it is number 6");
    memory.delete(&bench.object(8)).await.unwrap();

    let other = filled().await;
    let foreign = other.objects.memory().get(&other.object(7)).await.unwrap().bytes().await.unwrap();
    let mut catalog_id = foreign.to_vec();
    memory.put(&bench.object(7), foreign.into()).await.unwrap();
    bench.loaded().await;
    catalog_id.truncate(20);
    memory.put(&bench.object(7), catalog_id.into()).await.unwrap();
    assert_eq!(named(&bench.load().await.unwrap_err()), [7]);
    memory.put(&bench.object(7), "".into()).await.unwrap();
    assert_eq!(named(&bench.load().await.unwrap_err()), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_revision_of_another_history_is_refused() {
    let bench = filled().await;
    let other = Bench { database: DatabaseName::new("other").unwrap(), ..filled().await };
    let catalog = other.open(&other.owner(2, 3).await).await.unwrap();
    for _ in 0..5 {
        catalog.commit(Vec::new()).await.unwrap();
    }
    let foreign = other.objects.memory().get(&other.object(7)).await.unwrap().bytes().await.unwrap();
    bench.objects.memory().put(&bench.object(7), foreign.into()).await.unwrap();
    assert_eq!(named(&bench.load().await.unwrap_err()), [7]);
}

#[tokio::test(start_paused = true)]
async fn the_catalog_of_another_database_is_refused() {
    let bench = filled().await;
    let other = DatabaseName::new("other").unwrap();
    for revision in 1..=7 {
        let copy = load::object(&bench.layout.catalog(&other), Revision(revision));
        bench.objects.memory().copy(&bench.object(revision), &copy).await.unwrap();
    }
    let error = Catalog::load(&bench.store, &bench.layout, &bench.env, &other).await.unwrap_err();
    assert!(matches!(error, LoadError::OtherDatabase { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn there_may_be_no_catalog() {
    assert!(Bench::new(1).load().await.unwrap().is_none());
}
