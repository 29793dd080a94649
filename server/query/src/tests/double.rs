//! A database made of rows, arranged in chunks as a test wants it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, types::Int32Type,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_batch::fold::{fold_batch, has_unique_keys};
use ochre_batch::rows::{canonical_order, tag_value};
use ochre_batch::{Rows, SortOrder, StampedRows, Stamps, concat, sort};
use ochre_env::SystemClock;
use ochre_store::snapshot::{ChunkBody, ChunkSnapshot, Stage, TableColumn, TableSnapshot, TagRange};
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::{
    ByteSize, ColumnId, ColumnKind, ColumnName, DatabaseName, FieldType, Hlc, Incarnation, Stamp, TableName,
};
use parquet::arrow::ArrowWriter;

use crate::{Engine, EngineConfig, Params, QueryError, QueryLimits, Source, SystemTable};

/// One row: `None` is an absent tag or field.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) host: Option<&'static str>,
    pub(super) region: Option<&'static str>,
    pub(super) time: i64,
    pub(super) usage: Option<f64>,
    pub(super) hits: Option<i64>,
    pub(super) note: Option<&'static str>,
    pub(super) ok: Option<bool>,
}

/// Rows that were written together.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) stamp: u64,
    pub(super) rows: Vec<Row>,
}

/// Which template made the keys of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Partitioning {
    Day,
    HostAndDay,
    Unreadable,
}

/// Batches that entered one chunk (of each partition).
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) stage: Stage,
    pub(super) partitioning: Partitioning,
    pub(super) batches: Vec<Batch>,
}

pub(super) fn stamp(number: u64) -> Stamp {
    Stamp { hlc: Hlc(number), incarnation: Incarnation(7) }
}

fn id(name: &str, kind: ColumnKind) -> ColumnId {
    ColumnId { name: ColumnName::new(name).unwrap(), kind }
}

pub(super) fn all_columns() -> Vec<ColumnId> {
    vec![
        id("host", ColumnKind::Tag),
        id("region", ColumnKind::Tag),
        id("hits", ColumnKind::Field(FieldType::Integer)),
        id("note", ColumnKind::Field(FieldType::String)),
        id("ok", ColumnKind::Field(FieldType::Boolean)),
        id("usage", ColumnKind::Field(FieldType::Float)),
        id("time", ColumnKind::Time),
    ]
}

fn tags<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<DictionaryArray<Int32Type>>())
}

/// Columns in which no row has a value are left out, as a client would.
fn to_rows(rows: &[&Row]) -> Rows {
    let arrays: Vec<ArrayRef> = vec![
        tags(rows.iter().map(|row| row.host)),
        tags(rows.iter().map(|row| row.region)),
        Arc::new(rows.iter().map(|row| row.hits).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.note).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.ok).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.usage).collect::<Float64Array>()),
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time))),
    ];
    let columns = all_columns().into_iter().zip(arrays).filter(|(_, array)| array.null_count() < rows.len());
    Rows::from_unordered(columns.collect()).unwrap()
}

impl Partitioning {
    fn template(self) -> Template {
        match self {
            Self::Day | Self::Unreadable => Template::default(),
            Self::HostAndDay => r#"[{"tag":"host"},{"time":"%Y-%m-%d"}]"#.parse().unwrap(),
        }
    }

    fn key(self, row: &Row) -> PartitionKey {
        let tag = |name: &str| match name {
            "host" => row.host,
            "region" => row.region,
            _ => None,
        };
        self.template().key(&TableName::new("cpu").unwrap(), &tag, row.time)
    }
}

/// The double: table `cpu` in chunks, and one system table.
pub(super) struct Double {
    tables: BTreeMap<String, TableSnapshot>,
}

pub(super) fn order() -> SortOrder {
    SortOrder::new(vec![ColumnName::new("region").unwrap(), ColumnName::new("host").unwrap()])
}

fn tag_ranges(rows: &Rows) -> Vec<TagRange> {
    let range = |tag: &ColumnName| {
        let array = rows.array(&ColumnId { name: tag.clone(), kind: ColumnKind::Tag })?;
        let values: Option<Vec<&str>> = (0..rows.len()).map(|row| tag_value(array, row)).collect();
        let values = values?;
        let (min, max) = ((*values.iter().min()?).to_owned(), (*values.iter().max()?).to_owned());
        Some(TagRange { tag: tag.clone(), min, max })
    };
    order().tags().iter().filter_map(range).collect()
}

