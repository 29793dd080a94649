//! Tests of the document: what is read, every mistake with its place, and that nothing makes the reader panic.

mod properties;
mod yaml;

use std::time::Duration;

use super::*;
use crate::ColumnKind;
use crate::FieldType;
use crate::rules::{Ack, SortRule, StoreRule};
use crate::size::ByteSize;

/// Everything that a document can say.
const FULL: &str = r#"
# The example of the design.
database: metrics
partition:
  - tables: "http_*"
    by: [ {tag: region}, {bucket: {tag: host, count: 16}}, {time: "%Y-%m-%dT%H"} ]
  - tables: "*"
    by:
      - table: {}
      - regex: {tag: host, pattern: "^([a-z]+)"}
      - {time: "%Y-%m-%d"}
columns:  {usage: float, "a.b": tag}
log:      {ack: accepted}
buffer:   {freeze_after: 5m, freeze_rows: 1M, freeze_size: 128MiB,
           persist_after: 1h30m}
lifecycle:
  {sort: [region, host], mutable: false, settle_window: 48h, bloom: [trace], grace: 2h, undrop_within: 1d,
   retain: [{tables: audit, after: forever}, {tables: "*", after: 30d}],
   compact: {enabled: false, max_file_size: 2MiB, max_files: 3, quiet_after: 1m}}
store: {match: {tables: ["audit_*"], where: "region = 'eu'"}}
limits: {columns: 4k, tables: 17, partitions_per_write: 100, line: 4096, body: 64MiB, query_memory: 1GiB,
         query_time: 30s, concurrent_queries: 8, past: 1w, future: 10m}
"#;

