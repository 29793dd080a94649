//! The builder against a naive one, and its promises one by one.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use ochre_types::ColumnKind;
use proptest::prelude::*;

use super::*;
use crate::rows::{tag_parts, tag_value};

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Integer(i64),
    UInteger(u64),
    Boolean(bool),
    String(String),
}

impl Value {
    fn borrowed(&self) -> FieldValue<'_> {
        match self {
            Self::Float(value) => FieldValue::Float(*value),
            Self::Integer(value) => FieldValue::Integer(*value),
            Self::UInteger(value) => FieldValue::UInteger(*value),
            Self::Boolean(value) => FieldValue::Boolean(*value),
            Self::String(value) => FieldValue::String(value),
        }
    }
}

#[derive(Debug, Clone)]
struct Op {
    table: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value)>,
    time: i64,
    roll_back: bool,
}

/// A database with the table `t0` of two columns.
struct Known;

impl KnownColumns for Known {
    fn kind(&self, table: &str, column: &str) -> Option<ColumnKind> {
        match (table, column) {
            ("t0", "a") => Some(ColumnKind::Tag),
            ("t0", "b") => Some(ColumnKind::Field(FieldType::Float)),
            _ => None,
        }
    }

    fn column_count(&self, table: &str) -> Option<usize> {
        (table == "t0").then_some(2)
    }

    fn table_count(&self) -> usize {
        1
    }
}

const LIMITS: (usize, usize) = (5, 3);

/// Builds the same with maps, without any memory of what came last.
#[derive(Debug, Default, Clone, PartialEq)]
struct Naive {
    columns: BTreeMap<String, BTreeMap<String, ColumnKind>>,
    rows: BTreeMap<String, Vec<String>>,
}

impl Naive {
    fn apply(&mut self, op: &Op, duplicate: DuplicateField) -> Result<(), RowError> {
        let mut next = self.clone();
        next.row(op, duplicate)?;
        if op.fields.is_empty() {
            return Err(RowError::NoFields);
        }
        if !op.roll_back {
            *self = next;
        }
        Ok(())
    }

    fn row(&mut self, op: &Op, duplicate: DuplicateField) -> Result<(), RowError> {
        let table = &op.table;
        if !self.columns.contains_key(table) {
            let new = self.columns.keys().filter(|name| Known.column_count(name).is_none()).count();
            if Known.column_count(table).is_none() && Known.table_count() + new >= LIMITS.1 {
                return Err(RowError::TooManyTables { table: table.clone(), limit: LIMITS.1 });
            }
        }
        let columns = self.columns.entry(table.clone()).or_default();
        let (mut tags, mut fields) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in &op.tags {
            column(columns, table, name, ColumnKind::Tag)?;
            if tags.insert(name.clone(), value.clone()).is_some() {
                return Err(RowError::DuplicateTag { column: name.clone() });
            }
        }
        for (name, value) in &op.fields {
            column(columns, table, name, ColumnKind::Field(value.borrowed().field_type()))?;
            if fields.insert(name.clone(), value.clone()).is_some() && duplicate == DuplicateField::Refuse {
                return Err(RowError::DuplicateField { column: name.clone() });
            }
        }
        let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={:?}", value.borrowed())).collect();
        self.rows.entry(table.clone()).or_default().push(format!(
            "{}|{}|{}",
            tags.join(","),
            fields.join(","),
            op.time
        ));
        Ok(())
    }
}

fn column(
    columns: &mut BTreeMap<String, ColumnKind>,
    table: &str,
    name: &str,
    kind: ColumnKind,
) -> Result<(), RowError> {
    match columns.get(name).copied().or_else(|| Known.kind(table, name)) {
        Some(known) if known != kind => return Err(RowError::conflict(table, name, kind, known)),
        Some(_) => {}
        None => {
            let new = columns.keys().filter(|name| Known.kind(table, name).is_none()).count();
            if Known.column_count(table).unwrap_or(0) + new >= LIMITS.0 {
                return Err(RowError::TooManyColumns {
                    table: table.to_owned(),
                    column: name.to_owned(),
                    limit: LIMITS.0,
                });
            }
        }
    }
    columns.insert(name.to_owned(), kind);
    Ok(())
}

