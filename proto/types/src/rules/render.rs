//! The canonical YAML of rules: every field, in the order of the schema, in one spelling.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::{Key, Node, Target, Value, write};
use super::{Ack, LifecycleRules, Limits, PartitionRule, RetainRules, Rules, SortRule, StoreRule};
use crate::ColumnKind;
use crate::matching::RowMatch;
use crate::name::ColumnName;
use crate::partition::Part;
use crate::size::format_duration;

/// The canonical YAML of a document with every field. Read with any defaults, it gives the same rules, but for what
/// holds for tables that no partition rule matches, which is no field.
pub fn render(target: &Target, rules: &Rules) -> String {
    let mut entries = vec![(Key::new("database"), Node::text(target.to_string()))];
    if let Value::Map(fields) = tree(rules).value {
        entries.extend(fields);
    }
    write(&Value::Map(entries).into())
}

/// The rules as a tree with every field, without the database.
pub(super) fn tree(rules: &Rules) -> Node {
    let ack = match rules.log.ack {
        Ack::Accepted => "accepted",
        Ack::Durable => "durable",
    };
    let buffer = &rules.buffer;
    let section = |entries: Vec<(&str, Node)>| Node::map(entries);
    section(vec![
        ("partition", Node::list(rules.partition.rules.iter().map(partition))),
        ("columns", columns(&rules.columns)),
        ("log", section(vec![("ack", Node::text(ack))])),
        (
            "buffer",
            section(vec![
                ("freeze_after", duration(buffer.freeze_after)),
                ("freeze_rows", Node::int(buffer.freeze_rows)),
                ("freeze_size", Node::text(buffer.freeze_size.to_string())),
                ("persist_after", duration(buffer.persist_after)),
            ]),
        ),
        ("lifecycle", lifecycle(&rules.lifecycle)),
        ("store", store(&rules.store)),
        ("limits", limits(&rules.limits)),
    ])
}

fn duration(duration: Duration) -> Node {
    Node::text(format_duration(duration))
}

fn duration_or(duration: Option<Duration>, word: &str) -> Node {
    Node::text(duration.map_or_else(|| word.to_owned(), format_duration))
}

fn count(number: usize) -> Node {
    Value::Int(i128::try_from(number).unwrap_or(i128::MAX)).into()
}

fn lifecycle(rules: &LifecycleRules) -> Node {
    let compact = &rules.compact;
    let bloom = Node::list(rules.bloom.iter().map(|column| Node::text(column.as_str())));
    Node::map([
        ("retain", retain(&rules.retain)),
        ("settle_window", duration(rules.settle_window)),
        (
            "compact",
            Node::map([
                ("enabled", Value::Bool(compact.enabled).into()),
                ("max_file_size", Node::text(compact.max_file_size.to_string())),
                ("max_files", count(compact.max_files)),
                ("quiet_after", duration(compact.quiet_after)),
            ]),
        ),
        ("sort", sort(&rules.sort)),
        ("bloom", bloom),
        ("mutable", Value::Bool(rules.mutable).into()),
        ("grace", duration(rules.grace)),
        ("undrop_within", duration(rules.undrop_within)),
    ])
}

fn retain(rules: &RetainRules) -> Node {
    let rule =
        |tables: &str, after| Node::map([("tables", Node::text(tables)), ("after", duration_or(after, "forever"))]);
    Node::list(rules.rules.iter().map(|it| rule(it.tables.as_str(), it.after)))
}

fn limits(limits: &Limits) -> Node {
    Node::map([
        ("columns", count(limits.columns)),
        ("tables", count(limits.tables)),
        ("partitions_per_write", count(limits.partitions_per_write)),
        ("past", duration_or(limits.past, "any")),
        ("future", duration_or(limits.future, "any")),
        ("line", Node::text(limits.line.to_string())),
        ("body", Node::text(limits.body.to_string())),
        ("query_memory", Node::text(limits.query_memory.to_string())),
        ("query_time", duration(limits.query_time)),
        ("concurrent_queries", count(limits.concurrent_queries)),
    ])
}

fn partition(rule: &PartitionRule) -> Node {
    let by = Node::list(rule.template.parts().iter().map(part));
    Node::map([("tables", Node::text(rule.tables.as_str())), ("by", by)])
}

