//! The partitions of a buffer as people see and name them: listed, closed, persisted one by one.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use ochre_types::{ColumnName, Hlc};

use super::Buffer;
use crate::catalog::{ChunkId, PartitionName, TemplateId};
use crate::chunk::FreezeReason;
use crate::partition::{Partition, PersistedChunk, Sealed};
use crate::selection::Selection;
use crate::snapshot::Stage;

/// A partition and its chunks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The partition.
    pub name: PartitionName,
    /// Its chunks: the persisted ones, then those in memory only, each oldest first.
    pub chunks: Vec<ChunkState>,
}

/// A chunk at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkState {
    /// Its id.
    pub id: ChunkId,
    /// Its stage.
    pub stage: Stage,
    /// Compaction level; 0 as frozen.
    pub level: u32,
    /// Rows, counting versions of one key apart.
    pub rows: u64,
    /// Bytes of its object; 0 if it has none.
    pub object_bytes: u64,
    /// Bytes held in memory.
    pub memory_bytes: u64,
    /// The lowest and highest time, in nanoseconds since 1970-01-01 UTC.
    pub time: (i64, i64),
    /// Its object.
    pub object: Option<Path>,
    /// Up to when its rows are settled.
    pub settled: Option<Hlc>,
    /// The tags that its rows are sorted by.
    pub sorted_by: Arc<[ColumnName]>,
}

impl ChunkState {
    fn in_memory(id: ChunkId, stage: Stage, rows: u64, memory_bytes: u64, time: (i64, i64)) -> Self {
        let (object, settled, sorted_by) = (None, None, Arc::default());
        Self { id, stage, level: 0, rows, object_bytes: 0, memory_bytes, time, object, settled, sorted_by }
    }

    fn sealed(sealed: &Sealed) -> Self {
        match sealed {
            Sealed::Closed(chunk) => {
                Self::in_memory(chunk.id, Stage::Open, chunk.rows, chunk.bytes(), chunk.time_range)
            }
            Sealed::Frozen(chunk) => {
                let rows = chunk.sorted.rows.len() as u64;
                let state = Self::in_memory(chunk.id, Stage::Frozen, rows, chunk.bytes(), chunk.time_range);
                Self { sorted_by: chunk.order.tags().into(), ..state }
            }
        }
    }

    fn persisted(persisted: &PersistedChunk) -> Self {
        let meta = &persisted.meta;
        let memory_bytes = persisted.resident.as_ref().map_or(0, |copy| copy.chunk.bytes());
        Self {
            level: meta.level,
            object_bytes: meta.size_bytes,
            object: Some(persisted.path.clone()),
            settled: meta.settled,
            sorted_by: meta.sorted_by.columns.clone(),
            ..Self::in_memory(meta.id, Stage::Persisted, meta.rows, memory_bytes, meta.time)
        }
    }
}

fn chunks(partition: &Partition) -> Vec<ChunkState> {
    let mut chunks: Vec<ChunkState> = partition.persisted.iter().map(ChunkState::persisted).collect();
    chunks.extend(partition.sealed.iter().map(ChunkState::sealed));
    let open = partition.open.as_ref().filter(|open| open.rows() > 0);
    chunks.extend(
        open.map(|open| ChunkState::in_memory(open.id, Stage::Open, open.rows(), open.bytes(), open.time_range())),
    );
    chunks
}

impl Buffer {
    /// The partitions of a selection that have chunks, by table, template and key.
    pub fn partitions(&self, selection: &Selection) -> Vec<PartitionState> {
        let state = self.state.lock();
        let mut found = Vec::new();
        for (table, held) in state.tables.iter().filter(|(_, table)| table.is_visible()) {
            for ((template, key), partition) in
                held.partitions.iter().filter(|((_, key), _)| selection.takes(table, key))
            {
                let chunks = chunks(partition);
                if !chunks.is_empty() {
                    let name =
                        PartitionName { table: table.clone(), template: TemplateId(*template), key: key.clone() };
                    found.push(PartitionState { name, chunks });
                }
            }
        }
        found
    }

    /// Closes the open chunks of a selection. Returns the chunks of it that are now in memory only.
    pub fn close_selected(&self, selection: &Selection) -> BTreeSet<ChunkId> {
        let mut state = self.state.lock();
        let mut sealed = BTreeSet::new();
        for (table, held) in &mut state.tables {
            let taken = held.partitions.iter_mut().filter(|((_, key), _)| selection.takes(table, key));
            for (_, partition) in taken {
                partition.close_open(FreezeReason::Asked);
                sealed.extend(partition.sealed.iter().map(Sealed::id));
            }
        }
        sealed
    }
}
