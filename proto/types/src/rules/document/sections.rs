//! The sections of a document, one function each, and what holds between them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Target;
use super::lifecycle;
use super::partition;
use super::read::{At, Fields, Reader, quoted};
use super::tree::{Value, field_path, item_path, places};
use crate::matching::RowMatch;
use crate::name::ColumnName;
use crate::partition::Part;
use crate::rules::{Ack, BufferRules, Limits, Rules, SortRule, StoreRule};
use crate::{ColumnKind, FieldType, STAMP_COLUMN, TIME_COLUMN};

/// The columns that `columns` may pin.
const MAX_PINS: usize = 10_000;
/// The table patterns that a match may have.
const MAX_MATCH_TABLES: usize = 1_000;
/// The most rows of an open chunk.
const MAX_FREEZE_ROWS: u64 = 1 << 31;
/// The most of anything that a limit counts.
const MAX_COUNT: u64 = u32::MAX as u64;
/// The most queries of one database at a time.
const MAX_QUERIES: u64 = 100_000;
/// The shortest age of an open chunk and time of a query.
pub(super) const LEAST_DURATION: Duration = Duration::from_millis(1);

/// Reads a whole document into `rules`; what it doesn't say stays as it is.
pub(super) fn read(reader: &mut Reader, root: &At<'_>, rules: &mut Rules) -> Option<Target> {
    let fields = reader.section(root)?;
    let target = match fields.get("database") {
        Some(at) => reader.parsed(at, "metrics"),
        None => {
            let message = "is missing: write the name of a database, or \"*\" for what new databases start from";
            reader.missing(root, "database", message);
            None
        }
    };
    if let Some(at) = said(&fields, "partition") {
        reader.set(Some(at), &mut rules.partition.rules, partition::read);
    }
    if let Some(at) = said(&fields, "columns") {
        reader.set(Some(at), &mut rules.columns, columns);
    }
    if let Some(log) = section(reader, &fields, "log") {
        let words = [("durable", Ack::Durable), ("accepted", Ack::Accepted)];
        reader.set(log.get("ack"), &mut rules.log.ack, |reader, at| reader.word(at, &words));
    }
    if let Some(buffer) = section(reader, &fields, "buffer") {
        read_buffer(reader, &buffer, &mut rules.buffer);
    }
    if let Some(lifecycle) = section(reader, &fields, "lifecycle") {
        lifecycle::read(reader, &lifecycle, &mut rules.lifecycle);
    }
    reader.set(fields.get("store"), &mut rules.store, store);
    if let Some(limits) = section(reader, &fields, "limits") {
        read_limits(reader, &limits, &mut rules.limits);
    }
    pinned(reader, root, rules);
    lifecycle::check(reader, root, rules);
    target
}

/// A field that has content: a section without any says nothing.
fn said<'f, 'n>(fields: &'f Fields<'n>, name: &str) -> Option<&'f At<'n>> {
    fields.get(name).filter(|at| !at.is_null())
}

fn section<'n>(reader: &mut Reader, fields: &Fields<'n>, name: &str) -> Option<Fields<'n>> {
    fields.get(name).and_then(|at| reader.section(at))
}

fn columns(reader: &mut Reader, at: &At<'_>) -> Option<BTreeMap<ColumnName, ColumnKind>> {
    const KINDS: [(&str, ColumnKind); 6] = [
        ("tag", ColumnKind::Tag),
        ("float", ColumnKind::Field(FieldType::Float)),
        ("integer", ColumnKind::Field(FieldType::Integer)),
        ("unsigned", ColumnKind::Field(FieldType::UInteger)),
        ("boolean", ColumnKind::Field(FieldType::Boolean)),
        ("string", ColumnKind::Field(FieldType::String)),
    ];
    let fields = reader.map(at)?;
    let count = fields.values().count();
    if count > MAX_PINS {
        reader.problem(at, format!("{count} columns: at most {MAX_PINS} are allowed"));
        return None;
    }
    let mut columns = BTreeMap::new();
    for (name, field) in fields.values() {
        let column = reader.checked(field, ColumnName::new(name));
        if [TIME_COLUMN, STAMP_COLUMN].contains(name) {
            reader.problem(field, format!("{name:?} has one kind in every table and can't be pinned: remove it"));
        } else if let (Some(column), Some(kind)) = (column, reader.word(field, &KINDS)) {
            columns.insert(column, kind);
        }
    }
    Some(columns)
}

fn read_buffer(reader: &mut Reader, fields: &Fields<'_>, rules: &mut BufferRules) {
    let rows = |reader: &mut Reader, at: &At<'_>| reader.count(at, "rows", 1..=MAX_FREEZE_ROWS);
    reader.set(fields.get("freeze_rows"), &mut rules.freeze_rows, rows);
    reader.set(fields.get("freeze_size"), &mut rules.freeze_size, Reader::size);
    reader.set(fields.get("freeze_after"), &mut rules.freeze_after, |r, at| r.duration(at, LEAST_DURATION));
    // No time at all is a rule with a meaning: persist whatever is frozen, at once.
    reader.set(fields.get("persist_after"), &mut rules.persist_after, |r, at| r.duration(at, Duration::ZERO));
}

