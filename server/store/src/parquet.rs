//! A frozen chunk as a Parquet file that any reader reads.
//!
//! Columns have the table's names and plain types, in canonical order, then `_stamp` (16 bytes a row: big-endian
//! hybrid clock and incarnation; dictionary-encoded, as few distinct values repeat). Rows are sorted by the table's
//! order, then time, then stamp; the file says so. What Ochre knows of the chunk stands in the key-value metadata,
//! under names that begin with `ochre.`.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use ochre_batch::StampedRows;
use ochre_batch::rows::{arrow_type, tag_parts};
use ochre_batch::stamps::stamp_type;
use ochre_types::{ColumnKind, DatabaseName, FieldType, STAMP_COLUMN};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::catalog::{ChunkId, ColumnStats};
use crate::partition::PersistJob;
use crate::snapshot::TableColumn;

/// The version of what Ochre adds to Parquet: names of columns, sort order and metadata.
pub const FORMAT: &str = "1";
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

/// Encodes a frozen chunk.
pub fn encode(database: &DatabaseName, job: &PersistJob) -> Result<EncodedChunk, EncodeError> {
    let chunk = job.chunk.id;
    let sorted = &job.chunk.sorted;
    let batch = record_batch(sorted, &job.columns).map_err(|source| EncodeError::Columns { chunk, source })?;
    let write = || -> Result<Vec<u8>, parquet::errors::ParquetError> {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties(database, job, &batch)))?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    let bytes = write().map_err(|source| EncodeError::Write { chunk, source })?;
    Ok(EncodedChunk { bytes, stats: stats(job) })
}

/// Rows with their stamps under the names that the table's columns have.
fn record_batch(sorted: &StampedRows, columns: &[TableColumn]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (column, array) in sorted.rows.iter() {
        let name = match columns.iter().find(|known| known.id == *column) {
            Some(known) => known.visible_name(columns),
            None => column.to_string(),
        };
        let metadata = [("ochre.kind".to_owned(), column.kind.to_string())].into_iter().collect();
        let nullable = column.kind != ColumnKind::Time;
        fields.push(Field::new(name, arrow_type(column.kind), nullable).with_metadata(metadata));
        arrays.push(array.clone());
    }
    fields.push(Field::new(STAMP_COLUMN, stamp_type(), false));
    arrays.push(sorted.stamps.to_array(sorted.rows.len()));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn properties(database: &DatabaseName, job: &PersistJob, batch: &RecordBatch) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("ochre ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(metadata(database, job)))
        .set_sorting_columns(Some(sorting_columns(job, batch)));
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        builder = encode_column(builder, ColumnPath::from(field.name().clone()), field.data_type(), array);
    }
    builder.build()
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

fn sorting_columns(job: &PersistJob, batch: &RecordBatch) -> Vec<SortingColumn> {
    let schema = batch.schema();
    let named = job.order.tags().iter().map(|tag| tag.as_str());
    named
        .chain([ochre_types::TIME_COLUMN, STAMP_COLUMN])
        .filter_map(|name| schema.index_of(name).ok())
        .map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true })
        .collect()
}

fn metadata(database: &DatabaseName, job: &PersistJob) -> Vec<KeyValue> {
    let chunk = &job.chunk;
    let mut entries: BTreeMap<&str, String> = BTreeMap::new();
    entries.insert("ochre.format", FORMAT.to_owned());
    entries.insert("ochre.database", database.to_string());
    entries.insert("ochre.table", job.table.to_string());
    entries.insert("ochre.partition_key", job.partition.1.to_string());
    entries.insert("ochre.template_id", format!("{:016x}", job.partition.0));
    entries.insert("ochre.chunk", chunk.id.to_string());
    entries.insert("ochre.sort", job.order.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join("\u{1f}"));
    if let Some((low, high)) = chunk.sorted.stamp_range() {
        entries.insert("ochre.stamps", format!("{low}..={high}"));
    }
    for (origin, batches) in &chunk.coverage.batches {
        let text: Vec<String> = batches.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        entries.entry("ochre.batches").or_default().push_str(&format!("{origin}:{};", text.join(",")));
    }
    entries.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}

/// Statistics of the leading tags of the order.
fn stats(job: &PersistJob) -> Vec<ColumnStats> {
    let rows = &job.chunk.sorted.rows;
    let mut all = Vec::new();
    for tag in job.order.tags().iter().take(STATS_TAGS) {
        let id = ochre_types::ColumnId { name: tag.clone(), kind: ColumnKind::Tag };
        let Some(array) = rows.array(&id) else {
            all.push(ColumnStats { column: tag.clone(), range: None, nulls: rows.len() as u64 });
            continue;
        };
        let (codes, values) = tag_parts(array);
        let used: HashSet<i32> = codes.iter().flatten().collect();
        let texts = || used.iter().map(|code| values.value(*code as usize));
        let range = texts().min().zip(texts().max());
        if range.is_some_and(|(min, max)| min.len().max(max.len()) > STATS_VALUE_BYTES) {
            continue;
        }
        let range = range.map(|(min, max)| (Arc::from(min), Arc::from(max)));
        all.push(ColumnStats { column: tag.clone(), range, nulls: codes.null_count() as u64 });
    }
    all
}

/// The kind of column that a field of one of our files holds, by its metadata; `None` for a field that is not ours.
pub fn kind_of(field: &Field) -> Option<ColumnKind> {
    let name = field.metadata().get("ochre.kind")?;
    let fields = FieldType::ALL.into_iter().map(ColumnKind::Field);
    fields.chain([ColumnKind::Tag, ColumnKind::Time]).find(|kind| kind.to_string() == *name)
}
