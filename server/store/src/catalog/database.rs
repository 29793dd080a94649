//! The state of a database's catalog, and its edits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use ochre_types::partition::PartitionKey;
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{
    ColumnId, ColumnName, DatabaseName, Hlc, Incarnation, IntervalSet, LogId, Sequence, Stamp, TableName,
};

use super::CatalogId;
use super::chunk::{ChunkId, ChunkMeta, Removal, RemovedChunk};
use super::rules::{self, RulesRecord};
use super::state::EditError;

/// The identity of a partition template: XXH3-64 of its canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateId(pub u64);

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which rows of its batches an origin's sequences speak for: the hash of a filter; 0 is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SliceId(pub u64);

/// The position in the log up to which everything is in chunks of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowWater {
    /// The log.
    pub log: LogId,
    /// The database's local sequence.
    pub sequence: Sequence,
}

/// An earlier incarnation of the node that wrote to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Who.
    pub incarnation: Incarnation,
    /// The last sequence it gave in this database.
    pub last_sequence: u64,
}

/// What names a partition within a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionName {
    /// The table.
    pub table: TableName,
    /// The template that made the key.
    pub template: TemplateId,
    /// The key.
    pub key: PartitionKey,
}

/// A table in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableState {
    /// Its columns, each with the stamp of the first batch since it was last dropped that carried it.
    pub columns: BTreeMap<ColumnId, Stamp>,
    /// By the stamp of each drop in force, the columns seen before it and after the drop before: it can be taken back.
    pub earlier: BTreeMap<Stamp, BTreeMap<ColumnId, Stamp>>,
    /// Its sort orders by version; the highest is in force.
    pub sort_orders: BTreeMap<u32, Arc<[ColumnName]>>,
    /// Its chunks.
    pub chunks: BTreeMap<ChunkId, Arc<ChunkMeta>>,
}

/// What a database consists of. Cloning is cheap: tables are shared until they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogState {
    /// The database.
    pub database: DatabaseName,
    /// The catalog's identity.
    pub catalog_id: CatalogId,
    /// When the database was created on this node.
    pub created: Stamp,
    /// Its tables.
    pub tables: BTreeMap<TableName, Arc<TableState>>,
    /// Canonical texts of the partition templates that chunks name.
    pub templates: BTreeMap<TemplateId, Arc<str>>,
    /// Sequences that have arrived, by who gave them and of which rows they speak.
    pub received: BTreeMap<(Incarnation, SliceId), IntervalSet>,
    /// The low-water mark; `None` before the first chunk.
    pub low_water: Option<LowWater>,
    /// No stamp at or above it has been given: a new incarnation's clock starts here.
    pub ceiling: Hlc,
    /// Earlier incarnations of the node, with the last sequence that each gave.
    pub predecessors: BTreeMap<Incarnation, u64>,
    /// The rules in force; `None` before the first.
    pub rules: Option<RulesRecord>,
    /// The last [`rules::MAX_RULES_HISTORY`] that were in force, oldest first: the last of them is the present one.
    pub rules_history: Vec<RulesRecord>,
    /// Whether the database has ever exchanged data with a peer, or with a log that is not this one: rows with older
    /// stamps than those here may still come.
    pub met_peer: bool,
    /// Chunks that were taken out and whose objects may still be there.
    pub removed: BTreeMap<ChunkId, RemovedChunk>,
    /// Deletions, by stamp.
    pub tombstones: BTreeMap<Stamp, Arc<Tombstone>>,
    /// Partitions that take no writes.
    pub read_only: BTreeSet<PartitionName>,
}

