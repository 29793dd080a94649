//! What compaction and retention do to the chunks of a buffer.

use std::sync::Arc;

use object_store::path::Path;
use ochre_batch::SortOrder;
use ochre_types::rules::SortRule;
use ochre_types::{Stamp, TableName};

use super::Buffer;
use crate::catalog::{ChunkId, ChunkMeta, PartitionName};
use crate::order::FreezeOrder;
use crate::partition::PersistedChunk;
use crate::snapshot::TableColumn;

/// The order that chunks of a table are joined in.
#[derive(Debug, Clone)]
pub(crate) struct JoinOrder {
    /// The order.
    pub(crate) order: SortOrder,
    /// Its version.
    pub(crate) version: u32,
    /// Chunks of this version, and of any later one, are in it already.
    pub(crate) kept_since: u32,
}

impl Buffer {
    /// An id for a chunk that is made of others.
    pub(crate) fn next_chunk_id(&self) -> ChunkId {
        self.new_chunk_id()
    }

    /// The columns of a table as of rows with this stamp.
    pub(crate) fn columns_at(&self, table: &TableName, stamp: Stamp) -> Arc<[TableColumn]> {
        let state = self.state.lock();
        state.tables.get(table).map_or_else(|| Arc::from([]), |table| table.columns_of(stamp).clone())
    }

    /// The order that a table has by `sort`, unless it has none yet.
    pub(crate) fn join_order(&self, table: &TableName, sort: &SortRule) -> Option<JoinOrder> {
        let mut state = self.state.lock();
        let table = state.tables.get_mut(table)?;
        match table.order.follow(sort, table.columns.iter().map(|column| &column.id)) {
            FreezeOrder::Table { order, version } => {
                Some(JoinOrder { order, version, kept_since: table.order.kept_since() })
            }
            FreezeOrder::Choose { .. } => None,
        }
    }

    /// Shows `added` in the place of the persisted chunks `removed`, once the catalog says so. Chunks that are not there
    /// are passed over; a partition that has none left is forgotten.
    pub fn install_joined(&self, partition: &PartitionName, removed: &[ChunkId], added: Vec<(Arc<ChunkMeta>, Path)>) {
        let mut state = self.state.lock();
        let Some(table) = state.tables.get_mut(&partition.table) else { return };
        let id = (partition.template.0, partition.key.clone());
        let Some(held) = table.partitions.get_mut(&id) else { return };
        let is_removed = |chunk: &PersistedChunk| removed.contains(&chunk.meta.id);
        let at = held.persisted.iter().position(is_removed).unwrap_or(held.persisted.len());
        held.persisted.retain(|chunk| !is_removed(chunk));
        let known = |meta: &ChunkMeta| held.persisted.iter().any(|chunk| chunk.meta.id == meta.id);
        let added: Vec<PersistedChunk> = added
            .into_iter()
            .filter(|(meta, _)| !known(meta))
            .map(|(meta, path)| PersistedChunk { meta, path, resident: None })
            .collect();
        held.persisted.splice(at..at, added);
        if held.persisted.is_empty() && held.is_persisted() {
            table.partitions.remove(&id);
        }
    }
}
