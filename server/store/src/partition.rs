//! One partition of a table: its chunks by stage.
//!
//! ```text
//!   open --close--> closed --freeze--> frozen --persist--> persisted (with or without a copy in memory)
//! ```
//!
//! There is at most one open chunk. Closed and frozen ones stand in the order in which they were opened, and only
//! the oldest may be persisted. Which frames a replay passes over here follows from one invariant: a persisted chunk
//! with the log range `f..=l` holds every row of the frames `f..=l` that this partition's template maps to it, but for
//! rows in other persisted chunks of the partition. Frames between the ranges may have been partitioned by another
//! template: their rows are taken. See [`crate::buffer`] for how it is kept.

use std::sync::Arc;

use object_store::path::Path;
use ochre_batch::SortOrder;
use ochre_batch::tombstone::{Facts, acting};
use ochre_env::planted::{self, Planted};
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::tombstone::Tombstone;
use ochre_types::{ColumnName, Hlc, IntervalSet, Sequence, Stamp, TableName};

use crate::catalog::{ChunkId, ChunkMeta};
use crate::chunk::{ClosedChunk, FreezeReason, FrozenChunk, OpenChunk};
use crate::order::{FreezeOrder, TableOrder};
use crate::resident::{ReadMark, Resident};
use crate::snapshot::{ChunkBody, ChunkSnapshot, Stage, TagRange};

/// What names a partition within its table: the template's id and the key that it made.
pub type PartitionId = (u64, PartitionKey);

/// A chunk that gets no more rows and is not in Parquet yet.
#[derive(Debug, Clone)]
pub enum Sealed {
    /// Not sorted yet.
    Closed(Arc<ClosedChunk>),
    /// Sorted and folded.
    Frozen(Arc<FrozenChunk>),
}

/// A chunk in committed Parquet.
#[derive(Debug, Clone)]
pub struct PersistedChunk {
    /// What the catalog says of it.
    pub meta: Arc<ChunkMeta>,
    /// Its object.
    pub path: Path,
    /// Its copy in memory, until memory is wanted back.
    pub resident: Option<Resident>,
}

/// The chunks of one partition.
#[derive(Debug)]
pub struct Partition {
    /// The template that made the key, if this build can read it.
    pub template: Option<Arc<Template>>,
    /// The chunk that rows are appended to.
    pub open: Option<OpenChunk>,
    /// Closed and frozen chunks, oldest first.
    pub sealed: Vec<Sealed>,
    /// Persisted chunks, oldest first.
    pub persisted: Vec<PersistedChunk>,
    /// The frames in the log ranges of persisted chunks: all their rows of this partition are in persisted chunks.
    persisted_frames: IntervalSet,
}

impl Partition {
    /// A partition without chunks.
    pub fn new(template: Option<Arc<Template>>) -> Self {
        Self { template, open: None, sealed: Vec::new(), persisted: Vec::new(), persisted_frames: IntervalSet::new() }
    }

    /// Notes the log range of a persisted chunk.
    pub fn note_persisted(&mut self, first: Sequence, last: Sequence) {
        self.persisted_frames.insert(first.0, last.0);
    }

    /// Whether every row that the frame has of this partition is in a persisted chunk.
    pub fn has_persisted(&self, frame: Sequence) -> bool {
        if planted::is(Planted::PassOverByHighest) {
            return self.persisted_frames.iter().last().is_some_and(|(_, last)| frame.0 <= last);
        }
        self.persisted_frames.contains(frame.0)
    }

    /// Whether nothing is in memory only.
    pub fn is_persisted(&self) -> bool {
        self.open.is_none() && self.sealed.is_empty()
    }

    /// The oldest chunk that waits to be frozen.
    pub fn first_closed(&self) -> Option<&Arc<ClosedChunk>> {
        self.sealed.iter().find_map(|sealed| match sealed {
            Sealed::Closed(chunk) => Some(chunk),
            Sealed::Frozen(_) => None,
        })
    }

    /// Closes the open chunk, if there is one.
    pub fn close_open(&mut self, reason: FreezeReason) {
        if let Some(open) = self.open.take() {
            self.sealed.push(Sealed::Closed(Arc::new(open.close(reason))));
        }
    }

    /// The first local sequence that is not in a persisted chunk, leaving the chunk `except` out.
    pub fn first_unpersisted(&self, except: Option<ChunkId>) -> Option<Sequence> {
        let sealed = self.sealed.iter().filter(|sealed| Some(sealed.id()) != except).filter_map(Sealed::first);
        let open = self.open.as_ref().and_then(|open| open.coverage.log).map(|(first, _)| first);
        sealed.chain(open).min()
    }