/// A change of a database's catalog. Each can be applied twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Makes a table, unless it is there.
    CreateTable {
        /// Its name.
        table: TableName,
    },
    /// Adds columns; of one that is there, the lower stamp stays. They are the table's as it was at those stamps.
    AddColumns {
        /// The table.
        table: TableName,
        /// Columns with the stamp of the first batch that carried each.
        columns: Vec<(ColumnId, Stamp)>,
    },
    /// Adds a version of a table's sort order.
    AddSortOrder {
        /// The table.
        table: TableName,
        /// The version.
        version: u32,
        /// Its columns, leading one first.
        columns: Arc<[ColumnName]>,
    },
    /// Adds a partition template.
    AddTemplate {
        /// Its id.
        id: TemplateId,
        /// Its canonical text.
        text: Arc<str>,
    },
    /// Adds chunks whose objects are in the store.
    AddChunks {
        /// The chunks, of any tables.
        chunks: Vec<Arc<ChunkMeta>>,
    },
    /// Moves the low-water mark up, or to another log.
    SetLowWater(LowWater),
    /// Adds received sequences.
    AddReceived {
        /// By who gave them and of which rows they speak.
        received: BTreeMap<(Incarnation, SliceId), IntervalSet>,
    },
    /// Raises the stamp ceiling.
    RaiseCeiling(Hlc),
    /// Replaces the rules by those of a higher generation.
    SetRules(RulesRecord),
    /// Records earlier incarnations of the node.
    AddPredecessors(Vec<Predecessor>),
    /// Records that the database has exchanged data with a peer.
    MeetPeer,
    /// Takes chunks out; those that are not there are passed over. What takes their place is added in the same commit,
    /// before. A chunk that was taken out can't be added again.
    RemoveChunks {
        /// The chunks.
        chunks: Vec<ChunkId>,
        /// When.
        at: Hlc,
        /// Why.
        reason: Removal,
    },
    /// Puts chunks that were set aside back; those that are not set aside are passed over.
    ReturnChunks {
        /// The chunks.
        chunks: Vec<ChunkId>,
    },
    /// Forgets removed chunks whose objects are gone.
    ForgetRemoved {
        /// The chunks.
        chunks: Vec<ChunkId>,
    },
    /// Adds deletions, joined with what is known of them.
    AddTombstones {
        /// The deletions.
        tombstones: Vec<Arc<Tombstone>>,
    },
    /// Forgets deletions that nothing can bring rows for any more. Of drops, which are kept for ever, it forgets the
    /// columns that the tables had.
    ForgetTombstones {
        /// Their stamps.
        stamps: Vec<Stamp>,
    },
    /// Opens or closes partitions for writes.
    SetReadOnly {
        /// The partitions.
        partitions: Vec<PartitionName>,
        /// Whether they take no writes from now on.
        read_only: bool,
    },
}

impl TableState {
    /// Drops the table as it was before `stamp`.
    fn drop_at(&mut self, stamp: Stamp) {
        let held = self.columns_mut(stamp);
        let (before, after) = std::mem::take(held).into_iter().partition(|(_, first_seen)| *first_seen < stamp);
        *held = after;
        self.earlier.insert(stamp, before);
    }

    /// Takes a drop back.
    fn undrop(&mut self, stamp: Stamp) {
        for (column, first_seen) in self.earlier.remove(&stamp).unwrap_or_default() {
            self.add_column(&column, first_seen, stamp);
        }
    }

    /// The columns of batches with this stamp.
    fn columns_mut(&mut self, stamp: Stamp) -> &mut BTreeMap<ColumnId, Stamp> {
        let later = self.earlier.range_mut((Bound::Excluded(stamp), Bound::Unbounded)).next();
        later.map_or(&mut self.columns, |(_, columns)| columns)
    }

    fn add_column(&mut self, column: &ColumnId, first_seen: Stamp, at: Stamp) {
        let held = self.columns_mut(at).entry(column.clone()).or_insert(first_seen);
        *held = (*held).min(first_seen);
    }
}

impl CatalogState {
    /// A database without tables.
    pub fn new(database: DatabaseName, catalog_id: CatalogId, created: Stamp) -> Self {
        Self {
            database,
            catalog_id,
            created,
            tables: BTreeMap::new(),
            templates: BTreeMap::new(),
            received: BTreeMap::new(),
            low_water: None,
            ceiling: Hlc::ZERO,
            predecessors: BTreeMap::new(),
            rules: None,
            rules_history: Vec::new(),
            met_peer: false,
            removed: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            read_only: BTreeSet::new(),
        }
    }

    /// Every chunk, by table and id.
    pub fn chunks(&self) -> impl Iterator<Item = &Arc<ChunkMeta>> {
        self.tables.values().flat_map(|table| table.chunks.values())
    }

    /// The highest stamp of any chunk.
    pub fn highest_stamp(&self) -> Option<Stamp> {
        self.chunks().map(|chunk| chunk.stamps.1).max()
    }

    fn table(&mut self, table: &TableName) -> Result<&mut TableState, EditError> {
        match self.tables.get_mut(table) {
            Some(state) => Ok(Arc::make_mut(state)),
            None => Err(EditError::UnknownTable { table: table.clone() }),
        }
    }

