//! States that leave their catalog, and catalogs that others follow.

use ochre_types::{Epoch, LogId, Sequence};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::catalog::{CatalogFollower, LowWater};
use crate::object::paused::block_on;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_state_is_the_same_after_a_round_trip(edits in vec(arbitrary::edit(), 0..8)) {
        let mut state = CatalogState::new(DatabaseName::default(), CatalogId(1), Stamp::default());
        for edit in arbitrary::first().iter().chain(&edits) {
            state.change(edit).unwrap();
        }
        let object = state.to_object(7);
        assert_eq!(CatalogState::from_object(&object).unwrap(), state);
        let mut damaged = object.to_vec();
        let half = damaged.len() / 2;
        damaged[half / 2] ^= 1;
        assert_eq!(CatalogState::from_object(&damaged).unwrap(), state, "its other copy is sound");
        damaged[half + half / 2] ^= 1;
        assert!(CatalogState::from_object(&damaged).is_err());

        // Its edits make it anew, under another identity and without what belongs to the log and the collector.
        let mut made = CatalogState::new(DatabaseName::default(), CatalogId(2), Stamp::default());
        for edit in state.to_edits().iter().chain(&state.to_edits()) {
            made.change(edit).unwrap();
        }
        let expected =
            CatalogState { catalog_id: CatalogId(2), low_water: None, removed: Default::default(), ..state };
        assert_eq!(made, expected);
    }

    #[test]
    fn a_follower_sees_what_the_writer_has_committed(
        commits in vec(vec(arbitrary::edit(), 0..3), 1..12),
        every in 1..4u64,
        look in vec(any::<bool>(), 12),
    ) {
        block_on(async {
            let bench = Bench::new(1);
            let mut follower = CatalogFollower::new(&bench.store, &bench.layout, &bench.env.clock, &bench.database);
            assert!(follower.look().await.unwrap().is_none());
            let catalog = bench.open(&bench.owner(1, every).await).await.unwrap();
            catalog.commit(arbitrary::first()).await.unwrap();
            for (edits, look) in commits.into_iter().zip(look) {
                catalog.commit(edits).await.unwrap();
                if look {
                    let seen = follower.look().await.unwrap().unwrap();
                    assert_eq!((seen.revision, seen.epoch), (catalog.revision(), Epoch(1)));
                    assert_eq!(seen.state, catalog.state());
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_outlives_revisions_that_are_gone_and_a_store_that_fails() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 3).await).await.unwrap();
    let mut follower = CatalogFollower::new(&bench.store, &bench.layout, &bench.env.clock, &bench.database);
    let before = follower.look().await.unwrap().unwrap();
    let mark = |sequence| vec![Edit::SetLowWater(LowWater { log: LogId(1), sequence: Sequence(sequence) })];
    for sequence in 1..20 {
        catalog.commit(mark(sequence)).await.unwrap();
    }
    // What followed the revision that it knows has been collected.
    let folder = bench.layout.catalog(&bench.database);
    for revision in 1..=before.revision.0 + 3 {
        let object = load::object(&folder, Revision(revision));
        object_store::ObjectStoreExt::delete(&*bench.store, &object).await.unwrap();
    }
    bench.objects.set_unavailable(true);
    assert!(follower.look().await.is_err());
    bench.objects.set_unavailable(false);
    let mut looks = 0;
    while follower.look().await.unwrap().unwrap().revision != catalog.revision() {
        looks += 1;
        assert!(looks <= 30, "it never lists the folder");
    }
    assert_eq!(follower.look().await.unwrap().unwrap().state, catalog.state());
}

#[test]
fn a_node_is_the_same_after_a_round_trip() {
    let mut state = NodeState::new(CatalogId(1));
    let name = DatabaseName::new("db").unwrap();
    let rules = |generation| RulesRecord {
        generation,
        text: "database: \"*\"".into(),
        applied_millis: 1,
        applied_by: "ops".to_owned(),
        fence: None,
    };
    let edits = [
        NodeEdit::CreateDatabase {
            name: name.clone(),
            entry: DatabaseEntry { created: Stamp::default(), retention: None, dropped: None },
        },
        NodeEdit::SetAlias {
            alias: Alias { database: "a".to_owned(), retention_policy: "b".to_owned() },
            target: name,
        },
        NodeEdit::RaiseCeiling(Hlc(9)),
        NodeEdit::RaiseFence(3),
        NodeEdit::SetDefaultRules(rules(1)),
        NodeEdit::SetDefaultRules(rules(2)),
        NodeEdit::SetLogId(LogId(4)),
    ];
    edits.iter().for_each(|edit| state.change(edit).unwrap());
    assert_eq!(NodeState::from_object(&state.to_object(1)).unwrap(), state);
    let mut made = NodeState::new(CatalogId(2));
    state.to_edits().iter().for_each(|edit| made.change(edit).unwrap());
    assert_eq!(made, NodeState { catalog_id: CatalogId(2), log_id: None, ..state });
}
