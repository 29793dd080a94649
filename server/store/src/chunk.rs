//! Chunks in memory: open, closed (waiting to be sorted), frozen; and what is known of persisted ones.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow_schema::ArrowError;
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::{fold_batch, has_unique_keys};
use ochre_batch::sort::sort;
use ochre_batch::{SortOrder, StampedRows};
use ochre_types::{ColumnName, Incarnation, IntervalSet, Sequence, Stamp};

use crate::catalog::ChunkId;
use crate::memory::{BufferMemory, Held};
use crate::order::{FreezeOrder, led_by};
use crate::snapshot::TableColumn;

/// Rows after which the pieces of an open chunk are no longer joined.
const BLOCK_ROWS: usize = 4_096;

/// Bytes that a chunk takes beside its rows, about: its own structs, its place among its partition's, its key.
const CHUNK_OVERHEAD: u64 = 1 << 10;

/// What a chunk covers of the node's log and of the batches of each origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The local sequences of the first and the last frame that gave it rows.
    pub log: Option<(Sequence, Sequence)>,
    /// The batches, by the incarnation that accepted them.
    pub batches: BTreeMap<Incarnation, IntervalSet>,
}

impl Coverage {
    /// Adds one frame.
    pub fn add(&mut self, sequence: Sequence, origin: Incarnation, origin_sequence: u64) {
        let (first, last) = self.log.unwrap_or((sequence, sequence));
        self.log = Some((first.min(sequence), last.max(sequence)));
        self.batches.entry(origin).or_default().insert(origin_sequence, origin_sequence);
    }
}

/// A chunk that is still appended to. Its rows are pieces in order of arrival; a query takes them without a copy.
#[derive(Debug)]
pub struct OpenChunk {
    /// The chunk's id.
    pub id: ChunkId,
    /// What it covers so far.
    pub coverage: Coverage,
    /// When its first row came, by the monotonic clock.
    pub opened_at: Duration,
    pieces: Vec<StampedRows>,
    rows: u64,
    time_range: (i64, i64),
    stamps: Option<(Stamp, Stamp)>,
    held: Held,
}

/// A chunk that gets no more rows and waits to be sorted and folded.
#[derive(Debug)]
pub struct ClosedChunk {
    /// The chunk's id.
    pub id: ChunkId,
    /// What it covers.
    pub coverage: Coverage,
    /// When its first row came, by the monotonic clock.
    pub opened_at: Duration,
    /// Its rows in order of arrival.
    pub pieces: Arc<[StampedRows]>,
    /// Rows in all pieces.
    pub rows: u64,
    /// The lowest and highest time.
    pub time_range: (i64, i64),
    /// The lowest and highest stamp.
    pub stamps: (Stamp, Stamp),
    /// Why it was closed.
    pub reason: FreezeReason,
    held: Held,
}

/// A sorted, folded, immutable chunk in memory.
#[derive(Debug)]
pub struct FrozenChunk {
    /// The chunk's id.
    pub id: ChunkId,
    /// What it covers.
    pub coverage: Coverage,
    /// When its first row came, by the monotonic clock.
    pub opened_at: Duration,
    /// Its rows, sorted by `order` and folded by batch.
    pub sorted: StampedRows,
    /// The order.
    pub order: SortOrder,
    /// Its version; 0 if this freeze chose it and the table does not have it yet.
    pub order_version: u32,
    /// The lowest and highest time.
    pub time_range: (i64, i64),
    /// The lowest and highest stamp.
    pub stamps: (Stamp, Stamp),
    /// Whether no two rows have one key.
    pub unique_keys: bool,
    /// Why it was frozen.
    pub reason: FreezeReason,
    /// How its first try to be persisted described the table. A try whose answer was lost may have succeeded, so every
    /// later one must say the same, whatever columns have come since.
    pub described: OnceLock<TableDescription>,
    held: Held,
}

/// What a persisted chunk says of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// The table's columns.
    pub columns: Arc<[TableColumn]>,
    /// The order of the chunk's rows.
    pub order: SortOrder,
    /// The version of that order.
    pub order_version: u32,
    /// The columns whose values its file has bloom filters of.
    pub bloom: Arc<[ColumnName]>,
}

