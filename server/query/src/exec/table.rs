//! Says in `EXPLAIN` what a table's scan reads and what it left out.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};

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
}

/// Passes its input on.
#[derive(Debug, Clone)]
pub(crate) struct TableExec {
    chosen: Chosen,
    input: Arc<dyn ExecutionPlan>,
}

impl TableExec {
    pub(crate) fn new(chosen: Chosen, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { chosen, input }
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
        )
    }
}

impl ExecutionPlan for TableExec {
    fn name(&self) -> &str {
        "TableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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
        vec![true]
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
            Ok([input]) => Ok(Arc::new(Self { chosen: self.chosen.clone(), input })),
            Err(others) => Err(DataFusionError::Internal(format!("TableExec has one input, not {}", others.len()))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
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