fn apply(builder: &mut BatchBuilder<'_>, op: &Op, duplicate: DuplicateField) -> Result<(), RowError> {
    let mut row = builder.row(&op.table)?;
    for (name, value) in &op.tags {
        row.tag(name, value)?;
    }
    for (name, value) in &op.fields {
        row.field(name, value.borrowed(), duplicate)?;
    }
    if op.roll_back && !op.fields.is_empty() {
        return Ok(());
    }
    row.commit(op.time)
}

fn dump_field(kind: FieldType, array: &ArrayRef, row: usize) -> String {
    let value = match kind {
        FieldType::Float => FieldValue::Float(array.as_primitive::<Float64Type>().value(row)),
        FieldType::Integer => FieldValue::Integer(array.as_primitive::<Int64Type>().value(row)),
        FieldType::UInteger => FieldValue::UInteger(array.as_primitive::<UInt64Type>().value(row)),
        FieldType::Boolean => FieldValue::Boolean(array.as_boolean().value(row)),
        FieldType::String => FieldValue::String(array.as_string::<i32>().value(row)),
    };
    format!("{value:?}")
}

/// A batch as the naive builder would hold it.
fn dump(batch: &Batch) -> Naive {
    let (mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new());
    for table in batch.tables() {
        let kinds = table.rows.columns().iter().filter(|column| column.kind != ColumnKind::Time);
        let kinds = kinds.map(|column| (column.name.to_string(), column.kind)).collect::<BTreeMap<_, _>>();
        columns.insert(table.table.to_string(), kinds);
        let mut texts = Vec::new();
        for (row, time) in table.rows.times().iter().enumerate() {
            let (mut tags, mut fields) = (Vec::new(), Vec::new());
            for (column, array) in table.rows.iter() {
                match column.kind {
                    ColumnKind::Tag => {
                        tags.extend(tag_value(array, row).map(|value| format!("{}={value}", column.name)))
                    }
                    ColumnKind::Field(kind) if array.is_valid(row) => {
                        fields.push(format!("{}={}", column.name, dump_field(kind, array, row)));
                    }
                    _ => {}
                }
            }
            texts.push(format!("{}|{}|{time}", tags.join(","), fields.join(",")));
        }
        rows.insert(table.table.to_string(), texts);
    }
    Naive { columns, rows }
}

