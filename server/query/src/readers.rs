//! Readers of Parquet objects whose errors name the object.

use std::fmt::Debug;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use ochre_store::object::verified::DamagedObject;

/// Makes [`NamedReader`]s of the readers that another factory makes.
#[derive(Debug)]
pub(crate) struct NamedReaders(pub(crate) CachedParquetFileReaderFactory);

impl ParquetFileReaderFactory for NamedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let path = file.object_meta.location.clone();
        let reader = self.0.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(NamedReader { path, reader }))
    }
}

/// Reads one object. A panic over its footer is an error.
struct NamedReader {
    path: Path,
    reader: Box<dyn AsyncFileReader + Send>,
}

/// The error with the object's name, unless it says more than that already.
fn named(path: &Path, error: ParquetError) -> ParquetError {
    if DamagedObject::of(&error).is_some() {
        return error;
    }
    ParquetError::General(format!("object {path}: {error}"))
}

impl AsyncFileReader for NamedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let path = &self.path;
        self.reader.get_bytes(range).map(move |read| read.map_err(|error| named(path, error))).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let path = &self.path;
        self.reader.get_byte_ranges(ranges).map(move |read| read.map_err(|error| named(path, error))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let path = &self.path;
        let read = AssertUnwindSafe(self.reader.get_metadata(options)).catch_unwind();
        read.map(move |read| {
            let panicked = |_| Err(ParquetError::General("the reader panicked over its footer".to_owned()));
            read.unwrap_or_else(panicked).map_err(|error| named(path, error))
        })
        .boxed()
    }
}
