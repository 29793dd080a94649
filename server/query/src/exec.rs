//! The plan nodes that read chunks.
//!
//! ```text
//!   TableExec                     one per table of a plan: says what was left out
//!     UnionExec
//!       DataSourceExec (Parquet)  chunks that stand alone
//!       ChunkExec                 a chunk in memory that stands alone
//!       FoldExec                  a group of chunks that may share keys
//!         DataSourceExec | ChunkExec, each in key order; below an EraseExec where something was deleted, and below
//!         a SettledExec where the file has no stamps
//! ```

pub(crate) mod chunk;
pub(crate) mod erase;
pub(crate) mod fold;
pub(crate) mod settled;
pub(crate) mod table;

use std::sync::Arc;

use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch};
use arrow_schema::{FieldRef, Schema, SchemaRef, SortOptions};
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::{Partitioning, PlanProperties};
use ochre_batch::rows::canonical_order;
use ochre_batch::{Rows, SortOrder, StampedRows, Stamps};
use ochre_types::{ColumnId, ColumnKind};

use crate::schema::{Layout, stamp_field};

/// Rows on their way into a fold: some columns in canonical order, key columns among them, then the stamps.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) ids: Arc<[ColumnId]>,
    pub(crate) schema: SchemaRef,
    /// Tags in the table's order, then time, then the stamp.
    pub(crate) ordering: LexOrdering,
}

impl Keyed {
    /// The key columns of a table and the fields at `positions` of its layout.
    pub(crate) fn new(layout: &Layout, order: &SortOrder, positions: &[usize]) -> Self {
        let mut chosen: Vec<usize> =
            (0..layout.ids().len()).filter(|at| layout.ids()[*at].kind.is_key() || positions.contains(at)).collect();
        chosen.sort_by(|a, b| canonical_order(&layout.ids()[*a], &layout.ids()[*b]));
        let stamp: FieldRef = Arc::new(stamp_field());
        let fields: Vec<FieldRef> = chosen.iter().map(|at| layout.field(*at).clone()).chain([stamp]).collect();
        let ids: Arc<[ColumnId]> = chosen.iter().map(|at| layout.ids()[*at].clone()).collect();
        let at = |wanted: usize| sort_by(fields[wanted].name(), wanted);
        let tags: Vec<usize> = (0..ids.len()).filter(|index| ids[*index].kind == ColumnKind::Tag).collect();
        let named = order.tags().iter().filter_map(|name| tags.iter().find(|tag| ids[**tag].name == *name));
        // `ids` has the tags by name: so the rest follows by name. What was named already is skipped by LexOrdering.
        let time = (0..ids.len()).filter(|index| ids[*index].kind == ColumnKind::Time);
        let keys = named.chain(&tags).copied().chain(time).chain([ids.len()]);
        let ordering = LexOrdering::new(keys.map(at)).expect("the stamp at least is in it");
        Self { ids, schema: Arc::new(Schema::new(fields)), ordering }
    }

    /// The rows of a batch with this schema.
    pub(crate) fn stamped(&self, batch: &RecordBatch) -> Result<StampedRows> {
        let (stamps, columns) = batch.columns().split_last().ok_or_else(|| damaged("it has no columns"))?;
        let stamps =
            stamps.as_any().downcast_ref::<FixedSizeBinaryArray>().ok_or_else(|| damaged("it has no stamps"))?;
        if stamps.null_count() > 0 {
            return Err(damaged("some of its rows have no stamp"));
        }
        let rows = Rows::new(self.ids.clone(), columns.to_vec()).map_err(|error| damaged(&error.to_string()))?;
        Ok(StampedRows { rows, stamps: Stamps::Each(Arc::new(stamps.clone())) })
    }
}

fn damaged(what: &str) -> DataFusionError {
    DataFusionError::External(format!("a chunk can't be folded: {what}").into())
}

fn sort_by(name: &str, index: usize) -> PhysicalSortExpr {
    PhysicalSortExpr::new(Arc::new(Column::new(name, index)), SortOptions { descending: false, nulls_first: true })
}

/// Properties of a node with one partition.
fn one_partition(schema: &SchemaRef, ordering: Option<LexOrdering>) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new_with_orderings(schema.clone(), ordering),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}
