//! Gives the rows of a settled chunk their stamp.
//!
//! All of them have one, which the catalog knows and the file does not: the column comes out of the file as nulls.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::OrderingRequirements;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;
use ochre_batch::Stamps;
use ochre_types::Stamp;

use super::{Keyed, one_partition};

/// Passes on the rows of one settled chunk, in their order, with their stamp in the last column.
pub(crate) struct SettledExec {
    input: Arc<dyn ExecutionPlan>,
    keyed: Keyed,
    stamp: Stamp,
    properties: Arc<PlanProperties>,
}

impl SettledExec {
    /// `input` gives rows as `keyed` says, without stamps.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, keyed: Keyed, stamp: Stamp) -> Self {
        let properties = one_partition(&keyed.schema, Some(keyed.ordering.clone()));
        Self { input, keyed, stamp, properties }
    }
}

impl fmt::Debug for SettledExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettledExec({})", self.stamp)
    }
}

impl DisplayAs for SettledExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettledExec: boundary={}", self.stamp.hlc)
    }
}

impl ExecutionPlan for SettledExec {
    fn name(&self) -> &str {
        "SettledExec"
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

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::new(self.keyed.ordering.clone().into()))]
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
            Ok([input]) => Ok(Arc::new(Self::new(input, self.keyed.clone(), self.stamp))),
            Err(others) => Err(DataFusionError::Internal(format!("SettledExec has one input, not {}", others.len()))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, stamp) = (self.schema(), self.stamp);
        let stamped = input.map(move |batch| {
            let batch = batch?;
            let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
            arrays.pop();
            arrays.push(Stamps::One(stamp).to_array(batch.num_rows()));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stamped)))
    }
}