/// Writes rows as a persisted chunk has them.
fn to_parquet(stamped: &StampedRows) -> Vec<u8> {
    let mut fields: Vec<Field> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (column, array) in stamped.rows.iter() {
        fields.push(Field::new(column.name.as_str(), array.data_type().clone(), column.kind != ColumnKind::Time));
        arrays.push(array.clone());
    }
    fields.push(Field::new("_stamp", ochre_batch::stamps::stamp_type(), false));
    arrays.push(stamped.stamps.to_array(stamped.rows.len()));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut bytes = Vec::new();
    // Small row groups and pages, so that pruning has something to choose from.
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(4))
        .set_data_page_row_count_limit(2)
        .build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

impl Double {
    pub(super) async fn new(store: &Arc<InMemory>, prefix: &str, chunks: &[Chunk]) -> Arc<Self> {
        let mut snapshots = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            let mut partitions: BTreeMap<PartitionKey, Vec<StampedRows>> = BTreeMap::new();
            for batch in &chunk.batches {
                let mut split: BTreeMap<PartitionKey, Vec<&Row>> = BTreeMap::new();
                for row in &batch.rows {
                    split.entry(chunk.partitioning.key(row)).or_default().push(row);
                }
                for (key, rows) in split {
                    let stamped = StampedRows { rows: to_rows(&rows), stamps: Stamps::One(stamp(batch.stamp)) };
                    partitions.entry(key).or_default().push(stamped);
                }
            }
            for (index, (key, blocks)) in partitions.into_iter().enumerate() {
                let name = format!("{prefix}-{number}-{index}");
                snapshots.push(snapshot(store, name, chunk, key, blocks).await);
            }
        }
        let first_seen = stamp(0);
        let mut columns: Vec<TableColumn> =
            all_columns().into_iter().map(|id| TableColumn { id, first_seen }).collect();
        columns.sort_by(|a, b| canonical_order(&a.id, &b.id));
        let cpu = TableSnapshot {
            database: DatabaseName::new("db").unwrap(),
            table: TableName::new("cpu").unwrap(),
            columns: columns.into(),
            order: order(),
            chunks: snapshots,
            visible_from: None,
        };
        Arc::new(Self { tables: BTreeMap::from([("cpu".to_owned(), cpu)]) })
    }

    /// The same table under another name.
    pub(super) fn with_copy(self: Arc<Self>, name: &str) -> Arc<Self> {
        let mut tables = self.tables.clone();
        let copy = TableSnapshot { table: TableName::new(name).unwrap(), ..tables["cpu"].clone() };
        tables.insert(name.to_owned(), copy);
        Arc::new(Self { tables })
    }
}

async fn snapshot(
    store: &Arc<InMemory>,
    name: String,
    chunk: &Chunk,
    key: PartitionKey,
    blocks: Vec<StampedRows>,
) -> ChunkSnapshot {
    let all = concat::concat_stamped(&blocks).unwrap();
    // Chunks of the other template are from before the table had its order, too.
    let in_order = chunk.partitioning != Partitioning::HostAndDay;
    let sorted_by = if in_order { order() } else { SortOrder::new([ColumnName::new("host").unwrap()]) };
    let sorted = fold_batch(&sort::sort(&all, &sorted_by).unwrap()).unwrap();
    let is_open = chunk.stage == Stage::Open;
    let shown = if is_open { &all } else { &sorted };
    let readable = chunk.partitioning != Partitioning::Unreadable;
    let template = chunk.partitioning.template();
    let mut snapshot = ChunkSnapshot {
        id: Arc::from(name.as_str()),
        key,
        template_id: if readable { template.id() } else { 99 },
        template: readable.then(|| Arc::new(template)),
        stage: chunk.stage,
        rows: shown.rows.len() as u64,
        time_range: shown.rows.time_range().unwrap(),
        stamps: shown.stamp_range().unwrap(),
        level: 0,
        settled: None,
        applied: Arc::default(),
        erased: Arc::default(),
        unique_keys: !is_open && has_unique_keys(&sorted.rows),
        in_order: in_order && !is_open,
        tag_ranges: tag_ranges(&shown.rows),
        bytes: shown.memory_size() as u64,
        read: Default::default(),
        object: None,
        body: ChunkBody::Sorted(sorted.clone()),
    };
    match chunk.stage {
        Stage::Open => snapshot.body = ChunkBody::Blocks(blocks.into()),
        Stage::Frozen if in_order => {}
        Stage::Frozen => snapshot.body = ChunkBody::Blocks([sorted].into()),
        Stage::Persisted => {
            let bytes = to_parquet(&sorted);
            let path = Path::from(format!("data/{name}.parquet"));
            let size = bytes.len() as u64;
            store.put(&path, bytes.into()).await.unwrap();
            snapshot.object = Some(path.clone());
            snapshot.body = ChunkBody::Parquet { path, size };
        }
    }
    snapshot
}

