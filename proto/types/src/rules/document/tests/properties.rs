//! Properties: what is rendered reads back, and nothing makes the reader panic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::matching::{RowMatch, TablePattern};
use crate::name::{ColumnName, DatabaseName};
use crate::partition::{Part, TagPattern, Template, TimeFormat};
use crate::rules::document::{Document, Node, Target, Value, read_yaml, write};
use crate::rules::{
    Ack, BufferRules, CompactRules, LifecycleRules, Limits, LogRules, PartitionRule, PartitionRules, RetainRule,
    RetainRules, Rules, SortRule, StoreRule, diff, render,
};
use crate::size::ByteSize;
use crate::{ColumnKind, FieldType};

/// Texts that are hard to write: looks of other values, YAML's own characters, controls, the widest characters.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,8}",
        "[-a-zA-Z0-9_.:#,&*!|>'\"%@`{}\\[\\] ?~\\\\\t\n\u{1}\u{85}\u{a0}\u{2028}\u{feff}äß💥]{1,12}",
        prop::sample::select(vec![
            "null", "true", "no", "17", "0x1f", "1.5", ".inf", "-", "---", "...", "~", " a ", "*"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1100}",
        any::<String>(),
    ]
}

fn column() -> impl Strategy<Value = ColumnName> {
    let reserved = |name: &ColumnName| !["time", "_stamp"].contains(&name.as_str());
    text().prop_filter_map("a name", |name| ColumnName::new(name).ok()).prop_filter("reserved", reserved)
}

fn pattern() -> impl Strategy<Value = TablePattern> {
    prop_oneof![text(), text().prop_map(|name| format!("{name}*"))]
        .prop_filter_map("a pattern", |pattern| pattern.parse().ok())
        .prop_filter("takes all", |pattern: &TablePattern| !pattern.is_all())
}

fn part() -> impl Strategy<Value = Part> {
    let formats = prop::sample::select(vec!["%Y", "%Y-%m-%d", "%FT%H", "%Y/%j", "on %F at %T"]);
    let patterns = prop::sample::select(vec!["^([a-z]+)", "^\"(\\\\+)'", "^(ä|\n)"]);
    prop_oneof![
        Just(Part::Table),
        column().prop_map(Part::Tag),
        (column(), 1..=100_000u32).prop_map(|(tag, count)| Part::Bucket { tag, count }),
        (column(), patterns).prop_map(|(tag, pattern)| Part::Regex { tag, pattern: TagPattern::new(pattern).unwrap() }),
        formats.prop_map(|format| Part::Time(TimeFormat::new(format).unwrap())),
    ]
}

fn partition() -> impl Strategy<Value = PartitionRules> {
    let template = vec(part(), 0..=8).prop_filter_map("distinct parts", |parts| Template::new(parts).ok());
    let rule = (pattern(), template).prop_map(|(tables, template)| PartitionRule { tables, template: template.into() });
    (vec(rule, 0..4), option::of(Just(()))).prop_map(|(mut rules, last)| {
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(rule.tables.to_string()));
        if last.is_some() {
            rules.push(PartitionRule { tables: TablePattern::all(), template: Arc::default() });
        }
        PartitionRules { rules, ..PartitionRules::default() }
    })
}

fn store() -> impl Strategy<Value = StoreRule> {
    let predicates = prop::sample::select(vec!["region = 'eu'", "a <> 'it''s' OR \"B c\" IN ('x', 'ü')", "TRUE"]);
    let matching = (vec(pattern(), 0..4), option::of(predicates));
    prop_oneof![
        Just(StoreRule::All),
        Just(StoreRule::None),
        matching.prop_map(|(tables, predicate)| {
            StoreRule::Match(RowMatch { tables, predicate: predicate.map(|text| text.parse().unwrap()) })
        }),
    ]
}

fn numbers() -> impl Strategy<Value = (BufferRules, Limits)> {
    let duration = || (1_000_000..=u64::MAX).prop_map(Duration::from_nanos);
    let size = || (1..=u64::MAX).prop_map(ByteSize);
    let count = || 1..=usize::try_from(u32::MAX).unwrap();
    // The grace has to be longer.
    let query_time = (1_000_000..=u64::MAX / 2).prop_map(Duration::from_nanos);
    let window = || option::of((0..=u64::MAX).prop_map(Duration::from_nanos));
    let buffer = (1..=1u64 << 31, size(), duration(), (0..=u64::MAX).prop_map(Duration::from_nanos));
    let limits = (count(), count(), count(), size(), size(), size(), query_time, 1..=100_000usize, window(), window());
    (buffer, limits).prop_map(|(buffer, limits)| {
        let (freeze_rows, freeze_size, freeze_after, persist_after) = buffer;
        let (
            columns,
            tables,
            partitions_per_write,
            line,
            body,
            query_memory,
            query_time,
            concurrent_queries,
            past,
            future,
        ) = limits;
        let buffer = BufferRules { freeze_rows, freeze_size, freeze_after, persist_after };
        let limits = Limits {
            columns,
            tables,
            partitions_per_write,
            line,
            body,
            query_memory,
            query_time,
            concurrent_queries,
            past,
            future,
        };
        (buffer, limits)
    })
}

