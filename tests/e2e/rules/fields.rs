//! A test per field, generated from the schema: set over the API, read back, its effect seen, and every wrong value
//! refused with exactly its path.

use futures::FutureExt;
use ochre_client::{Apply, Error, RulesSource};
use ochre_types::rules::schema::FIELDS;
use ochre_types::rules::{Document, Rules, fields};

use super::effects::{ages, chunks, columns, limits, partitions, rows};
use super::{Check, Database, Start, dir, lifetimes};

/// How a field is tried out.
struct Case {
    /// The rules that set it.
    rules: &'static str,
    /// The path that then has another value than by default.
    leaf: &'static str,
    /// Looks at its effect, over the public interface.
    effect: for<'a> fn(&'a Database<'a>) -> Check<'a>,
}

/// One entry for each field of the schema.
fn case(path: &str) -> Case {
    let case = |rules, leaf, effect| Case { rules, leaf, effect };
    match path {
        "database" => case("limits: {tables: 1}", "limits.tables", |d| rows::only_this_database(d).boxed_local()),
        "partition" => case(partitions::TAG, "partition[0].tables", |d| partitions::expect(d, "a").boxed_local()),
        "partition[].tables" => {
            case(partitions::TABLES, "partition[0].tables", |d| partitions::by_table(d).boxed_local())
        }
        "partition[].by" => {
            case(partitions::BY, "partition[0].by[1].time", |d| partitions::expect(d, "cpu|1970").boxed_local())
        }
        "partition[].by[].table" => {
            case(partitions::TABLE, "partition[0].by[0].table", |d| partitions::expect(d, "cpu").boxed_local())
        }
        "partition[].by[].tag" => {
            case(partitions::TAG, "partition[0].by[0].tag", |d| partitions::expect(d, "a").boxed_local())
        }
        "partition[].by[].bucket.tag" => {
            case(partitions::BUCKET, "partition[0].by[0].bucket.tag", |d| partitions::expect(d, "4").boxed_local())
        }
        "partition[].by[].bucket.count" => case(partitions::ONE_BUCKET, "partition[0].by[0].bucket.count", |d| {
            partitions::expect(d, "0").boxed_local()
        }),
        "partition[].by[].regex.tag" => {
            case(partitions::REGEX, "partition[0].by[0].regex.tag", |d| partitions::expect(d, "web").boxed_local())
        }
        "partition[].by[].regex.pattern" => {
            case(partitions::PATTERN, "partition[0].by[0].regex.pattern", |d| partitions::expect(d, "17").boxed_local())
        }
        "partition[].by[].time" => {
            case(partitions::TIME, "partition[0].by[0].time", |d| partitions::expect(d, "1970-01-01T00").boxed_local())
        }
        "columns" => case("columns: {host: tag}", "columns.host", |d| columns::pinned_as_tag(d).boxed_local()),
        "columns.*" => case("columns: {usage: float}", "columns.usage", |d| columns::pinned_as_float(d).boxed_local()),
        "log.ack" => case("log: {ack: accepted}", "log.ack", |d| rows::acknowledged_early(d).boxed_local()),
        "buffer.freeze_after" => {
            case("buffer: {freeze_after: 1ms}", "buffer.freeze_after", |d| chunks::frozen_by_age(d).boxed_local())
        }
        "buffer.freeze_rows" => {
            case("buffer: {freeze_rows: 10}", "buffer.freeze_rows", |d| chunks::full(d).boxed_local())
        }
        "buffer.freeze_size" => {
            case("buffer: {freeze_size: 1KiB}", "buffer.freeze_size", |d| chunks::full(d).boxed_local())
        }
        "buffer.persist_after" => {
            let rules = "buffer: {freeze_after: 1ms, persist_after: 2ms}";
            case(rules, "buffer.persist_after", |d| chunks::persisted_by_age(d).boxed_local())
        }
        "lifecycle.retain" => {
            case("lifecycle: {retain: 30d}", "lifecycle.retain[0].after", |d| ages::too_old(d).boxed_local())
        }
        "lifecycle.retain[].tables" => {
            let rules = "lifecycle: {retain: [{tables: \"m*\", after: 30d}]}";
            case(rules, "lifecycle.retain[0].tables", |d| ages::kept_for_ever(d).boxed_local())
        }
        "lifecycle.retain[].after" => {
            let rules = "lifecycle: {retain: [{tables: cpu, after: 36500d}, {tables: mem, after: 1h}]}";
            case(rules, "lifecycle.retain[1].after", |d| ages::kept_for_ever(d).boxed_local())
        }
        "lifecycle.sort" => {
            let rules = "lifecycle: {sort: [zone]}\nbuffer: {freeze_after: 1ms}";
            case(rules, "lifecycle.sort[0]", |d| chunks::sorted(d).boxed_local())
        }
        "lifecycle.settle_window" => {
            let rules = "lifecycle: {settle_window: 1h}";
            case(rules, "lifecycle.settle_window", |d| lifetimes::settled_at_once(d).boxed_local())
        }
        "lifecycle.compact.enabled" => {
            let rules = "lifecycle: {compact: {enabled: false, max_files: 2, quiet_after: 0s}}";
            case(rules, "lifecycle.compact.enabled", |d| lifetimes::left_alone(d).boxed_local())
        }
        "lifecycle.compact.max_file_size" => {
            let rules = "lifecycle: {compact: {max_file_size: 1MiB}}";
            case(rules, "lifecycle.compact.max_file_size", |d| lifetimes::cut(d).boxed_local())
        }
        "lifecycle.compact.max_files" => {
            let rules = "lifecycle: {compact: {max_files: 3}}";
            case(rules, "lifecycle.compact.max_files", |d| lifetimes::joined_by_count(d).boxed_local())
        }
        "lifecycle.compact.quiet_after" => {
            let rules = "lifecycle: {compact: {quiet_after: 0s}}";
            case(rules, "lifecycle.compact.quiet_after", |d| lifetimes::joined_when_quiet(d).boxed_local())
        }
        "lifecycle.bloom" => {
            case("lifecycle: {bloom: [s]}", "lifecycle.bloom[0]", |d| lifetimes::skipped_by_bloom(d).boxed_local())
        }
        "lifecycle.grace" => {
            let rules = "lifecycle: {grace: 6s}\nlimits: {query_time: 5s}";
            case(rules, "lifecycle.grace", |d| lifetimes::objects_go(d).boxed_local())
        }
        "lifecycle.undrop_within" => {
            let rules = "lifecycle: {undrop_within: 0s}";
            case(rules, "lifecycle.undrop_within", |d| lifetimes::gone_at_once(d).boxed_local())
        }
        "lifecycle.mutable" => {
            case("lifecycle: {mutable: false}", "lifecycle.mutable", |d| rows::refused_for_now(d).boxed_local())
        }
        "store" => case("store: none", "store", |d| rows::refused_for_now(d).boxed_local()),
        "store.match.tables" => {
            case("store: {match: {tables: [cpu]}}", "store.match.tables[0]", |d| rows::kept_by_table(d).boxed_local())
        }
        "store.match.where" => {
            let rules = "store: {match: {where: \"region = 'eu'\"}}";
            case(rules, "store.match.where", |d| rows::kept_by_tag(d).boxed_local())
        }
        other => limit(other),
    }
}

