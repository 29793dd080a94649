//! One table being built.

use std::sync::Arc;

use arrow_array::types::TimestampNanosecondType;
use arrow_array::{ArrayRef, PrimitiveArray};
use hashbrown::HashTable;
use ochre_types::{ColumnId, ColumnKind, ColumnName, STAMP_COLUMN, TIME_COLUMN, TableName};

use super::column::Column;
use super::{KnownColumns, NONE, RowError, hash};
use crate::batch::TableRows;
use crate::rows::Rows;

pub(super) struct TableBuilder {
    pub(super) name: TableName,
    /// The columns that the database has in this table, if it has the table.
    pub(super) known_columns: Option<usize>,
    /// The columns in the order in which they came.
    pub(super) columns: Vec<Column>,
    /// The times of the committed rows.
    pub(super) times: Vec<i64>,
    /// The column with which the last row began.
    pub(super) first: u32,
    /// The table that followed this one last time.
    pub(super) next: u32,
    by_name: HashTable<u32>,
    new_columns: usize,
}

impl TableBuilder {
    pub(super) fn new(name: TableName, known_columns: Option<usize>) -> Self {
        Self {
            name,
            known_columns,
            columns: Vec::new(),
            times: Vec::new(),
            first: NONE,
            next: NONE,
            by_name: HashTable::new(),
            new_columns: 0,
        }
    }

    /// The column that is expected after `previous`.
    pub(super) fn expected(&self, previous: u32) -> u32 {
        self.columns.get(previous as usize).map_or(self.first, |column| column.next)
    }

    /// Remembers that `index` came after `previous`.
    pub(super) fn remember(&mut self, previous: u32, index: u32) {
        match self.columns.get_mut(previous as usize) {
            Some(column) => column.next = index,
            None => self.first = index,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let same = |index: &u32| self.columns[*index as usize].name.as_str() == name;
        self.by_name.find(hash(name.as_bytes()), same).copied()
    }

    /// Adds a column that the batch does not have yet.
    pub(super) fn add(
        &mut self,
        name: &str,
        kind: ColumnKind,
        known: &dyn KnownColumns,
        limit: usize,
    ) -> Result<u32, RowError> {
        let table = self.name.as_str();
        if name == TIME_COLUMN || name == STAMP_COLUMN {
            return Err(RowError::Reserved { table: table.to_owned(), column: name.to_owned() });
        }
        let column = ColumnName::new(name)?;
        let is_new = match known.kind(table, name) {
            Some(known) if known != kind => return Err(RowError::conflict(table, name, kind, known)),
            Some(_) => !known.has(table, name),
            None => true,
        };
        if is_new {
            if self.known_columns.unwrap_or(0) + self.new_columns >= limit {
                return Err(RowError::TooManyColumns { table: table.to_owned(), column: name.to_owned(), limit });
            }
            self.new_columns += 1;
        }
        let index = self.columns.len() as u32;
        let columns = &self.columns;
        self.by_name.insert_unique(hash(name.as_bytes()), index, |index| {
            hash(columns[*index as usize].name.as_str().as_bytes())
        });
        self.columns.push(Column::new(column, kind, is_new));
        Ok(index)
    }

    /// Takes back the row that is not committed: the columns that it `touched`, and those beyond the first `columns`,
    /// which it added.
    pub(super) fn undo(&mut self, touched: &[u32], columns: usize) {
        while self.columns.len() > columns {
            let Some(column) = self.columns.pop() else { break };
            let index = self.columns.len() as u32;
            if let Ok(entry) = self.by_name.find_entry(hash(column.name.as_str().as_bytes()), |other| *other == index) {
                entry.remove();
            }
            self.new_columns -= usize::from(column.is_new);
        }
        let rows = self.times.len();
        for index in touched {
            if let Some(column) = self.columns.get_mut(*index as usize) {
                column.undo(rows);
            }
        }
    }

    pub(super) fn finish(self) -> TableRows {
        let rows = self.times.len();
        let mut columns: Vec<(ColumnId, ArrayRef)> =
            self.columns.into_iter().map(|column| column.finish(rows)).collect();
        let time = ColumnName::new(TIME_COLUMN).expect("the name of the time column is a valid name");
        let times = PrimitiveArray::<TimestampNanosecondType>::new(self.times.into(), None);
        columns.push((ColumnId { name: time, kind: ColumnKind::Time }, Arc::new(times)));
        let rows = Rows::from_unordered(columns)
            .expect("columns are distinct, of the type of their kind, and padded to the same length");
        TableRows { table: self.name, rows }
    }
}
