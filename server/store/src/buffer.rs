//! The chunks of one database: rows go in at one side, snapshots for queries come out at the other, and the
//! lifecycle moves chunks along between the two.
//!
//! One short lock guards the state; nothing is sorted, encoded or awaited under it. A writer never waits for a
//! query, nor a query for a writer, for longer than it takes to copy a list of pointers.
//!
//! # Frames and chunks
//! A replay brings frames whose rows are in persisted chunks, and maybe under another template than they had when they
//! were persisted. What it may pass over follows from one invariant, which [`Buffer::apply`] keeps: **a persisted chunk
//! of partition P with the log range `f..=l` holds every row of the frames `f..=l` that P's template maps to P, but for
//! rows in other persisted chunks of P.** For that, frames come in rising order, a partition has one open chunk, and no
//! chunk's range spans a frame whose rows of the table were partitioned by another template: when the template
//! changes, the table's open chunks are closed first. So a frame is passed over in P only if it lies in the range of a
//! persisted chunk of P; a highest frame would not do, since frames between the ranges may have gone elsewhere.
//! A row whose frame comes again under another template may then be in chunks of two templates, with one stamp: the
//! fold makes them one.

mod aside;
mod joined;
pub mod partitions;
mod table;
mod tombstones;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_schema::ArrowError;
use object_store::path::Path;
use ochre_batch::{Rows, StampedRows, Stamps};
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::rules::{BufferRules, SortRule};
use ochre_types::tombstone::Tombstone;
use ochre_types::{ColumnId, ColumnName, DatabaseName, Incarnation, IntervalSet, LogId, Sequence, Stamp, TableName};
use parking_lot::Mutex;

use crate::catalog::{CatalogState, ChunkId, ChunkMeta};
use crate::chunk::{FreezeReason, FrozenChunk, OpenChunk};
use crate::memory::BufferMemory;
use crate::object::Layout;
use crate::partition::{FreezeJob, Partition, PartitionId, PersistJob, PersistedChunk, Sealed};
use crate::resident::Readings;
use crate::snapshot::{TableColumn, TableSnapshot};
pub(crate) use joined::JoinOrder;
use table::Table;
use tombstones::Tombstones;

/// Where a batch stands: its place in this node's log, its stamp and its origin.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// The local sequence of its frame.
    pub sequence: Sequence,
    /// Its stamp.
    pub stamp: Stamp,
    /// The incarnation that accepted it.
    pub origin: Incarnation,
    /// Its sequence among that incarnation's batches.
    pub origin_sequence: u64,
}

/// The rows of one table of a batch, split by partition key.
#[derive(Debug, Clone)]
pub struct TablePart {
    /// The table.
    pub table: TableName,
    /// The columns that the batch has of it.
    pub columns: Arc<[ColumnId]>,
    /// The template that made the keys.
    pub template: Arc<Template>,
    /// The rows by partition key, each in order of arrival.
    pub parts: Vec<(PartitionKey, Rows)>,
}

/// The chunks of one database. See the module's doc.
#[derive(Debug)]
pub struct Buffer {
    database: DatabaseName,
    incarnation: Incarnation,
    memory: BufferMemory,
    next_chunk: AtomicU64,
    readings: Readings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<TableName, Table>,
    applied_through: Sequence,
    /// Runs of applied frames above the low-water mark that carry batches.
    uncovered: VecDeque<Run>,
    load: PartitionLoad,
    tombstones: Tombstones,
}

/// Neighbouring frames that carry neighbouring batches of one origin.
#[derive(Debug)]
struct Run {
    first: Sequence,
    last: Sequence,
    origin: Incarnation,
    first_batch: u64,
}

/// What may be released once a commit is durable: see [`Buffer::low_water_without`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LowWater {
    /// Every frame at or below this is in committed Parquet.
    pub sequence: Sequence,
    /// The batches of those frames, by origin.
    pub batches: BTreeMap<Incarnation, IntervalSet>,
    /// Deletions that the catalog may lack, by frame: they enter it with the mark, whatever their frames.
    pub tombstones: Vec<(Sequence, Arc<Tombstone>)>,
}