fn part(part: &Part) -> Node {
    let name = |tag: &ColumnName| Node::text(tag.as_str());
    let (kind, node) = match part {
        Part::Table => ("table", Value::Map(Vec::new()).into()),
        Part::Tag(tag) => ("tag", name(tag)),
        Part::Bucket { tag, count } => ("bucket", Node::map([("tag", name(tag)), ("count", Node::int(*count))])),
        Part::Regex { tag, pattern } => {
            ("regex", Node::map([("tag", name(tag)), ("pattern", Node::text(pattern.as_str()))]))
        }
        Part::Time(format) => ("time", Node::text(format.as_str())),
    };
    Node::map([(kind, node)])
}

fn columns(columns: &BTreeMap<ColumnName, ColumnKind>) -> Node {
    Node::map(columns.iter().map(|(name, kind)| (name.as_str(), Node::text(kind.to_string()))))
}

fn sort(rule: &SortRule) -> Node {
    match rule {
        SortRule::Auto => Node::text("auto"),
        SortRule::Tags(tags) => Node::list(tags.iter().map(|tag| Node::text(tag.as_str()))),
    }
}

fn store(rule: &StoreRule) -> Node {
    match rule {
        StoreRule::All => Node::text("all"),
        StoreRule::None => Node::text("none"),
        StoreRule::Match(matching) => Node::map([("match", row_match(matching))]),
    }
}

fn row_match(matching: &RowMatch) -> Node {
    let tables = Node::list(matching.tables.iter().map(|pattern| Node::text(pattern.as_str())));
    let predicate = matching.predicate.iter().map(|predicate| ("where", Node::text(predicate.to_string())));
    Node::map([("tables", tables)].into_iter().chain(predicate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Document;

    #[test]
    fn every_field_is_written_in_one_spelling() {
        let text = r#"
database: "17"
partition:
  - {tables: cpu, by: []}
  - {tables: "/a|b/", by: [{table: }, {bucket: {tag: "no", count: 16}}, {regex: {tag: h, pattern: "^\"(a)\\d"}}]}
columns: {usage: float, "a b": tag}
buffer: {freeze_rows: 1M, freeze_size: 1000, freeze_after: 90s}
lifecycle:
  retain: [{tables: "cpu*", after: 12h}, {tables: audit, after: forever}, {tables: "*", after: 30d}]
  sort: [region, "x\ty"]
  bloom: [trace]
limits: {future: 0s}
store: {match: {tables: ["*"], where: "a = 'b'"}}
"#;
        let document = Document::parse(text, &Rules::default()).unwrap();
        let expected = r#"database: "17"
partition:
  - {tables: cpu, by: []}
  - tables: "/a|b/"
    by:
      - {table: {}}
      - {bucket: {tag: "no", count: 16}}
      - {regex: {tag: h, pattern: "^\"(a)\\d"}}
columns:
  "a b": tag
  usage: float
log:
  ack: durable
buffer:
  freeze_after: 1m30s
  freeze_rows: 1000000
  freeze_size: 1000B
  persist_after: 10m
lifecycle:
  retain:
    - {tables: "cpu*", after: 12h}
    - {tables: audit, after: forever}
    - {tables: "*", after: 30d}
  settle_window: 14d
  compact:
    enabled: true
    max_file_size: 512MiB
    max_files: 8
    quiet_after: 30m
  sort: [region, "x\ty"]
  bloom: [trace]
  mutable: true
  grace: 1h
  undrop_within: 7d
store:
  match:
    tables: ["*"]
    where: "a = 'b'"
limits:
  columns: 4096
  tables: 10000
  partitions_per_write: 5000
  past: any
  future: 0s
  line: 4MiB
  body: 64MiB
  query_memory: 2GiB
  query_time: 5m
  concurrent_queries: 32
"#;
        assert_eq!(render(&document.target, &document.rules), expected);
    }

    #[test]
    fn long_names_take_the_long_form() {
        let name = "x".repeat(2_000);
        let node = Node::map([("columns", Node::map([(name.clone(), Node::text("tag"))]))]);
        assert_eq!(write(&node), format!("columns:\n  ? {name}\n  : tag\n"));
    }
}
