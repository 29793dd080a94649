//! One table of a buffer.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ochre_batch::rows::canonical_order;
use ochre_types::{ColumnId, ColumnName, Stamp};

use crate::catalog::TableState;
use crate::chunk::{FreezeReason, FrozenChunk, TableDescription};
use crate::order::TableOrder;
use crate::partition::{Partition, PartitionId};
use crate::snapshot::TableColumn;

/// A table: its columns, its order, its partitions.
///
/// Its columns are those of rows since it was last dropped: a table that comes after another of its name is a new one.
/// Which column a batch belongs to is decided by its stamp, as it is for rows.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Arc<[TableColumn]>,
    /// By each drop in force, the columns seen before it and after the drop before.
    earlier: BTreeMap<Stamp, Arc<[TableColumn]>>,
    pub(super) order: TableOrder,
    /// The template of the rows that came last; `None` before the first since the start.
    template: Option<u64>,
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
}

impl Table {
    /// A table without columns that was dropped at these stamps before.
    pub(super) fn new(drops: impl Iterator<Item = Stamp>) -> Self {
        Self {
            columns: Arc::from([]),
            earlier: drops.map(|drop| (drop, Arc::from([]))).collect(),
            order: TableOrder::default(),
            template: None,
            partitions: BTreeMap::new(),
        }
    }

    pub(super) fn restore(state: &TableState) -> Self {
        let earlier = state.earlier.iter().map(|(drop, columns)| (*drop, table_columns(columns)));
        let all = state.earlier.values().chain([&state.columns]).flat_map(BTreeMap::keys);
        let order = TableOrder::restore(&state.sort_orders, all);
        let columns = table_columns(&state.columns);
        Self { columns, earlier: earlier.collect(), order, ..Self::new(std::iter::empty()) }
    }

    /// Whether it is there: it was never dropped, or has got rows since.
    pub(super) fn is_visible(&self) -> bool {
        self.earlier.is_empty() || !self.columns.is_empty()
    }

    /// The columns before each drop in force.
    pub(super) fn dropped_columns(&self) -> &BTreeMap<Stamp, Arc<[TableColumn]>> {
        &self.earlier
    }

    /// Drops the table as it was before `stamp`: its chunks get no more rows, and its columns are no longer those of new
    /// ones.
    pub(super) fn drop_at(&mut self, stamp: Stamp) {
        if self.earlier.contains_key(&stamp) {
            return;
        }
        for partition in self.partitions.values_mut() {
            partition.close_open(FreezeReason::Dropped);
        }
        let held = self.columns_mut(stamp);
        let (before, after) = held.iter().cloned().partition::<Vec<_>, _>(|column| column.first_seen < stamp);
        *held = after.into();
        self.earlier.insert(stamp, before.into());
    }

    /// Takes a drop back: the columns before it are columns again.
    pub(super) fn undrop(&mut self, stamp: Stamp) {
        let Some(columns) = self.earlier.remove(&stamp) else { return };
        self.join_columns(stamp, columns.iter().map(|column| (&column.id, column.first_seen)));
    }

    /// The columns of batches with this stamp.
    fn columns_mut(&mut self, stamp: Stamp) -> &mut Arc<[TableColumn]> {
        let later = self.earlier.range_mut((Bound::Excluded(stamp), Bound::Unbounded)).next();
        later.map_or(&mut self.columns, |(_, columns)| columns)
    }

    /// The columns that a chunk with this highest stamp describes.
    pub(super) fn columns_of(&self, stamp: Stamp) -> &Arc<[TableColumn]> {
        let later = self.earlier.range((Bound::Excluded(stamp), Bound::Unbounded)).next();
        later.map_or(&self.columns, |(_, columns)| columns)
    }

    /// Adds columns to those of batches with the stamp `at`; of one that is there, the lower stamp stays.
    fn join_columns<'c>(&mut self, at: Stamp, columns: impl Iterator<Item = (&'c ColumnId, Stamp)>) {
        let held = self.columns_mut(at);
        let mut all = held.to_vec();
        for (id, first_seen) in columns {
            match all.binary_search_by(|known| canonical_order(&known.id, id)) {
                Ok(at) => all[at].first_seen = all[at].first_seen.min(first_seen),
                Err(at) => all.insert(at, TableColumn { id: id.clone(), first_seen }),
            }
        }
        *held = all.into();
    }

    /// How `chunk` describes its table: its columns by now, the order that the chunk is in, and which columns have bloom
    /// filters.
    pub(super) fn describe(&self, chunk: &FrozenChunk, bloom: &[ColumnName]) -> TableDescription {
        TableDescription {
            columns: self.columns_of(chunk.stamps.1).clone(),
            order: chunk.order.clone(),
            order_version: chunk.order_version,
            bloom: bloom.into(),
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
        let known = self.columns_of(stamp).clone();
        let find = |column: &ColumnId| known.binary_search_by(|known| canonical_order(&known.id, column));
        // A batch that comes again, or late, may carry a stamp lower than the one that was seen first.
        let changes = |column: &&ColumnId| find(column).map_or(true, |at| known[at].first_seen > stamp);
        let changed: Vec<&ColumnId> = columns.iter().filter(changes).collect();
        if !changed.is_empty() {
            self.join_columns(stamp, changed.into_iter().map(|column| (column, stamp)));
            self.order.extend(columns);
        }
    }
}

fn table_columns(columns: &BTreeMap<ColumnId, Stamp>) -> Arc<[TableColumn]> {
    let mut columns: Vec<TableColumn> =
        columns.iter().map(|(id, first_seen)| TableColumn { id: id.clone(), first_seen: *first_seen }).collect();
    columns.sort_by(|a, b| canonical_order(&a.id, &b.id));
    columns.into()
}
