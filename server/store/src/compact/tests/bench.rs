//! A table that is written, deleted from, persisted, joined and restarted, beside a plain map of what it must answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{FixedSizeBinaryArray, RecordBatch, UInt32Array};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::{fold_batch, fold_latest};
use ochre_batch::testing::{Cell, PlainRow, column, plain_rows, rows_of};
use ochre_batch::tombstone::hidden;
use ochre_batch::{Rows, SortOrder, StampedRows, Stamps, sort, split};
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::SimObjects;
use ochre_env::Env;
use ochre_types::matching::RowMatch;
use ochre_types::partition::Template;
use ochre_types::rules::{BufferRules, CompactRules, LifecycleRules, RetainRule, RetainRules, SortRule};
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{
    ByteSize, ColumnId, ColumnKind, DatabaseName, FieldType, Hlc, Incarnation, LogId, NodeId, Sequence, Stamp,
    TableName,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::buffer::{Buffer, Placed, TablePart};
use crate::catalog::{Catalog, Checkpoints, Owner};
use crate::compact::Outcome;
use crate::epoch::claim;
use crate::lifecycle::{CompactProgress, CompactReport, Lifecycle, UpkeepError};
use crate::memory::BufferMemory;
use crate::object::Layout;
use crate::object::paused::env;
use crate::persist::Persister;
use crate::selection::Selection;
use crate::snapshot::{ChunkBody, ChunkSnapshot};

pub(super) const DAY: i64 = 86_400_000_000_000;
/// When the paused clock begins, in nanoseconds.
pub(super) const START: i64 = 1_700_000_000_000_000_000;
const LOG: LogId = LogId(7);
const TABLE: &str = "cpu";

/// A row to write.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) host: &'static str,
    pub(super) rack: &'static str,
    pub(super) time: i64,
    pub(super) fields: Vec<&'static str>,
}

enum Frame {
    Rows(Rows),
    Tombstone(Arc<Tombstone>),
}

/// What a crash leaves: the log and the objects.
pub(super) struct Bench {
    pub(super) env: Env,
    pub(super) faults: SimObjects,
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    database: DatabaseName,
    log: Vec<(Placed, Frame)>,
    template: Arc<Template>,
    rules: LifecycleRules,
    expected: BTreeMap<PlainRow, PlainRow>,
    starts: u64,
}