fn value() -> impl Strategy<Value = Value> {
    // Mostly floats, so that most rows agree.
    prop_oneof![
        8 => (-3..3_i32).prop_map(|value| Value::Float(f64::from(value) / 2.0)),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => any::<u64>().prop_map(Value::UInteger),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => "[a-cé]{0,3}".prop_map(Value::String),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    (
        prop::sample::select(vec!["t0", "t1", "t2", "t3"]),
        prop::collection::vec((prop::sample::select(vec!["a", "c", "d"]), "[x-z]{0,2}"), 0..3),
        prop::collection::vec((prop::sample::select(vec!["b", "e", "f", "g", "d"]), value()), 0..4),
        any::<i64>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(table, tags, fields, time, roll_back)| Op {
            table: table.to_owned(),
            tags: tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            time,
            roll_back,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_rows_give_what_a_naive_builder_gives(ops in prop::collection::vec(op(), 0..60), last_wins in any::<bool>()) {
        let duplicate = if last_wins { DuplicateField::LastWins } else { DuplicateField::Refuse };
        let limits = Limits { columns: LIMITS.0, tables: LIMITS.1, ..Limits::default() };
        let mut builder = BatchBuilder::new(&Known, &limits);
        let mut naive = Naive::default();
        for op in &ops {
            prop_assert_eq!(apply(&mut builder, op, duplicate), naive.apply(op, duplicate), "{:?}", op);
        }
        let rows: usize = naive.rows.values().map(Vec::len).sum();
        prop_assert_eq!(builder.row_count(), rows);
        let batch = builder.finish();
        prop_assert_eq!(dump(&batch), naive);
        for (column, array) in batch.tables().iter().flat_map(|table| table.rows.iter()) {
            if column.kind == ColumnKind::Tag {
                let (codes, values) = tag_parts(array);
                let used: BTreeSet<i32> = codes.iter().flatten().collect();
                prop_assert_eq!(used.len(), values.len(), "a value that no row uses");
            }
        }
    }
}

fn float(row: &mut Row<'_, '_>, name: &str, value: f64) {
    row.field(name, FieldValue::Float(value), DuplicateField::Refuse).unwrap();
}

#[test]
fn what_came_next_is_expected_again() {
    let limits = Limits::default();
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    for time in 0..2 {
        let mut row = builder.row("t").unwrap();
        let expected = |name| (time > 0).then_some(name);
        assert_eq!(row.expected(), expected("host"));
        row.tag("host", "a").unwrap();
        assert_eq!(row.expected(), expected("x"));
        float(&mut row, "x", 1.0);
        // Never guessed: a text protocol may write it otherwise.
        assert_eq!(row.expected(), None);
        float(&mut row, "y z", 1.0);
        row.commit(time).unwrap();
    }
    // A row without an optional column is back on the track after it.
    let mut row = builder.row("t").unwrap();
    float(&mut row, "x", 1.0);
    drop(row);
    assert_eq!(builder.row_count(), 2);
}

#[test]
fn a_refused_value_leaves_the_row_as_it_was() {
    let limits = Limits::default();
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    let mut row = builder.row("t").unwrap();
    row.tag("a", "x").unwrap();
    assert_eq!(row.tag("a", "y"), Err(RowError::DuplicateTag { column: "a".to_owned() }));
    float(&mut row, "f", 1.0);
    let again = row.field("f", FieldValue::Float(2.0), DuplicateField::Refuse);
    assert_eq!(again, Err(RowError::DuplicateField { column: "f".to_owned() }));
    assert!(row.field("f", FieldValue::Integer(2), DuplicateField::LastWins).unwrap_err().is_conflict());
    row.commit(7).unwrap();
    let Naive { rows, .. } = dump(&builder.finish());
    assert_eq!(rows["t"], ["a=x|f=Float(1.0)|7"]);
}

#[test]
fn names_are_checked() {
    let limits = Limits::default();
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    assert!(matches!(builder.row(""), Err(RowError::Name(_))));
    let mut row = builder.row("t").unwrap();
    assert!(matches!(row.tag("\0", "x"), Err(RowError::Name(_))));
    for name in ["time", "_stamp"] {
        let reserved = RowError::Reserved { table: "t".to_owned(), column: name.to_owned() };
        assert_eq!(row.tag(name, "x"), Err(reserved.clone()));
        assert_eq!(row.field(name, FieldValue::Integer(1), DuplicateField::LastWins), Err(reserved));
    }
    assert_eq!(row.commit(0), Err(RowError::NoFields));
    assert!(builder.finish().is_empty());
}

#[test]
fn a_batch_of_many_columns_with_few_values_is_refused_before_it_grows() {
    let limits = Limits { columns: usize::MAX, ..Limits::default() };
    let mut builder = BatchBuilder::new(&NoColumns, &limits);
    let mut refused = None;
    for index in 0..10_000_i64 {
        let mut row = builder.row("t").unwrap();
        float(&mut row, &format!("f{index}"), 1.0);
        if let Err(error) = row.commit(index) {
            refused = Some((index, error));
            break;
        }
    }
    // Row n makes n rows of n columns and time: 8,191 * 8,192 is the last product below 2^26.
    assert_eq!(refused, Some((8_191, RowError::TooManyCells { limit: MAX_CELLS })));
    // The rows that are in stay in, and a row of a column that is there still fits.
    let mut row = builder.row("other").unwrap();
    float(&mut row, "f", 1.0);
    row.commit(0).unwrap();
    assert_eq!(builder.row_count(), 8_192);
}
