//! A table as DataFusion sees it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use ochre_store::snapshot::{TableColumn, TableSnapshot};
use ochre_types::{ColumnKind, TIME_COLUMN};

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
        match snapshot.visible_from.filter(|from| may_hold_older(snapshot, *from)) {
            None => Scan::new(state, layout, snapshot, projection, filters, limit)?.plan(snapshot),
            Some(from) => visible(state, layout, snapshot, projection, filters, from),
        }
    }
}

/// Whether chunks that have rows to be seen have older ones too.
fn may_hold_older(snapshot: &TableSnapshot, from: i64) -> bool {
    snapshot.chunks.iter().any(|chunk| chunk.time_range.0 < from && from <= chunk.time_range.1)
}

/// A scan without the rows before `from`.
fn visible(
    state: &dyn Session,
    layout: &Layout,
    snapshot: &TableSnapshot,
    projection: Vec<usize>,
    filters: &[Expr],
    from: i64,
) -> Result<Arc<dyn ExecutionPlan>> {
    let time = layout.ids().iter().position(|id| id.kind == ColumnKind::Time);
    let time = time.ok_or_else(|| DataFusionError::Internal("a table has no column of times".to_owned()))?;
    let mut read = projection.clone();
    if !read.contains(&time) {
        read.push(time);
    }
    // No limit: it would count rows that are not to be seen.
    let scan = Scan::new(state, layout, snapshot, read, filters, None)?.plan(snapshot)?;
    let from = Arc::new(Literal::new(ScalarValue::TimestampNanosecond(Some(from), None)));
    let at = Arc::new(Column::new_with_schema(TIME_COLUMN, &scan.schema())?);
    let visible: Arc<dyn ExecutionPlan> =
        Arc::new(FilterExec::try_new(Arc::new(BinaryExpr::new(at, Operator::GtEq, from)), scan)?);
    let schema = visible.schema();
    let asked = schema.fields().iter().enumerate().take(projection.len());
    let asked: Vec<(Arc<dyn PhysicalExpr>, String)> = asked
        .map(|(index, field)| {
            (Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>, field.name().clone())
        })
        .collect();
    Ok(Arc::new(ProjectionExec::try_new(asked, visible)?))
}