fn store(reader: &mut Reader, at: &At<'_>) -> Option<StoreRule> {
    match &at.node.value {
        Value::Text(text) if text == "all" => Some(StoreRule::All),
        Value::Text(text) if text == "none" => Some(StoreRule::None),
        Value::Text(text) if text == "slots" => {
            reader.problem(
                at,
                "\"slots\" is not in this version: a server alone has none: write all, none or {match: …}",
            );
            None
        }
        Value::Map(_) => {
            let fields = reader.section(at)?;
            let Some(matching) = fields.get("match") else {
                reader.missing(at, "match", "is missing: write {match: {tables: [\"audit_*\"]}}, or all or none");
                return None;
            };
            row_match(reader, matching).map(StoreRule::Match)
        }
        _ => {
            reader.problem(at, format!("{} is no choice: write all, none or {{match: …}}", at.shown()));
            None
        }
    }
}

fn row_match(reader: &mut Reader, at: &At<'_>) -> Option<RowMatch> {
    let fields = reader.section(at)?;
    let mut matching = RowMatch::default();
    reader.set(fields.get("tables"), &mut matching.tables, |reader, at| {
        reader.list(at, MAX_MATCH_TABLES, |reader, at| reader.parsed(at, "\"audit_*\""))
    });
    reader.set(fields.get("where"), &mut matching.predicate, |reader, at| {
        reader.parsed(at, "\"region = 'eu'\"").map(Some)
    });
    Some(matching)
}

fn read_limits(reader: &mut Reader, fields: &Fields<'_>, rules: &mut Limits) {
    let counts = [
        ("columns", "columns", MAX_COUNT, &mut rules.columns),
        ("tables", "tables", MAX_COUNT, &mut rules.tables),
        ("partitions_per_write", "partitions", MAX_COUNT, &mut rules.partitions_per_write),
        ("concurrent_queries", "queries", MAX_QUERIES, &mut rules.concurrent_queries),
    ];
    for (name, unit, most, slot) in counts {
        reader.set(fields.get(name), slot, |reader, at| {
            reader.count(at, unit, 1..=most).and_then(|number| usize::try_from(number).ok())
        });
    }
    let sizes = [("line", &mut rules.line), ("body", &mut rules.body), ("query_memory", &mut rules.query_memory)];
    for (name, slot) in sizes {
        reader.set(fields.get(name), slot, Reader::size);
    }
    reader.set(fields.get("query_time"), &mut rules.query_time, |reader, at| reader.duration(at, LEAST_DURATION));
    for (name, slot) in [("past", &mut rules.past), ("future", &mut rules.future)] {
        reader.set(fields.get(name), slot, |reader, at| reader.duration_or(at, "any", Duration::ZERO));
    }
}

/// Refuses tags of the rules as a whole that `columns` pins as fields: no row could ever have them.
fn pinned(reader: &mut Reader, root: &At<'_>, rules: &Rules) {
    let mut tags: Vec<(String, &ColumnName)> = Vec::new();
    for (index, rule) in rules.partition.rules.iter().enumerate() {
        let by = field_path(&item_path("partition", index), "by");
        for (index, part) in rule.template.parts().iter().enumerate() {
            let (name, tag) = match part {
                Part::Tag(tag) => ("tag", tag),
                Part::Bucket { tag, .. } => ("bucket.tag", tag),
                Part::Regex { tag, .. } => ("regex.tag", tag),
                Part::Table | Part::Time(_) => continue,
            };
            tags.push((format!("{}.{name}", item_path(&by, index)), tag));
        }
    }
    if let SortRule::Tags(sort) = &rules.lifecycle.sort {
        let sort = sort.iter().enumerate();
        tags.extend(sort.map(|(index, tag)| (item_path("lifecycle.sort", index), tag)));
    }
    if let StoreRule::Match(RowMatch { predicate: Some(predicate), .. }) = &rules.store {
        tags.extend(predicate.tags().into_iter().map(|tag| ("store.match.where".to_owned(), tag)));
    }
    let mut known = None;
    for (path, tag) in tags {
        if let Some(kind @ ColumnKind::Field(_)) = rules.columns.get(tag) {
            let message = format!(
                "{} is no tag: {} pins it as {kind}: take another tag, or remove the pin",
                quoted(tag.as_str()),
                field_path("columns", tag.as_str()),
            );
            // What comes from the defaults has no place in the document.
            let known = known.get_or_insert_with(|| places(root.node));
            let place = known.get(&path).copied().unwrap_or_default();
            reader.problem_at(path, place, message);
        }
    }
}