/// Chunks that are in memory only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpersisted {
    /// How many.
    pub chunks: u64,
    /// Their rows, counting repeated keys.
    pub rows: u64,
}

/// Partitions with rows that are in memory only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionLoad {
    /// How many. Each will be a file at least.
    pub partitions: u64,
    /// The rows, as [`Unpersisted::rows`].
    pub rows: u64,
}

impl Buffer {
    /// A buffer with what the catalog has: tables, columns, orders and persisted chunks. Positions of a log that is
    /// not `log` count for nothing.
    pub fn restore(
        catalog: &CatalogState,
        layout: &Layout,
        log: LogId,
        incarnation: Incarnation,
        memory: BufferMemory,
    ) -> Self {
        let templates: BTreeMap<u64, Arc<Template>> =
            catalog.templates.iter().filter_map(|(id, text)| Some((id.0, Arc::new(text.parse().ok()?)))).collect();
        let mut tables = BTreeMap::new();
        for (name, state) in &catalog.tables {
            let mut table = Table::restore(state);
            for meta in state.chunks.values() {
                let template = templates.get(&meta.template.0).cloned();
                let id = (meta.template.0, meta.partition_key.clone());
                let partition = table.partitions.entry(id).or_insert_with(|| Partition::new(template));
                if meta.log.log == log {
                    partition.note_persisted(meta.log.first, meta.log.last);
                }
                let path = layout.object(&catalog.database, &meta.object);
                partition.persisted.push(PersistedChunk { meta: meta.clone(), path, resident: None });
            }
            tables.insert(name.clone(), table);
        }
        let applied_through = match catalog.low_water {
            Some(mark) if mark.log == log => mark.sequence,
            _ => Sequence::ZERO,
        };
        Self {
            database: catalog.database.clone(),
            incarnation,
            memory,
            next_chunk: AtomicU64::new(1),
            readings: Readings::default(),
            state: Mutex::new(State {
                tables,
                applied_through,
                tombstones: Tombstones::restore(&catalog.tombstones),
                ..State::default()
            }),
        }
    }

    /// Adds a batch. Must be called in the order of local sequences. Rows of a partition whose persisted chunks
    /// already cover the frame (as happens in replay) are passed over; see the module's doc.
    pub fn apply(&self, placed: Placed, tables: &[TablePart], now: Duration) -> Result<(), ArrowError> {
        let mut state = self.state.lock();
        let State { tables: held, load, tombstones, .. } = &mut *state;
        for part in tables {
            let table = held.entry(part.table.clone()).or_insert_with(|| Table::new(tombstones.drops(&part.table)));
            table.add_columns(&part.columns, placed.stamp);
            table.partition_by(part.template.id());
            for (key, rows) in &part.parts {
                let id = (part.template.id(), key.clone());
                let partition =
                    table.partitions.entry(id).or_insert_with(|| Partition::new(Some(part.template.clone())));
                if partition.has_persisted(placed.sequence) {
                    continue;
                }
                load.partitions += u64::from(partition.is_persisted());
                load.rows += rows.len() as u64;
                let open = partition.open.get_or_insert_with(|| OpenChunk::new(self.new_chunk_id(), &self.memory, now));
                open.append(StampedRows { rows: rows.clone(), stamps: Stamps::One(placed.stamp) })?;
                open.coverage.add(placed.sequence, placed.origin, placed.origin_sequence);
                if open.bytes() >= self.memory.largest_chunk() {
                    partition.close_open(FreezeReason::Full);
                }
            }
        }
        state.note_batch(placed);
        Ok(())
    }

    /// Adds a deletion, or that one was taken back. Must be called in the order of local sequences, among batches.
    pub fn apply_tombstone(&self, placed: Placed, tombstone: &Arc<Tombstone>) {
        let mut state = self.state.lock();
        let known = state.tombstones.add(placed.sequence, tombstone);
        for (name, table) in state.tables.iter_mut().filter(|(name, _)| known.drops(name)) {
            tracing::debug!(table = %name, tombstone = %known.stamp, in_force = known.is_in_force(), "a drop");
            if known.is_in_force() { table.drop_at(known.stamp) } else { table.undrop(known.stamp) }
        }
        state.note_batch(placed);
    }

