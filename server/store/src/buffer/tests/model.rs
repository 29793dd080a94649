//! A table that is written, repartitioned, reordered, frozen, persisted, crashed and replayed, beside a plain map of
//! what it must answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{FixedSizeBinaryArray, RecordBatch};
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::{fold_batch, fold_latest};
use ochre_batch::sort::sort;
use ochre_batch::testing::{Cell, PlainRow, column, plain_rows, rows_of};
use ochre_batch::{SortOrder, split};
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::SimObjects;
use ochre_env::Env;
use ochre_types::partition::Template;
use ochre_types::rules::{LifecycleRules, SortRule};
use ochre_types::{ByteSize, ColumnId, ColumnKind, FieldType, Hlc, NodeId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::*;
use crate::catalog::{Catalog, Checkpoints, Owner};
use crate::epoch::claim;
use crate::lifecycle::{Demand, Lifecycle};
use crate::object::paused::env;
use crate::persist::Persister;
use crate::snapshot::{ChunkBody, ChunkSnapshot};

pub(super) const DAY: i64 = 86_400_000_000_000;
const LOG: LogId = LogId(7);
const TABLE: &str = "cpu";

/// A row to write: its host (none if empty), its time, and which fields it has.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) host: &'static str,
    pub(super) rack: &'static str,
    pub(super) time: i64,
    pub(super) usage: bool,
    pub(super) hits: bool,
}

/// What a crash leaves: the log and the objects.
pub(super) struct Bench {
    pub(super) env: Env,
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    database: DatabaseName,
    log: Vec<(Placed, Rows)>,
    expected: BTreeMap<Vec<(ColumnId, Cell)>, PlainRow>,
    starts: u64,
}

/// One start of the server over it.
pub(super) struct Running {
    pub(super) buffer: Arc<Buffer>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

pub(super) fn template(text: &str) -> Arc<Template> {
    Arc::new(text.parse().unwrap())
}

impl Bench {
    /// Must be called within a runtime whose time is paused.
    pub(super) fn new() -> Self {
        let env = env(&SimDisk::new(1));
        Self {
            store: Arc::new(SimObjects::new(env.clock.clone(), 1)),
            env,
            layout: Layout::new(&Path::default(), &NodeId::new("a").unwrap()),
            database: DatabaseName::new("metrics").unwrap(),
            log: Vec::new(),
            expected: BTreeMap::new(),
            starts: 0,
        }
    }

    /// Takes the catalog over, restores the buffer, and replays the log after the low-water mark under `template`.
    pub(super) async fn start(&mut self, template: &Arc<Template>) -> Running {
        self.starts += 1;
        let incarnation = Incarnation(self.starts);
        let fence = claim(&self.store, &self.layout, &self.env, incarnation).await.unwrap();
        let owner = Owner {
            store: self.store.clone(),
            layout: self.layout.clone(),
            env: self.env.clone(),
            fence,
            checkpoints: Checkpoints { every: 3, ..Checkpoints::default() },
        };
        let catalog = Arc::new(Catalog::open(&owner, &self.database, Stamp::default()).await.unwrap());
        let memory = BufferMemory::new(ByteSize::mib(64));
        let buffer = Arc::new(Buffer::restore(&catalog.state(), &self.layout, LOG, incarnation, memory.clone()));
        let after = catalog.state().low_water.map_or(Sequence::ZERO, |mark| mark.sequence);
        for (placed, rows) in self.log.iter().filter(|(placed, _)| placed.sequence > after) {
            self.apply(&buffer, *placed, rows, template);
        }
        let (rules, persister) = (BufferRules::default(), self.persister());
        let lifecycle = Lifecycle::new(buffer.clone(), catalog.clone(), persister, memory, rules, |_| {});
        Running { buffer, catalog, lifecycle: Arc::new(lifecycle) }
    }

    pub(super) fn persister(&self) -> Persister {
        Persister {
            objects: self.store.clone(),
            layout: self.layout.clone(),
            database: self.database.clone(),
            log: LOG,
            env: self.env.clone(),
        }
    }

    fn apply(&self, buffer: &Buffer, placed: Placed, rows: &Rows, template: &Arc<Template>) {
        let table = TableName::new(TABLE).unwrap();
        let parts = split::split(&table, rows, template);
        let part = TablePart { table, columns: rows.columns().clone(), template: template.clone(), parts };
        buffer.apply(placed, &[part], Duration::from_millis(placed.sequence.0)).unwrap();
    }

    /// Logs a batch and applies it; its values are its own.
    pub(super) fn write(&mut self, running: &Running, template: &Arc<Template>, rows: &[Written]) {
        let sequence = self.log.len() as u64 + 1;
        let stamp = Stamp { hlc: Hlc(1_000 + sequence), incarnation: Incarnation(self.starts) };
        let placed = Placed { sequence: Sequence(sequence), stamp, origin: Incarnation(1), origin_sequence: sequence };
        let plain: Vec<PlainRow> =
            rows.iter().enumerate().map(|(row, written)| written.plain(sequence as i64 * 100 + row as i64)).collect();
        for row in &plain {
            let key = row.iter().filter(|(id, _)| id.kind.is_key()).map(|(id, cell)| (id.clone(), cell.clone()));
            self.expected.entry(key.collect()).or_default().extend(row.clone());
        }
        let has = |name: &str| plain.iter().any(|row| row.keys().any(|id| id.name.as_str() == name));
        let columns: Vec<ColumnId> = columns().into_iter().filter(|id| has(id.name.as_str())).collect();
        let rows = rows_of(&columns, &plain);
        self.apply(&running.buffer, placed, &rows, template);
        self.log.push((placed, rows));
    }

