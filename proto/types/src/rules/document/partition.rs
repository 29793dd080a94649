//! The section `partition`.

use std::sync::Arc;

use super::read::{At, Fields, Reader, quoted};
use super::tree::Value;
use crate::TIME_COLUMN;
use crate::matching::TablePattern;
use crate::name::ColumnName;
use crate::partition::{MAX_BUCKETS, MAX_PARTS, Part, TagPattern, Template, TimeFormat};
use crate::rules::{MAX_PARTITION_RULES, PartitionRule};

/// The rules of the section; `None` if one of them is wrong.
pub(super) fn read(reader: &mut Reader, at: &At<'_>) -> Option<Vec<PartitionRule>> {
    let mut earlier = Vec::new();
    reader.list(at, MAX_PARTITION_RULES, |reader, at| {
        let fields = reader.section(at)?;
        let tables = pattern(reader, at, &fields, &mut earlier);
        let template = template(reader, at, &fields);
        Some(PartitionRule { tables: tables?, template: Arc::new(template?) })
    })
}

/// The table pattern of a rule, which must have a chance to match after those of `earlier` rules.
pub(super) fn pattern(
    reader: &mut Reader,
    rule: &At<'_>,
    fields: &Fields<'_>,
    earlier: &mut Vec<(String, TablePattern)>,
) -> Option<TablePattern> {
    let Some(at) = fields.get("tables") else {
        reader.missing(rule, "tables", "is missing: write the tables that the rule is for, such as \"http_*\"");
        return None;
    };
    let pattern: TablePattern = reader.parsed(at, "\"http_*\"")?;
    // The first rule that takes all is the reason; of equal patterns, the nearer says more.
    if let Some((path, _)) = earlier.iter().find(|(_, other)| other.is_all()) {
        reader.problem(at, format!("can never match: {path} takes all tables before it: move this rule above it"));
    } else if let Some((path, _)) = earlier.iter().find(|(_, other)| *other == pattern) {
        let shown = quoted(pattern.as_str());
        reader.problem(at, format!("{shown} can never match: {path} has the same pattern: remove one of them"));
    }
    earlier.push((rule.path.clone(), pattern.clone()));
    Some(pattern)
}

fn template(reader: &mut Reader, rule: &At<'_>, fields: &Fields<'_>) -> Option<Template> {
    let Some(at) = fields.get("by") else {
        let message = "is missing: write the parts of the key, such as [{time: \"%Y-%m-%d\"}]; with [] a table is one \
                       partition";
        reader.missing(rule, "by", message);
        return None;
    };
    let mut earlier: Vec<(String, Part)> = Vec::new();
    let parts = reader.list(at, MAX_PARTS, |reader, at| {
        let part = part(reader, at)?;
        if let Some((path, _)) = earlier.iter().find(|(_, other)| *other == part) {
            reader.problem(at, format!("is the same part as {path}: remove one of them"));
        }
        earlier.push((at.path.clone(), part.clone()));
        Some(part)
    })?;
    // Each part was checked where it stands, but for what this says again with the template's own words.
    Template::new(parts).ok()
}

/// One part: a map of exactly one field.
fn part(reader: &mut Reader, at: &At<'_>) -> Option<Part> {
    const KINDS: &str = "write one of {table: {}}, {tag: NAME}, {bucket: {tag: NAME, count: 16}}, \
                         {regex: {tag: NAME, pattern: \"^([a-z]+)\"}} and {time: \"%Y-%m-%d\"}";
    if at.is_null() {
        reader.problem(at, format!("names no part: {KINDS}"));
        return None;
    }
    let fields = reader.section(at)?;
    let mut named = fields.values();
    let (Some((name, field)), None) = (named.next(), named.next()) else {
        reader.problem(at, format!("a part has one field, not {}: {KINDS}", fields.values().count()));
        return None;
    };
    match *name {
        "table" => match &field.node.value {
            Value::Null => Some(Part::Table),
            Value::Map(entries) if entries.is_empty() => Some(Part::Table),
            _ => {
                reader.problem(field, format!("takes no more words, but has {}: write {{table: {{}}}}", field.shown()));
                None
            }
        },
        "tag" => tag(reader, field).map(Part::Tag),
        "bucket" => bucket(reader, field),
        "regex" => regex(reader, field),
        "time" => {
            let format = reader.text(field, "\"%Y-%m-%d\"")?;
            reader.checked(field, TimeFormat::new(format)).map(Part::Time)
        }
        // It was told as an unknown field.
        _ => None,
    }
}

fn bucket(reader: &mut Reader, at: &At<'_>) -> Option<Part> {
    let fields = reader.section(at)?;
    let tag = required_tag(reader, at, &fields);
    let count = match fields.get("count") {
        Some(at) => reader.count(at, "buckets", 1..=u64::from(MAX_BUCKETS)).and_then(|n| u32::try_from(n).ok()),
        None => {
            reader.missing(at, "count", &format!("is missing: write how many buckets, 1 to {MAX_BUCKETS}"));
            None
        }
    };
    Some(Part::Bucket { tag: tag?, count: count? })
}

fn regex(reader: &mut Reader, at: &At<'_>) -> Option<Part> {
    let fields = reader.section(at)?;
    let tag = required_tag(reader, at, &fields);
    let pattern = match fields.get("pattern") {
        Some(at) => {
            let text = reader.text(at, "\"^([a-z]+)\"");
            text.and_then(|text| reader.checked(at, TagPattern::new(text)))
        }
        None => {
            reader.missing(at, "pattern", "is missing: write what to capture, such as \"^([a-z]+)\"");
            None
        }
    };
    Some(Part::Regex { tag: tag?, pattern: pattern? })
}

fn required_tag(reader: &mut Reader, part: &At<'_>, fields: &Fields<'_>) -> Option<ColumnName> {
    match fields.get("tag") {
        Some(at) => tag(reader, at),
        None => {
            reader.missing(part, "tag", "is missing: write the name of a tag");
            None
        }
    }
}

/// The name of a tag.
pub(super) fn tag(reader: &mut Reader, at: &At<'_>) -> Option<ColumnName> {
    let name: ColumnName = reader.parsed(at, "host")?;
    if name.as_str() == TIME_COLUMN {
        reader.problem(at, "\"time\" is each row's time and no tag: for partitions by time write {time: \"%Y-%m-%d\"}");
        return None;
    }
    Some(name)
}