    /// The deletions that are known, by stamp.
    pub fn tombstones(&self) -> Vec<Arc<Tombstone>> {
        self.state.lock().tombstones.all()
    }

    /// Whether there are deletions that the catalog may lack.
    pub fn has_pending_tombstones(&self) -> bool {
        self.state.lock().tombstones.has_pending()
    }

    /// Chunks that are in memory only, and of which a deletion may hide rows.
    pub fn unpersisted_acted_on(&self, tombstone: &Arc<Tombstone>) -> u64 {
        let state = self.state.lock();
        let tables = state.tables.iter().filter(|(table, _)| tombstone.concerns(table, (i64::MIN, i64::MAX)));
        let partitions = tables.flat_map(|(table, held)| held.partitions.values().map(move |chunks| (table, chunks)));
        partitions.map(|(table, chunks)| chunks.unpersisted_acted_on(table, tombstone)).sum()
    }

    /// Forgets deletions that the catalog has forgotten.
    pub fn forget_tombstones(&self, stamps: &[Stamp]) {
        self.state.lock().tombstones.forget(stamps);
    }

    /// The columns that a table had when it was dropped, by the stamp of the drop; of drops in force.
    pub fn dropped_columns(&self, table: &str) -> BTreeMap<Stamp, Arc<[TableColumn]>> {
        self.state.lock().tables.get(table).map(|table| table.dropped_columns().clone()).unwrap_or_default()
    }

    /// Notes that frames up to `sequence` carry nothing for the buffer beyond what was applied.
    pub fn skip_to(&self, sequence: Sequence) {
        let mut state = self.state.lock();
        state.applied_through = state.applied_through.max(sequence);
    }

    /// The last frame applied.
    pub fn applied_through(&self) -> Sequence {
        self.state.lock().applied_through
    }

    fn new_chunk_id(&self) -> ChunkId {
        ChunkId { incarnation: self.incarnation, counter: self.next_chunk.fetch_add(1, Ordering::Relaxed) }
    }

    /// The names of the tables, without those that were dropped.
    pub fn tables(&self) -> Vec<TableName> {
        let state = self.state.lock();
        state.tables.iter().filter(|(_, table)| table.is_visible()).map(|(name, _)| name.clone()).collect()
    }

    /// The names of all tables, also of those that were dropped.
    pub fn all_tables(&self) -> Vec<TableName> {
        self.state.lock().tables.keys().cloned().collect()
    }

    /// The columns of a table, as far as they were seen since it was last dropped.
    pub fn columns(&self, table: &str) -> Option<Arc<[TableColumn]>> {
        self.state.lock().tables.get(table).filter(|table| table.is_visible()).map(|table| table.columns.clone())
    }

    /// A table at this moment.
    pub fn snapshot(&self, table: &str) -> Option<TableSnapshot> {
        let state = self.state.lock();
        let (name, table) = state.tables.get_key_value(table).filter(|(_, table)| table.is_visible())?;
        let mut chunks = Vec::new();
        for (id, partition) in &table.partitions {
            partition.snapshot(id, &table.order, &mut chunks);
        }
        let mut snapshot = TableSnapshot {
            database: self.database.clone(),
            table: name.clone(),
            columns: table.columns.clone(),
            order: table.order.current().clone(),
            chunks,
            visible_from: None,
        };
        let tombstones = state.tombstones.of_table(name);
        drop(state);
        snapshot.erase(&tombstones);
        Some(snapshot)
    }

    /// Closes every open chunk that is due by the rules, or all of them.
    pub fn close_due(&self, rules: &BufferRules, now: Duration, all: Option<FreezeReason>) {
        let mut state = self.state.lock();
        for partition in state.tables.values_mut().flat_map(|table| table.partitions.values_mut()) {
            let Some(open) = &partition.open else { continue };
            let reason = if open.rows() >= rules.freeze_rows || open.bytes() >= rules.freeze_size.0 {
                Some(FreezeReason::Full)
            } else if now.saturating_sub(open.opened_at) >= rules.freeze_after {
                Some(FreezeReason::Age)
            } else {
                all
            };
            if let Some(reason) = reason {
                partition.close_open(reason);
            }
        }
    }