    /// Chunks in memory only of which a deletion may hide rows.
    pub fn unpersisted_acted_on(&self, table: &TableName, tombstone: &Arc<Tombstone>) -> u64 {
        let acted = |time: (i64, i64), stamps: (Stamp, Stamp)| {
            !acting([tombstone], &Facts { table, time, stamps, settled: None, applied: &[] }).is_empty()
        };
        let sealed = self.sealed.iter().filter(|sealed| match sealed {
            Sealed::Closed(chunk) => acted(chunk.time_range, chunk.stamps),
            Sealed::Frozen(chunk) => acted(chunk.time_range, chunk.stamps),
        });
        let open = self.open.iter().filter(|open| open.rows() > 0 && acted(open.time_range(), open.stamps()));
        (sealed.count() + open.count()) as u64
    }

    /// Puts the frozen form of a closed chunk in its place. Returns how many rows fewer there are by it.
    pub fn install_frozen(&mut self, frozen: Arc<FrozenChunk>) -> u64 {
        let Some(slot) = self.sealed.iter_mut().find(|sealed| sealed.id() == frozen.id) else { return 0 };
        let before = slot.rows();
        *slot = Sealed::Frozen(frozen);
        before - slot.rows()
    }

    /// Moves the oldest sealed chunk, which must be the frozen one that `meta` names, among the persisted, and returns
    /// its rows; `None` if it is not there.
    pub fn install_persisted(&mut self, meta: Arc<ChunkMeta>, path: Path, resident: Option<ReadMark>) -> Option<u64> {
        let position = self.sealed.iter().position(|sealed| sealed.id() == meta.id)?;
        let Sealed::Frozen(frozen) = self.sealed[position].clone() else { return None };
        if let Some((first, last)) = frozen.coverage.log {
            self.note_persisted(first, last);
        }
        let rows = self.sealed.remove(position).rows();
        let resident = resident.map(|read| Resident { chunk: frozen, read });
        self.persisted.push(PersistedChunk { meta, path, resident });
        Some(rows)
    }

    /// Every chunk, oldest first; `order` is the table's.
    pub(crate) fn snapshot(&self, id: &PartitionId, order: &TableOrder, chunks: &mut Vec<ChunkSnapshot>) {
        let make = |chunk: Seen| ChunkSnapshot {
            id: chunk.id.to_string().into(),
            key: id.1.clone(),
            template: self.template.clone(),
            template_id: id.0,
            stage: chunk.stage,
            rows: chunk.rows,
            time_range: chunk.time_range,
            stamps: chunk.stamps,
            level: chunk.level,
            settled: chunk.settled,
            applied: chunk.applied,
            erased: Arc::default(),
            unique_keys: chunk.unique_keys,
            in_order: chunk.in_order,
            tag_ranges: chunk.tag_ranges,
            bytes: chunk.bytes,
            read: chunk.read,
            object: chunk.object,
            body: chunk.body,
        };
        chunks.extend(self.persisted.iter().map(|persisted| make(Seen::persisted(persisted, order))));
        if planted::is(Planted::SkipDedup) {
            let resident = self.persisted.iter().filter_map(|persisted| persisted.resident.as_ref());
            chunks.extend(resident.map(|copy| make(Seen::frozen(&copy.chunk, Stage::Frozen, order))));
        }
        let sealed = if planted::is(Planted::ForgetFrozen) { &[] } else { &*self.sealed };
        chunks.extend(sealed.iter().map(|sealed| match sealed {
            Sealed::Closed(closed) => make(Seen::closed(closed)),
            Sealed::Frozen(frozen) => make(Seen::frozen(frozen, Stage::Frozen, order)),
        }));
        chunks.extend(self.open.as_ref().filter(|open| open.rows() > 0).map(|open| make(Seen::open(open))));
    }
}

/// The part of a chunk's snapshot that depends on its stage.
struct Seen {
    id: ChunkId,
    stage: Stage,
    rows: u64,
    time_range: (i64, i64),
    stamps: (Stamp, Stamp),
    level: u32,
    settled: Option<Hlc>,
    applied: Arc<[Stamp]>,
    unique_keys: bool,
    in_order: bool,
    tag_ranges: Vec<TagRange>,
    bytes: u64,
    read: ReadMark,
    object: Option<Path>,
    body: ChunkBody,
}

