//! System tables: rows made when they are read.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::source::{Source, SystemTable};

/// One table of the schema `system`.
pub(crate) struct SystemRows {
    table: SystemTable,
    source: Arc<dyn Source>,
}

impl SystemRows {
    pub(crate) fn new(table: SystemTable, source: Arc<dyn Source>) -> Self {
        Self { table, source }
    }
}

impl fmt::Debug for SystemRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemRows({})", self.table.name)
    }
}

#[async_trait]
impl TableProvider for SystemRows {
    fn schema(&self) -> SchemaRef {
        self.table.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.source.system_rows(self.table.name);
        if rows.schema() != self.table.schema {
            let name = self.table.name;
            return Err(DataFusionError::Internal(format!("system.{name} has rows of another schema than its own")));
        }
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}