    /// Closes the largest open chunk because memory is wanted back. False if there is none.
    pub fn close_largest(&self) -> bool {
        let mut state = self.state.lock();
        let largest = state
            .tables
            .values_mut()
            .flat_map(|table| table.partitions.values_mut())
            .filter(|partition| partition.open.is_some())
            .max_by_key(|partition| partition.open.as_ref().map_or(0, OpenChunk::bytes));
        match largest {
            Some(partition) => {
                partition.close_open(FreezeReason::Memory);
                true
            }
            None => false,
        }
    }

    /// A closed chunk that waits to be frozen. Its table's order follows `sort` from here on.
    pub fn next_to_freeze(&self, sort: &SortRule) -> Option<FreezeJob> {
        let mut state = self.state.lock();
        state.tables.iter_mut().find_map(|(name, table)| {
            let (id, chunk) =
                table.partitions.iter().find_map(|(id, partition)| Some((id, partition.first_closed()?)))?;
            Some(FreezeJob {
                table: name.clone(),
                partition: id.clone(),
                chunk: chunk.clone(),
                order: table.order.follow(sort, table.columns.iter().map(|column| &column.id)),
            })
        })
    }

    /// Puts a frozen chunk in the place of the closed one. The first one of a table decides its order; one that has
    /// chosen an order when the table had got one meanwhile stays closed, to be frozen again.
    pub fn install_frozen(&self, table: &TableName, partition: &PartitionId, mut frozen: FrozenChunk) {
        let mut state = self.state.lock();
        let State { tables, load, .. } = &mut *state;
        let Some(table) = tables.get_mut(table) else { return };
        if frozen.order_version == 0 {
            if table.order.is_chosen() {
                return;
            }
            let columns = table.columns.iter().map(|column| &column.id);
            (frozen.order, frozen.order_version) = table.order.choose(frozen.order, columns);
        }
        if let Some(partition) = table.partitions.get_mut(partition) {
            load.rows -= partition.install_frozen(Arc::new(frozen));
        }
    }

    /// The oldest sealed chunk of a partition, where it is frozen and `due`. At its first try, its file gets bloom filters
    /// of the values of `bloom`.
    pub fn next_to_persist(&self, due: impl Fn(&FrozenChunk) -> bool, bloom: &[ColumnName]) -> Option<PersistJob> {
        let state = self.state.lock();
        let frozen = state.tables.iter().flat_map(|(name, table)| {
            table.partitions.iter().filter_map(move |(id, partition)| match partition.sealed.first() {
                Some(Sealed::Frozen(chunk)) => Some((name, table, id, partition, chunk)),
                _ => None,
            })
        });
        let oldest = frozen.filter(|(.., chunk)| due(chunk)).min_by_key(|(.., chunk)| chunk.opened_at);
        oldest.map(|(name, table, id, partition, chunk)| {
            let described = chunk.described.get_or_init(|| table.describe(chunk, bloom)).clone();
            PersistJob {
                table: name.clone(),
                partition: id.clone(),
                chunk: chunk.clone(),
                columns: described.columns,
                order: described.order,
                order_version: described.order_version,
                bloom: described.bloom,
                template: partition.template.clone(),
            }
        })
    }

    /// What will be in committed Parquet once the chunk `id` is; without one, what is there now.
    pub fn low_water_without(&self, id: Option<ChunkId>) -> LowWater {
        let state = self.state.lock();
        let first = state
            .tables
            .values()
            .flat_map(|table| table.partitions.values())
            .filter_map(|partition| partition.first_unpersisted(id))
            .min();
        let sequence = first.map_or(state.applied_through, |first| Sequence(first.0 - 1));
        let mut batches: BTreeMap<Incarnation, IntervalSet> = BTreeMap::new();
        for run in state.uncovered.iter().take_while(|run| run.first <= sequence) {
            let count = run.last.0.min(sequence.0) - run.first.0;
            batches.entry(run.origin).or_default().insert(run.first_batch, run.first_batch + count);
        }
        LowWater { sequence, batches, tombstones: state.tombstones.pending() }
    }

