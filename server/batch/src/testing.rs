//! Strategies for property tests: rows and batches of every shape, and rows as plain values to compare them by.
//!
//! Only with the feature `testing`, and in this crate's own tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampNanosecondArray, UInt64Array, cast::AsArray,
};
use ochre_types::{ColumnId, ColumnKind, ColumnName, FieldType, TIME_COLUMN, TableName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::batch::{Batch, TableRows};
use crate::rows::{Rows, tag_value};

/// One value, comparable bit by bit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// A tag's value.
    Tag(String),
    /// Nanoseconds since 1970-01-01 UTC.
    Time(i64),
    /// The bits of a float.
    Float(u64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    UInteger(u64),
    /// A boolean.
    Boolean(bool),
    /// A string.
    String(String),
}

/// A row's values; absent ones are left out.
pub type PlainRow = BTreeMap<ColumnId, Cell>;

/// Every row as plain values, in order.
pub fn plain_rows(rows: &Rows) -> Vec<PlainRow> {
    let plain = |row| {
        let cells = rows.iter().filter_map(|(column, array)| Some((column.clone(), cell(column.kind, array, row)?)));
        cells.collect()
    };
    (0..rows.len()).map(plain).collect()
}

fn cell(kind: ColumnKind, array: &ArrayRef, row: usize) -> Option<Cell> {
    if array.is_null(row) {
        return None;
    }
    Some(match kind {
        ColumnKind::Tag => Cell::Tag(tag_value(array, row)?.to_owned()),
        ColumnKind::Time => Cell::Time(array.as_primitive::<TimestampNanosecondType>().value(row)),
        ColumnKind::Field(FieldType::Float) => Cell::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        ColumnKind::Field(FieldType::Integer) => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        ColumnKind::Field(FieldType::UInteger) => Cell::UInteger(array.as_primitive::<UInt64Type>().value(row)),
        ColumnKind::Field(FieldType::Boolean) => Cell::Boolean(array.as_boolean().value(row)),
        ColumnKind::Field(FieldType::String) => Cell::String(array.as_string::<i32>().value(row).to_owned()),
    })
}

/// A batch as plain values: per table its columns and its rows.
pub fn plain_batch(batch: &Batch) -> BTreeMap<TableName, (Vec<ColumnId>, Vec<PlainRow>)> {
    let plain = |table: &TableRows| (table.table.clone(), (table.rows.columns().to_vec(), plain_rows(&table.rows)));
    batch.tables().iter().map(plain).collect()
}

/// The column of this name and kind.
///
/// # Panics
/// If the name is no column name.
pub fn column(name: &str, kind: ColumnKind) -> ColumnId {
    ColumnId { name: ColumnName::new(name).expect("the test's column name is legal"), kind }
}

/// The inverse of [`plain_rows`], for rows that have no columns but these and the time.
///
/// # Panics
/// If a row has no time, or a cell is not of its column's type.
pub fn rows_of(columns: &[ColumnId], rows: &[PlainRow]) -> Rows {
    let time = column(TIME_COLUMN, ColumnKind::Time);
    let columns = columns.iter().filter(|column| **column != time).chain([&time]);
    let arrays = columns.map(|column| {
        let cells: Vec<Option<&Cell>> = rows.iter().map(|row| row.get(column)).collect();
        (column.clone(), array_of(column.kind, &cells))
    });
    Rows::from_unordered(arrays.collect()).expect("the test's columns are distinct and every row has a time")
}

/// The values of one type among cells.
macro_rules! values {
    ($cells:expr, $variant:ident) => {
        $cells.iter().map(|cell| match cell {
            None => None,
            Some(Cell::$variant(value)) => Some(value),
            Some(other) => panic!("the test has {other:?} in a column of another type"),
        })
    };
}

fn array_of(kind: ColumnKind, cells: &[Option<&Cell>]) -> ArrayRef {
    match kind {
        ColumnKind::Tag => {
            let mut codes_by_value = BTreeMap::new();
            let mut distinct = Vec::new();
            let code_of = |value: Option<&String>| {
                let value = value?;
                Some(*codes_by_value.entry(value.clone()).or_insert_with(|| {
                    distinct.push(value.clone());
                    distinct.len() as i32 - 1
                }))
            };
            let codes: Int32Array = values!(cells, Tag).map(code_of).collect();
            Arc::new(DictionaryArray::new(codes, Arc::new(StringArray::from_iter_values(distinct))))
        }
        ColumnKind::Time => {
            Arc::new(values!(cells, Time).map(Option::<&i64>::copied).collect::<TimestampNanosecondArray>())
        }
        ColumnKind::Field(FieldType::Float) => {
            Arc::new(values!(cells, Float).map(|bits| bits.map(|bits| f64::from_bits(*bits))).collect::<Float64Array>())
        }
        ColumnKind::Field(FieldType::Integer) => {
            Arc::new(values!(cells, Integer).map(Option::<&i64>::copied).collect::<Int64Array>())
        }
        ColumnKind::Field(FieldType::UInteger) => {
            Arc::new(values!(cells, UInteger).map(Option::<&u64>::copied).collect::<UInt64Array>())
        }
        ColumnKind::Field(FieldType::Boolean) => {
            Arc::new(values!(cells, Boolean).map(Option::<&bool>::copied).collect::<BooleanArray>())
        }
        ColumnKind::Field(FieldType::String) => Arc::new(values!(cells, String).collect::<StringArray>()),
    }
}

/// Times: mostly a few near ones, so that keys repeat and days change, else any at all.
pub fn times() -> impl Strategy<Value = i64> {
    const DAY: i64 = 86_400_000_000_000;
    const START: i64 = 1_700_000_000_000_000_000;
    prop_oneof![
        6 => (0..4i64, 0..3i64).prop_map(|(day, offset)| START + day * DAY + offset),
        2 => START..START + DAY,
        1 => any::<i64>(),
        1 => select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
    ]
}

/// Floats: every bit pattern, the odd ones often.
pub fn float_bits() -> impl Strategy<Value = u64> {
    let odd = [0.0, -0.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0].map(f64::to_bits);
    let nans = [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001, u64::MAX];
    prop_oneof![select([odd.as_slice(), &nans].concat()), any::<u64>()]
}

/// Texts: empty, plain, of any characters.
pub fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-c]{1,2}",
        any::<String>(),
        select(vec!["ünïcødé", "|!^#%/", "\0\n\t", "日本語", "👩‍👩‍👧", "a\u{301}"]).prop_map(str::to_owned),
    ]
}

