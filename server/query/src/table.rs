//! A table as DataFusion sees it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use ochre_store::snapshot::{TableColumn, TableSnapshot};

use crate::scan::Scan;
use crate::schema::Layout;
use crate::source::Source;

/// A table in one query.
pub(crate) struct ChunkTable {
    name: String,
    /// As it was when the statement was planned: what SQL sees.
    planned: Layout,
    source: Arc<dyn Source>,
    /// Taken when first read, and then the same for every reference in the query.
    snapshot: OnceLock<Option<(TableSnapshot, Layout)>>,
}

impl ChunkTable {
    pub(crate) fn new(name: &str, columns: &[TableColumn], source: Arc<dyn Source>) -> Self {
        Self { name: name.to_owned(), planned: Layout::new(columns), source, snapshot: OnceLock::new() }
    }

    /// The snapshot and its own layout. Keys are taken from it, as a tag may have come since planning.
    fn snapshot(&self) -> Result<&(TableSnapshot, Layout)> {
        let taken = self.snapshot.get_or_init(|| {
            let snapshot = self.source.snapshot(&self.name)?;
            let layout = Layout::new(&snapshot.columns);
            Some((snapshot, layout))
        });
        taken.as_ref().ok_or_else(|| {
            DataFusionError::External(format!("table {:?} is gone: it was dropped just now", self.name).into())
        })
    }

    /// The planned columns at `positions`, as positions in the snapshot's layout.
    fn resolve(&self, positions: impl Iterator<Item = usize>, layout: &Layout) -> Result<Vec<usize>> {
        let resolve = |at: usize| {
            let position = layout.position(&self.planned.ids()[at])?;
            (layout.field(position) == self.planned.field(at)).then_some(position)
        };
        let changed =
            || format!("the columns of table {:?} changed while the query was planned: send it again", self.name);
        positions.map(|at| resolve(at).ok_or_else(|| DataFusionError::External(changed().into()))).collect()
    }
}

impl fmt::Debug for ChunkTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkTable({:?})", self.name)
    }
}

#[async_trait]
impl TableProvider for ChunkTable {
    fn schema(&self) -> SchemaRef {
        self.planned.schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// All filters help to prune; none is applied to the last row here.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (snapshot, layout) = self.snapshot()?;
        let projection = match projection {
            Some(positions) => self.resolve(positions.iter().copied(), layout)?,
            None => self.resolve(0..self.planned.ids().len(), layout)?,
        };
        Scan::new(state, layout, snapshot.order.clone(), projection, filters, limit)?.plan(snapshot)
    }
}