    /// Moves a frozen chunk among the persisted, once the catalog has it, and forgets what the mark covers.
    pub fn install_persisted(
        &self,
        table: &TableName,
        partition: &PartitionId,
        meta: Arc<ChunkMeta>,
        path: Path,
        low_water: &LowWater,
    ) {
        let keep_resident = self.memory.has_room_for_copies();
        let mut state = self.state.lock();
        let State { tables, load, .. } = &mut *state;
        if let Some(partition) = tables.get_mut(table).and_then(|table| table.partitions.get_mut(partition))
            && let Some(rows) = partition.install_persisted(meta, path, keep_resident.then(|| self.readings.mark()))
        {
            load.rows -= rows;
            load.partitions -= u64::from(partition.is_persisted());
        }
        state.covered(low_water);
    }

    /// Forgets what a mark covers that was committed without a chunk.
    pub fn forget_covered(&self, low_water: &LowWater) {
        self.state.lock().covered(low_water);
    }

    /// Gives up copies in memory of persisted chunks until `enough` says so: those that no query has read for longest go
    /// first. Returns how many.
    pub fn evict_resident(&self, enough: impl Fn() -> bool) -> usize {
        let mut state = self.state.lock();
        let partitions = state.tables.values_mut().flat_map(|table| table.partitions.values_mut());
        let chunks = partitions.flat_map(|partition| partition.persisted.iter_mut());
        let mut copies: Vec<(u64, &mut PersistedChunk)> =
            chunks.filter_map(|chunk| Some((chunk.resident.as_ref()?.read.last(), chunk))).collect();
        copies.sort_unstable_by_key(|(last, _)| *last);
        let mut evicted = 0;
        for (_, chunk) in copies {
            if enough() {
                break;
            }
            chunk.resident = None;
            evicted += 1;
        }
        evicted
    }

    /// The partitions whose rows are in memory only, and those rows: few rows a partition will be many small files.
    pub fn partition_load(&self) -> PartitionLoad {
        self.state.lock().load
    }

    /// The chunks that are in memory only.
    pub fn unpersisted(&self) -> Unpersisted {
        let state = self.state.lock();
        let mut sum = Unpersisted::default();
        for partition in state.tables.values().flat_map(|table| table.partitions.values()) {
            sum.chunks += partition.sealed.len() as u64 + u64::from(partition.open.is_some());
            sum.rows += partition.sealed.iter().map(Sealed::rows).sum::<u64>();
            sum.rows += partition.open.as_ref().map_or(0, OpenChunk::rows);
        }
        sum
    }
}

impl State {
    fn note_batch(&mut self, placed: Placed) {
        self.applied_through = self.applied_through.max(placed.sequence);
        if let Some(run) = self.uncovered.back_mut()
            && run.origin == placed.origin
            && run.last.next() == placed.sequence
            && run.first_batch + (run.last.0 - run.first.0) + 1 == placed.origin_sequence
        {
            run.last = placed.sequence;
            return;
        }
        self.uncovered.push_back(Run {
            first: placed.sequence,
            last: placed.sequence,
            origin: placed.origin,
            first_batch: placed.origin_sequence,
        });
    }

    fn covered(&mut self, low_water: &LowWater) {
        self.tombstones.committed(&low_water.tombstones);
        self.forget_through(low_water.sequence);
    }

    fn forget_through(&mut self, mark: Sequence) {
        while let Some(run) = self.uncovered.front_mut() {
            if run.last <= mark {
                self.uncovered.pop_front();
                continue;
            }
            if run.first <= mark {
                run.first_batch += mark.0 + 1 - run.first.0;
                run.first = mark.next();
            }
            break;
        }
    }
}

#[cfg(test)]
mod tests;
