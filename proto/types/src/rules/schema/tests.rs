//! The reader, the renderer and the table of fields know the same fields.

use std::collections::BTreeSet;

use super::*;
use crate::rules::diff::leaves;
use crate::rules::document::{Document, read_yaml};
use crate::rules::{Rules, Target, render};

/// A document that says what others say only by their absence: an empty template, parts of each kind, a match.
const FULL: &str = r#"
database: d
partition:
  - {tables: a, by: []}
  - {tables: b, by: [table: , tag: x, bucket: {tag: x, count: 2}, regex: {tag: x, pattern: "^(a)"}, time: "%Y"]}
columns: {usage: float}
lifecycle: {sort: [x], retain: [{tables: a, after: 1h}], bloom: [x]}
store: {match: {tables: [a], where: "x = 'a'"}}
"#;

/// The path of a leaf as the schema has it.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    for (index, piece) in path.split('[').enumerate() {
        let rest = piece.split_once(']').map_or(piece, |(_, rest)| rest);
        shape.push_str(if index > 0 { "[]" } else { "" });
        shape.push_str(rest);
    }
    let shape = shape.strip_suffix("[]").unwrap_or(&shape);
    if shape.starts_with("columns.") { "columns.*".to_owned() } else { shape.to_owned() }
}

fn rendered_leaves(rules: &Rules) -> Vec<(String, String)> {
    let target = Target::Database("d".parse().expect("d is a name"));
    leaves(&read_yaml(&render(&target, rules)).unwrap(), "")
}

#[test]
fn every_field_that_is_written_and_read_is_listed_and_no_other() {
    let full = Document::parse(FULL, &Rules::default()).unwrap_or_else(|problems| panic!("{problems}")).rules;
    let written = rendered_leaves(&full).into_iter().chain(rendered_leaves(&Rules::default()));
    let written: BTreeSet<String> = written.map(|(path, _)| shape(&path)).collect();
    let listed: BTreeSet<String> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
    assert_eq!(written, listed);
    assert_eq!(FIELDS.len(), listed.len(), "a field is listed twice");
    let text = render(&Target::Default, &full);
    assert_eq!(Document::parse(&text, &Rules::default()).unwrap().rules, full, "{text}");
}

#[test]
fn listed_defaults_are_those_that_hold() {
    let mut leaves = rendered_leaves(&Rules::default());
    leaves.retain(|(path, _)| path != "database");
    let listed = FIELDS.iter().filter(|field| !field.default.is_empty());
    let listed: Vec<_> = listed.map(|field| (field.path.to_owned(), field.default.to_owned())).collect();
    assert_eq!(listed, leaves);
}

#[test]
fn every_field_refuses_what_is_wrong_with_its_path() {
    for field in FIELDS {
        assert!(!field.wrong.is_empty(), "{}: no example of a mistake", field.path);
        for (document, path) in field.wrong {
            let problems = Document::parse(document, &Rules::default()).expect_err(document);
            let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(paths, [*path], "{document}: {problems}");
            assert_eq!(problems.0[0].line, Some(1), "{document}: {problems}");
            assert_eq!(shape(path), field.path, "{document}");
        }
    }
}

#[test]
fn every_unknown_field_is_refused_at_every_level() {
    let levels = [
        ("{database: d, x: 1}", "x"),
        ("{database: d, partition: [{tables: a, by: [], x: 1}]}", "partition[0].x"),
        ("{database: d, partition: [{tables: a, by: [{x: 1}]}]}", "partition[0].by[0].x"),
        (
            "{database: d, partition: [{tables: a, by: [bucket: {tag: a, count: 1, x: 1}]}]}",
            "partition[0].by[0].bucket.x",
        ),
        (
            "{database: d, partition: [{tables: a, by: [regex: {tag: a, pattern: ^(a), x: 1}]}]}",
            "partition[0].by[0].regex.x",
        ),
        ("{database: d, log: {x: 1}}", "log.x"),
        ("{database: d, buffer: {x: 1}}", "buffer.x"),
        ("{database: d, lifecycle: {x: 1}}", "lifecycle.x"),
        ("{database: d, lifecycle: {compact: {x: 1}}}", "lifecycle.compact.x"),
        ("{database: d, lifecycle: {retain: [{tables: a, after: 1h, x: 1}]}}", "lifecycle.retain[0].x"),
        ("{database: d, store: {match: {}, x: 1}}", "store.x"),
        ("{database: d, store: {match: {x: 1}}}", "store.match.x"),
        ("{database: d, limits: {x: 1}}", "limits.x"),
    ];
    for (document, path) in levels {
        let problems = Document::parse(document, &Rules::default()).expect_err(document).0;
        assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), [path], "{document}");
        assert!(problems[0].message.starts_with("unknown field: "), "{document}: {}", problems[0]);
    }
    for (later, why) in LATER {
        let (section, name) = later.rsplit_once('.').unwrap_or(("", later));
        assert_eq!(unknown(section, name, &known(section)), format!("not in this version: {why}: remove it"));
    }
}

#[test]
fn the_field_that_was_meant_is_named() {
    let meant = |name: &str| unknown("buffer", name, &known("buffer"));
    let known = "Known here: freeze_after, freeze_rows, freeze_size, persist_after";
    assert_eq!(meant("freeze_row"), format!("unknown field: did you mean freeze_rows? {known}"));
    assert_eq!(meant("freezesize"), format!("unknown field: did you mean freeze_size? {known}"));
    assert_eq!(meant("frezee_after"), format!("unknown field: did you mean freeze_after? {known}"));
    assert_eq!(meant("flush"), format!("unknown field: {known}"));
    assert_eq!(meant(&"f".repeat(100_000)), format!("unknown field: {known}"));
}

#[test]
fn the_table_for_the_docs_has_a_row_a_field() {
    let table = to_markdown();
    assert_eq!(table.lines().count(), FIELDS.len() + 2);
    let row = "| `buffer.freeze_after` | a duration of at least 1ms | `5m` | Age of its first row (since arrival) after \
               which an open chunk is frozen. |";
    assert!(table.lines().any(|line| line == row), "{table}");
    for line in table.lines() {
        assert_eq!(line.matches('|').count() - line.matches("\\|").count(), 5, "{line}");
    }
}
