//! A frozen chunk as a Parquet file that any reader reads.
//!
//! Columns have the table's names and plain types, in canonical order, then `_stamp` (16 bytes a row: big-endian
//! hybrid clock and incarnation; dictionary-encoded, as few distinct values repeat), unless the chunk is settled: then
//! all its rows have one stamp, which the catalog knows. Rows are sorted by the table's
//! order, then time, then stamp; the file says so. What Ochre knows of the chunk stands in the key-value metadata,
//! under names that begin with `ochre.`.

mod bloom;

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use ochre_batch::rows::{arrow_type, tag_parts};
use ochre_batch::stamps::stamp_type;
use ochre_batch::{Rows, StampedRows};
use ochre_types::{
    ColumnId, ColumnKind, ColumnName, DatabaseName, FieldType, Hlc, Incarnation, IntervalSet, STAMP_COLUMN, Stamp,
    TableName,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::catalog::{ChunkId, ColumnStats};
use crate::partition::{PartitionId, PersistJob};
use crate::snapshot::TableColumn;

pub(crate) use bloom::bloom_filters;

/// The version of what Ochre adds to Parquet: names of columns, sort order and metadata.
pub const FORMAT: &str = "1";
/// Under this key, a field's metadata says which kind of column it holds.
const KIND_KEY: &str = "ochre.kind";
/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows of a data page, about: what a page index can skip at the least.
const PAGE_ROWS: usize = 20_000;
/// Values looked at to choose an encoding.
const SAMPLE_ROWS: usize = 4_096;
/// How many leading tags of the sort order have statistics in the catalog.
const STATS_TAGS: usize = 3;
/// A tag value longer than this is not kept in the catalog.
const STATS_VALUE_BYTES: usize = 128;

/// A chunk as a file, and what the catalog says of it.
#[derive(Debug)]
pub struct EncodedChunk {
    /// The file.
    pub bytes: Vec<u8>,
    /// Statistics of the leading tags of its order.
    pub stats: Vec<ColumnStats>,
}

/// Why a chunk could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The columns don't make a record batch.
    #[error("making the columns of chunk {chunk}: {source}")]
    Columns {
        /// The chunk's id.
        chunk: ChunkId,
        /// The cause.
        source: ArrowError,
    },
    /// The Parquet writer refused.
    #[error("encoding chunk {chunk} as Parquet: {source}")]
    Write {
        /// The chunk's id.
        chunk: ChunkId,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
}

/// What a file says of its chunk besides its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileFacts<'a> {
    pub(crate) database: &'a DatabaseName,
    pub(crate) table: &'a TableName,
    pub(crate) partition: &'a PartitionId,
    pub(crate) chunk: ChunkId,
    /// The tags that the rows are sorted by.
    pub(crate) sorted_by: &'a [ColumnName],
    /// The lowest and the highest stamp.
    pub(crate) stamps: Option<(Stamp, Stamp)>,
    /// The batches whose rows it holds.
    pub(crate) batches: &'a BTreeMap<Incarnation, IntervalSet>,
    /// The boundary up to which its rows are settled.
    pub(crate) settled: Option<Hlc>,
}

/// Encodes a frozen chunk.
pub fn encode(database: &DatabaseName, job: &PersistJob) -> Result<EncodedChunk, EncodeError> {
    let chunk = job.chunk.id;
    let sorted = &job.chunk.sorted;
    let columns = sorted.rows.columns();
    let schema = file_schema(columns, &job.columns, true);
    let batch = record_batch(sorted, columns, &schema).map_err(|source| EncodeError::Columns { chunk, source })?;
    let facts = FileFacts {
        database,
        table: &job.table,
        partition: &job.partition,
        chunk,
        sorted_by: job.order.tags(),
        stamps: sorted.stamp_range(),
        batches: &job.chunk.coverage.batches,
        settled: None,
    };
    let write = || -> Result<Vec<u8>, parquet::errors::ParquetError> {
        let properties = properties(job.order.tags(), &batch).set_key_value_metadata(Some(metadata(&facts)));
        let properties = bloom_filters(properties, &schema, &job.bloom, batch.num_rows() as u64).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    let bytes = write().map_err(|source| EncodeError::Write { chunk, source })?;
    let mut stats = TagStats::new(job.order.tags());
    stats.add(&sorted.rows);
    Ok(EncodedChunk { bytes, stats: stats.finish() })
}

/// The schema of a file with these columns, under the names that they have in the table.
pub(crate) fn file_schema(columns: &[ColumnId], table: &[TableColumn], with_stamps: bool) -> SchemaRef {
    let mut fields = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        let name = match table.iter().find(|known| known.id == *column) {
            Some(known) => known.visible_name(table),
            None => column.to_string(),
        };
        let metadata = [(KIND_KEY.to_owned(), column.kind.to_string())].into_iter().collect();
        let nullable = column.kind != ColumnKind::Time;
        fields.push(Field::new(name, arrow_type(column.kind), nullable).with_metadata(metadata));
    }
    if with_stamps {
        fields.push(Field::new(STAMP_COLUMN, stamp_type(), false));
    }
    Arc::new(Schema::new(fields))
}

/// Rows as a batch of a file: `columns` as [`file_schema`] got them, null where the rows lack one.
pub(crate) fn record_batch(
    sorted: &StampedRows,
    columns: &[ColumnId],
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let len = sorted.rows.len();
    let array = |column: &ColumnId| match sorted.rows.array(column) {
        Some(array) => array.clone(),
        None => new_null_array(&arrow_type(column.kind), len),
    };
    let mut arrays: Vec<ArrayRef> = columns.iter().map(array).collect();
    if schema.fields().len() > columns.len() {
        arrays.push(sorted.stamps.to_array(len));
    }
    RecordBatch::try_new(schema.clone(), arrays)
}