fn parse(text: &str) -> Document {
    Document::parse(text, &Rules::default()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The mistakes of a document, one a line.
fn mistakes(text: &str) -> Vec<String> {
    let problems = Document::parse(text, &Rules::default()).expect_err(text);
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_full_document_is_read() {
    let Document { target, rules, source, .. } = parse(FULL);
    assert_eq!(target, Target::Database(DatabaseName::new("metrics").unwrap()));
    assert_eq!(&*source, FULL);
    let templates: Vec<_> =
        rules.partition.rules.iter().map(|rule| (rule.tables.as_str(), rule.template.to_string())).collect();
    assert_eq!(
        templates,
        [
            ("http_*", r#"[{"tag":"region"},{"bucket":{"tag":"host","count":16}},{"time":"%Y-%m-%dT%H"}]"#.to_owned()),
            ("*", r#"[{"table":{}},{"regex":{"tag":"host","pattern":"^([a-z]+)"}},{"time":"%Y-%m-%d"}]"#.to_owned()),
        ]
    );
    let columns: Vec<_> = rules.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    assert_eq!(columns, [("a.b", ColumnKind::Tag), ("usage", ColumnKind::Field(FieldType::Float))]);
    assert_eq!(rules.log.ack, Ack::Accepted);
    assert_eq!(rules.buffer.freeze_after, Duration::from_secs(300));
    assert_eq!(rules.buffer.freeze_rows, 1_000_000);
    assert_eq!(rules.buffer.freeze_size, ByteSize::mib(128));
    assert_eq!(rules.buffer.persist_after, Duration::from_secs(5_400));
    let SortRule::Tags(sort) = &rules.lifecycle.sort else { panic!("{:?}", rules.lifecycle.sort) };
    assert_eq!(sort.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["region", "host"]);
    assert!(!rules.lifecycle.mutable);
    let lifecycle = &rules.lifecycle;
    let retained = |table: &str| lifecycle.retain.of(&table.parse().unwrap()).map(|after| after.as_secs());
    assert_eq!((retained("audit"), retained("cpu")), (None, Some(30 * 24 * 3_600)));
    let durations = [lifecycle.settle_window, lifecycle.grace, lifecycle.undrop_within, lifecycle.compact.quiet_after];
    assert_eq!(durations.map(|duration| duration.as_secs()), [48 * 3_600, 7_200, 86_400, 60]);
    let compact = lifecycle.compact;
    assert_eq!((compact.enabled, compact.max_file_size, compact.max_files), (false, ByteSize::mib(2), 3));
    assert_eq!(lifecycle.bloom.iter().map(|column| column.as_str()).collect::<Vec<_>>(), ["trace"]);
    let StoreRule::Match(matching) = &rules.store else { panic!("{:?}", rules.store) };
    assert_eq!(matching.tables.iter().map(|tables| tables.as_str()).collect::<Vec<_>>(), ["audit_*"]);
    assert_eq!(matching.predicate, Some("region = 'eu'".parse().unwrap()));
    let limits = rules.limits;
    assert_eq!((limits.columns, limits.tables, limits.partitions_per_write), (4_000, 17, 100));
    assert_eq!(
        (limits.line, limits.body, limits.query_memory),
        (ByteSize(4_096), ByteSize::mib(64), ByteSize(1 << 30))
    );
    assert_eq!((limits.query_time, limits.concurrent_queries), (Duration::from_secs(30), 8));
    assert_eq!((limits.past, limits.future), (Some(Duration::from_secs(604_800)), Some(Duration::from_secs(600))));
}

#[test]
fn json_says_the_same_as_yaml() {
    let json = r#"{"database": "m", "partition": [{"tables": "a*", "by": [{"table": {}}, {"tag": "x"}]}],
        "columns": {"u": "unsigned"}, "store": "none", "lifecycle": {"sort": "auto", "mutable": false}}"#;
    let yaml = "database: m\npartition: [{tables: a*, by: [table: , tag: x]}]\ncolumns: {u: unsigned}\n\
                store: none\nlifecycle:\n  sort: []\n  mutable: false\n";
    assert_eq!(parse(json).rules, parse(yaml).rules);
    assert_eq!(parse(json).target, parse(yaml).target);
}

#[test]
fn what_is_not_said_is_as_in_the_defaults() {
    let defaults = parse(FULL).rules;
    let read = |text: &str| Document::parse(text, &defaults).unwrap().rules;
    for nothing in ["database: x", "{database: x, buffer: {}}", "database: x\nbuffer:\nlimits:\npartition:\ncolumns:"] {
        assert_eq!(read(nothing), defaults, "{nothing}");
    }
    let rules = read("{database: x, columns: {}, partition: [], buffer: {freeze_rows: 5}, store: all}");
    let mut expected = defaults.clone();
    expected.columns.clear();
    expected.partition.rules.clear();
    expected.buffer.freeze_rows = 5;
    expected.store = StoreRule::All;
    assert_eq!(rules, expected);
}

#[test]
fn lines_are_known_for_what_the_document_says() {
    let document = parse(FULL);
    let lines = [
        ("database", Some(3)),
        ("partition", Some(4)),
        ("partition[0]", Some(5)),
        ("partition[0].by[2]", Some(6)),
        ("partition[1]", Some(7)),
        ("partition[1].by", Some(8)),
        ("partition[1].by[1].regex.pattern", Some(10)),
        ("columns.\"a.b\"", Some(12)),
        ("buffer.freeze_after", Some(14)),
        ("buffer.persist_after", Some(15)),
        ("lifecycle", Some(16)),
        ("lifecycle.retain[1].after", Some(18)),
        ("store", Some(20)),
        ("limits.query_time", Some(22)),
        ("partition[2]", None),
        ("lifecycle.sort[2]", None),
        ("", None),
    ];
    for (path, line) in lines {
        assert_eq!(document.line_of(path), line, "{path}");
    }
    assert_eq!(parse("database: x").line_of("buffer.freeze_rows"), None);
}

/// A document full of mistakes.
const WRONG: &str = r#"
database: metrics
partition:
  - {tables: a, by: [{tag: region}, {bucket: {tag: host, count: 0}}, {time: "%H"}, {tga: x}]}
  - {tables: "*", by: [{table: {}}], buy: 1}
  - {tables: b, by: []}
bufer: {}
buffer: {freeze_after: 5 minuts, freeze_rows: 3000M, freeze_size: huge, persist_after: 10}
columns: {usage: double, time: integer, host: string}
lifecycle: {retain: soon, mutable: yes, sort: [host, host]}
limits: {columns: -1, line: 0}
send: []
store: {match: {tables: [""], origin: a}}
"#;

/// What is said of [`WRONG`].
const MISTAKES: &[&str] = &[
    "partition[0].by[1].bucket.count: 0 buckets: 1 to 100000 are allowed (line 4)",
    "partition[0].by[2].time: time format \"%H\" has %H in the wrong place: write units from the year on, coarse \
     to fine, none left out, each once, such as %Y-%m-%dT%H (line 4)",
    "partition[0].by[3].tga: unknown field: did you mean tag? Known here: table, tag, bucket, regex, time (line 4)",
    "partition[1].buy: unknown field: did you mean by? Known here: tables, by (line 5)",
    "partition[2].tables: can never match: partition[1] takes all tables before it: move this rule above it \
     (line 6)",
    "bufer: unknown field: did you mean buffer? Known here: database, partition, columns, log, buffer, lifecycle, \
     store, limits (line 7)",
    "buffer.freeze_after: \"5 minuts\" is not a duration: write a number and ns, us, ms, s, m, h, d or w, such as \
     90s or 1h30m (line 8)",
    "buffer.freeze_rows: 3000000000 rows: 1 to 2147483648 are allowed (line 8)",
    "buffer.freeze_size: \"huge\" is not a size: write a number and B, KiB, MiB, GiB, TiB, kB, MB or GB, such as \
     64MiB (line 8)",
    "buffer.persist_after: 10 is no duration without its unit: write such as 300s or 5m (line 8)",
    "columns.usage: \"double\" is not known here: write tag, float, integer, unsigned, boolean or string (line 9)",
    "columns.time: \"time\" has one kind in every table and can't be pinned: remove it (line 9)",
    "lifecycle.retain: \"soon\" is not a duration: write a number and ns, us, ms, s, m, h, d or w, such as 90s or \
     1h30m (line 10)",
    "lifecycle.mutable: \"yes\" is neither true nor false: write one of them (line 10)",
    "lifecycle.sort[1]: \"host\" stands at lifecycle.sort[0] already: remove one (line 10)",
    "limits.columns: -1 columns: 1 to 4294967295 are allowed (line 11)",
    "limits.line: 0 bytes: at least 1 is needed (line 11)",
    "send: not in this version: a server alone has nobody to send to: remove it (line 12)",
    "store.match.tables[0]: a table pattern is empty: write * for all tables (line 13)",
    "store.match.origin: not in this version: a server alone is the origin of all rows: remove it (line 13)",
];

#[test]
fn all_mistakes_are_told_at_once() {
    assert_eq!(mistakes(WRONG), MISTAKES);
}

/// Documents with one mistake, and what is said of it.
const SINGLE: &[(&str, &str)] = &[
    (
        "{buffer: {}}",
        "database: is missing: write the name of a database, or \"*\" for what new databases start from (line 1)",
    ),
    ("database: 5", "database: 5 is no text as it stands: write it in quotes (line 1)"),
    ("database: [a]", "database: a list stands where a text is needed: write such as metrics (line 1)"),
    ("- database", "a list stands where fields are needed: write name: value (line 1, column 1)"),
    (
        "{database: d, partition: [{tables: a, by: [{tag: a}, {tag: a}]}]}",
        "partition[0].by[1]: is the same part as partition[0].by[0]: remove one of them (line 1)",
    ),
    (
        "{database: d, partition: [{tables: a, by: [{tag: 1}]}]}",
        "partition[0].by[0].tag: 1 is no text as it stands: write it in quotes (line 1)",
    ),
    (
        "{database: d, partition: [{tables: a, by: [{table: cpu}]}]}",
        "partition[0].by[0].table: takes no more words, but has \"cpu\": write {table: {}} (line 1)",
    ),
    (
        "{database: d, partition: [{tables: a, by: [{table: }, {tag: a}, {tag: b}, {tag: c}, {tag: d}, {tag: e}, {tag: f}, {tag: g}, {tag: h}]}]}",
        "partition[0].by: 9 entries: at most 8 are allowed (line 1)",
    ),
    (
        "{database: d, partition: [{tables: a, by: [{regex: {tag: h, pattern: a}}]}]}",
        "partition[0].by[0].regex.pattern: a partition template's pattern \"a\" must be anchored: start it with ^ \
             (line 1)",
    ),
    (
        "{database: d, lifecycle: {sort: [h]}, columns: {h: string}}",
        "lifecycle.sort[0]: \"h\" is no tag: columns.h pins it as string: take another tag, or remove the pin \
             (line 1)",
    ),
    (
        "{database: d, store: slots}",
        "store: \"slots\" is not in this version: a server alone has none: write all, none or {match: …} (line 1)",
    ),
    (
        "{database: d, store: {match: {where: \"x = 'a'\"}}, columns: {x: float}}",
        "store.match.where: \"x\" is no tag: columns.x pins it as float: take another tag, or remove the pin \
             (line 1)",
    ),
    (
        "{database: d, limits: {tables: 1e6}}",
        "limits.tables: 1000000.0 is no whole number of tables: write such as 5000, 5k or 1M (line 1)",
    ),
    (
        "{database: d, lifecycle: {settle_window: 90m}}",
        "lifecycle.settle_window: 1h30m is no whole number of hours: write such as 24h or 14d (line 1)",
    ),
    (
        "{database: d, lifecycle: {retain: [{tables: a}]}}",
        "lifecycle.retain[0].after: is missing: write how long rows are kept, such as 30d, or forever (line 1)",
    ),
    (
        "{database: d,\nlimits: {query_time: 2h}}",
        "limits.query_time: objects would be deleted while queries still read them: lifecycle.grace is 1h, \
             limits.query_time is 2h: make grace the longer one (line 2)",
    ),
    (
        "{database: d, lifecycle: {bloom: [a]}, columns: {a: float}}",
        "lifecycle.bloom[0]: \"a\" is neither tag nor text: columns.a pins it as float: take another column, or \
             remove the pin (line 1)",
    ),
    ("database: \"*\"\nlog: {ack: }", "log.ack: nothing stands here: write durable or accepted (line 2)"),
];

#[test]
fn single_mistakes_are_told_with_what_would_be_right() {
    for (text, expected) in SINGLE {
        assert_eq!(mistakes(text), [*expected], "{text}");
    }
}

#[test]
fn one_duration_retains_all_tables() {
    let short = parse("{database: d, lifecycle: {retain: 30d}}").rules;
    assert_eq!(short, parse("{database: d, lifecycle: {retain: [{tables: \"*\", after: 30d}]}}").rules);
    let defaults = Rules { lifecycle: short.lifecycle, ..Rules::default() };
    let forever = Document::parse("{database: d, lifecycle: {retain: forever}}", &defaults).unwrap();
    assert_eq!(forever.rules.lifecycle, Rules::default().lifecycle);
}

#[test]
fn too_many_mistakes_are_counted() {
    let text =
        format!("database: d\nlimits: {{{}}}", (0..150).map(|n| format!("x{n}: 1")).collect::<Vec<_>>().join(","));
    let mistakes = mistakes(&text);
    assert_eq!(mistakes.len(), MAX_PROBLEMS + 1);
    assert_eq!(mistakes[MAX_PROBLEMS], "there are 50 mistakes more: correct these first");
}

#[test]
fn counts_have_decimal_suffixes() {
    for (text, rows) in [("5", 5), ("5k", 5_000), ("5K", 5_000), ("2M", 2_000_000), ("1G", 1_000_000_000), ("0x10", 16)]
    {
        assert_eq!(parse(&format!("{{database: d, buffer: {{freeze_rows: {text}}}}}")).rules.buffer.freeze_rows, rows);
    }
    for text in ["5 k", "5Mi", "k", "-5k", "+5k", "5kk", "1_000", "five", "9".repeat(40).as_str()] {
        assert_eq!(mistakes(&format!("{{database: d, buffer: {{freeze_rows: {text}}}}}")).len(), 1, "{text}");
    }
}

#[test]
fn a_tree_without_lines_is_read_as_well() {
    let tree = Node::map([
        ("database", Node::text("*")),
        ("buffer", Node::map([("freeze_rows", Node::int(7))])),
        ("columns", Node::map([("a b", Node::text("float"))])),
    ]);
    let document = Document::from_tree(tree, &Rules::default()).unwrap();
    assert_eq!(document.target, Target::Default);
    assert_eq!(document.rules.buffer.freeze_rows, 7);
    assert_eq!(&*document.source, "database: \"*\"\nbuffer:\n  freeze_rows: 7\ncolumns:\n  \"a b\": float\n");
    assert_eq!(document.line_of("buffer.freeze_rows"), Some(3));

    let tree = Node::map([("buffer", Node::map([("freeze_rows", Node::int(0))]))]);
    let problems = Document::from_tree(tree, &Rules::default()).unwrap_err().to_string();
    let expected = "database: is missing: write the name of a database, or \"*\" for what new databases start from\n\
                    buffer.freeze_rows: 0 rows: 1 to 2147483648 are allowed";
    assert_eq!(problems, expected);

    let twice = Node::map([("database", Node::text("a")), ("database", Node::text("b"))]);
    let problems = Document::from_tree(twice, &Rules::default()).unwrap_err().to_string();
    assert_eq!(problems, "database: stands twice: remove one");
}

#[test]
fn targets_read_back() {
    assert_eq!("*".parse(), Ok::<_, NameError>(Target::Default));
    assert_eq!(Target::Default.to_string(), "*");
    let target: Target = "a b".parse().unwrap();
    assert_eq!(target.database(), Some(&DatabaseName::new("a b").unwrap()));
    assert_eq!(target.to_string(), "a b");
    assert!("".parse::<Target>().is_err());
}
