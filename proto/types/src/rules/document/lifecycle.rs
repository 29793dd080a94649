//! The section `lifecycle`, and what holds between it and others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::partition;
use super::read::{At, Fields, Reader, quoted};
use super::sections::LEAST_DURATION;
use super::tree::{Value, field_path, item_path, places};
use crate::matching::TablePattern;
use crate::name::ColumnName;
use crate::rules::{CompactRules, LifecycleRules, MAX_RETAIN_RULES, RetainRule, RetainRules, Rules, SortRule};
use crate::size::{ByteSize, format_duration};
use crate::{ColumnKind, FieldType};

/// The tags that `lifecycle.sort` may name.
const MAX_SORT_TAGS: usize = 64;
/// The columns that `lifecycle.bloom` may name: each costs memory and bytes in every row group.
const MAX_BLOOM_COLUMNS: usize = 16;
/// Peers agree on boundaries without a word because they all lie on whole hours.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Smaller files would be more of catalog and requests than of rows.
const LEAST_FILE_SIZE: ByteSize = ByteSize::mib(1);
/// The chunks of a partition that may wait for each other.
const MAX_FILES: u64 = 10_000;

/// Reads the section; what it doesn't say stays as it is.
pub(super) fn read(reader: &mut Reader, fields: &Fields<'_>, rules: &mut LifecycleRules) {
    reader.set(fields.get("retain"), &mut rules.retain, retain);
    reader.set(fields.get("settle_window"), &mut rules.settle_window, settle_window);
    if let Some(compact) = fields.get("compact").and_then(|at| reader.section(at)) {
        read_compact(reader, &compact, &mut rules.compact);
    }
    reader.set(fields.get("sort"), &mut rules.sort, sort);
    reader.set(fields.get("bloom"), &mut rules.bloom, bloom);
    reader.set(fields.get("mutable"), &mut rules.mutable, Reader::boolean);
    reader.set(fields.get("grace"), &mut rules.grace, |reader, at| reader.duration(at, LEAST_DURATION));
    // No time at all is a rule with a meaning: what is dropped can't be brought back.
    reader.set(fields.get("undrop_within"), &mut rules.undrop_within, |r, at| r.duration(at, Duration::ZERO));
}

/// A list of rules, or one duration for all tables.
fn retain(reader: &mut Reader, at: &At<'_>) -> Option<RetainRules> {
    if !matches!(at.node.value, Value::List(_)) {
        let after = reader.duration_or(at, "forever", LEAST_DURATION)?;
        let all = RetainRule { tables: TablePattern::all(), after };
        return Some(RetainRules { rules: if after.is_some() { vec![all] } else { Vec::new() } });
    }
    let mut earlier = Vec::new();
    let rules = reader.list(at, MAX_RETAIN_RULES, |reader, at| {
        let fields = reader.section(at)?;
        let tables = partition::pattern(reader, at, &fields, &mut earlier);
        let after = match fields.get("after") {
            Some(at) => reader.duration_or(at, "forever", LEAST_DURATION),
            None => {
                let message = "is missing: write how long rows are kept, such as 30d, or forever";
                reader.missing(at, "after", message);
                None
            }
        };
        Some(RetainRule { tables: tables?, after: after? })
    })?;
    Some(RetainRules { rules })
}

fn settle_window(reader: &mut Reader, at: &At<'_>) -> Option<Duration> {
    let window = reader.duration(at, HOUR)?;
    if !window.as_nanos().is_multiple_of(HOUR.as_nanos()) {
        let shown = format_duration(window);
        reader.problem(at, format!("{shown} is no whole number of hours: write such as 24h or 14d"));
        return None;
    }
    Some(window)
}

fn read_compact(reader: &mut Reader, fields: &Fields<'_>, rules: &mut CompactRules) {
    reader.set(fields.get("enabled"), &mut rules.enabled, Reader::boolean);
    reader.set(fields.get("max_file_size"), &mut rules.max_file_size, |reader, at| {
        let size = reader.size(at)?;
        if size < LEAST_FILE_SIZE {
            reader.problem(at, format!("{size} is too small: at least {LEAST_FILE_SIZE} is needed"));
            return None;
        }
        Some(size)
    });
    reader.set(fields.get("max_files"), &mut rules.max_files, |reader, at| {
        reader.count(at, "files", 2..=MAX_FILES).and_then(|number| usize::try_from(number).ok())
    });
    reader.set(fields.get("quiet_after"), &mut rules.quiet_after, |r, at| r.duration(at, Duration::ZERO));
}

fn sort(reader: &mut Reader, at: &At<'_>) -> Option<SortRule> {
    match &at.node.value {
        Value::Text(text) if text == "auto" => return Some(SortRule::Auto),
        Value::List(items) if items.is_empty() => return Some(SortRule::Auto),
        Value::List(_) => {}
        _ => {
            reader.problem(at, format!("{} is no order: write auto, or a list of tags such as [host]", at.shown()));
            return None;
        }
    }
    let mut earlier = BTreeMap::new();
    let tags = reader.list(at, MAX_SORT_TAGS, |reader, at| {
        let tag = partition::tag(reader, at)?;
        if let Some(first) = earlier.insert(tag.clone(), at.path.clone()) {
            reader.problem(at, format!("{} stands at {first} already: remove one", quoted(tag.as_str())));
            return None;
        }
        Some(tag)
    })?;
    Some(SortRule::Tags(tags))
}

fn bloom(reader: &mut Reader, at: &At<'_>) -> Option<Vec<ColumnName>> {
    let mut earlier = BTreeMap::new();
    reader.list(at, MAX_BLOOM_COLUMNS, |reader, at| {
        let column = partition::tag(reader, at)?;
        if let Some(first) = earlier.insert(column.clone(), at.path.clone()) {
            reader.problem(at, format!("{} stands at {first} already: remove one", quoted(column.as_str())));
            return None;
        }
        Some(column)
    })
}

/// Checks what holds between the rules as a whole, defaults included.
pub(super) fn check(reader: &mut Reader, root: &At<'_>, rules: &Rules) {
    let lifecycle = &rules.lifecycle;
    let mut known = None;
    // What comes from the defaults has no place in the document.
    let mut place = |path: &str| known.get_or_insert_with(|| places(root.node)).get(path).copied();
    for (index, column) in lifecycle.bloom.iter().enumerate() {
        let kind = rules.columns.get(column).filter(|kind| **kind != ColumnKind::Field(FieldType::String));
        if let Some(kind @ ColumnKind::Field(_)) = kind {
            let path = item_path("lifecycle.bloom", index);
            let message = format!(
                "{} is neither tag nor text: {} pins it as {kind}: take another column, or remove the pin",
                quoted(column.as_str()),
                field_path("columns", column.as_str()),
            );
            let place = place(&path).unwrap_or_default();
            reader.problem_at(path, place, message);
        }
    }
    if lifecycle.grace <= rules.limits.query_time {
        let (grace, query_time) = ("lifecycle.grace", "limits.query_time");
        // The mistake is where the document says something.
        let path = if place(grace).is_none() && place(query_time).is_some() { query_time } else { grace };
        let message = format!(
            "objects would be deleted while queries still read them: {grace} is {}, {query_time} is {}: make grace the \
             longer one",
            format_duration(lifecycle.grace),
            format_duration(rules.limits.query_time),
        );
        let place = place(path).unwrap_or_default();
        reader.problem_at(path.to_owned(), place, message);
    }
}