/// All of it but for the sort order, with a grace of the upper half.
fn lifecycle() -> impl Strategy<Value = LifecycleRules> {
    let duration = |least: u64| (least..=u64::MAX).prop_map(Duration::from_nanos);
    let compact = (any::<bool>(), 1u64 << 20..=u64::MAX, 2..=10_000usize, duration(0));
    let compact = compact.prop_map(|(enabled, size, max_files, quiet_after)| CompactRules {
        enabled,
        max_file_size: ByteSize(size),
        max_files,
        quiet_after,
    });
    let retain = vec((pattern(), option::of(duration(1_000_000))), 0..4).prop_map(|rules| {
        let mut seen = BTreeSet::new();
        let rules = rules.into_iter().filter(|(tables, _)| seen.insert(tables.to_string()));
        RetainRules { rules: rules.map(|(tables, after)| RetainRule { tables, after }).collect() }
    });
    let settle_window = (1..=1_000_000u64).prop_map(|hours| Duration::from_secs(hours * 3_600));
    let bloom = vec(column(), 0..4).prop_map(|columns| columns.into_iter().collect::<BTreeSet<_>>());
    let durations = (duration(u64::MAX / 2 + 1), duration(0));
    (retain, settle_window, compact, bloom, any::<bool>(), durations).prop_map(
        |(retain, settle_window, compact, bloom, mutable, (grace, undrop_within))| LifecycleRules {
            retain,
            settle_window,
            compact,
            sort: SortRule::Auto,
            bloom: bloom.into_iter().collect(),
            mutable,
            grace,
            undrop_within,
        },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    let field = prop::sample::select(FieldType::ALL.to_vec());
    let kind = prop_oneof![Just(ColumnKind::Tag), field.prop_map(ColumnKind::Field)];
    let sort = prop_oneof![
        Just(SortRule::Auto),
        vec(column(), 1..5).prop_map(|tags| {
            let tags: BTreeSet<_> = tags.into_iter().collect();
            SortRule::Tags(tags.into_iter().rev().collect())
        }),
    ];
    let ack = prop::sample::select(vec![Ack::Accepted, Ack::Durable]);
    let columns = btree_map(column(), kind, 0..4);
    (partition(), columns, ack, numbers(), sort, lifecycle(), store()).prop_map(
        |(partition, mut columns, ack, (buffer, limits), sort, lifecycle, store)| {
            // A tag of other rules must not be pinned as a field.
            let tags: BTreeSet<ColumnName> = partition
                .rules
                .iter()
                .flat_map(|rule| rule.template.parts().iter().filter_map(Part::tag).cloned().collect::<Vec<_>>())
                .chain(if let SortRule::Tags(tags) = &sort { tags.clone() } else { Vec::new() })
                .chain(lifecycle.bloom.clone())
                .collect();
            columns.retain(|name, _| !tags.contains(name) && !["a", "region", "B c"].contains(&name.as_str()));
            let lifecycle = LifecycleRules { sort, ..lifecycle };
            Rules { partition, columns, log: LogRules { ack }, buffer, lifecycle, store, limits }
        },
    )
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Value::Float),
        text().prop_map(Value::Text),
    ];
    let names = prop_oneof![
        prop::sample::select(vec![
            "database",
            "partition",
            "tables",
            "by",
            "tag",
            "bucket",
            "count",
            "regex",
            "columns",
            "buffer",
            "store",
            "match",
            "where",
            "lifecycle",
            "sort",
            "limits",
            "line",
        ])
        .prop_map(str::to_owned),
        text(),
    ];
    leaf.prop_map(Node::from).prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Node::list),
            btree_map(names.clone(), inner, 0..6).prop_map(Node::map),
        ]
    })
}

/// The tree as if it came from no text.
fn without_places(node: Node) -> Node {
    match node.value {
        Value::List(items) => Node::list(items.into_iter().map(without_places)),
        Value::Map(entries) => Node::map(entries.into_iter().map(|(key, node)| (key.text, without_places(node)))),
        other => other.into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rendered_rules_read_back_whatever_the_defaults(rules in rules(), defaults in rules(), name in text()) {
        let target = DatabaseName::new(name).map_or(Target::Default, Target::Database);
        prop_assume!(target.to_string() != "*" || target == Target::Default);
        let text = render(&target, &rules);
        let document = match Document::parse(&text, &defaults) {
            Ok(document) => document,
            Err(problems) => return Err(TestCaseError::fail(format!("{problems}\n{text}"))),
        };
        prop_assert_eq!(&document.rules, &rules);
        prop_assert_eq!(&document.target, &target);
        prop_assert_eq!(render(&document.target, &document.rules), text);
    }

    #[test]
    fn any_tree_reads_back_from_its_text(tree in tree()) {
        let text = write(&tree);
        let read = read_yaml(&text);
        prop_assert_eq!(read.map(without_places).map_err(|problem| format!("{problem}\n{text}")), Ok(tree));
    }

    #[test]
    fn no_tree_makes_the_reader_panic(tree in tree()) {
        let _ = Document::from_tree(tree, &Rules::default());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![
        any::<String>(),
        "[-a-z0:#,&*!|>'\"%@`{}\\[\\] ?~\\\\\t\n\r\u{feff}]{0,80}",
        "((database|by|tables|x|1|- |\\? |: |:|\n|\n  |\\[|\\]|\\{|\\}|, |\"|'|#|\\||>|---|\\.\\.\\.|\t) ?){0,40}",
    ]) {
        let _ = Document::parse(&text, &Rules::default());
    }

    #[test]
    fn a_difference_is_empty_for_equals_and_the_same_from_both_sides(one in rules(), other in rules()) {
        prop_assert!(diff(&one, &one).is_empty());
        prop_assert_eq!(diff(&one, &other).is_empty(), one == other);
        let forth: BTreeMap<_, _> = diff(&one, &other).into_iter().map(|c| (c.path, (c.before, c.after))).collect();
        let back: BTreeMap<_, _> = diff(&other, &one).into_iter().map(|c| (c.path, (c.after, c.before))).collect();
        prop_assert_eq!(forth, back);
    }
}
