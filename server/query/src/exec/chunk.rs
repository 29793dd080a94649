//! Reads one chunk that is in memory.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::fold_batch;
use ochre_batch::rows::arrow_type;
use ochre_batch::{Rows, SortOrder, StampedRows, sort};
use ochre_types::ColumnId;

use super::{Keyed, one_partition};

/// The rows of a chunk in memory.
#[derive(Debug, Clone)]
pub(crate) enum MemoryRows {
    /// In order of arrival: sorted and folded by batch when read, as a freeze would.
    Blocks(Arc<[StampedRows]>, SortOrder),
    /// Sorted already.
    Sorted(StampedRows),
}

/// Reads one chunk in memory, in key order.
pub(crate) struct ChunkExec {
    rows: MemoryRows,
    ids: Arc<[ColumnId]>,
    with_stamps: bool,
    name: String,
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
}

impl ChunkExec {
    /// For folding: key columns, fields and stamps.
    pub(crate) fn keyed(rows: MemoryRows, keyed: &Keyed, name: String) -> Self {
        let statistics = Arc::new(Statistics::new_unknown(&keyed.schema));
        Self {
            rows,
            ids: keyed.ids.clone(),
            with_stamps: true,
            name,
            statistics,
            properties: one_partition(&keyed.schema, Some(keyed.ordering.clone())),
        }
    }

    /// For a chunk with unique keys that is read as it is: these columns, in this order.
    pub(crate) fn alone(
        rows: StampedRows,
        ids: Arc<[ColumnId]>,
        schema: &SchemaRef,
        name: String,
        statistics: Statistics,
    ) -> Self {
        let properties = one_partition(schema, None::<LexOrdering>);
        let rows = MemoryRows::Sorted(rows);
        Self { rows, ids, with_stamps: false, name, statistics: Arc::new(statistics), properties }
    }
}

impl MemoryRows {
    fn memory_size(&self) -> usize {
        match self {
            // The joined rows and the sorted ones; each array is held once more while it is gathered.
            Self::Blocks(blocks, _) => blocks.iter().map(StampedRows::memory_size).sum::<usize>().saturating_mul(2),
            Self::Sorted(_) => 0,
        }
    }

    /// The rows in key order, with at least those of `ids` that they have.
    fn sorted(self, ids: &[ColumnId]) -> Result<Option<StampedRows>> {
        let (blocks, order) = match self {
            Self::Sorted(rows) => return Ok(Some(rows)),
            Self::Blocks(blocks, order) => (blocks, order),
        };
        let pieces = blocks.iter().map(|block| narrow(block, ids)).collect::<Result<Vec<_>>>()?;
        if pieces.is_empty() {
            return Ok(None);
        }
        let sorted = sort::sort(&concat_stamped(&pieces)?, &order)?;
        Ok(Some(fold_batch(&sorted)?))
    }
}

/// Only key columns and those of `ids`: the rest need not be joined and sorted.
fn narrow(rows: &StampedRows, ids: &[ColumnId]) -> Result<StampedRows> {
    let kept = rows.rows.iter().filter(|(id, _)| id.kind.is_key() || ids.contains(id));
    let (columns, arrays): (Vec<ColumnId>, Vec<ArrayRef>) = kept.map(|(id, array)| (id.clone(), array.clone())).unzip();
    let narrowed = Rows::new(columns, arrays)
        .map_err(|error| DataFusionError::External(format!("a chunk lost its key columns: {error}").into()))?;
    Ok(StampedRows { rows: narrowed, stamps: rows.stamps.clone() })
}

/// Some columns of some rows as a batch, null where the rows lack a column.
pub(super) fn to_batch(
    rows: &StampedRows,
    ids: &[ColumnId],
    with_stamps: bool,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let len = rows.rows.len();
    let array = |id: &ColumnId| match rows.rows.array(id) {
        Some(array) => array.clone(),
        None => new_null_array(&arrow_type(id.kind), len),
    };
    let mut arrays: Vec<ArrayRef> = ids.iter().map(array).collect();
    if with_stamps {
        arrays.push(rows.stamps.to_array(len));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(len));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

impl fmt::Debug for ChunkExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkExec({})", self.name)
    }
}

impl DisplayAs for ChunkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = match self.rows {
            MemoryRows::Blocks(..) => "unsorted",
            MemoryRows::Sorted(_) => "sorted",
        };
        write!(f, "ChunkExec: chunk={}, rows={rows}", self.name)
    }
}

impl ExecutionPlan for ChunkExec {
    fn name(&self) -> &str {
        "ChunkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(self.statistics.clone())
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, ids) = (self.rows.clone(), self.ids.clone());
        let (schema, with_stamps) = (self.schema(), self.with_stamps);
        let step = context.session_config().batch_size().max(1);
        let reservation = MemoryConsumer::new(format!("ChunkExec[{}]", self.name)).register(context.memory_pool());
        let make_batch = {
            let (ids, schema) = (ids.clone(), schema.clone());
            move |rows: &StampedRows| to_batch(rows, &ids, with_stamps, &schema)
        };
        // Sorted when first polled, not before.
        let batches = stream::once(async move {
            reservation.try_grow(rows.memory_size())?;
            Ok::<_, DataFusionError>((rows.sorted(&ids)?, reservation))
        })
        .map_ok(move |(rows, reservation)| slices(rows, step, reservation, make_batch.clone()))
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
    }
}

/// The rows in pieces of at most `step`, holding the reservation as long as there are any.
fn slices(
    rows: Option<StampedRows>,
    step: usize,
    reservation: MemoryReservation,
    make_batch: impl Fn(&StampedRows) -> Result<RecordBatch>,
) -> impl stream::Stream<Item = Result<RecordBatch>> {
    let len = rows.as_ref().map_or(0, |rows| rows.rows.len());
    let pieces = rows
        .into_iter()
        .flat_map(move |rows| (0..len).step_by(step).map(move |start| rows.slice(start, step.min(len - start))));
    stream::iter(pieces.map(move |piece| {
        let _held = &reservation;
        make_batch(&piece)
    }))
}

/// Statistics of a chunk that is read as it is: its rows, and its times if they are among `ids`.
pub(crate) fn exact_statistics(
    schema: &SchemaRef,
    rows: u64,
    (first, last): (i64, i64),
    time: Option<usize>,
) -> Statistics {
    use datafusion::common::ScalarValue;
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
    if let Some(column) = time.and_then(|time| statistics.column_statistics.get_mut(time)) {
        column.null_count = Precision::Exact(0);
        column.min_value = Precision::Exact(ScalarValue::TimestampNanosecond(Some(first), None));
        column.max_value = Precision::Exact(ScalarValue::TimestampNanosecond(Some(last), None));
    }
    statistics
}
