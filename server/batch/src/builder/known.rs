//! What the builder has to know about the database that it builds for.

use ochre_types::ColumnKind;

/// The tables and columns that a database has before a batch. Asked once per table and column of a batch, not once
/// per row.
pub trait KnownColumns {
    /// The kind and type of the column that has this plain name, if there is one, or that it must have once there is.
    /// Not asked for `time`.
    fn kind(&self, table: &str, column: &str) -> Option<ColumnKind>;

    /// Whether the table has the column: it is then not counted against the columns that a table may have once more.
    fn has(&self, table: &str, column: &str) -> bool {
        self.kind(table, column).is_some()
    }

    /// How many tags and fields the table has (its time column is not counted), or nothing if there is no such table.
    fn column_count(&self, table: &str) -> Option<usize>;

    /// How many tables the database has.
    fn table_count(&self) -> usize;
}

/// The schema of a database that has no tables yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoColumns;

impl KnownColumns for NoColumns {
    fn kind(&self, _table: &str, _column: &str) -> Option<ColumnKind> {
        None
    }

    fn column_count(&self, _table: &str) -> Option<usize> {
        None
    }

    fn table_count(&self) -> usize {
        0
    }
}