/// The columns from which [`rows`] chooses: tags of few and of many values, every field type, and one name with two.
fn column_pool() -> Vec<ColumnId> {
    vec![
        column("host", ColumnKind::Tag),
        column("region", ColumnKind::Tag),
        column("trace id", ColumnKind::Tag),
        column("ünï|côde", ColumnKind::Tag),
        column("count", ColumnKind::Field(FieldType::Integer)),
        column("message", ColumnKind::Field(FieldType::String)),
        column("total", ColumnKind::Field(FieldType::UInteger)),
        column("up", ColumnKind::Field(FieldType::Boolean)),
        column("usage", ColumnKind::Field(FieldType::Float)),
        column("usage", ColumnKind::Field(FieldType::Integer)),
    ]
}

/// Any value of a column of the pool.
fn cells(column: &ColumnId) -> BoxedStrategy<Cell> {
    match column.kind {
        ColumnKind::Tag if column.name.as_str() == "trace id" => {
            any::<u32>().prop_map(|id| Cell::Tag(id.to_string())).boxed()
        }
        ColumnKind::Tag if column.name.as_str() == "ünï|côde" => texts().prop_map(Cell::Tag).boxed(),
        ColumnKind::Tag => select(vec!["a", "b", "web-1", "web-2"]).prop_map(|v| Cell::Tag(v.to_owned())).boxed(),
        ColumnKind::Time => times().prop_map(Cell::Time).boxed(),
        ColumnKind::Field(FieldType::Float) => float_bits().prop_map(Cell::Float).boxed(),
        ColumnKind::Field(FieldType::Integer) => any::<i64>().prop_map(Cell::Integer).boxed(),
        ColumnKind::Field(FieldType::UInteger) => any::<u64>().prop_map(Cell::UInteger).boxed(),
        ColumnKind::Field(FieldType::Boolean) => any::<bool>().prop_map(Cell::Boolean).boxed(),
        ColumnKind::Field(FieldType::String) => texts().prop_map(Cell::String).boxed(),
    }
}

/// Rows of up to ten columns and the time, 1 to `most` of them: values present and absent, keys that repeat, times out
/// of order and extreme, arrays that are pieces of longer ones.
pub fn rows(most: usize) -> impl Strategy<Value = Rows> {
    let pool = column_pool();
    let count = pool.len();
    subsequence(pool, 0..=count).prop_flat_map(move |columns| {
        let cells: Vec<_> = columns.iter().map(|column| proptest::option::weighted(0.8, cells(column))).collect();
        let rows = vec((times(), cells), 1..=most);
        (rows, 0..3usize, 0..3usize).prop_map(move |(rows, before, after)| {
            let plain: Vec<PlainRow> = rows.into_iter().map(|(time, cells)| plain_row(&columns, time, cells)).collect();
            let built = rows_of(&columns, &plain);
            let before = before.min(built.len() - 1);
            let length = (built.len() - before).saturating_sub(after).max(1);
            built.slice(before, length)
        })
    })
}

fn plain_row(columns: &[ColumnId], time: i64, cells: Vec<Option<Cell>>) -> PlainRow {
    let cells = columns.iter().cloned().zip(cells).filter_map(|(column, cell)| Some((column, cell?)));
    cells.chain([(column(TIME_COLUMN, ColumnKind::Time), Cell::Time(time))]).collect()
}

/// Table names, odd ones among them.
pub fn tables() -> impl Strategy<Value = TableName> {
    let names = ["cpu", "mem", "disk io", "..", "ünï/code", "CPU", "a|b!^#%"];
    select(names.to_vec()).prop_map(|name| TableName::new(name).expect("the names above are legal"))
}

/// Batches of up to three tables with up to `most` [`rows`] each; sometimes empty.
pub fn batches(most: usize) -> impl Strategy<Value = Batch> {
    proptest::collection::btree_map(tables(), rows(most), 0..=3)
        .prop_map(|tables| Batch::new(tables.into_iter().map(|(table, rows)| TableRows { table, rows }).collect()))
}
