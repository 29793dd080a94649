//! What a query reads: one database, as whoever owns it shows it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ochre_store::snapshot::{TableColumn, TableSnapshot};
use ochre_types::{DatabaseName, TableName};

/// A table that the server fills on demand.
#[derive(Debug, Clone)]
pub struct SystemTable {
    /// Its name in the schema `system`, in lower case.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
}

/// One database to query. Calls must be quick: they are made while a statement is planned.
pub trait Source: Send + Sync {
    /// The database's name.
    fn database(&self) -> DatabaseName;
    /// Its tables, by name.
    fn tables(&self) -> Vec<TableName>;
    /// A table's columns, or `None` if there is no such table.
    fn columns(&self, table: &str) -> Option<Arc<[TableColumn]>>;
    /// A table at this moment, or `None` if there is no such table. Has at least the columns that
    /// [`Source::columns`] showed before.
    fn snapshot(&self, table: &str) -> Option<TableSnapshot>;
    /// The system tables that this source has.
    fn system_tables(&self) -> Vec<SystemTable>;
    /// The rows of one of them, with its schema. Asked only for names that [`Source::system_tables`] gave.
    fn system_rows(&self, name: &str) -> RecordBatch;
}
