//! Leaves out the rows of a chunk that were deleted.
//!
//! It stands between a chunk and the fold: what was deleted takes no part in it, so that of a row that was written
//! anew only the new fields are seen.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;
use ochre_batch::tombstone::{Active, hidden};
use ochre_types::TableName;

use super::Keyed;

/// Passes on the rows of one chunk, in their order, that none of the tombstones hides.
pub(crate) struct EraseExec {
    input: Arc<dyn ExecutionPlan>,
    keyed: Keyed,
    table: TableName,
    tombstones: Arc<[Active]>,
}

impl EraseExec {
    /// `input` gives rows as `keyed` says: all key columns and the stamps are among them.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        keyed: Keyed,
        table: TableName,
        tombstones: Arc<[Active]>,
    ) -> Self {
        Self { input, keyed, table, tombstones }
    }
}

impl fmt::Debug for EraseExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EraseExec({} tombstones)", self.tombstones.len())
    }
}

impl DisplayAs for EraseExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EraseExec: tombstones={}", self.tombstones.len())
    }
}

impl ExecutionPlan for EraseExec {
    fn name(&self) -> &str {
        "EraseExec"
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
            Ok([input]) => {
                Ok(Arc::new(Self::new(input, self.keyed.clone(), self.table.clone(), self.tombstones.clone())))
            }
            Err(others) => Err(DataFusionError::Internal(format!("EraseExec has one input, not {}", others.len()))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (keyed, table, tombstones) = (self.keyed.clone(), self.table.clone(), self.tombstones.clone());
        let kept = input.map(move |batch| erase(batch?, &keyed, &table, &tombstones));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), kept)))
    }
}

fn erase(batch: RecordBatch, keyed: &Keyed, table: &TableName, tombstones: &[Active]) -> Result<RecordBatch> {
    if batch.num_rows() == 0 {
        return Ok(batch);
    }
    match hidden(&keyed.stamped(&batch)?, table, tombstones) {
        None => Ok(batch),
        Some(hidden) => {
            let kept = arrow_array::BooleanArray::new(!hidden.values(), None);
            Ok(filter_record_batch(&batch, &kept)?)
        }
    }
}
