//! Folds a group of chunks that may share keys: one row a key, as `ochre_batch::fold` says.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, OrderingRequirements};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};
use ochre_batch::StampedRows;
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::{fold_latest, last_group_start};

use super::{Keyed, one_partition};

/// Rows of one unfinished key that are held back before older versions of it are folded early.
const MAX_HELD_ROWS: usize = 4_096;

/// Merges inputs that are in key order, and folds the rows of each key into one.
pub(crate) struct FoldExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    keyed: Keyed,
    /// For each output column, where it stands in the input.
    output: Arc<[usize]>,
    /// Bytes that readers of the inputs hold beside what they reserve themselves, about.
    readers: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FoldExec {
    /// `readers`: bytes that the readers of the inputs hold and don't reserve, as those of Parquet do.
    pub(crate) fn new(
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        keyed: Keyed,
        output: Arc<[usize]>,
        schema: &SchemaRef,
        readers: usize,
    ) -> Self {
        let properties = one_partition(schema, None);
        Self { inputs, keyed, output, readers, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// All inputs are open at once: their memory is reserved first, or the query refused.
    fn reserve(&self, context: &Arc<TaskContext>) -> Result<MemoryReservation> {
        let reservation = MemoryConsumer::new("FoldExec[readers]").register(context.memory_pool());
        reservation.try_grow(self.readers).map_err(|error| {
            DataFusionError::ResourcesExhausted(format!(
                "{} chunks may share keys, and reading them at once takes about {} bytes: narrow the time range, or compact their partition; {}",
                self.inputs.len(),
                self.readers,
                error.strip_backtrace()
            ))
        })?;
        Ok(reservation)
    }

    fn merged(&self, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let [only] = self.inputs.as_slice() {
            return only.execute(0, context.clone());
        }
        let streams: Result<Vec<_>> = self.inputs.iter().map(|input| input.execute(0, context.clone())).collect();
        StreamingMergeBuilder::new()
            .with_streams(streams?)
            .with_schema(self.keyed.schema.clone())
            .with_expressions(&self.keyed.ordering)
            .with_metrics(BaselineMetrics::new(&self.metrics, 0))
            .with_batch_size(context.session_config().batch_size())
            .with_reservation(MemoryConsumer::new("FoldExec").register(context.memory_pool()))
            .with_round_robin_tie_breaker(false)
            .build()
    }
}

impl fmt::Debug for FoldExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldExec({} chunks)", self.inputs.len())
    }
}

impl DisplayAs for FoldExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldExec: chunks={}, order=[{}]", self.inputs.len(), self.keyed.ordering)
    }
}

impl ExecutionPlan for FoldExec {
    fn name(&self) -> &str {
        "FoldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for sort in &self.keyed.ordering {
            if f(&sort.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; self.inputs.len()])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::new(self.keyed.ordering.clone().into())); self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            inputs: children,
            keyed: self.keyed.clone(),
            output: self.output.clone(),
            readers: self.readers,
            properties: self.properties.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let folding = Folding {
            _readers: self.reserve(&context)?,
            input: self.merged(&context)?,
            keyed: self.keyed.clone(),
            output: self.output.clone(),
            schema: schema.clone(),
            held: None,
            ended: false,
        };
        let batches = stream::try_unfold(folding, |mut folding| async move {
            Ok(folding.next().await?.map(|batch| (batch, folding)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
    }
}

/// Folds a stream of rows in key order.
struct Folding {
    _readers: MemoryReservation,
    input: SendableRecordBatchStream,
    keyed: Keyed,
    output: Arc<[usize]>,
    schema: SchemaRef,
    /// The rows of the last key so far: it may go on.
    held: Option<StampedRows>,
    ended: bool,
}

impl Folding {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while !self.ended {
            let Some(batch) = self.input.next().await.transpose()? else {
                self.ended = true;
                return self.held.take().map(|rows| self.folded(&rows)).transpose();
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = self.keyed.stamped(&batch)?;
            let rows = match self.held.take() {
                Some(held) => concat_stamped(&[held, rows])?,
                None => rows,
            };
            let complete = last_group_start(&rows.rows);
            let rest = rows.slice(complete, rows.rows.len() - complete);
            self.held = Some(fold_early(rest)?);
            if complete > 0 {
                return self.folded(&rows.slice(0, complete)).map(Some);
            }
        }
        Ok(None)
    }

    fn folded(&self, rows: &StampedRows) -> Result<RecordBatch> {
        let folded = fold_latest(rows)?;
        let arrays: Vec<ArrayRef> = self.output.iter().map(|at| folded.rows.arrays()[*at].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(folded.rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

/// Bounds what is held of one key, however many versions it has: all but those with the newest stamp become one row.
///
/// That row has the stamp of the newest version in it, also for fields that come from older ones. This decides
/// nothing wrongly, as all rows to come have a higher stamp; so those with the newest stamp, to which an equal one
/// could still come, stay as they are. There are at most as many of them as chunks.
fn fold_early(rows: StampedRows) -> Result<StampedRows> {
    let len = rows.rows.len();
    if len <= MAX_HELD_ROWS {
        return Ok(rows);
    }
    let newest = rows.stamps.at(len - 1);
    let newest_start = (0..len).rev().find(|row| rows.stamps.at(*row) != newest).map_or(0, |row| row + 1);
    if newest_start <= 1 {
        return Ok(rows);
    }
    let older = fold_latest(&rows.slice(0, newest_start))?;
    Ok(concat_stamped(&[older, rows.slice(newest_start, len - newest_start)])?)
}