/// How a file is written; encodings are chosen by the values of `sample`.
pub(crate) fn properties(sorted_by: &[ColumnName], sample: &RecordBatch) -> WriterPropertiesBuilder {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("ochre ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting_columns(sorted_by, sample)));
    for (field, array) in sample.schema().fields().iter().zip(sample.columns()) {
        builder = encode_column(builder, ColumnPath::from(field.name().clone()), field.data_type(), array);
    }
    builder
}

/// Chooses a column's encoding by its type and a sample of its values.
fn encode_column(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    data_type: &DataType,
    array: &ArrayRef,
) -> WriterPropertiesBuilder {
    let plain = |builder: WriterPropertiesBuilder, encoding| {
        builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding)
    };
    match data_type {
        DataType::Timestamp(..) | DataType::Int64 | DataType::UInt64 => plain(builder, Encoding::DELTA_BINARY_PACKED),
        DataType::Float64 if !repeats(array) => plain(builder, Encoding::BYTE_STREAM_SPLIT),
        _ => builder,
    }
}

/// Whether a sample of floats has so many equal values that a dictionary pays.
fn repeats(array: &ArrayRef) -> bool {
    let floats = array.as_primitive::<Float64Type>();
    let step = (floats.len() / SAMPLE_ROWS).max(1);
    let sample: Vec<u64> = (0..floats.len())
        .step_by(step)
        .filter(|row| floats.is_valid(*row))
        .map(|row| floats.value(row).to_bits())
        .collect();
    let distinct: HashSet<u64> = sample.iter().copied().collect();
    distinct.len() * 4 <= sample.len()
}

fn sorting_columns(sorted_by: &[ColumnName], sample: &RecordBatch) -> Vec<SortingColumn> {
    let schema = sample.schema();
    let named = sorted_by.iter().map(|tag| tag.as_str());
    named
        .chain([ochre_types::TIME_COLUMN, STAMP_COLUMN])
        .filter_map(|name| schema.index_of(name).ok())
        .map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true })
        .collect()
}

/// The key-value metadata of a file.
pub(crate) fn metadata(facts: &FileFacts<'_>) -> Vec<KeyValue> {
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    entries.insert("ochre.format", FORMAT.to_owned());
    entries.insert("ochre.database", facts.database.to_string());
    entries.insert("ochre.table", facts.table.to_string());
    entries.insert("ochre.partition_key", facts.partition.1.to_string());
    entries.insert("ochre.template_id", format!("{:016x}", facts.partition.0));
    entries.insert("ochre.chunk", facts.chunk.to_string());
    let tags: Vec<&str> = facts.sorted_by.iter().map(|tag| tag.as_str()).collect();
    entries.insert("ochre.sort", tags.join("\u{1f}"));
    if let Some((low, high)) = facts.stamps {
        entries.insert("ochre.stamps", format!("{low}..={high}"));
    }
    if let Some(boundary) = facts.settled {
        entries.insert("ochre.settled", boundary.to_string());
    }
    for (origin, batches) in facts.batches {
        let text: Vec<String> = batches.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        entries.entry("ochre.batches").or_default().push_str(&format!("{origin}:{};", text.join(",")));
    }
    entries.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}

/// Statistics of the leading tags of an order, gathered as rows come.
#[derive(Debug)]
pub(crate) struct TagStats {
    columns: Vec<(ColumnStats, bool)>,
}

impl TagStats {
    pub(crate) fn new(sorted_by: &[ColumnName]) -> Self {
        let empty = |tag: &ColumnName| (ColumnStats { column: tag.clone(), range: None, nulls: 0 }, true);
        Self { columns: sorted_by.iter().take(STATS_TAGS).map(empty).collect() }
    }

    pub(crate) fn add(&mut self, rows: &Rows) {
        for (stats, keep) in &mut self.columns {
            let id = ColumnId { name: stats.column.clone(), kind: ColumnKind::Tag };
            let Some(array) = rows.array(&id) else {
                stats.nulls += rows.len() as u64;
                continue;
            };
            let (codes, values) = tag_parts(array);
            stats.nulls += codes.null_count() as u64;
            let used: HashSet<i32> = codes.iter().flatten().collect();
            let texts = || used.iter().map(|code| values.value(*code as usize));
            let Some((low, high)) = texts().min().zip(texts().max()) else { continue };
            *keep &= low.len().max(high.len()) <= STATS_VALUE_BYTES;
            let (min, max) = stats.range.get_or_insert_with(|| (low.into(), high.into()));
            if low < &**min {
                *min = low.into();
            }
            if high > &**max {
                *max = high.into();
            }
        }
    }

    /// The statistics, without those of tags with a value that is too long to be kept.
    pub(crate) fn finish(self) -> Vec<ColumnStats> {
        self.columns.into_iter().filter_map(|(stats, keep)| keep.then_some(stats)).collect()
    }
}

/// The kind of column that a field of one of our files holds, by its metadata; `None` for a field that is not ours.
pub fn kind_of(field: &Field) -> Option<ColumnKind> {
    let name = field.metadata().get(KIND_KEY)?;
    let fields = FieldType::ALL.into_iter().map(ColumnKind::Field);
    fields.chain([ColumnKind::Tag, ColumnKind::Time]).find(|kind| kind.to_string() == *name)
}
