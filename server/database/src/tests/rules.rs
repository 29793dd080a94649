//! Applying rules, and what is kept of them.

use ochre_types::rules::{Change, Target};

use super::*;
use crate::rules::{RulesError, RulesGeneration, Source, Terms};

/// Applies the rules that a document says.
pub(super) async fn apply(node: &Node, target: &str, fields: &str, terms: Terms) -> Result<u64, RulesError> {
    let text = format!("database: {target:?}\n{fields}\n");
    Ok(node.apply_rules(&target.parse().unwrap(), Source::Text(text), terms).await?.generation)
}

/// The same without terms.
pub(super) async fn put(node: &Node, target: &str, fields: &str) -> u64 {
    apply(node, target, fields, Terms::default()).await.unwrap()
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn tables_limit(node: &Node, of: &str) -> usize {
    node.rules(&target(of)).unwrap().rules.limits.tables
}

fn fenced(fence: u64) -> Terms {
    Terms { fence: Some(fence), ..Terms::default() }
}

#[tokio::test]
async fn generations_rise_with_changes_only_and_survive_a_restart() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    let none = node.rules(&target("d")).unwrap();
    assert_eq!((none.generation, &*none.rules), (0, &Rules::default()));
    assert!(none.document.starts_with("database: d\n"), "{}", none.document);
    assert_eq!(put(&node, "d", "limits: {tables: 10000} # as it is").await, 0, "nothing changes");

    let text = "database: d # ours\nlimits: {tables: 5}\n".to_owned();
    let terms = Terms { applied_by: "ops".to_owned(), ..Terms::default() };
    let applied = node.apply_rules(&target("d"), Source::Text(text.clone()), terms).await.unwrap();
    let change =
        Change { path: "limits.tables".to_owned(), before: Some("10000".to_owned()), after: Some("5".to_owned()) };
    assert_eq!((applied.generation, applied.changes, applied.warnings), (1, vec![change], vec![]));
    assert_eq!(put(&node, "d", "limits: {tables: 6}").await, 2);
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!((tables_limit(&node, "d"), of(&node.status(), "d").rules_generation), (6, 2));
    let history = node.rules_history(&target("d")).unwrap();
    let [newest, oldest] = &history[..] else { panic!("{history:?}") };
    assert!(newest.applied_millis >= oldest.applied_millis && oldest.applied_millis > 0);
    let kept = RulesGeneration { applied_millis: oldest.applied_millis, ..generation(1, "ops", &text) };
    assert_eq!((newest.generation, oldest), (2, &kept));
    let earlier = node.rules_at(&target("d"), 1).unwrap();
    assert_eq!((earlier.document, earlier.rules.limits.tables), (text.clone(), 5));

    assert_eq!(node.rollback_rules(&target("d"), 1, Terms::default()).await.unwrap().generation, 3);
    let now = node.rules(&target("d")).unwrap();
    assert_eq!((now.generation, now.document, now.rules.limits.tables), (3, text, 5));
    assert_eq!(node.rollback_rules(&target("d"), 0, Terms::default()).await.unwrap().generation, 4);
    assert_eq!((tables_limit(&node, "d"), &*node.rules(&target("d")).unwrap().document), (10_000, "database: d"));
    node.close().await.unwrap();
}

fn generation(generation: u64, by: &str, document: &str) -> RulesGeneration {
    let (applied_by, document) = (by.to_owned(), document.to_owned());
    RulesGeneration { generation, applied_millis: 0, applied_by, fence: None, document }
}

