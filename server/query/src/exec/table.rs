//! The top of a table's scan: says in `EXPLAIN` what is read and what was left out, and bounds how many chunks are read
//! at a time.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

/// What became of a table's chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) table: String,
    /// Left out: no row's time can pass the filter.
    pub(crate) pruned_by_time: usize,
    /// Left out by the partition key.
    pub(crate) pruned_by_key: usize,
    /// Left out by the ranges of their tags.
    pub(crate) pruned_by_tags: usize,
    /// Read as they are.
    pub(crate) alone: usize,
    /// Folded.
    pub(crate) folded: usize,
    /// In so many groups.
    pub(crate) groups: usize,
    /// Chunks of which some rows may have been deleted.
    pub(crate) erased: usize,
    /// Chunks that were joined of others.
    pub(crate) joined: usize,
    /// Chunks that are settled.
    pub(crate) settled: usize,
}

/// Passes its input on, in at most so many partitions: each reads its share of the input's, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct TableExec {
    chosen: Chosen,
    input: Arc<dyn ExecutionPlan>,
    max_partitions: usize,
    properties: Arc<PlanProperties>,
}

impl TableExec {
    pub(crate) fn new(chosen: Chosen, input: Arc<dyn ExecutionPlan>, max_partitions: usize) -> Self {
        let max_partitions = max_partitions.max(1);
        let properties = match input.output_partitioning().partition_count() > max_partitions {
            false => input.properties().clone(),
            true => {
                let mut equal = input.equivalence_properties().clone();
                equal.clear_orderings();
                equal.clear_per_partition_constants();
                let partitioning = Partitioning::UnknownPartitioning(max_partitions);
                Arc::new(PlanProperties::new(equal, partitioning, input.pipeline_behavior(), input.boundedness()))
            }
        };
        Self { chosen, input, max_partitions, properties }
    }

    fn input_partitions(&self) -> usize {
        self.input.output_partitioning().partition_count()
    }

    /// Whether a partition of the output is several of the input's.
    fn joins_partitions(&self) -> bool {
        self.input_partitions() > self.max_partitions
    }
}

impl DisplayAs for TableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.chosen;
        let pruned = c.pruned_by_time + c.pruned_by_key + c.pruned_by_tags;
        write!(
            f,
            "TableExec: table={}, chunks={}, pruned={pruned} (time={}, key={}, tags={}), deduplicate={}, alone={}, folded={} in {} groups",
            c.table,
            c.alone + c.folded + pruned,
            c.pruned_by_time,
            c.pruned_by_key,
            c.pruned_by_tags,
            c.groups > 0,
            c.alone,
            c.folded,
            c.groups
        )?;
        let counts = [("joined", c.joined), ("settled", c.settled), ("erased", c.erased)];
        counts.into_iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, ", {what}={count}"))
    }
}

impl ExecutionPlan for TableExec {
    fn name(&self) -> &str {
        "TableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![!self.joins_partitions()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(Self::new(self.chosen.clone(), input, self.max_partitions))),
            Err(others) => Err(DataFusionError::Internal(format!("TableExec has one input, not {}", others.len()))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if !self.joins_partitions() {
            return self.input.execute(partition, context);
        }
        let (input, shares) = (self.input.clone(), (partition..self.input_partitions()).step_by(self.max_partitions));
        let batches = stream::iter(shares).map(move |share| input.execute(share, context.clone())).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        match partition {
            Some(_) if self.joins_partitions() => vec![ChildStats::Skip],
            partition => vec![ChildStats::At(partition)],
        }
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }

    /// A limit that went below partitions which are joined here would be one for each of them.
    fn supports_limit_pushdown(&self) -> bool {
        !self.joins_partitions()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }
}
