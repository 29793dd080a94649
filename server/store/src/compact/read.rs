//! One persisted chunk as a stream of stamped rows, in bounded memory: one row group at a time, in batches.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch};
use arrow_schema::Schema;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_batch::{Rows, StampedRows, Stamps};
use ochre_types::{ColumnId, ColumnName, Incarnation, STAMP_COLUMN, Stamp};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::CompactError;
use crate::catalog::ChunkMeta;
use crate::parquet::kind_of;
use crate::snapshot::TableColumn;

/// Rows of a batch that is decoded at a time.
const BATCH_ROWS: usize = 16 * 1024;

/// A chunk that is being read.
pub(super) struct Input {
    pub(super) meta: Arc<ChunkMeta>,
    groups: ParquetRecordBatchStream<Object>,
    columns: Arc<Columns>,
}

/// Which columns a file has.
#[derive(Debug)]
pub(super) struct Columns {
    /// By position in the file.
    positions: Vec<(ColumnId, usize)>,
    stamps: Option<usize>,
    /// The stamp of all rows, where there is no column of them.
    settled: Option<Stamp>,
}

impl Input {
    /// Opens the object of a chunk. `table` says which columns names stand for.
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        meta: Arc<ChunkMeta>,
        table: &[TableColumn],
    ) -> Result<Self, CompactError> {
        let object = Object { store, path, size: meta.size_bytes };
        let builder = ParquetRecordBatchStreamBuilder::new(object).await.map_err(|source| read(&meta, source))?;
        let columns = Arc::new(Columns::of(builder.schema(), &meta, table)?);
        let groups = builder.with_batch_size(BATCH_ROWS).build().map_err(|source| read(&meta, source))?;
        Ok(Self { meta, groups, columns })
    }

    /// The columns of its file.
    pub(super) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// The next row group, fetched and ready to be decoded; `None` after the last.
    pub(super) async fn next_group(&mut self) -> Result<Option<ParquetRecordBatchReader>, CompactError> {
        self.groups.next_row_group().await.map_err(|source| read(&self.meta, source))
    }
}

impl Columns {
    fn of(schema: &Schema, meta: &ChunkMeta, table: &[TableColumn]) -> Result<Self, CompactError> {
        let unreadable = |what: String| CompactError::Unreadable { chunk: meta.id, what };
        let mut positions = Vec::with_capacity(schema.fields().len());
        let mut stamps = None;
        for (position, field) in schema.fields().iter().enumerate() {
            if field.name() == STAMP_COLUMN {
                stamps = Some(position);
                continue;
            }
            let kind =
                kind_of(field).ok_or_else(|| unreadable(format!("nothing says what column {:?} is", field.name())))?;
            let known = table.iter().map(|column| &column.id).filter(|id| id.kind == kind);
            let by_name = known.clone().find(|id| id.name.as_str() == field.name());
            let id = match by_name.or_else(|| known.clone().find(|id| id.to_string() == *field.name())) {
                Some(id) => id.clone(),
                None => {
                    let name = field.name().strip_suffix(&format!("::{kind}")).unwrap_or(field.name());
                    let name =
                        ColumnName::new(name).map_err(|error| unreadable(format!("column {name:?}: {error}")))?;
                    ColumnId { name, kind }
                }
            };
            positions.push((id, position));
        }
        positions.sort_by(|a, b| ochre_batch::rows::canonical_order(&a.0, &b.0));
        let settled = meta.settled.map(|hlc| Stamp { hlc, incarnation: Incarnation(0) });
        match (stamps, settled) {
            (None, None) => Err(unreadable("its rows have no stamps, and it is not settled".to_owned())),
            (stamps, settled) => Ok(Self { positions, stamps, settled }),
        }
    }

    /// The columns in canonical order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &ColumnId> {
        self.positions.iter().map(|(id, _)| id)
    }

    /// Rows of a batch with their stamps.
    pub(super) fn stamped(&self, batch: &RecordBatch, meta: &ChunkMeta) -> Result<StampedRows, CompactError> {
        let unreadable = |what: String| CompactError::Unreadable { chunk: meta.id, what };
        let (ids, arrays): (Vec<ColumnId>, Vec<_>) =
            self.positions.iter().map(|(id, position)| (id.clone(), batch.column(*position).clone())).unzip();
        let rows = Rows::new(ids, arrays).map_err(|error| unreadable(error.to_string()))?;
        let stamps = match (self.settled, self.stamps) {
            (Some(stamp), _) => Stamps::One(stamp),
            (None, position) => {
                let array = position.map(|position| batch.column(position));
                let stamps = array.and_then(|array| array.as_any().downcast_ref::<FixedSizeBinaryArray>());
                let whole =
                    stamps.filter(|stamps| stamps.null_count() == 0 && stamps.value_length() as usize == Stamp::BYTES);
                let stamps = whole.ok_or_else(|| unreadable("its column of stamps is none".to_owned()))?;
                Stamps::Each(Arc::new(stamps.clone()))
            }
        };
        Ok(StampedRows { rows, stamps })
    }
}

pub(super) fn read(meta: &ChunkMeta, source: ParquetError) -> CompactError {
    CompactError::Read { chunk: meta.id, object: meta.object.clone(), source }
}

/// An object as the Parquet reader wants it.
#[derive(Debug, Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { Ok(self.store.get_range(&self.path, range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { Ok(self.store.get_ranges(&self.path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
