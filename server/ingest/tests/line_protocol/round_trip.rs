//! Rows, written as lines, read back as the same rows.

use std::collections::BTreeMap;

use ochre_batch::{Batch, BatchBuilder, DuplicateField, FieldValue, NoColumns};
use ochre_ingest::line_protocol::{Flavour, MAX_TIME, MIN_TIME, Options, WriteError, parse, write};
use ochre_types::FieldType;
use ochre_types::rules::Limits;
use proptest::prelude::*;

use crate::dump::dump;

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Integer(i64),
    UInteger(u64),
    Boolean(bool),
    String(String),
}

#[derive(Debug, Clone)]
struct Line {
    table: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, Value>,
    time: i64,
}

/// A name of what needs escapes and what does not, that does not end in a backslash.
fn name() -> impl Strategy<Value = String> {
    "[a-c ,=\\\\\"'é#]{0,4}[a-c ,=\"é]"
}

fn value(kind: FieldType) -> BoxedStrategy<Value> {
    match kind {
        FieldType::Float => any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Value::Float).boxed(),
        FieldType::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        FieldType::UInteger => any::<u64>().prop_map(Value::UInteger).boxed(),
        FieldType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        FieldType::String => "[a-b \\\\\",=\n\r\té]{0,8}".prop_map(Value::String).boxed(),
    }
}

fn field() -> impl Strategy<Value = (String, Value)> {
    // The name carries the type, so that no two rows disagree; tags have another beginning.
    (prop::sample::select(FieldType::ALL.to_vec()), name())
        .prop_flat_map(|(kind, name)| (Just(format!("f{kind}{name}")), value(kind)))
}

fn line() -> impl Strategy<Value = Line> {
    (
        name().prop_filter("not a comment", |name| !name.starts_with('#')),
        prop::collection::btree_map(name().prop_map(|name| format!("t{name}")), name(), 0..4),
        prop::collection::btree_map(name(), field(), 1..4).prop_map(|fields| fields.into_values().collect()),
        MIN_TIME..=MAX_TIME,
    )
        .prop_map(|(table, tags, fields, time)| Line { table, tags, fields, time })
}

fn batch(lines: &[Line]) -> Batch {
    let limits = Limits::default();
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    for line in lines {
        let mut row = builder.row(&line.table).unwrap();
        for (name, value) in &line.tags {
            row.tag(name, value).unwrap();
        }
        for (name, value) in &line.fields {
            let value = match value {
                Value::Float(value) => FieldValue::Float(*value),
                Value::Integer(value) => FieldValue::Integer(*value),
                Value::UInteger(value) => FieldValue::UInteger(*value),
                Value::Boolean(value) => FieldValue::Boolean(*value),
                Value::String(value) => FieldValue::String(value),
            };
            row.field(name, value, DuplicateField::Refuse).unwrap();
        }
        row.commit(line.time).unwrap();
    }
    builder.finish()
}

proptest! {
    #[test]
    fn rows_come_back(lines in prop::collection::vec(line(), 1..20)) {
        let before = batch(&lines);
        let mut text = String::new();
        for table in before.tables() {
            write(table, &mut text).unwrap();
        }
        for flavour in [Flavour::V1, Flavour::V3] {
            let after = parse(text.as_bytes(), &NoColumns, &Options { flavour, ..Options::default() });
            prop_assert!(after.rejected.is_empty(), "{:?} of {}", after.rejected, text);
            prop_assert_eq!(dump(&after.batch), dump(&before));
        }
    }
}

fn error(table: &str, tag: &str, value: FieldValue<'_>) -> WriteError {
    let limits = Limits::default();
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    let mut row = builder.row(table).unwrap();
    row.tag("t", tag).unwrap();
    row.field("f", value, DuplicateField::Refuse).unwrap();
    row.commit(0).unwrap();
    write(&builder.finish().tables()[0], &mut String::new()).unwrap_err()
}

#[test]
fn what_has_no_form_is_refused() {
    let text = |text: &str, what| WriteError::Text { text: text.to_owned(), what };
    let one = FieldValue::Integer(1);
    assert_eq!(error("#m", "x", one), text("#m", "table name"));
    assert_eq!(error("m\\", "x", one), text("m\\", "table name"));
    assert_eq!(error("m", "x\\", one), text("x\\", "tag value"));
    assert_eq!(error("m", "x\ny", one), text("x\ny", "tag value"));
    assert_eq!(error("m", "", one), text("", "tag value"));
    let infinite = FieldValue::Float(f64::INFINITY);
    assert_eq!(error("m", "x", infinite), WriteError::Float { field: "f".to_owned(), value: f64::INFINITY });
}