/// One start of the server over it.
pub(super) struct Running {
    pub(super) buffer: Arc<Buffer>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

struct Unwatched;

impl CompactProgress for Unwatched {
    fn planned(&self, _: u64) {}
    fn done(&self, _: &crate::catalog::PartitionName, _: &Outcome) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Bench {
    /// Must be called within a runtime whose time is paused.
    pub(super) fn new() -> Self {
        let env = env(&SimDisk::new(1));
        let faults = SimObjects::new(env.clock.clone(), 1);
        let compact = CompactRules { max_files: 3, max_file_size: ByteSize::mib(1), ..CompactRules::default() };
        Self {
            store: Arc::new(faults.clone()),
            faults,
            env,
            layout: Layout::new(&Path::default(), &NodeId::new("a").unwrap()),
            database: DatabaseName::new("metrics").unwrap(),
            log: Vec::new(),
            template: Arc::default(),
            rules: LifecycleRules { compact, ..LifecycleRules::default() },
            expected: BTreeMap::new(),
            starts: 0,
        }
    }

    /// Takes the catalog over, restores the buffer, and replays the log after the low-water mark under `template`.
    pub(super) async fn start(&mut self, template: &str) -> Running {
        self.starts += 1;
        self.template = Arc::new(template.parse().unwrap());
        let incarnation = Incarnation(self.starts);
        let fence = claim(&self.store, &self.layout, &self.env, incarnation).await.unwrap();
        let owner = Owner {
            store: self.store.clone(),
            layout: self.layout.clone(),
            env: self.env.clone(),
            fence,
            checkpoints: Checkpoints { every: 5, ..Checkpoints::default() },
        };
        let catalog = Arc::new(Catalog::open(&owner, &self.database, Stamp::default()).await.unwrap());
        let memory = BufferMemory::new(ByteSize::mib(64));
        let buffer = Arc::new(Buffer::restore(&catalog.state(), &self.layout, LOG, incarnation, memory.clone()));
        let after = catalog.state().low_water.map_or(Sequence::ZERO, |mark| mark.sequence);
        for (placed, frame) in self.log.iter().filter(|(placed, _)| placed.sequence > after) {
            self.apply(&buffer, *placed, frame);
        }
        let persister = Persister {
            objects: self.store.clone(),
            layout: self.layout.clone(),
            database: self.database.clone(),
            log: LOG,
            env: self.env.clone(),
        };
        let rules = BufferRules::default();
        let lifecycle = Lifecycle::new(buffer.clone(), catalog.clone(), persister, memory, rules, |_| {});
        let running = Running { buffer, catalog, lifecycle: Arc::new(lifecycle) };
        self.follow(&running);
        running
    }

    fn follow(&self, running: &Running) {
        running.lifecycle.set_rules(BufferRules::default(), self.rules.clone());
    }

    pub(super) fn sort(&mut self, running: &Running, sort: SortRule) {
        self.rules.sort = sort;
        self.follow(running);
    }

    pub(super) fn retain(&mut self, running: &Running, retain: RetainRules) {
        self.rules.retain = retain;
        self.follow(running);
    }

    /// Keeps at most so many days: never more than before, as what is gone does not come back.
    pub(super) fn retain_days(&mut self, running: &Running, days: u64) {
        let after = Duration::from_secs(days * 86_400 + 10);
        let before = self.rules.retain.rules.first().and_then(|rule| rule.after);
        let after = Some(before.map_or(after, |before| before.min(after)));
        self.retain(running, RetainRules { rules: vec![RetainRule { tables: "*".parse().unwrap(), after }] });
    }

    fn next(&self) -> Placed {
        let sequence = self.log.len() as u64 + 1;
        let stamp = Stamp { hlc: Hlc(1_000 + sequence), incarnation: Incarnation(self.starts) };
        Placed { sequence: Sequence(sequence), stamp, origin: Incarnation(1), origin_sequence: sequence }
    }

    fn apply(&self, buffer: &Buffer, placed: Placed, frame: &Frame) {
        match frame {
            Frame::Rows(rows) => {
                let table = TableName::new(TABLE).unwrap();
                let parts = split::split(&table, rows, &self.template);
                let (columns, template) = (rows.columns().clone(), self.template.clone());
                let part = TablePart { table, columns, template, parts };
                buffer.apply(placed, &[part], Duration::from_millis(placed.sequence.0)).unwrap();
            }
            Frame::Tombstone(tombstone) => buffer.apply_tombstone(placed, tombstone),
        }
    }

    /// Logs a batch and applies it; its values are its own.
    pub(super) fn write(&mut self, running: &Running, rows: &[Written]) {
        let placed = self.next();
        let plain: Vec<PlainRow> = rows
            .iter()
            .enumerate()
            .map(|(row, written)| written.plain(placed.sequence.0 as i64 * 100 + row as i64))
            .collect();
        for row in &plain {
            self.expected.entry(key(row)).or_default().extend(row.clone());
        }
        let has = |id: &ColumnId| plain.iter().any(|row| row.contains_key(id));
        let columns: Vec<ColumnId> = columns().into_iter().filter(has).collect();
        let frame = Frame::Rows(rows_of(&columns, &plain));
        self.apply(&running.buffer, placed, &frame);
        self.log.push((placed, frame));
    }

    /// Deletes the rows of a host, or of all, with times between these, which count from [`START`].
    pub(super) fn delete(&mut self, running: &Running, host: Option<&'static str>, time: (i64, i64)) {
        let placed = self.next();
        let time = (START + time.0, START + time.1);
        let predicate = host.map(|host| format!("host = '{host}'").parse().unwrap());
        let erasure = Erasure::Rows { rows: RowMatch { tables: Vec::new(), predicate }, time };
        let frame = Frame::Tombstone(Arc::new(Tombstone::new(placed.stamp, erasure)));
        self.expected.retain(|key, _| {
            let of_host = host.is_none_or(|host| key.values().any(|cell| *cell == Cell::Tag(host.to_owned())));
            let within = key.values().any(|cell| matches!(cell, Cell::Time(at) if (time.0..=time.1).contains(at)));
            !(of_host && within)
        });
        self.apply(&running.buffer, placed, &frame);
        self.log.push((placed, frame));
    }

    /// Persists the oldest frozen chunk.
    pub(super) async fn persist_one(&self, running: &Running) {
        let all = running.lifecycle.freeze(&Selection::default()).await.unwrap();
        running.lifecycle.persist_one(&all).await.unwrap();
    }

    pub(super) async fn try_compact(&self, running: &Running) -> Result<CompactReport, UpkeepError> {
        running.lifecycle.compact(&Selection::default(), &Unwatched).await
    }

    pub(super) async fn compact(&self, running: &Running) -> CompactReport {
        self.try_compact(running).await.unwrap()
    }

    /// The rows of the table's chunks.
    pub(super) fn chunks(&self, running: &Running) -> Vec<u64> {
        let snapshot = running.buffer.snapshot(TABLE);
        snapshot.iter().flat_map(|snapshot| &snapshot.chunks).map(|chunk| chunk.rows).collect()
    }

    /// How many Parquet objects there are.
    pub(super) async fn objects(&self) -> usize {
        use futures::TryStreamExt;
        let all: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        all.iter().filter(|object| object.location.as_ref().ends_with(".parquet")).count()
    }

    /// The columns of an object.
    pub(super) async fn columns_of(&self, object: &str) -> Vec<String> {
        let path = self.layout.object(&self.database, object);
        let bytes = self.store.get(&path).await.unwrap().bytes().await.unwrap();
        let schema = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().schema().clone();
        schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Asserts that the table answers as the map, that catalog and buffer have the same chunks, and that each object is
    /// what the catalog says of it.
    pub(super) async fn check(&self, running: &Running) {
        let state = running.catalog.state();
        let named: Vec<String> = state.chunks().map(|chunk| chunk.id.to_string()).collect();
        let snapshot = running.buffer.snapshot(TABLE);
        let mut chunks = Vec::new();
        for chunk in snapshot.iter().flat_map(|snapshot| &snapshot.chunks) {
            assert_eq!(chunk.object.is_some(), named.contains(&chunk.id.to_string()), "chunk {}", chunk.id);
            let rows = self.rows(chunk, &snapshot.as_ref().unwrap().order).await;
            assert_eq!((chunk.rows, Some(chunk.time_range)), (rows.rows.len() as u64, rows.rows.time_range()));
            chunks.push(visible(rows, chunk));
        }
        for meta in state.chunks() {
            let path = self.layout.object(&self.database, &meta.object);
            let bytes = self.store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(meta.size_bytes, bytes.len() as u64);
            assert_eq!(meta.checksums, crate::object::verified::checksums(&bytes));
        }
        let from = running.lifecycle.visible_from(&TableName::new(TABLE).unwrap()).unwrap_or(i64::MIN);
        let is_kept = |row: &PlainRow| row.values().any(|cell| matches!(cell, Cell::Time(at) if *at >= from));
        let found = match chunks.is_empty() {
            true => Vec::new(),
            false => {
                let all = concat_stamped(&chunks).unwrap();
                plain_rows(&fold_latest(&sort::sort(&all, &SortOrder::default()).unwrap()).unwrap().rows)
            }
        };
        let mut found: Vec<PlainRow> = found.into_iter().filter(is_kept).collect();
        let mut expected: Vec<PlainRow> = self.expected.values().filter(|row| is_kept(row)).cloned().collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    /// A chunk's rows as a query reads them.
    async fn rows(&self, chunk: &ChunkSnapshot, order: &SortOrder) -> StampedRows {
        let rows = match &chunk.body {
            ChunkBody::Blocks(blocks) => return sort::sort(&concat_stamped(blocks).unwrap(), order).unwrap(),
            ChunkBody::Sorted(rows) => rows.clone(),
            ChunkBody::Parquet { path, .. } => {
                let bytes = self.store.get(path).await.unwrap().bytes().await.unwrap();
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                let settled = chunk.settled.map(|_| chunk.stamps.1);
                concat_stamped(&reader.map(|batch| stamped(&batch.unwrap(), settled)).collect::<Vec<_>>()).unwrap()
            }
        };
        let sorted = sort::sort(&rows, order).unwrap();
        if chunk.in_order {
            assert_eq!(plain_rows(&sorted.rows), plain_rows(&rows.rows), "chunk {} is in order", chunk.id);
        }
        let unique = ochre_batch::fold::has_unique_keys(&sorted.rows);
        assert!(unique || !chunk.unique_keys, "chunk {} has a key twice", chunk.id);
        sorted
    }
}

impl Running {
    /// Rows that come from now on are partitioned so.
    pub(super) fn partition_by(&self, bench: &mut Bench, template: &str) {
        bench.template = Arc::new(template.parse().unwrap());
    }
}

impl Written {
    fn plain(&self, value: i64) -> PlainRow {
        let [host, rack, usage, hits, time] = columns();
        let tag = |value: &str| (!value.is_empty()).then(|| Cell::Tag(value.to_owned()));
        let cells = [
            (host, tag(self.host)),
            (rack, tag(self.rack)),
            (usage, self.fields.contains(&"usage").then(|| Cell::Float((value as f64).to_bits()))),
            (hits, self.fields.contains(&"hits").then_some(Cell::Integer(value))),
            (time, Some(Cell::Time(self.time))),
        ];
        cells.into_iter().filter_map(|(id, cell)| Some((id, cell?))).collect()
    }
}

fn key(row: &PlainRow) -> PlainRow {
    row.iter().filter(|(id, _)| id.kind.is_key()).map(|(id, cell)| (id.clone(), cell.clone())).collect()
}

fn columns() -> [ColumnId; 5] {
    [
        column("host", ColumnKind::Tag),
        column("rack", ColumnKind::Tag),
        column("usage", ColumnKind::Field(FieldType::Float)),
        column("hits", ColumnKind::Field(FieldType::Integer)),
        column("time", ColumnKind::Time),
    ]
}

/// The rows that no deletion hides, folded as a chunk's are.
fn visible(rows: StampedRows, chunk: &ChunkSnapshot) -> StampedRows {
    let rows = match chunk.body {
        ChunkBody::Blocks(_) => fold_batch(&rows).unwrap(),
        _ => rows,
    };
    match hidden(&rows, &TableName::new(TABLE).unwrap(), &chunk.erased) {
        None => rows,
        Some(hidden) => {
            let kept: UInt32Array = (0..rows.rows.len() as u32).filter(|row| !hidden.value(*row as usize)).collect();
            sort::take(&rows, &kept).unwrap()
        }
    }
}

/// Rows of one of our files.
fn stamped(batch: &RecordBatch, settled: Option<Stamp>) -> StampedRows {
    let (schema, mut columns) = (batch.schema(), Vec::new());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        if let Some(kind) = crate::parquet::kind_of(field) {
            columns.push((column(field.name(), kind), array.clone()));
        }
    }
    let stamps = match settled {
        Some(stamp) => {
            assert_eq!(schema.fields().len(), columns.len(), "a settled chunk has no stamps");
            Stamps::One(stamp)
        }
        None => {
            let stamps = batch.columns().last().unwrap().as_any().downcast_ref::<FixedSizeBinaryArray>().unwrap();
            Stamps::Each(Arc::new(stamps.clone()))
        }
    };
    StampedRows { rows: Rows::from_unordered(columns).unwrap(), stamps }
}
