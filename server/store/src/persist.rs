//! Puts frozen chunks into the object store and the catalog.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_env::planted::{self, Planted};
use ochre_types::{DatabaseName, LogId, Sequence};

use crate::buffer::{Buffer, LowWater, Unpersisted};
use crate::catalog::{
    self, Catalog, ChunkId, ChunkMeta, ColumnStats, CommitError, Edit, LogRange, SliceId, SortedBy, TemplateId,
};
use crate::object::Layout;
use crate::object::create::{self, Created};
use crate::object::verified::checksums;
use crate::parquet::{EncodeError, EncodedChunk, encode};
use crate::partition::PersistJob;

/// Why a chunk was not persisted. It stays in memory, and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// The chunk could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The object store did not take the file.
    #[error("putting {path} into the object store: {source}")]
    Put {
        /// The object.
        path: Path,
        /// The cause.
        source: object_store::Error,
    },
    /// The catalog did not take the chunk.
    #[error("committing chunk {chunk} to the catalog: {source}")]
    Commit {
        /// The chunk.
        chunk: ChunkId,
        /// The cause.
        source: CommitError,
    },
    /// The catalog did not take the low-water mark.
    #[error("committing the low-water mark to the catalog: {0}")]
    Mark(CommitError),
}

/// Persists the chunks of one database.
#[derive(Debug)]
pub struct Persister {
    /// The object store.
    pub objects: Arc<dyn ObjectStore>,
    /// Where the node's objects are.
    pub layout: Layout,
    /// The database.
    pub database: DatabaseName,
    /// The log whose sequences the chunks cover.
    pub log: LogId,
    /// Seams.
    pub env: Env,
}

impl Persister {
    /// Encodes a chunk, puts it, and commits it with its log positions and the low-water mark in one revision. On
    /// success the buffer shows it as persisted, and the new low-water mark is returned.
    pub async fn persist(&self, buffer: &Buffer, catalog: &Catalog, job: PersistJob) -> Result<Sequence, PersistError> {
        let encoding = job.clone();
        let database = self.database.clone();
        let encode = move || {
            let encoded = encode(&database, &encoding)?;
            let checksums = checksums(&encoded.bytes);
            Ok::<_, EncodeError>((encoded, checksums))
        };
        let (encoded, checksums) = self.env.compute.run(encode).await?;
        let object: Arc<str> = Layout::chunk(&job.table, job.partition.1.as_str(), &job.chunk.id.to_string()).into();
        let path = self.layout.object(&self.database, &object);
        let size = encoded.bytes.len() as u64;
        let stats = self.put(&path, encoded).await?;
        let meta = Arc::new(ChunkMeta { checksums, ..self.meta(&job, object, size, stats) });
        let low_water = buffer.low_water_without(Some(job.chunk.id));
        let edits = self.edits(&job, meta.clone(), &low_water);
        catalog.commit(edits).await.map_err(|source| PersistError::Commit { chunk: job.chunk.id, source })?;
        buffer.install_persisted(&job.table, &job.partition, meta, path, &low_water);
        Ok(low_water.sequence)
    }

    /// Commits the low-water mark by itself, if everything is in chunks and the catalog does not say so yet: as after
    /// a replay of frames whose rows were persisted before. Returns the mark if it moved.
    pub async fn commit_mark(&self, buffer: &Buffer, catalog: &Catalog) -> Result<Option<Sequence>, PersistError> {
        // A deletion enters the catalog at once: compaction and attached readers go by what is there.
        let deletes = buffer.has_pending_tombstones();
        if !deletes && buffer.unpersisted() != Unpersisted::default() {
            return Ok(None);
        }
        let low_water = buffer.low_water_without(None);
        let state = catalog.state();
        let known = state.low_water.filter(|mark| mark.log == self.log).map_or(Sequence::ZERO, |mark| mark.sequence);
        if !deletes && low_water.sequence <= known {
            return Ok(None);
        }
        let mut edits = tombstone_edits(&low_water);
        edits.extend(self.mark_edits(&low_water));
        catalog.commit(edits).await.map_err(PersistError::Mark)?;
        buffer.forget_covered(&low_water);
        Ok(Some(low_water.sequence))
    }

    /// Creates the object. The name holds the incarnation and is used for one body only (every try describes the table
    /// as the first one did), and a put is whole or not at all: if it is taken, an earlier try of ours succeeded
    /// without our hearing of it.
    async fn put(&self, path: &Path, encoded: EncodedChunk) -> Result<Vec<ColumnStats>, PersistError> {
        match create::create(&self.objects, &self.env.clock, path, &encoded.bytes.into()).await {
            Created::Made | Created::Taken => Ok(encoded.stats),
            Created::Unknown(source) => Err(PersistError::Put { path: path.clone(), source }),
        }
    }

    fn meta(&self, job: &PersistJob, object: Arc<str>, size: u64, stats: Vec<ColumnStats>) -> ChunkMeta {
        let chunk = &job.chunk;
        let (first, last) = chunk.coverage.log.unwrap_or_default();
        ChunkMeta {
            id: chunk.id,
            table: job.table.clone(),
            partition_key: job.partition.1.clone(),
            template: TemplateId(job.partition.0),
            object,
            size_bytes: size,
            rows: chunk.sorted.rows.len() as u64,
            time: chunk.time_range,
            stamps: chunk.sorted.stamp_range().unwrap_or_default(),
            unique_keys: chunk.unique_keys,
            level: 0,
            sorted_by: SortedBy { version: job.order_version, columns: job.order.tags().into() },
            log: LogRange { log: self.log, first, last },
            stats,
            intervals: chunk.coverage.batches.clone(),
            settled: None,
            applied: Arc::default(),
            checksums: Arc::default(),
        }
    }

    fn edits(&self, job: &PersistJob, meta: Arc<ChunkMeta>, low_water: &LowWater) -> Vec<Edit> {
        let table = || job.table.clone();
        // Deletions first: whose columns these are depends on what was dropped.
        let mut edits = tombstone_edits(low_water);
        edits.extend([
            Edit::CreateTable { table: table() },
            Edit::AddColumns {
                table: table(),
                columns: job.columns.iter().map(|column| (column.id.clone(), column.first_seen)).collect(),
            },
            Edit::AddSortOrder { table: table(), version: job.order_version, columns: job.order.tags().into() },
        ]);
        if let Some(template) = &job.template {
            edits.push(Edit::AddTemplate { id: TemplateId(template.id()), text: template.to_string().into() });
        }
        edits.push(Edit::AddChunks { chunks: vec![meta] });
        edits.extend(self.mark_edits(low_water));
        edits
    }

    fn mark_edits(&self, low_water: &LowWater) -> Vec<Edit> {
        let mark = low_water.sequence;
        let sequence = if planted::is(Planted::LowWaterTooHigh) { mark.next() } else { mark };
        let received = low_water.batches.iter();
        let received = received.map(|(origin, batches)| ((*origin, SliceId::default()), batches.clone())).collect();
        vec![Edit::SetLowWater(catalog::LowWater { log: self.log, sequence }), Edit::AddReceived { received }]
    }
}

/// Without the deletions of the frames that it passes, a mark would let go of them.
fn tombstone_edits(low_water: &LowWater) -> Vec<Edit> {
    let tombstones: Vec<_> = low_water.tombstones.iter().map(|(_, tombstone)| tombstone.clone()).collect();
    if planted::is(Planted::ForgetTombstone) {
        return Vec::new();
    }
    if tombstones.is_empty() { Vec::new() } else { vec![Edit::AddTombstones { tombstones }] }
}