fn limit(path: &str) -> Case {
    let case = |rules, leaf, effect| Case { rules, leaf, effect };
    match path {
        "limits.columns" => case("limits: {columns: 3}", "limits.columns", |d| limits::columns(d).boxed_local()),
        "limits.tables" => case("limits: {tables: 1}", "limits.tables", |d| limits::tables(d).boxed_local()),
        "limits.partitions_per_write" => {
            let rules = "limits: {partitions_per_write: 1}";
            case(rules, "limits.partitions_per_write", |d| limits::partitions(d).boxed_local())
        }
        "limits.past" => case("limits: {past: 1d}", "limits.past", |d| ages::far_back(d).boxed_local()),
        "limits.future" => case("limits: {future: 1d}", "limits.future", |d| ages::far_ahead(d).boxed_local()),
        "limits.line" => case("limits: {line: 40}", "limits.line", |d| limits::line(d).boxed_local()),
        "limits.body" => case("limits: {body: 1KiB}", "limits.body", |d| limits::body(d).boxed_local()),
        "limits.query_memory" => {
            case("limits: {query_memory: 1MiB}", "limits.query_memory", |d| limits::query_memory(d).boxed_local())
        }
        "limits.query_time" => {
            case("limits: {query_time: 1ms}", "limits.query_time", |d| limits::query_time(d).boxed_local())
        }
        "limits.concurrent_queries" => {
            let rules = "limits: {concurrent_queries: 1}";
            case(rules, "limits.concurrent_queries", |d| limits::concurrent_queries(d).boxed_local())
        }
        other => panic!("the field {other} is not tried out: say here how its effect is seen"),
    }
}

