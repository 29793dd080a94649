//! Rules on the wire and back, and what is refused on the way.

use ochre_types::rules::document::{Document, Node};
use ochre_types::rules::{Rules, render};
use prost::Message;

use crate::v1;

const EVERYTHING: &str = r#"
database: metrics
partition:
  - {tables: "http_*", by: [{tag: region}, {bucket: {tag: host, count: 16}}, {time: "%Y-%m-%dT%H"}]}
  - {tables: "/cpu|mem/", by: [{regex: {tag: host, pattern: "^([a-z]+)"}}]}
  - {tables: "one", by: []}
  - {tables: "*", by: [{table: {}}, {time: "%Y-%m-%d"}]}
columns: {a: tag, b: float, c: integer, d: unsigned, e: boolean, "weird name": string}
log: {ack: accepted}
buffer: {freeze_after: 1m30s250ms, freeze_rows: 7, freeze_size: 8MiB, persist_after: 0s}
lifecycle:
  {sort: [host, region], mutable: false, settle_window: 2h, bloom: [trace, host], grace: 3h, undrop_within: 4h,
   retain: [{tables: "http_*", after: 30d}, {tables: a, after: forever}],
   compact: {enabled: false, max_file_size: 5MiB, max_files: 6, quiet_after: 7s}}
store: {match: {tables: ["audit_*", "cpu"], where: "region = 'eu' AND host <> 'a'"}}
limits:
  columns: 1
  tables: 2
  partitions_per_write: 3
  line: 4KiB
  body: 5MiB
  query_memory: 6GiB
  query_time: 7ms
  concurrent_queries: 8
  past: 9s
  future: 10s
"#;

fn read(wire: v1::Rules) -> Result<Document, Vec<(String, String)>> {
    let bytes = wire.encode_to_vec();
    let wire = v1::Rules::decode(bytes.as_slice()).unwrap();
    let problems = |problems: ochre_types::rules::document::Problems| {
        problems.0.into_iter().map(|problem| (problem.path, problem.message)).collect()
    };
    Document::from_tree(Node::from(wire), &Rules::default()).map_err(problems)
}

#[test]
fn both_forms_give_the_same_rules() {
    let mut documents = vec![EVERYTHING.to_owned(), "database: \"*\"".to_owned()];
    documents.extend(["all", "none", "{match: {}}"].map(|store| format!("database: m\nstore: {store}")));
    for text in documents {
        let document = Document::parse(&text, &Rules::default()).unwrap();
        let wire = v1::Rules::from((&document.target, &document.rules));
        let back = read(wire.clone()).unwrap();
        assert_eq!((&back.target, &back.rules), (&document.target, &document.rules), "{text}");
        assert_eq!(v1::Rules::from((&back.target, &back.rules)), wire, "{text}");
        assert_eq!(render(&back.target, &back.rules), render(&document.target, &document.rules), "{text}");
    }
}

#[test]
fn a_message_has_every_field() {
    let document = Document::parse(EVERYTHING, &Rules::default()).unwrap();
    let wire = v1::Rules::from((&document.target, &document.rules));
    assert_eq!(wire.database, "metrics");
    assert_eq!(wire.partition[0].tables, "http_*");
    assert_eq!(wire.partition.iter().map(|rule| rule.by.len()).collect::<Vec<_>>(), [3, 1, 0, 2]);
    assert_eq!(wire.columns.values().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let buffer = v1::BufferRules {
        freeze_after: span(90, 250_000_000),
        freeze_rows: Some(7),
        freeze_size: Some(8 << 20),
        persist_after: span(0, 0),
    };
    assert_eq!(wire.buffer, Some(buffer));
    assert_eq!(wire.log, Some(v1::LogRules { ack: Some(1) }));
    let sort = vec!["host".to_owned(), "region".to_owned()];
    let retained = |tables: &str, after| v1::RetainRule { tables: tables.to_owned(), after };
    let compact = v1::CompactRules {
        enabled: Some(false),
        max_file_size: Some(5 << 20),
        max_files: Some(6),
        quiet_after: span(7, 0),
    };
    let lifecycle = v1::LifecycleRules {
        sort,
        mutable: Some(false),
        retain: vec![retained("http_*", span(30 * 86_400, 0)), retained("a", None)],
        settle_window: span(7_200, 0),
        compact: Some(compact),
        bloom: vec!["trace".to_owned(), "host".to_owned()],
        grace: span(10_800, 0),
        undrop_within: span(14_400, 0),
    };
    assert_eq!(wire.lifecycle, Some(lifecycle));
    let limits = v1::LimitRules {
        columns: Some(1),
        tables: Some(2),
        partitions_per_write: Some(3),
        line: Some(4 << 10),
        body: Some(5 << 20),
        query_memory: Some(6 << 30),
        query_time: span(0, 7_000_000),
        concurrent_queries: Some(8),
        past: span(9, 0),
        future: span(10, 0),
    };
    assert_eq!(wire.limits, Some(limits));
}

#[test]
fn what_is_absent_has_its_default() {
    let wire = v1::Rules { database: "m".to_owned(), ..v1::Rules::default() };
    assert_eq!(read(wire).unwrap().rules, Rules::default());
    let sections = v1::Rules {
        database: "m".to_owned(),
        log: Some(v1::LogRules::default()),
        buffer: Some(v1::BufferRules::default()),
        lifecycle: Some(v1::LifecycleRules::default()),
        limits: Some(v1::LimitRules::default()),
        ..v1::Rules::default()
    };
    assert_eq!(read(sections).unwrap().rules, Rules::default());
}

#[test]
fn every_mistake_of_a_message_has_its_path() {
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let part = |part| v1::PartitionPart { part };
    let bucket = v1::partition_part::Part::Bucket(v1::BucketPart { tag: "host".to_owned(), count: 0 });
    let wire = v1::Rules {
        database: String::new(),
        partition: vec![
            v1::PartitionRule { tables: "a".to_owned(), by: vec![part(Some(bucket)), part(None)] },
            v1::PartitionRule { tables: String::new(), by: Vec::new() },
        ],
        columns: [("c".to_owned(), 0), ("d".to_owned(), 99)].into(),
        log: Some(v1::LogRules { ack: Some(7) }),
        buffer: Some(v1::BufferRules { freeze_after: span(-1, 0), ..v1::BufferRules::default() }),
        store: Some(v1::StoreRule { rule: None }),
        limits: Some(v1::LimitRules { query_time: span(1, 1_000_000_000), ..v1::LimitRules::default() }),
        ..v1::Rules::default()
    };
    let problems = read(wire).unwrap_err();
    let mut paths: Vec<&str> = problems.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "buffer.freeze_after",
        "columns.c",
        "columns.d",
        "database",
        "limits.query_time",
        "log.ack",
        "partition[0].by[0].bucket.count",
        "partition[0].by[1]",
        "partition[1].tables",
        "store",
    ];
    assert_eq!(paths, expected);
    let message = |path: &str| &problems.iter().find(|(found, _)| found == path).unwrap().1;
    assert!(message("log.ack").starts_with("7 is not known here"), "{}", message("log.ack"));
    let negative = message("buffer.freeze_after");
    assert!(negative.starts_with("\"-1 seconds and 0 nanoseconds\" is not a duration"), "{negative}");
}
