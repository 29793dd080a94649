//! A batch: the rows of one write to one database, table by table.

use ochre_types::TableName;

use crate::rows::Rows;

/// The rows of one table in a batch.
#[derive(Debug, Clone)]
pub struct TableRows {
    /// The table.
    pub table: TableName,
    /// Its rows in the order in which they were written; at least one.
    pub rows: Rows,
}

/// The rows of one write to one database: each table once, in the order of names, none without rows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    tables: Vec<TableRows>,
}

impl Batch {
    /// A batch of these tables. Tables without rows are left out; a table must not stand twice.
    pub fn new(mut tables: Vec<TableRows>) -> Self {
        tables.retain(|table| !table.rows.is_empty());
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        debug_assert!(tables.windows(2).all(|pair| pair[0].table != pair[1].table), "a table stands twice");
        Self { tables }
    }

    /// The tables in the order of their names.
    pub fn tables(&self) -> &[TableRows] {
        &self.tables
    }

    /// How many rows there are in all tables.
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(|table| table.rows.len()).sum()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Bytes held.
    pub fn memory_size(&self) -> usize {
        self.tables.iter().map(|table| table.rows.memory_size()).sum()
    }
}