#[tokio::test]
async fn the_history_is_bounded_and_says_what_it_keeps() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    for tables in 1..=40 {
        put(&node, "d", &format!("limits: {{tables: {tables}}}")).await;
    }
    let kept: Vec<u64> = node.rules_history(&target("d")).unwrap().iter().map(|kept| kept.generation).collect();
    assert_eq!(kept, (9..=40).rev().collect::<Vec<u64>>());
    let error = node.rollback_rules(&target("d"), 8, Terms::default()).await.unwrap_err();
    assert!(matches!(error, RulesError::NotKept { generation: 8, oldest: 9, .. }), "{error}");
    assert!(matches!(node.rules_at(&target("d"), 41), Err(RulesError::NotKept { .. })));
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "d", "cpu,host=a usage=1 1").await.unwrap();
    put(&node, "d", "limits: {tables: 5}").await;
    let revision = of(&node.status(), "d").revision;

    let expecting = |generation| Terms { expected_generation: Some(generation), ..fenced(9) };
    let error = apply(&node, "d", "limits: {tables: 6}", expecting(0)).await.unwrap_err();
    assert!(matches!(error, RulesError::GenerationIs { expected: 0, held: 1 }), "{error}");
    let error = apply(&node, "d", "limits: {tables: 0}\nbufer: {}", fenced(9)).await.unwrap_err();
    let RulesError::Invalid(problems) = error else { panic!("{error}") };
    let paths: std::collections::BTreeSet<&str> = problems.0.iter().map(|problem| &*problem.path).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["bufer", "limits.tables"]);
    let error = apply(&node, "other", "", fenced(9)).await.unwrap_err();
    assert!(matches!(error, RulesError::UnknownDatabase(_)), "{error}");
    let text = "limits: {tables: 6}\ndatabase: other".to_owned();
    let error = node.apply_rules(&target("d"), Source::Text(text), fenced(9)).await.unwrap_err();
    assert_eq!(error.to_string(), "database: the document is for \"other\", and it was sent to \"d\" (line 2)");
    let error = apply(&node, "d", "columns: {usage: integer, host: tag}", fenced(9)).await.unwrap_err();
    let RulesError::Contradicted(problems) = &error else { panic!("{error}") };
    assert_eq!((problems.0.len(), &*problems.0[0].path, problems.0[0].line), (1, "columns.usage", Some(2)));
    assert!(error.to_string().contains("in the tables cpu (float): pin that kind"), "{error}");

    let dry = Terms { dry_run: true, ..fenced(9) };
    assert_eq!(apply(&node, "d", "limits: {tables: 6}", dry).await.unwrap(), 2, "the generation that it would have");
    assert_eq!((tables_limit(&node, "d"), node.fence(), of(&node.status(), "d").revision), (5, 0, revision));
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_fence_holds_for_all_databases_and_over_a_restart() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    node.create_database(&name("a")).await.unwrap();
    node.create_database(&name("b")).await.unwrap();
    assert_eq!(apply(&node, "a", "limits: {tables: 5}", fenced(7)).await.unwrap(), 1);
    assert_eq!(
        apply(&node, "a", "limits: {tables: 5}", fenced(8)).await.unwrap(),
        1,
        "a fence is kept without a change"
    );
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!((node.fence(), node.status().fence), (8, 8));
    for dry_run in [true, false] {
        let terms = Terms { dry_run, ..fenced(7) };
        for target in ["b", "*"] {
            let error = apply(&node, target, "limits: {tables: 5}", terms.clone()).await.unwrap_err();
            assert!(matches!(error, RulesError::Fenced { given: 7, held: 8 }), "{error}");
        }
    }
    assert_eq!(apply(&node, "b", "limits: {tables: 5}", fenced(8)).await.unwrap(), 1);
    assert_eq!(apply(&node, "b", "limits: {tables: 4}", Terms::default()).await.unwrap(), 2);
    let fences: Vec<Option<u64>> =
        node.rules_history(&target("b")).unwrap().iter().map(|generation| generation.fence).collect();
    assert_eq!(fences, [None, Some(8)]);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_new_database_starts_with_the_rules_of_the_star() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    node.create_database(&name("before")).await.unwrap();
    assert_eq!(node.body_limit(&name("none")), ByteSize::mib(64));
    assert_eq!(put(&node, "*", "limits: {tables: 2, body: 1MiB}").await, 1);
    assert_eq!(node.body_limit(&name("none")), ByteSize::mib(1));
    write(&node, "after", "a f=1 1\nb f=1 1\nc f=1 1").await.unwrap();
    assert_eq!(of(&node.status(), "after").tables, 2);
    assert_eq!((tables_limit(&node, "before"), tables_limit(&node, "after"), tables_limit(&node, "*")), (10_000, 2, 2));
    let shown = node.rules(&target("after")).unwrap();
    assert_eq!((shown.generation, &*shown.document), (1, "database: after\nlimits: {tables: 2, body: 1MiB}\n"));
    put(&node, "*", "limits: {tables: 3}").await;
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!((tables_limit(&node, "before"), tables_limit(&node, "after"), tables_limit(&node, "*")), (10_000, 2, 3));
    assert_eq!(node.rules_history(&target("*")).unwrap().len(), 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn rules_that_the_catalog_took_without_saying_so_come_into_force() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Env::system().clock;
    let store = std::sync::Arc::new(ochre_doubles::objects::SimObjects::new(clock, 1));
    let objects: Objects = store.clone();
    let (node, _env) = open(&objects, dir.path()).await;
    node.create_database(&name("d")).await.unwrap();
    store.set_unavailable(true);
    let error = apply(&node, "d", "limits: {tables: 5}", Terms::default()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(tables_limit(&node, "d"), 10_000);

    store.set_unavailable(false);
    // Whatever is committed next puts the undecided revision before it.
    write(&node, "d", "cpu f=1 1").await.unwrap();
    let database = node.database(&name("d")).unwrap();
    database.persist_all().await.unwrap();
    let clock = &node.shared.env.clock;
    let started = clock.monotonic();
    while database.rules().limits.tables != 5 {
        assert!(clock.monotonic() - started < std::time::Duration::from_secs(30), "they are not in force");
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(of(&node.status(), "d").rules_generation, 1);
    node.close().await.unwrap();
}

#[tokio::test]
async fn rules_of_a_newer_release_keep_only_their_database_away() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    write(&node, "good", "cpu f=1 1").await.unwrap();
    write(&node, "new", "cpu f=1 1").await.unwrap();
    let record = ochre_store::catalog::RulesRecord {
        generation: 1,
        text: Bytes::from_static(b"database: new\nslots: {count: 8}\n"),
        applied_millis: 1,
        applied_by: String::new(),
        fence: None,
    };
    let edit = ochre_store::catalog::Edit::SetRules(record);
    node.database(&name("new")).unwrap().catalog.commit(vec![edit]).await.unwrap();
    env.tasks.abort().await;
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "good", "cpu f=2 2").await.unwrap();
    let error = write(&node, "new", "cpu f=2 2").await.unwrap_err().to_string();
    assert!(error.starts_with("database new is not served: ") && error.contains("slots"), "{error}");
    let error = apply(&node, "new", "", Terms::default()).await.unwrap_err();
    assert!(matches!(error, RulesError::NotServed { .. }), "{error}");
    node.close().await.unwrap();
}
