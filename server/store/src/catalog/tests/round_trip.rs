//! What is committed is what is loaded.

use object_store::ObjectStoreExt;
use ochre_types::LogId;
use ochre_types::token::{Grants, TokenHash, TokenName};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::object::paused::block_on;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_state_after_loading_is_the_state_in_memory(
        commits in vec(vec(arbitrary::edit(), 0..4), 0..10),
        every in 1..4u64,
    ) {
        block_on(async {
            let bench = Bench::new(1);
            let catalog = bench.open(&bench.owner(1, every).await).await.unwrap();
            let mut expected = (*catalog.state()).clone();
            for edits in std::iter::once(arbitrary::first()).chain(commits) {
                for edit in &edits {
                    expected.change(edit).unwrap();
                }
                catalog.commit(edits).await.unwrap();
                assert_eq!(*catalog.state(), expected);
            }
            assert_eq!(bench.loaded().await, (catalog.revision(), expected.clone()));
            let next = bench.open(&bench.owner(2, every).await).await.unwrap();
            assert_eq!(*next.state(), expected);
        });
    }

    #[test]
    fn every_edit_can_be_applied_twice(edits in vec(arbitrary::edit(), 0..8)) {
        let mut state = CatalogState::new(DatabaseName::default(), CatalogId(1), Stamp::default());
        for edit in arbitrary::first().iter().chain(&edits) {
            state.change(edit).unwrap();
            let once = state.clone();
            state.change(edit).unwrap();
            assert_eq!(state, once);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in vec(any::<u8>(), 0..200)) {
        fuzz_decode(&bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_begins_with_a_checkpoint_and_has_one_every_so_often() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 3).await).await.unwrap();
    // 1 checkpoint, 2 take-over, 3 and 4 deltas, 5 checkpoint, 6 delta.
    assert_eq!(catalog.revision(), Revision(2));
    for (name, revision) in [("a", 3), ("b", 4), ("c", 6)] {
        assert_eq!(catalog.commit(vec![table(name)]).await.unwrap(), Revision(revision));
    }
    for revision in 1..=6 {
        let object = ObjectStoreExt::get(bench.objects.memory().as_ref(), &bench.object(revision)).await.unwrap();
        let kind = frame::read(&object.bytes().await.unwrap()).unwrap().kind;
        assert_eq!(kind == frame::Kind::Checkpoint, [1, 5].contains(&revision), "revision {revision}");
    }
    let before = bench.objects.operations();
    assert_eq!(tables(&bench.loaded().await.1), ["a", "b", "c"]);
    assert!(bench.objects.operations() - before <= 1 + 6);
}

#[tokio::test(start_paused = true)]
async fn large_deltas_bring_a_checkpoint_early() {
    let bench = Bench::new(1);
    let owner = Owner { checkpoints: Checkpoints { every: 100, bytes: 4_000 }, ..bench.owner(1, 100).await };
    let catalog = bench.open(&owner).await.unwrap();
    let rules = |generation| Edit::SetRules(RulesRecord { text: vec![7; 1_500].into(), ..rules(generation) });
    assert_eq!(catalog.commit(vec![rules(1)]).await.unwrap(), Revision(3));
    assert_eq!(catalog.commit(vec![rules(2)]).await.unwrap(), Revision(4));
    assert_eq!(catalog.commit(vec![rules(3)]).await.unwrap(), Revision(6), "5 is the checkpoint");
    let loaded = bench.loaded().await.1;
    assert_eq!(loaded.rules.map(|rules| (rules.generation, rules.text)), Some((3, vec![7; 1_500].into())));
    assert_eq!(loaded.rules_history.iter().map(|rules| rules.generation).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn edits_that_do_not_fit_are_refused_and_write_nothing() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 100).await).await.unwrap();
    catalog.commit(arbitrary::first()).await.unwrap();
    let chunk = arbitrary::some_chunk(1);
    catalog.commit(vec![Edit::AddChunks { chunks: vec![chunk.clone()] }]).await.unwrap();
    let puts = bench.objects.puts();
    let mut other = (*chunk).clone();
    other.rows += 1;
    let unknown = TableName::new("nothing").unwrap();
    let refused = [
        Edit::AddChunks { chunks: vec![Arc::new(other.clone())] },
        Edit::AddChunks { chunks: vec![Arc::new(ChunkMeta { table: unknown.clone(), ..other.clone() })] },
        Edit::AddChunks { chunks: vec![Arc::new(ChunkMeta { template: TemplateId(99), ..other })] },
        Edit::AddColumns { table: unknown, columns: Vec::new() },
        Edit::AddTemplate { id: TemplateId(0), text: "another".into() },
    ];
    for edit in refused {
        let error = catalog.commit(vec![table("new"), edit]).await.unwrap_err();
        assert!(matches!(error, CommitError::Edit(_)) && !error.is_retryable(), "{error}");
    }
    assert_eq!(bench.objects.puts(), puts);
    assert!(!tables(&catalog.state()).contains(&"new".to_owned()), "all edits of a commit or none");
    catalog.commit(vec![Edit::AddChunks { chunks: vec![chunk] }]).await.unwrap();
    assert_eq!(catalog.state().chunks().count(), 1);
}

fn token(number: u8) -> TokenEntry {
    let scopes = ["read:db", "write:*"].map(|scope| scope.parse().unwrap());
    TokenEntry { hash: TokenHash([number; 32]), grants: Grants(scopes.into()), created_millis: u64::from(number) }
}

