//! What is left of a catalog that has lost a revision.

use super::damage::{filled, spoil};
use super::*;
use crate::catalog::{Salvage, Verified};

async fn salvage(bench: &Bench) -> Salvage {
    let created = Stamp::default();
    Salvage::read(&bench.store, &bench.layout, &bench.env, &bench.database, created).await.unwrap().unwrap()
}

fn ids(state: &CatalogState) -> Vec<u64> {
    state.chunks().map(|chunk| chunk.id.counter).collect()
}

#[tokio::test(start_paused = true)]
async fn what_later_revisions_did_is_kept_and_the_lost_one_is_named() {
    let bench = filled().await;
    let whole = salvage(&bench).await;
    assert_eq!((whole.newest, whole.lost.len(), &whole.state), (Revision(7), 0, &bench.loaded().await.1));
    // 6 added the second chunk, 7 met a peer.
    spoil(&bench, 6, 40, 1).await;
    bench.load().await.unwrap_err();
    let rest = salvage(&bench).await;
    assert_eq!(rest.lost.iter().map(|lost| lost.revision.0).collect::<Vec<_>>(), [6]);
    assert_eq!((ids(&rest.state), rest.state.met_peer), (vec![1], true));

    let owner = bench.owner(2, 3).await;
    assert_eq!(rest.write(&owner).await.unwrap(), Revision(8));
    assert_eq!(bench.loaded().await, (Revision(8), rest.state.clone()));
    let error = rest.write(&owner).await.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    let catalog = bench.open(&owner).await.unwrap();
    catalog.commit(vec![Edit::AddChunks { chunks: vec![arbitrary::some_chunk(2)] }]).await.unwrap();
    assert_eq!(ids(&bench.loaded().await.1), [1, 2]);

    let Verified { revisions, damaged } = catalog.verify().await.unwrap();
    assert_eq!(revisions, catalog.revision().0);
    assert_eq!(damaged.iter().map(|damaged| damaged.revision.0).collect::<Vec<_>>(), [6]);
}

#[tokio::test(start_paused = true)]
async fn without_any_checkpoint_what_fits_is_kept() {
    let bench = filled().await;
    spoil(&bench, 1, 40, 1).await;
    spoil(&bench, 5, 40, 1).await;
    let rest = salvage(&bench).await;
    assert_eq!(rest.lost.iter().map(|lost| lost.revision.0).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(ids(&rest.state), [1, 2], "revision 3 made their table");
}
