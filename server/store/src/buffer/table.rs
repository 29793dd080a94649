//! One table of a buffer.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_batch::rows::canonical_order;
use ochre_types::{ColumnId, Stamp};

use crate::catalog::TableState;
use crate::chunk::{FreezeReason, FrozenChunk, TableDescription};
use crate::order::TableOrder;
use crate::partition::{Partition, PartitionId};
use crate::snapshot::TableColumn;

/// A table: its columns, its order, its partitions.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Arc<[TableColumn]>,
    pub(super) order: TableOrder,
    /// The template of the rows that came last; `None` before the first since the start.
    template: Option<u64>,
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { columns: Arc::from([]), order: TableOrder::default(), template: None, partitions: BTreeMap::new() }
    }

    pub(super) fn restore(state: &TableState) -> Self {
        let mut columns: Vec<TableColumn> = state
            .columns
            .iter()
            .map(|(id, first_seen)| TableColumn { id: id.clone(), first_seen: *first_seen })
            .collect();
        columns.sort_by(|a, b| canonical_order(&a.id, &b.id));
        let order = TableOrder::restore(&state.sort_orders, state.columns.keys());
        Self { columns: columns.into(), order, ..Self::new() }
    }

    /// How `chunk` describes its table: its columns by now, and the order that the chunk is in.
    pub(super) fn describe(&self, chunk: &FrozenChunk) -> TableDescription {
        TableDescription {
            columns: self.columns.clone(),
            order: chunk.order.clone(),
            order_version: chunk.order_version,
        }
    }

    /// Closes the open chunks if the rows that come next were partitioned by another template than the last ones.
    pub(super) fn partition_by(&mut self, template: u64) {
        if self.template.replace(template).is_some_and(|last| last != template) {
            for partition in self.partitions.values_mut() {
                partition.close_open(FreezeReason::Template);
            }
        }
    }

    /// Adds the columns that are new, and appends new tags to the order.
    pub(super) fn add_columns(&mut self, columns: &[ColumnId], stamp: Stamp) {
        let find = |column: &ColumnId| self.columns.binary_search_by(|known| canonical_order(&known.id, column));
        // A batch that comes again, or late, may carry a stamp lower than the one that was seen first.
        let changes = |column: &&ColumnId| find(column).map_or(true, |at| self.columns[at].first_seen > stamp);
        let changed: Vec<&ColumnId> = columns.iter().filter(changes).collect();
        if changed.is_empty() {
            return;
        }
        let mut all = self.columns.to_vec();
        for column in changed {
            match all.binary_search_by(|known| canonical_order(&known.id, column)) {
                Ok(at) => all[at].first_seen = stamp,
                Err(at) => all.insert(at, TableColumn { id: column.clone(), first_seen: stamp }),
            }
        }
        self.columns = all.into();
        self.order.extend(columns);
    }
}
