//! What the catalog knows of a chunk.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ochre_types::partition::PartitionKey;
use ochre_types::{ColumnName, Hlc, Incarnation, IntervalSet, LogId, Sequence, Stamp, TableName};

use super::database::TemplateId;

/// The identity of a chunk, written `<incarnation, 16 hexadecimal digits>-<counter>`: unique without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId {
    /// Who made the chunk's file.
    pub incarnation: Incarnation,
    /// That incarnation's count of chunks.
    pub counter: u64,
}

/// A text that is not the id of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a chunk: it is written as 16 hexadecimal digits, '-' and a number")]
pub struct ChunkIdError(String);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.counter)
    }
}

impl FromStr for ChunkId {
    type Err = ChunkIdError;

    fn from_str(text: &str) -> Result<Self, ChunkIdError> {
        let id = text.split_once('-').and_then(|(incarnation, counter)| {
            let incarnation = Incarnation(u64::from_str_radix(incarnation, 16).ok()?);
            Some(Self { incarnation, counter: counter.parse().ok()? })
        });
        // One id has one text: no signs, no leading zeros, no upper case.
        id.filter(|id| id.to_string() == text).ok_or_else(|| ChunkIdError(text.to_owned()))
    }
}

/// Frames of the node's log that a chunk's rows came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// The log.
    pub log: LogId,
    /// The first local sequence covered.
    pub first: Sequence,
    /// The last local sequence covered.
    pub last: Sequence,
}

/// The order of a chunk's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedBy {
    /// The version of the table's sort order.
    pub version: u32,
    /// Its columns, leading one first.
    pub columns: Arc<[ColumnName]>,
}

/// Statistics of one tag column of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnStats {
    /// The column.
    pub column: ColumnName,
    /// Its lowest and highest value, by bytes; `None` if no row has it.
    pub range: Option<(Arc<str>, Arc<str>)>,
    /// Rows without it.
    pub nulls: u64,
}

/// What the catalog knows of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Its identity.
    pub id: ChunkId,
    /// Its table.
    pub table: TableName,
    /// Its partition.
    pub partition_key: PartitionKey,
    /// The template that made the partition key.
    pub template: TemplateId,
    /// Its object's path below the database's folder: see [`crate::object::Layout::chunk`].
    pub object: Arc<str>,
    /// Bytes of the object.
    pub size_bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Lowest and highest row time, in nanoseconds since 1970-01-01 UTC.
    pub time: (i64, i64),
    /// Lowest and highest stamp.
    pub stamps: (Stamp, Stamp),
    /// Whether no two rows have one primary key.
    pub unique_keys: bool,
    /// Compaction level; 0 as frozen.
    pub level: u32,
    /// The order of its rows.
    pub sorted_by: SortedBy,
    /// Where its rows stood in the node's log.
    pub log: LogRange,
    /// Statistics of the sort-leading tag columns.
    pub stats: Vec<ColumnStats>,
    /// The batches whose rows it holds: sequences by the incarnation that gave them.
    pub intervals: BTreeMap<Incarnation, IntervalSet>,
    /// The boundary up to which its rows are settled: one row a key, all with the stamp (boundary, incarnation 0), and no
    /// stamp column. `None`: each row has its own stamp.
    pub settled: Option<Hlc>,
    /// Tombstones whose rows it no longer has, in rising order: they never act on it again.
    pub applied: Arc<[Stamp]>,
    /// CRC32C of each [`CHECKSUM_BLOCK`] of the object, the last one maybe shorter. Empty: not known, as of objects that
    /// earlier releases wrote.
    pub checksums: Arc<[u32]>,
}

/// Bytes of an object that one checksum covers.
pub const CHECKSUM_BLOCK: u64 = 1 << 20;

/// Why a chunk was taken out of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Removal {
    /// Its rows are in other chunks.
    Joined,
    /// Its rows are older than the rules keep.
    Expired,
    /// Its rows were deleted.
    Erased,
    /// It is damaged and was set aside: its object is never removed by the server.
    SetAside,
}

impl Removal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Joined, Self::Expired, Self::Erased, Self::SetAside];

    /// Its number in the catalog's format.
    pub fn code(self) -> u32 {
        match self {
            Self::Joined => 1,
            Self::Expired => 2,
            Self::Erased => 3,
            Self::SetAside => 4,
        }
    }

    /// The reason of a number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// A chunk that is no longer part of the database, and whose object may still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedChunk {
    /// Its object's path below the database's folder.
    pub object: Arc<str>,
    /// When it was taken out.
    pub at: Hlc,
    /// Why.
    pub reason: Removal,
    /// What it held, if it was set aside: what is missing since, and what would come back with it.
    pub lost: Option<Arc<ChunkMeta>>,
}