fn set_token(name: &str, number: u8) -> NodeEdit {
    NodeEdit::SetToken { name: TokenName::new(name).unwrap(), entry: token(number) }
}

#[tokio::test(start_paused = true)]
async fn the_last_generations_of_rules_are_kept() {
    let bench = Bench::new(1);
    let catalog = bench.open(&bench.owner(1, 7).await).await.unwrap();
    for generation in 1..=40 {
        catalog.commit(vec![Edit::SetRules(rules(generation)), Edit::SetRules(rules(generation))]).await.unwrap();
    }
    for wrong in [rules(39), RulesRecord { text: "other".into(), ..rules(40) }] {
        let error = catalog.commit(vec![Edit::SetRules(wrong)]).await.unwrap_err();
        assert!(matches!(error, CommitError::Edit(EditError::StaleRules { held: 40, .. })), "{error}");
    }
    let state = bench.loaded().await.1;
    assert_eq!(state.rules, Some(rules(40)));
    assert_eq!(state.rules_history, (9..=40).map(rules).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_nodes_catalog_comes_back_too() {
    let bench = Bench::new(1);
    let node = NodeCatalog::open(&bench.owner(1, 2).await).await.unwrap();
    let alias = Alias { database: "telegraf".into(), retention_policy: "weekly".into() };
    let dangling = NodeEdit::SetAlias { alias: alias.clone(), target: bench.database.clone() };
    assert!(matches!(node.commit(vec![dangling.clone()]).await, Err(CommitError::Edit(EditError::UnknownDatabase(_)))));
    let entry = |retention: Option<&str>| DatabaseEntry {
        created: stamp(1, 2),
        retention: retention.map(Into::into),
        dropped: None,
    };
    let create = |name: &str, retention| NodeEdit::CreateDatabase {
        name: DatabaseName::new(name).unwrap(),
        entry: entry(retention),
    };
    node.commit(vec![create("db", Some("30d")), dangling]).await.unwrap();
    let drop = DroppedDatabase { stamp: stamp(4, 2), undrop_until: Hlc(9) };
    let hide = |name: &str, dropped| NodeEdit::SetDropped {
        name: DatabaseName::new(name).unwrap(),
        dropped,
        retention: Some("30d".to_owned()),
    };
    node.commit(vec![hide("db", Some(drop)), hide("nothing", Some(drop))]).await.unwrap();
    node.commit(vec![NodeEdit::SetLogId(LogId(9)), NodeEdit::RaiseCeiling(Hlc(77))]).await.unwrap();
    node.commit(vec![create("db", None), create("node", None), NodeEdit::RaiseCeiling(Hlc(5))]).await.unwrap();
    node.commit(vec![hide("db", None), hide("node", Some(drop))]).await.unwrap();
    node.commit(vec![set_token("ci", 1), set_token("web", 2), NodeEdit::RaiseFence(8)]).await.unwrap();
    node.commit(vec![NodeEdit::SetDefaultRules(rules(1)), NodeEdit::SetDefaultRules(rules(4))]).await.unwrap();
    let removed = NodeEdit::RemoveToken(TokenName::new("web").unwrap());
    node.commit(vec![removed.clone(), removed, set_token("ci", 3), NodeEdit::RaiseFence(7)]).await.unwrap();
    let stale = node.commit(vec![NodeEdit::SetDefaultRules(rules(3))]).await;
    assert!(matches!(stale, Err(CommitError::Edit(EditError::StaleRules { given: 3, held: 4 }))));
    let state = node.state();
    let (revision, loaded) = NodeCatalog::load(&bench.store, &bench.layout, &bench.env).await.unwrap().unwrap();
    assert_eq!((revision, &loaded), (node.revision(), &*state));
    assert_eq!(loaded.databases[&bench.database], entry(Some("30d")));
    assert_eq!(loaded.databases[&DatabaseName::new("node").unwrap()].dropped, Some(drop));
    assert_eq!((loaded.aliases[&alias].as_str(), loaded.log_id, loaded.ceiling), ("db", Some(LogId(9)), Hlc(77)));

    assert_eq!(loaded.tokens.keys().map(ToString::to_string).collect::<Vec<_>>(), ["ci"]);
    assert_eq!(loaded.tokens[&TokenName::new("ci").unwrap()], token(3));
    assert_eq!((loaded.fence, &loaded.default_rules), (8, &Some(rules(4))));
    assert_eq!(loaded.default_rules_history, [rules(1), rules(4)]);

    // A database of the name of our folder does not disturb it.
    let owner = bench.owner(2, 2).await;
    Catalog::open(&owner, &DatabaseName::new("node").unwrap(), Stamp::default()).await.unwrap();
    Catalog::open(&owner, &DatabaseName::new("epoch").unwrap(), Stamp::default()).await.unwrap();
    assert_eq!(*NodeCatalog::open(&bench.owner(3, 2).await).await.unwrap().state(), loaded);
}

#[test]
fn chunk_ids_have_one_text() {
    let id = ChunkId { incarnation: Incarnation(0x2a), counter: 7 };
    assert_eq!(id.to_string(), "000000000000002a-7");
    assert_eq!("000000000000002a-7".parse(), Ok(id));
    for wrong in ["", "2a-7", "000000000000002A-7", "000000000000002a-07", "000000000000002a-+7", "000000000000002a7"] {
        assert!(wrong.parse::<ChunkId>().is_err(), "{wrong}");
    }
}
