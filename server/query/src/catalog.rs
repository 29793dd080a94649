//! One database as DataFusion's catalog: `public.iox.<table>` and `public.system.<table>`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::TableType;
use parking_lot::Mutex;

use crate::source::Source;
use crate::system::SystemRows;
use crate::table::ChunkTable;

/// The one catalog.
pub(crate) const CATALOG: &str = "public";
/// The schema of tables, and of unqualified names.
pub(crate) const TABLES: &str = "iox";
/// The schema of system tables.
pub(crate) const SYSTEM: &str = "system";
/// The schema that DataFusion fills from the others.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

/// All that one query can name. A table is opened once a query, so that all its references see one snapshot.
pub(crate) struct Database {
    source: Arc<dyn Source>,
    opened: Mutex<BTreeMap<String, Arc<ChunkTable>>>,
}

impl Database {
    pub(crate) fn new(source: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(Self { source, opened: Mutex::new(BTreeMap::new()) })
    }

    /// Whether the table, or a table of DataFusion's own, is there.
    pub(crate) fn has(&self, schema: Option<&str>, table: &str) -> bool {
        match schema {
            None | Some(TABLES) => self.source.columns(table).is_some(),
            Some(SYSTEM) => self.source.system_tables().iter().any(|system| system.name == table),
            Some(other) => other.eq_ignore_ascii_case(INFORMATION_SCHEMA),
        }
    }

    fn open(&self, name: &str) -> Option<Arc<ChunkTable>> {
        let mut opened = self.opened.lock();
        if let Some(table) = opened.get(name) {
            return Some(table.clone());
        }
        let columns = self.source.columns(name)?;
        let table = Arc::new(ChunkTable::new(name, &columns, self.source.clone()));
        opened.insert(name.to_owned(), table.clone());
        Some(table)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({:?})", self.source.database())
    }
}

/// The list of catalogs: one.
#[derive(Debug)]
pub(crate) struct Catalogs(pub(crate) Arc<Database>);

impl CatalogProviderList for Catalogs {
    /// Keeps what it has, and returns the one that was offered.
    fn register_catalog(&self, _: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        Some(catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(Schemas(self.0.clone())) as _)
    }
}

#[derive(Debug)]
struct Schemas(Arc<Database>);

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        vec![TABLES.to_owned(), SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            TABLES => Some(Arc::new(Tables(self.0.clone()))),
            SYSTEM => Some(Arc::new(SystemTables(self.0.clone()))),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Tables(Arc<Database>);

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.0.source.tables().iter().map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.open(name).map(|table| table as _))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.has(None, name)
    }
}

#[derive(Debug)]
struct SystemTables(Arc<Database>);

#[async_trait]
impl SchemaProvider for SystemTables {
    fn table_names(&self) -> Vec<String> {
        self.0.source.system_tables().iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let tables = self.0.source.system_tables();
        let table = tables.into_iter().find(|table| table.name == name);
        Ok(table.map(|table| Arc::new(SystemRows::new(table, self.0.source.clone())) as _))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.has(Some(SYSTEM), name)
    }
}