    pub(super) fn change(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::CreateTable { table } => self.create_table(table),
            Edit::AddColumns { table, columns } => self.add_columns(table, columns)?,
            Edit::AddSortOrder { table, version, columns } => self.add_sort_order(table, *version, columns)?,
            Edit::AddTemplate { id, text } => {
                if self.templates.entry(*id).or_insert_with(|| text.clone()) != text {
                    return Err(EditError::TemplateDiffers { template: *id });
                }
            }
            Edit::AddChunks { chunks } => chunks.iter().try_for_each(|chunk| self.add_chunk(chunk))?,
            Edit::SetLowWater(mark) => match &mut self.low_water {
                Some(held) if held.log == mark.log => held.sequence = held.sequence.max(mark.sequence),
                held => *held = Some(*mark),
            },
            Edit::AddReceived { received } => {
                for (key, intervals) in received {
                    self.received.entry(*key).or_default().extend(intervals);
                }
            }
            Edit::RaiseCeiling(ceiling) => self.ceiling = self.ceiling.max(*ceiling),
            Edit::SetRules(rules) => rules::replace(&mut self.rules, &mut self.rules_history, rules)?,
            Edit::AddPredecessors(predecessors) => {
                for predecessor in predecessors {
                    let last = self.predecessors.entry(predecessor.incarnation).or_default();
                    *last = (*last).max(predecessor.last_sequence);
                }
            }
            Edit::MeetPeer => self.met_peer = true,
            Edit::RemoveChunks { chunks, at, reason } => self.remove_chunks(chunks, *at, *reason),
            Edit::ReturnChunks { chunks } => self.return_chunks(chunks)?,
            Edit::ForgetRemoved { chunks } => chunks.iter().for_each(|chunk| drop(self.removed.remove(chunk))),
            Edit::AddTombstones { tombstones } => tombstones.iter().for_each(|tombstone| self.add_tombstone(tombstone)),
            Edit::ForgetTombstones { stamps } => stamps.iter().for_each(|stamp| self.forget_tombstone(*stamp)),
            Edit::SetReadOnly { partitions, read_only: true } => self.read_only.extend(partitions.iter().cloned()),
            Edit::SetReadOnly { partitions, read_only: false } => {
                self.read_only.retain(|partition| !partitions.contains(partition));
            }
        }
        Ok(())
    }

    fn remove_chunks(&mut self, chunks: &[ChunkId], at: Hlc, reason: Removal) {
        for id in chunks {
            let held = self.tables.iter_mut().find_map(|(_, table)| {
                table.chunks.contains_key(id).then(|| Arc::make_mut(table).chunks.remove(id)).flatten()
            });
            if let Some(chunk) = held {
                let (object, lost) = (chunk.object.clone(), (reason == Removal::SetAside).then_some(chunk));
                self.removed.insert(*id, RemovedChunk { object, at, reason, lost });
            }
        }
    }

    fn return_chunks(&mut self, chunks: &[ChunkId]) -> Result<(), EditError> {
        for id in chunks {
            let Some(chunk) = self.removed.get(id).and_then(|removed| removed.lost.clone()) else { continue };
            self.removed.remove(id);
            self.add_chunk(&chunk)?;
        }
        Ok(())
    }

    fn add_tombstone(&mut self, tombstone: &Arc<Tombstone>) {
        let held = self.tombstones.entry(tombstone.stamp).or_insert_with(|| tombstone.clone());
        if held.reverted != tombstone.reverted {
            Arc::make_mut(held).join(tombstone);
        }
        let held = held.clone();
        for (name, table) in &mut self.tables {
            if held.drops(name) && table.earlier.contains_key(&held.stamp) != held.is_in_force() {
                let table = Arc::make_mut(table);
                if held.is_in_force() { table.drop_at(held.stamp) } else { table.undrop(held.stamp) }
            }
        }
    }

    fn forget_tombstone(&mut self, stamp: Stamp) {
        let Some(held) = self.tombstones.get(&stamp) else { return };
        if matches!(held.erasure, Erasure::Rows { .. }) {
            self.tombstones.remove(&stamp);
            return;
        }
        for table in self.tables.values_mut().filter(|table| table.earlier.contains_key(&stamp)) {
            Arc::make_mut(table).earlier.insert(stamp, BTreeMap::new());
        }
    }

    fn create_table(&mut self, table: &TableName) {
        let Self { tables, tombstones, .. } = self;
        tables.entry(table.clone()).or_insert_with(|| {
            let drops = tombstones.values().filter(|known| known.is_in_force() && known.drops(table));
            let earlier = drops.map(|known| (known.stamp, BTreeMap::new())).collect();
            Arc::new(TableState { earlier, ..TableState::default() })
        });
    }

    fn add_columns(&mut self, table: &TableName, columns: &[(ColumnId, Stamp)]) -> Result<(), EditError> {
        let state = self.table(table)?;
        for (column, first_seen) in columns {
            state.add_column(column, *first_seen, *first_seen);
        }
        Ok(())
    }

    fn add_sort_order(
        &mut self,
        table: &TableName,
        version: u32,
        columns: &Arc<[ColumnName]>,
    ) -> Result<(), EditError> {
        let held = self.table(table)?.sort_orders.entry(version).or_insert_with(|| columns.clone());
        if held == columns { Ok(()) } else { Err(EditError::SortOrderDiffers { table: table.clone(), version }) }
    }

    fn add_chunk(&mut self, chunk: &Arc<ChunkMeta>) -> Result<(), EditError> {
        if self.removed.contains_key(&chunk.id) {
            return Ok(());
        }
        if !self.templates.contains_key(&chunk.template) {
            return Err(EditError::UnknownTemplate { chunk: chunk.id, template: chunk.template });
        }
        let held = self.table(&chunk.table)?.chunks.entry(chunk.id).or_insert_with(|| chunk.clone());
        if held == chunk {
            Ok(())
        } else {
            Err(EditError::ChunkDiffers { chunk: chunk.id, table: chunk.table.clone() })
        }
    }
}
