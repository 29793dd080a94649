//! Answers of the query engine as plain values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use futures::TryStreamExt;
use ochre_database::Node;
use ochre_query::{Params, QueryError};
use ochre_types::DatabaseName;

/// One value, comparable bit by bit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    /// A tag or a string.
    Text(String),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    UInteger(u64),
    /// The bits of a float.
    Float(u64),
    /// A boolean.
    Boolean(bool),
    /// Nanoseconds since 1970-01-01 UTC.
    Time(i64),
}

/// A row's values by column; absent ones are left out.
pub type Row = BTreeMap<String, Cell>;

/// Runs a query to its end.
pub async fn ask(node: &Arc<Node>, database: &DatabaseName, sql: &str) -> Result<Vec<Row>, QueryError> {
    let answer = node.query(database, sql, &Params::default()).await?;
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
    Ok(batches.iter().flat_map(rows).collect())
}

/// The one number that a query answers.
pub async fn ask_number(node: &Arc<Node>, database: &DatabaseName, sql: &str) -> Result<i64, QueryError> {
    let rows = ask(node, database, sql).await?;
    match rows.first().and_then(|row| row.values().next()) {
        Some(Cell::Integer(number)) => Ok(*number),
        other => panic!("{sql} answered {other:?}"),
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let array = plain(array);
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| array.is_valid(*index)) {
            row.insert(field.name().clone(), cell(&array, index));
        }
    }
    rows
}

/// Without dictionaries and views.
fn plain(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Dictionary(..) | DataType::Utf8View | DataType::LargeUtf8 => {
            arrow_cast::cast(array, &DataType::Utf8).expect("text of any form is text")
        }
        _ => array.clone(),
    }
}

fn cell(array: &ArrayRef, row: usize) -> Cell {
    match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Cell::UInteger(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Cell::Time(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        other => panic!("a column of type {other}"),
    }
}
