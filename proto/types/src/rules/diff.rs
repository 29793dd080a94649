//! What differs between two sets of rules, field by field.

use std::collections::BTreeMap;

use super::Rules;
use super::document::{Key, Node, Value, field_path, flow, item_path};
use super::render::tree;

/// A field that has another value than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The dotted path, such as `buffer.freeze_after` or `partition[0].by[1].bucket.count`.
    pub path: String,
    /// The value before, as in YAML; `None` if the field was not there.
    pub before: Option<String>,
    /// The value after, as in YAML; `None` if the field is not there any more.
    pub after: Option<String>,
}

/// The fields that differ, in the order of the document; items of lists are compared by their position.
pub fn diff(before: &Rules, after: &Rules) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&tree(before), &tree(after), "", &mut changes);
    changes
}

/// Every field with its dotted path and its value as in YAML, in the order of the document.
pub fn fields(rules: &Rules) -> Vec<(String, String)> {
    leaves(&tree(rules), "")
}

fn compare(before: &Node, after: &Node, path: &str, changes: &mut Vec<Change>) {
    match (&before.value, &after.value) {
        (Value::List(before), Value::List(after)) => {
            for index in 0..before.len().max(after.len()) {
                either(before.get(index), after.get(index), &item_path(path, index), changes);
            }
        }
        (Value::Map(old), Value::Map(new)) => {
            let (old_by_key, new_by_key) = (by_key(old), by_key(new));
            for (key, node) in old {
                either(Some(node), new_by_key.get(key.text.as_str()).copied(), &field_path(path, &key.text), changes);
            }
            for (key, node) in new.iter().filter(|(key, _)| !old_by_key.contains_key(key.text.as_str())) {
                either(None, Some(node), &field_path(path, &key.text), changes);
            }
        }
        (old, new) if old == new => {}
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            either(Some(before), None, path, changes);
            either(None, Some(after), path, changes);
        }
        _ => changes.push(Change { path: path.to_owned(), before: Some(flow(before)), after: Some(flow(after)) }),
    }
}

fn by_key(entries: &[(Key, Node)]) -> BTreeMap<&str, &Node> {
    entries.iter().map(|(key, node)| (key.text.as_str(), node)).collect()
}

fn either(before: Option<&Node>, after: Option<&Node>, path: &str, changes: &mut Vec<Change>) {
    if let (Some(before), Some(after)) = (before, after) {
        return compare(before, after, path, changes);
    }
    for (leaf, text) in before.map(|node| leaves(node, path)).unwrap_or_default() {
        changes.push(Change { path: leaf, before: Some(text), after: None });
    }
    for (leaf, text) in after.map(|node| leaves(node, path)).unwrap_or_default() {
        changes.push(Change { path: leaf, before: None, after: Some(text) });
    }
}

/// Everything below a node that holds no further values, with its path and text.
pub(super) fn leaves(node: &Node, path: &str) -> Vec<(String, String)> {
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            items.iter().enumerate().flat_map(|(index, item)| leaves(item, &item_path(path, index))).collect()
        }
        Value::Map(entries) if !entries.is_empty() => {
            entries.iter().flat_map(|(key, item)| leaves(item, &field_path(path, &key.text))).collect()
        }
        _ => vec![(path.to_owned(), flow(node))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Document;

    fn changes(before: &str, after: &str) -> Vec<String> {
        let rules = |text: &str| Document::parse(&format!("{{database: d, {text}}}"), &Rules::default()).unwrap().rules;
        let show = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let changes = diff(&rules(before), &rules(after)).into_iter();
        changes.map(|change| format!("{}: {} -> {}", change.path, show(change.before), show(change.after))).collect()
    }

    #[test]
    fn changes_are_told_field_by_field() {
        assert_eq!(changes("buffer: {freeze_after: 5m}", "buffer: {freeze_after: 300s}"), Vec::<String>::new());
        assert_eq!(
            changes("limits: {tables: 5}", "buffer: {freeze_after: 1h, freeze_rows: 1k}"),
            ["buffer.freeze_after: 5m -> 1h", "buffer.freeze_rows: 1048576 -> 1000", "limits.tables: 5 -> 10000"]
        );
        let bucket = |count: u32| format!("partition: [{{tables: a, by: [bucket: {{tag: h, count: {count}}}]}}]");
        assert_eq!(changes(&bucket(16), &bucket(32)), ["partition[0].by[0].bucket.count: 16 -> 32"]);
        assert_eq!(
            changes("columns: {}", &bucket(1)),
            [
                "partition[0].tables: nothing -> a",
                "partition[0].by[0].bucket.tag: nothing -> h",
                "partition[0].by[0].bucket.count: nothing -> 1"
            ]
        );
        assert_eq!(
            changes("columns: {a: tag, b: float, c: tag}", "columns: {a: tag, b: string, \"d.e\": tag}"),
            ["columns.b: float -> string", "columns.c: tag -> nothing", "columns.\"d.e\": nothing -> tag"]
        );
        assert_eq!(
            changes("lifecycle: {sort: [a, b]}", "store: {match: {}}"),
            [
                "lifecycle.sort[0]: a -> nothing",
                "lifecycle.sort[1]: b -> nothing",
                "lifecycle.sort: nothing -> auto",
                "store: all -> nothing",
                "store.match.tables: nothing -> []"
            ]
        );
    }
}