impl Seen {
    fn open(open: &OpenChunk) -> Self {
        Self {
            id: open.id,
            stage: Stage::Open,
            rows: open.rows(),
            time_range: open.time_range(),
            stamps: open.stamps(),
            level: 0,
            settled: None,
            applied: Arc::default(),
            unique_keys: false,
            in_order: false,
            tag_ranges: Vec::new(),
            bytes: open.bytes(),
            read: ReadMark::default(),
            object: None,
            body: ChunkBody::Blocks(open.pieces().into()),
        }
    }

    fn closed(closed: &ClosedChunk) -> Self {
        Self {
            id: closed.id,
            stage: Stage::Open,
            rows: closed.rows,
            time_range: closed.time_range,
            stamps: closed.stamps,
            level: 0,
            settled: None,
            applied: Arc::default(),
            unique_keys: false,
            in_order: false,
            tag_ranges: Vec::new(),
            bytes: closed.bytes(),
            read: ReadMark::default(),
            object: None,
            body: ChunkBody::Blocks(closed.pieces.clone()),
        }
    }

    fn frozen(frozen: &FrozenChunk, stage: Stage, order: &TableOrder) -> Self {
        let in_order = order.keeps(frozen.order_version);
        let sorted = frozen.sorted.clone();
        Self {
            id: frozen.id,
            stage,
            rows: frozen.sorted.rows.len() as u64,
            time_range: frozen.time_range,
            stamps: frozen.stamps,
            level: 0,
            settled: None,
            applied: Arc::default(),
            unique_keys: frozen.unique_keys,
            in_order,
            tag_ranges: Vec::new(),
            bytes: frozen.bytes(),
            read: ReadMark::default(),
            object: None,
            body: if in_order { ChunkBody::Sorted(sorted) } else { ChunkBody::Blocks([sorted].into()) },
        }
    }

    fn persisted(persisted: &PersistedChunk, order: &TableOrder) -> Self {
        if let Some(Resident { chunk, read }) = &persisted.resident {
            let (read, object) = (read.clone(), Some(persisted.path.clone()));
            return Self { read, object, ..Self::frozen(chunk, Stage::Persisted, order) };
        }
        let meta = &persisted.meta;
        Self {
            id: meta.id,
            stage: Stage::Persisted,
            rows: meta.rows,
            time_range: meta.time,
            stamps: meta.stamps,
            level: meta.level,
            settled: meta.settled,
            applied: meta.applied.clone(),
            unique_keys: meta.unique_keys,
            in_order: order.keeps(meta.sorted_by.version),
            tag_ranges: tag_ranges(meta),
            bytes: meta.size_bytes,
            read: ReadMark::default(),
            object: Some(persisted.path.clone()),
            body: ChunkBody::Parquet { path: persisted.path.clone(), size: meta.size_bytes },
        }
    }
}

/// The ranges of tags that every row of a chunk has.
fn tag_ranges(meta: &ChunkMeta) -> Vec<TagRange> {
    let whole = meta.stats.iter().filter(|stats| stats.nulls == 0);
    whole
        .filter_map(|stats| {
            let (min, max) = stats.range.as_ref()?;
            Some(TagRange { tag: stats.column.clone(), min: min.to_string(), max: max.to_string() })
        })
        .collect()
}

impl Sealed {
    /// The chunk's id.
    pub fn id(&self) -> ChunkId {
        match self {
            Self::Closed(closed) => closed.id,
            Self::Frozen(frozen) => frozen.id,
        }
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Closed(closed) => closed.rows,
            Self::Frozen(frozen) => frozen.sorted.rows.len() as u64,
        }
    }

    fn first(&self) -> Option<Sequence> {
        let coverage = match self {
            Self::Closed(closed) => &closed.coverage,
            Self::Frozen(frozen) => &frozen.coverage,
        };
        coverage.log.map(|(first, _)| first)
    }
}

/// A closed chunk to sort and fold.
#[derive(Debug, Clone)]
pub struct FreezeJob {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub partition: PartitionId,
    /// The chunk.
    pub chunk: Arc<ClosedChunk>,
    /// The order to use.
    pub order: FreezeOrder,
}

/// A frozen chunk to put into Parquet.
#[derive(Debug, Clone)]
pub struct PersistJob {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub partition: PartitionId,
    /// The chunk.
    pub chunk: Arc<FrozenChunk>,
    /// The table's columns.
    pub columns: Arc<[crate::snapshot::TableColumn]>,
    /// The order of the chunk's rows.
    pub order: SortOrder,
    /// The version of that order.
    pub order_version: u32,
    /// The columns whose values the file has bloom filters of.
    pub bloom: Arc<[ColumnName]>,
    /// The template of the partition's key.
    pub template: Option<Arc<Template>>,
}
