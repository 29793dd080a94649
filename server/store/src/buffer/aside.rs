//! Chunks that leave a buffer because they are damaged, and that come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use ochre_types::partition::Template;

use super::Buffer;
use crate::catalog::{ChunkId, ChunkMeta};
use crate::partition::{Partition, PersistedChunk};

impl Buffer {
    /// Shows these persisted chunks no more, once the catalog has them no more. Returns how many there were.
    pub fn set_aside(&self, chunks: &BTreeSet<ChunkId>) -> usize {
        let mut state = self.state.lock();
        let mut removed = 0;
        for partition in state.tables.values_mut().flat_map(|table| table.partitions.values_mut()) {
            let before = partition.persisted.len();
            partition.persisted.retain(|chunk| !chunks.contains(&chunk.meta.id));
            removed += before - partition.persisted.len();
        }
        removed
    }

    /// Shows a persisted chunk again that was set aside, once the catalog has it again. `template` is the one that made
    /// its partition key, if this build can read it.
    pub fn take_back(&self, meta: Arc<ChunkMeta>, path: Path, template: Option<Arc<Template>>) {
        let mut state = self.state.lock();
        let Some(table) = state.tables.get_mut(&meta.table) else { return };
        let id = (meta.template.0, meta.partition_key.clone());
        let partition = table.partitions.entry(id).or_insert_with(|| Partition::new(template));
        if partition.persisted.iter().all(|chunk| chunk.meta.id != meta.id) {
            partition.persisted.push(PersistedChunk { meta, path, resident: None });
        }
    }
}
