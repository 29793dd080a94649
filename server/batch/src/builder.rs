//! Rows in, a [`Batch`] out: the write path's only way to make columns from rows.
//!
//! ```text
//!   builder.row(table) -> Row --tag, field ...--> commit(time) | dropped: no trace
//!                                       ...
//!   builder.finish() -> Batch
//! ```
//!
//! A [`Row`] writes straight into the columns. Columns are filled lazily (a column that a row does not carry is not
//! touched), so dropping a row only cuts the columns that it touched back to where they were.
//!
//! Rows of one source have the same shape for ever, so everything is first compared with what came last time: the
//! table, the column after this column, the value after this value. Only what differs is looked up by its hash. In
//! the steady state a row allocates nothing but the growth of its columns.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ochre_types::rules::Limits;
use ochre_types::{FieldType, TableName};

use crate::batch::Batch;

mod column;
mod dictionary;
mod error;
mod known;
mod row;
mod table;
mod text;

pub use error::RowError;
pub use known::{KnownColumns, NoColumns};
pub use row::Row;

use table::TableBuilder;

/// Cells (rows times columns, summed over tables) that one batch may have at most: about 0.5 GiB.
///
/// Columns are dense, so without this bound a small request whose every row has another column would become a batch
/// many thousand times its size. A request of 64 MiB in which every row has every column stays at a third of it at most.
pub const MAX_CELLS: usize = 1 << 26;

/// "No column", "no table", "no code": never a valid index, since 2^32 of anything would not fit.
const NONE: u32 = u32::MAX;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// A double.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    UInteger(u64),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(&'a str),
}

impl FieldValue<'_> {
    /// The value's type.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::UInteger(_) => FieldType::UInteger,
            Self::Boolean(_) => FieldType::Boolean,
            Self::String(_) => FieldType::String,
        }
    }
}

/// What becomes of a field that a row sets twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateField {
    /// The later value replaces the earlier one; both must be of one type.
    LastWins,
    /// The later value is refused with [`RowError::DuplicateField`].
    Refuse,
}

/// Builds a batch row by row.
pub struct BatchBuilder<'k> {
    known: &'k dyn KnownColumns,
    max_columns: usize,
    max_tables: usize,
    tables: Vec<TableBuilder>,
    by_name: HashTable<u32>,
    new_tables: usize,
    /// The table of the last row that was begun.
    last: u32,
    cells: usize,
    max_cells: usize,
    rows: usize,
    /// The columns that the current row has set. Kept here so that its memory is used again.
    touched: Vec<u32>,
}

impl<'k> BatchBuilder<'k> {
    /// A builder without rows, for a database that has the columns `known`, under its `limits` of columns and tables.
    pub fn new(known: &'k dyn KnownColumns, limits: &Limits) -> Self {
        Self {
            known,
            max_columns: limits.columns,
            max_tables: limits.tables,
            tables: Vec::new(),
            by_name: HashTable::new(),
            new_tables: 0,
            last: NONE,
            cells: 0,
            max_cells: MAX_CELLS,
            rows: 0,
            touched: Vec::new(),
        }
    }

    /// Allows fewer cells than [`MAX_CELLS`].
    pub fn with_max_cells(mut self, cells: usize) -> Self {
        self.max_cells = cells.min(MAX_CELLS);
        self
    }

    /// Rows committed so far.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Begins a row of `table`. It counts only once it is committed; dropped before, it leaves no trace.
    pub fn row(&mut self, table: &str) -> Result<Row<'_, 'k>, RowError> {
        let (index, created) = match self.find(table) {
            Some(index) => (index, false),
            None => (self.create(table)?, true),
        };
        if let Some(last) = self.tables.get_mut(self.last as usize) {
            last.next = index;
        }
        self.last = index;
        self.touched.clear();
        Ok(Row::new(self, index, created))
    }

    /// The rows as a batch: each table once, its columns in canonical order.
    pub fn finish(self) -> Batch {
        Batch::new(self.tables.into_iter().map(TableBuilder::finish).collect())
    }

    fn find(&self, table: &str) -> Option<u32> {
        if let Some(last) = self.tables.get(self.last as usize) {
            if last.name.as_str() == table {
                return Some(self.last);
            }
            if let Some(next) = self.tables.get(last.next as usize)
                && next.name.as_str() == table
            {
                return Some(last.next);
            }
        }
        let same = |index: &u32| self.tables[*index as usize].name.as_str() == table;
        self.by_name.find(hash(table.as_bytes()), same).copied()
    }

    fn create(&mut self, table: &str) -> Result<u32, RowError> {
        let name = TableName::new(table)?;
        let known_columns = self.known.column_count(table);
        if known_columns.is_none() {
            if self.known.table_count() + self.new_tables >= self.max_tables {
                return Err(RowError::TooManyTables { table: table.to_owned(), limit: self.max_tables });
            }
            self.new_tables += 1;
        }
        let index = self.tables.len() as u32;
        let tables = &self.tables;
        self.by_name.insert_unique(hash(table.as_bytes()), index, |index| {
            hash(tables[*index as usize].name.as_str().as_bytes())
        });
        self.tables.push(TableBuilder::new(name, known_columns));
        Ok(index)
    }

    /// Forgets the table that was created last.
    fn forget_last_table(&mut self) {
        let Some(table) = self.tables.pop() else { return };
        let index = self.tables.len() as u32;
        if let Ok(entry) = self.by_name.find_entry(hash(table.name.as_str().as_bytes()), |other| *other == index) {
            entry.remove();
        }
        if table.known_columns.is_none() {
            self.new_tables -= 1;
        }
    }
}

/// The hash of names and tag values. The seed is fixed: nothing here may depend on chance.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x006f_6368_7265).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests;