impl Source for Double {
    fn database(&self) -> DatabaseName {
        DatabaseName::new("db").unwrap()
    }

    fn tables(&self) -> Vec<TableName> {
        self.tables.keys().map(|name| TableName::new(name).unwrap()).collect()
    }

    fn columns(&self, table: &str) -> Option<Arc<[TableColumn]>> {
        self.tables.get(table).map(|table| table.columns.clone())
    }

    fn snapshot(&self, table: &str) -> Option<TableSnapshot> {
        self.tables.get(table).cloned()
    }

    fn system_tables(&self) -> Vec<SystemTable> {
        vec![SystemTable { name: "tables", schema: system_schema() }]
    }

    fn system_rows(&self, name: &str) -> RecordBatch {
        assert_eq!(name, "tables");
        let names: StringArray = self.tables.keys().map(|name| Some(name.as_str())).collect();
        RecordBatch::try_new(system_schema(), vec![Arc::new(names)]).unwrap()
    }
}

fn system_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, false)]))
}

/// An engine over a store in memory, with `target_partitions` and little rows a batch.
pub(super) fn engine(store: &Arc<InMemory>, target_partitions: usize, memory: ByteSize) -> Engine {
    let config = EngineConfig {
        memory,
        caches: ByteSize(memory.0 / 16),
        target_partitions,
        spill_dir: None,
        spill_limit: ByteSize(0),
        batch_size: 3,
        clock: Arc::new(SystemClock::new()),
    };
    Engine::new(config, store.clone() as Arc<dyn ObjectStore>).unwrap()
}

/// Limits that no test meets unless it wants to.
pub(super) const WIDE: QueryLimits = QueryLimits { memory: ByteSize::mib(1 << 20), time: Duration::from_secs(3_600) };

/// The answer, a text per row: values joined with `|`, times as nanoseconds, `-` for null.
pub(super) async fn ask(engine: &Engine, source: &Arc<Double>, sql: &str) -> Result<Vec<String>, QueryError> {
    ask_with(engine, source, sql, &Params::default()).await
}

pub(super) async fn ask_with(
    engine: &Engine,
    source: &Arc<Double>,
    sql: &str,
    params: &Params,
) -> Result<Vec<String>, QueryError> {
    ask_within(engine, source, sql, params, WIDE).await
}

pub(super) async fn ask_within(
    engine: &Engine,
    source: &Arc<Double>,
    sql: &str,
    params: &Params,
    limits: QueryLimits,
) -> Result<Vec<String>, QueryError> {
    let result = engine.query(source.clone(), sql, params, limits).await?;
    let schema = result.schema.clone();
    let batches: Vec<RecordBatch> = result.stream.try_collect().await?;
    let mut lines = Vec::new();
    for batch in &batches {
        assert_eq!(batch.schema(), schema);
        lines.extend(to_lines(batch));
    }
    Ok(lines)
}

fn to_lines(batch: &RecordBatch) -> Vec<String> {
    let numbers = |array: &ArrayRef| match array.data_type() {
        DataType::Timestamp(..) => arrow_cast::cast(array, &DataType::Int64).unwrap(),
        _ => array.clone(),
    };
    let arrays: Vec<ArrayRef> = batch.columns().iter().map(numbers).collect();
    let options = FormatOptions::new().with_null("-");
    let columns: Vec<ArrayFormatter<'_>> =
        arrays.iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
    let line = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}
