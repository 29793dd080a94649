//! What a query sees: the chunks of a table at one moment.

use std::sync::Arc;

use object_store::path::Path;
use ochre_batch::tombstone::{Active, Facts, acting};
use ochre_batch::{SortOrder, StampedRows};
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::tombstone::Tombstone;
use ochre_types::{ColumnId, DatabaseName, Hlc, Stamp, TableName};

use crate::resident::ReadMark;

/// A column of a table, and when it was first seen: of several columns with one name, the one seen first has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// The column.
    pub id: ColumnId,
    /// The lowest stamp of a batch that carried it.
    pub first_seen: Stamp,
}

/// A table at one moment. Every row that was acknowledged before is in exactly one chunk.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The database.
    pub database: DatabaseName,
    /// The table.
    pub table: TableName,
    /// Its columns, by canonical order; time is among them.
    pub columns: Arc<[TableColumn]>,
    /// The order of rows in every chunk that is [`ChunkSnapshot::in_order`]. A chunk that lacks some of its tags is
    /// sorted by it all the same.
    pub order: SortOrder,
    /// The chunks, by partition key and age.
    pub chunks: Vec<ChunkSnapshot>,
    /// Rows with a lower time are too old to be seen, though chunks may still have some. In nanoseconds since 1970-01-01
    /// UTC; `None`: all are seen. A buffer does not know of it: whoever knows the rules sets it.
    pub visible_from: Option<i64>,
}

/// The stage that a chunk is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Still appended to.
    Open,
    /// Immutable, sorted, in memory only.
    Frozen,
    /// In committed Parquet.
    Persisted,
}

impl Stage {
    /// The name in `system.chunks`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Persisted => "persisted",
        }
    }
}

/// One chunk at one moment.
#[derive(Debug, Clone)]
pub struct ChunkSnapshot {
    /// The chunk's id, unique among all chunks of all nodes.
    pub id: Arc<str>,
    /// The partition.
    pub key: PartitionKey,
    /// The template that made the key; `None` if this build can't read the template (the key then says nothing).
    pub template: Option<Arc<Template>>,
    /// The id of that template.
    pub template_id: u64,
    /// Its stage.
    pub stage: Stage,
    /// Rows, counting versions of one key apart.
    pub rows: u64,
    /// The lowest and highest time, in nanoseconds since 1970-01-01 UTC.
    pub time_range: (i64, i64),
    /// The lowest and the highest stamp of its rows.
    pub stamps: (Stamp, Stamp),
    /// How often its rows were joined with others: 0 as frozen.
    pub level: u32,
    /// The boundary up to which its rows are settled, as [`crate::catalog::ChunkMeta::settled`] says.
    pub settled: Option<Hlc>,
    /// The tombstones that never act on it again, in rising order.
    pub applied: Arc<[Stamp]>,
    /// The tombstones that may hide some of its rows: [`ochre_batch::tombstone::hidden`] says which. Usually none.
    pub erased: Arc<[Active]>,
    /// Known to have no two rows with one key. Always false for an open chunk.
    pub unique_keys: bool,
    /// Whether its rows are in the table's order. They are not in blocks, nor in a chunk that was sorted by an earlier
    /// order: such a one must be sorted before it is merged with others. What is in memory then comes as blocks.
    pub in_order: bool,
    /// The lowest and highest values of the leading tags of the sort order, where they are known and present in
    /// every row.
    pub tag_ranges: Vec<TagRange>,
    /// Bytes held in memory, or the length of the Parquet object.
    pub bytes: u64,
    /// To be touched by whoever reads it: of copies in memory, those that were not read for longest go first.
    pub read: ReadMark,
    /// Its Parquet object, once it is persisted, though its rows may still be in memory too.
    pub object: Option<Path>,
    /// The rows themselves, or where they are.
    pub body: ChunkBody,
}

/// The values of one tag in a chunk lie between these, both included, and no row lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRange {
    /// The tag's name.
    pub tag: ochre_types::ColumnName,
    /// The lowest value.
    pub min: String,
    /// The highest value.
    pub max: String,
}

/// Where a chunk's rows are.
#[derive(Debug, Clone)]
pub enum ChunkBody {
    /// In memory, in order of arrival or in an earlier order of the table, maybe with several rows a key, maybe with equal stamps (then the later row
    /// wins). Blocks of one chunk may have different columns.
    Blocks(Arc<[StampedRows]>),
    /// In memory, sorted by the table's order and then by stamp, folded by batch.
    Sorted(StampedRows),
    /// In Parquet, sorted likewise (by an earlier order of the table, unless [`ChunkSnapshot::in_order`]), with the stamps in the column `_stamp` (`FixedSizeBinary(16)`, big-endian clock
    /// and incarnation: byte order is stamp order), unless it is [`ChunkSnapshot::settled`]: then there is no such column,
    /// and all rows have the one stamp in [`ChunkSnapshot::stamps`]. Columns have the Arrow types of `ochre_batch::rows::arrow_type`
    /// and the table's column names, except for a name's second type, which is stored as `name::type`.
    Parquet {
        /// The object.
        path: Path,
        /// Its length in bytes.
        size: u64,
    },
}

impl TableSnapshot {
    /// Notes which tombstones act on which chunk, and leaves out chunks of which they hide every row.
    pub(crate) fn erase(&mut self, tombstones: &[Arc<Tombstone>]) {
        if tombstones.is_empty() {
            return;
        }
        let table = self.table.clone();
        self.chunks.retain_mut(|chunk| {
            let facts = chunk.facts(&table);
            let active = acting(tombstones, &facts);
            let covered = active.iter().any(|active| active.covers(&facts));
            if !active.is_empty() {
                chunk.erased = active.into();
            }
            !covered
        });
    }
}

impl ChunkSnapshot {
    /// What decides which tombstones act on it.
    pub fn facts<'a>(&'a self, table: &'a TableName) -> Facts<'a> {
        Facts { table, time: self.time_range, stamps: self.stamps, settled: self.settled, applied: &self.applied }
    }

    /// Whether its rows are in memory.
    pub fn in_memory(&self) -> bool {
        !matches!(self.body, ChunkBody::Parquet { .. })
    }
}

impl TableColumn {
    /// The column's name in Parquet and in queries, given all columns of its table: the plain name for the column
    /// that was seen first under it, `name::type` for the others.
    pub fn visible_name(&self, all: &[Self]) -> String {
        let is_first = all
            .iter()
            .filter(|other| other.id.name == self.id.name)
            .min_by_key(|other| (other.first_seen, other.id.kind))
            .is_none_or(|first| first.id == self.id);
        if is_first { self.id.name.to_string() } else { self.id.to_string() }
    }
}