#[tokio::test]
async fn every_field_is_set_read_back_and_seen_and_refuses_what_is_wrong() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    for (number, field) in FIELDS.iter().enumerate() {
        let case = case(field.path);
        let database = Database::new(&server, &format!("field-{number}")).await;
        set(&database, field.path, &case).await;
        (case.effect)(&database).await;
        let before = generation(&database).await;
        for (document, path) in field.wrong {
            refused(&database, document, path).await;
        }
        assert_eq!(generation(&database).await, before, "{}: what is refused changes nothing", field.path);
    }
}

/// Sets the field, and reads it back: in the answer, as YAML, as types, and in SQL.
async fn set(database: &Database<'_>, path: &str, case: &Case) {
    let management = database.connection.management();
    let text = database.document(case.rules);
    let wanted = Document::parse(&text, &Rules::default()).unwrap_or_else(|problems| panic!("{path}: {problems}"));
    let value = |rules: &Rules| fields(rules).into_iter().find(|(leaf, _)| leaf == case.leaf).map(|(_, value)| value);
    let expected = value(&wanted.rules);
    assert!(expected.is_some() && expected != value(&Rules::default()), "{path}: {} does not change", case.leaf);

    let source = RulesSource::Document(text.clone());
    let applied = management.apply_rules(source.clone(), Apply::default()).await.unwrap();
    let change = applied.changes.iter().find(|change| change.path == case.leaf);
    assert_eq!((applied.generation, change.and_then(|change| change.after.clone())), (1, expected.clone()), "{path}");

    let rules = management.rules(&database.target(), None).await.unwrap();
    assert_eq!((rules.generation, &rules.document), (1, &text), "{path}");
    let effective = Document::parse(&rules.effective, &Rules::default()).unwrap();
    assert_eq!((value(&effective.rules), &effective.target), (expected.clone(), &database.target()), "{path}");
    let (target, typed) = rules.parse().unwrap();
    assert_eq!((&typed, &target), (&effective.rules, &effective.target), "{path}");
    let again = RulesSource::Typed(target, Box::new(typed));
    let dry_run = Apply { dry_run: true, ..Apply::default() };
    assert_eq!(management.apply_rules(again, dry_run).await.unwrap().changes, [], "{path}");
    let same = management.apply_rules(source, Apply::default()).await.unwrap();
    assert_eq!((same.generation, same.changes), (1, vec![]), "{path}: the same again is no new generation");
}

/// A mistake is refused with exactly its path.
async fn refused(database: &Database<'_>, document: &str, path: &str) {
    let management = database.connection.management();
    let source = RulesSource::Document(document.to_owned());
    match management.apply_rules(source, Apply::default()).await {
        Err(Error::Invalid { violations, .. }) => {
            let paths: Vec<&str> = violations.iter().map(|violation| violation.path.as_str()).collect();
            assert_eq!(paths, [path], "{document}: {violations:?}");
            assert!(!violations[0].message.is_empty(), "{document}");
        }
        other => panic!("{document}: {other:?}"),
    }
}

async fn generation(database: &Database<'_>) -> u64 {
    database.connection.management().rules(&database.target(), None).await.unwrap().generation
}
