//! Arrow record batches: the rows of one table.
//!
//! ```text
//!   each column: its name and type -> role and kind (roles)  ->  its values as a batch has them (times, tags, fields)
//!                                     ->  rows that a write may have (fields, filter)  ->  Batch
//! ```
//!
//! A record batch is taken as a whole or refused as a whole. Rows that are written as lines and as Arrow make the same
//! batch; so the rules of line protocol hold where they have a meaning:
//! - A column is the time, a tag or a field. Which one, the first says that speaks: the [`Roles`] of the write; the
//!   column's metadata `iox::column::type` (as InfluxDB 3 writes it) or `ochre.kind` (as Ochre's files have it); the
//!   database, which knows the column; else a column called `time` is the time, text in a dictionary is a tag, and
//!   everything else is a field.
//! - There is one time, whatever its name; it is called `time` in the table. It is a timestamp of any unit (its zone
//!   changes nothing: an instant is an instant), or integers of nanoseconds, without nulls.
//! - A tag is text. Null is an absent tag; empty text is refused, as `a=` is in a line.
//! - Integers, unsigned integers and floats of any width, booleans and text are fields. A field has the type that the
//!   database knows: nothing is converted but for width.
//! - Null is an absent value, and a row without any field is refused. A column that has no value in any row is as if it
//!   weren't there: it becomes no column of the table. A column of Arrow's type Null is ignored, whatever its name.

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::BooleanBuffer;
use ochre_batch::builder::MAX_CELLS;
use ochre_batch::rows::tag_value;
use ochre_batch::{Batch, KnownColumns, RowError, Rows, TableRows};
use ochre_types::rules::Limits;
use ochre_types::{ColumnId, ColumnKind, TableName};

use crate::filter::RowFilter;

mod error;
mod fields;
mod roles;
mod tags;
mod texts;
mod times;

pub use error::Refused;
pub use roles::{IOX_COLUMN_TYPE, OCHRE_KIND, Roles};

use roles::Role;
use texts::TextBudget;

/// Reads the rows of `table`. Nothing is taken of a record batch that is refused. Of `limits`, `columns` and `tables`
/// are checked, and `body` bounds the text that dictionaries and views make when they are written out.
pub fn read(
    table: &TableName,
    rows: &RecordBatch,
    known: &dyn KnownColumns,
    roles: &Roles,
    limits: &Limits,
    filter: Option<&dyn RowFilter>,
) -> Result<Batch, Refused> {
    let roles = roles::of_columns(table, rows.schema_ref(), known, roles)?;
    let cells = roles.len().saturating_mul(rows.num_rows());
    if cells > MAX_CELLS {
        return Err(RowError::TooManyCells { limit: MAX_CELLS }.into());
    }
    if rows.num_rows() == 0 {
        return Ok(Batch::default());
    }
    let columns = read_columns(rows, &roles, limits)?;
    check_fields(&columns, rows.num_rows())?;
    check_limits(table, &columns, known, limits)?;
    let rows = Rows::from_unordered(columns).expect("columns are distinct, of the type of their kind, with their time");
    if let Some(filter) = filter {
        check_kept(table, &rows, filter)?;
    }
    Ok(Batch::new(vec![TableRows { table: table.clone(), rows }]))
}

/// The columns that have a value, as batches have them.
fn read_columns(rows: &RecordBatch, roles: &[Role], limits: &Limits) -> Result<Vec<(ColumnId, ArrayRef)>, Refused> {
    let mut text = TextBudget::new(limits.body.as_usize());
    let mut columns = Vec::with_capacity(roles.len());
    for role in roles {
        let (name, kind) = (&role.column.name, role.column.kind);
        let array = rows.column(role.index);
        let array = match kind {
            ColumnKind::Time => times::read(array)?,
            ColumnKind::Tag => tags::read(name, array, &mut text)?,
            ColumnKind::Field(field_type) => fields::read(name, field_type, array, &mut text)?,
        };
        if array.null_count() < array.len() {
            columns.push((role.column.clone(), array));
        }
    }
    Ok(columns)
}

/// Every row has a field.
fn check_fields(columns: &[(ColumnId, ArrayRef)], len: usize) -> Result<(), Refused> {
    let mut has_field = BooleanBuffer::new_unset(len);
    for (column, array) in columns {
        match (column.kind, array.nulls()) {
            (ColumnKind::Field(_), None) => return Ok(()),
            (ColumnKind::Field(_), Some(nulls)) => has_field = &has_field | nulls.inner(),
            _ => {}
        }
    }
    match (0..len).find(|row| !has_field.value(*row)) {
        Some(row) => Err(Refused::NoFields { row }),
        None => Ok(()),
    }
}

/// Neither the database nor the table becomes wider than they may.
fn check_limits(
    table: &TableName,
    columns: &[(ColumnId, ArrayRef)],
    known: &dyn KnownColumns,
    limits: &Limits,
) -> Result<(), Refused> {
    let name = table.as_str();
    let known_columns = known.column_count(name);
    if known_columns.is_none() && known.table_count() >= limits.tables {
        return Err(RowError::TooManyTables { table: name.to_owned(), limit: limits.tables }.into());
    }
    let room = limits.columns.saturating_sub(known_columns.unwrap_or(0));
    let new = columns.iter().map(|(column, _)| column);
    let mut new = new.filter(|column| column.kind != ColumnKind::Time && !known.has(name, column.name.as_str()));
    match new.nth(room) {
        None => Ok(()),
        Some(column) => {
            let (table, column) = (name.to_owned(), column.name.as_str().to_owned());
            Err(RowError::TooManyColumns { table, column, limit: limits.columns }.into())
        }
    }
}

/// The database keeps every row.
fn check_kept(table: &TableName, rows: &Rows, filter: &dyn RowFilter) -> Result<(), Refused> {
    let tags: Vec<_> = rows.iter().filter(|(column, _)| column.kind == ColumnKind::Tag).collect();
    for (row, time) in rows.times().iter().enumerate() {
        let tag = |name: &str| {
            let found = tags.binary_search_by(|(column, _)| column.name.as_str().cmp(name)).ok()?;
            tag_value(tags[found].1, row)
        };
        if let Some(reason) = filter.refuse(table, &tag, *time) {
            return Err(Refused::NotKept { row, reason });
        }
    }
    Ok(())
}
