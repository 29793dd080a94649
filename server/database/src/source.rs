//! What the query engine sees of a database.

use std::sync::Arc;

use arrow_array::RecordBatch;
use ochre_query::{Source, SystemTable};
use ochre_store::snapshot::{TableColumn, TableSnapshot};
use ochre_types::{DatabaseName, TableName};

use crate::database::Database;
use crate::node::Node;
use crate::system;

/// One database of a node, and the node's system tables.
pub struct DatabaseSource {
    pub(crate) node: Arc<Node>,
    pub(crate) database: Arc<Database>,
}

impl Source for DatabaseSource {
    fn database(&self) -> DatabaseName {
        self.database.name().clone()
    }

    fn tables(&self) -> Vec<TableName> {
        self.database.buffer.tables()
    }

    fn columns(&self, table: &str) -> Option<Arc<[TableColumn]>> {
        self.database.buffer.columns(table)
    }

    fn snapshot(&self, table: &str) -> Option<TableSnapshot> {
        let mut snapshot = self.database.buffer.snapshot(table)?;
        snapshot.visible_from = self.database.lifecycle.visible_from(&snapshot.table);
        Some(snapshot)
    }

    fn system_tables(&self) -> Vec<SystemTable> {
        system::tables()
    }

    fn system_rows(&self, name: &str) -> RecordBatch {
        system::rows(&self.node, &self.database, name)
    }
}