/// Why a chunk was frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezeReason {
    /// It had enough rows or bytes: it is worth a file.
    Full,
    /// Its first row was old enough.
    Age,
    /// Memory was wanted back.
    Memory,
    /// Rows of its table are partitioned by another template from then on.
    Template,
    /// Its table was dropped: rows that come later are of another table of that name.
    Dropped,
    /// Somebody asked for it, or the server stops.
    Asked,
}

impl OpenChunk {
    /// A chunk with its first piece.
    pub fn new(id: ChunkId, memory: &BufferMemory, opened_at: Duration) -> Self {
        Self {
            id,
            coverage: Coverage::default(),
            opened_at,
            pieces: Vec::new(),
            rows: 0,
            time_range: (i64::MAX, i64::MIN),
            stamps: None,
            held: memory.hold(CHUNK_OVERHEAD),
        }
    }

    /// Appends a piece: the rows of one batch in this partition. Short pieces are joined with their neighbours of
    /// like length, so that each row is copied at most log2(`BLOCK_ROWS`) times.
    pub fn append(&mut self, piece: StampedRows) -> Result<(), ArrowError> {
        let Some((low, high)) = piece.rows.time_range() else { return Ok(()) };
        self.time_range = (self.time_range.0.min(low), self.time_range.1.max(high));
        if let Some((low, high)) = piece.stamp_range() {
            let (first, last) = self.stamps.unwrap_or((low, high));
            self.stamps = Some((first.min(low), last.max(high)));
        }
        self.rows += piece.rows.len() as u64;
        let mut bytes = self.held.bytes() + piece.memory_size() as u64;
        self.pieces.push(piece);
        while let [.., before, last] = self.pieces.as_slice()
            && last.rows.len() >= before.rows.len()
            && last.rows.len() + before.rows.len() <= BLOCK_ROWS
        {
            let joined = concat_stamped(&[before.clone(), last.clone()])?;
            bytes = bytes + joined.memory_size() as u64 - (before.memory_size() + last.memory_size()) as u64;
            self.pieces.truncate(self.pieces.len() - 2);
            self.pieces.push(joined);
        }
        self.held.set(bytes);
        Ok(())
    }

    /// Rows so far, counting repeated keys.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// The lowest and highest time.
    pub fn time_range(&self) -> (i64, i64) {
        self.time_range
    }

    /// The lowest and highest stamp; of no rows, all zero.
    pub fn stamps(&self) -> (Stamp, Stamp) {
        self.stamps.unwrap_or_default()
    }

    /// The pieces in order of arrival.
    pub fn pieces(&self) -> &[StampedRows] {
        &self.pieces
    }

    /// No more rows.
    pub fn close(self, reason: FreezeReason) -> ClosedChunk {
        ClosedChunk {
            id: self.id,
            coverage: self.coverage,
            opened_at: self.opened_at,
            pieces: self.pieces.into(),
            rows: self.rows,
            time_range: self.time_range,
            stamps: self.stamps.unwrap_or_default(),
            reason,
            held: self.held,
        }
    }
}

impl ClosedChunk {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// Sorts and folds. Without a table's order yet, chooses one by these rows.
    pub fn freeze(&self, order: &FreezeOrder, memory: &BufferMemory) -> Result<FrozenChunk, ArrowError> {
        let joined = concat_stamped(&self.pieces)?;
        let (order, order_version) = match order {
            FreezeOrder::Table { order, version } => (order.clone(), *version),
            FreezeOrder::Choose { first } => (led_by(first, SortOrder::by_distinct_count(&joined.rows).tags()), 0),
        };
        let sorted = sort(&joined, &order)?;
        // A copy of all rows: gone before the next one is made.
        drop(joined);
        let sorted = fold_batch(&sorted)?;
        let unique_keys = has_unique_keys(&sorted.rows);
        let held = memory.hold_frozen(sorted.memory_size() as u64 + CHUNK_OVERHEAD);
        Ok(FrozenChunk {
            id: self.id,
            coverage: self.coverage.clone(),
            opened_at: self.opened_at,
            sorted,
            order,
            order_version,
            time_range: self.time_range,
            stamps: self.stamps,
            unique_keys,
            reason: self.reason,
            described: OnceLock::new(),
            held,
        })
    }
}

impl FrozenChunk {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }
}