    /// Persists one chunk that `due` allows.
    pub(super) async fn persist_one(&self, running: &Running, due: impl Fn(&FrozenChunk) -> bool) {
        let Some(job) = running.buffer.next_to_persist(due, &[]) else { return };
        self.persister().persist(&running.buffer, &running.catalog, job).await.unwrap();
    }

    /// Asserts that the table holds every row that was written once, after a fold, and that its chunks are as they
    /// promise to be.
    pub(super) async fn check(&self, running: &Running) {
        let Some(snapshot) = running.buffer.snapshot(TABLE) else { return assert!(self.expected.is_empty()) };
        let mut chunks = Vec::new();
        let mut partition_of: BTreeMap<(u64, String), &ChunkSnapshot> = BTreeMap::new();
        for chunk in &snapshot.chunks {
            let sorted = self.rows(chunk, &snapshot.order).await;
            for row in plain_rows(&sorted.rows) {
                let key: PlainRow = row.into_iter().filter(|(id, _)| id.kind.is_key()).collect();
                let other = partition_of.entry((chunk.template_id, format!("{key:?}"))).or_insert(chunk);
                assert_eq!(other.key, chunk.key, "one template gives a row one partition");
            }
            chunks.push(sorted);
        }
        let found = match chunks.is_empty() {
            true => Vec::new(),
            false => {
                let all = concat_stamped(&chunks).unwrap();
                plain_rows(&fold_latest(&sort(&all, &SortOrder::default()).unwrap()).unwrap().rows)
            }
        };
        let mut expected: Vec<PlainRow> = self.expected.values().cloned().collect();
        let mut found = found;
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(running.buffer.partition_load().rows, running.buffer.unpersisted().rows);
        assert_eq!(running.buffer.partition_load().partitions, loaded(&snapshot.chunks));
    }

    /// A chunk's rows as a query reads them: in the table's order, folded by batch.
    async fn rows(&self, chunk: &ChunkSnapshot, order: &SortOrder) -> StampedRows {
        let rows = match &chunk.body {
            ChunkBody::Blocks(blocks) => {
                assert!(!chunk.in_order);
                return fold_batch(&sort(&concat_stamped(blocks).unwrap(), order).unwrap()).unwrap();
            }
            ChunkBody::Sorted(rows) => rows.clone(),
            ChunkBody::Parquet { path, .. } => {
                let bytes = self.store.get(path).await.unwrap().bytes().await.unwrap();
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                concat_stamped(&reader.map(|batch| stamped(&batch.unwrap())).collect::<Vec<_>>()).unwrap()
            }
        };
        let sorted = sort(&rows, order).unwrap();
        if chunk.in_order {
            assert_eq!(plain_rows(&sorted.rows), plain_rows(&rows.rows), "chunk {} is in order", chunk.id);
        }
        sorted
    }
}

impl Running {
    pub(super) async fn step(&self, demand: Demand) {
        self.lifecycle.step(demand).await.unwrap();
    }

    pub(super) fn sort_by(&self, rule: SortRule) {
        self.lifecycle.set_rules(BufferRules::default(), LifecycleRules { sort: rule, ..LifecycleRules::default() });
    }
}

impl Written {
    fn plain(&self, value: i64) -> PlainRow {
        let [host, rack, usage, hits, time] = columns();
        let cells = [
            (host, (!self.host.is_empty()).then(|| Cell::Tag(self.host.to_owned()))),
            (rack, (!self.rack.is_empty()).then(|| Cell::Tag(self.rack.to_owned()))),
            (usage, self.usage.then(|| Cell::Float((value as f64).to_bits()))),
            (hits, self.hits.then_some(Cell::Integer(value))),
            (time, Some(Cell::Time(self.time))),
        ];
        cells.into_iter().filter_map(|(id, cell)| Some((id, cell?))).collect()
    }
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

/// Partitions that have a chunk in no object.
fn loaded(chunks: &[ChunkSnapshot]) -> u64 {
    let mut ids: Vec<_> =
        chunks.iter().filter(|chunk| chunk.object.is_none()).map(|chunk| (chunk.template_id, &chunk.key)).collect();
    ids.sort();
    ids.dedup();
    ids.len() as u64
}

/// Rows of one of our files.
fn stamped(batch: &RecordBatch) -> StampedRows {
    let (schema, mut columns) = (batch.schema(), Vec::new());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        if let Some(kind) = crate::parquet::kind_of(field) {
            columns.push((column(field.name(), kind), array.clone()));
        }
    }
    let stamps = batch.columns().last().unwrap().as_any().downcast_ref::<FixedSizeBinaryArray>().unwrap();
    StampedRows { rows: Rows::from_unordered(columns).unwrap(), stamps: Stamps::Each(Arc::new(stamps.clone())) }
}
