//! Turns batches into bytes, one after the other.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::pretty::pretty_format_batches_with_schema;
use arrow_json::writer::{JsonArray, LineDelimited};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::arrow::ipc::writer::StreamWriter;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{Format, MAX_PRETTY_BYTES, PARQUET_ROW_GROUP_BYTES};
use crate::error::QueryError;

/// Bytes that were written and not yet taken. The writers below own one end, [`Encoder`] takes from the other.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.0.lock()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Writer {
    Json(arrow_json::writer::Writer<Sink, JsonArray>),
    JsonLines(arrow_json::writer::Writer<Sink, LineDelimited>),
    Csv(Box<arrow_csv::Writer<Sink>>),
    Pretty { batches: Vec<RecordBatch>, bytes: usize },
    Parquet(Box<ArrowWriter<Sink>>),
    Arrow(Box<StreamWriter<Sink>>),
}

/// Writes one answer.
pub(super) struct Encoder {
    writer: Writer,
    sink: Sink,
    schema: SchemaRef,
}

impl Encoder {
    pub(super) fn new(format: Format, schema: &SchemaRef) -> Result<Self, QueryError> {
        let sink = Sink::default();
        let schema = plain_schema(schema);
        let writer = match format {
            Format::Json => Writer::Json(arrow_json::WriterBuilder::new().build(sink.clone())),
            Format::JsonLines => Writer::JsonLines(arrow_json::WriterBuilder::new().build(sink.clone())),
            Format::Csv => {
                let mut writer = arrow_csv::WriterBuilder::new().with_header(true).build(sink.clone());
                // The header comes with the first batch, so an answer without rows needs one too.
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(failed)?;
                Writer::Csv(Box::new(writer))
            }
            Format::Pretty => Writer::Pretty { batches: Vec::new(), bytes: 0 },
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
                let writer = ArrowWriter::try_new(sink.clone(), schema.clone(), Some(properties.build()));
                Writer::Parquet(Box::new(writer.map_err(parquet_failed)?))
            }
            Format::Arrow => Writer::Arrow(Box::new(StreamWriter::try_new(sink.clone(), &schema).map_err(failed)?)),
        };
        Ok(Self { writer, sink, schema })
    }

    /// Adds rows; returns what is ready.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, QueryError> {
        let batch = plain(batch, &self.schema).map_err(failed)?;
        match &mut self.writer {
            Writer::Json(writer) => writer.write(&batch).map_err(failed)?,
            Writer::JsonLines(writer) => writer.write(&batch).map_err(failed)?,
            Writer::Csv(writer) => writer.write(&batch).map_err(failed)?,
            Writer::Arrow(writer) => writer.write(&batch).map_err(failed)?,
            Writer::Parquet(writer) => {
                writer.write(&batch).map_err(parquet_failed)?;
                if writer.in_progress_size() > PARQUET_ROW_GROUP_BYTES {
                    writer.flush().map_err(parquet_failed)?;
                }
            }
            Writer::Pretty { batches, bytes } => {
                *bytes += batch.get_array_memory_size();
                if *bytes > MAX_PRETTY_BYTES {
                    return Err(QueryError::ResourcesExhausted(format!(
                        "a table for people has at most {MAX_PRETTY_BYTES} bytes: ask for csv or json, or add a LIMIT"
                    )));
                }
                batches.push(batch);
            }
        }
        Ok(self.sink.take())
    }

    /// Ends the answer; returns the rest of it.
    pub(super) fn finish(self) -> Result<Bytes, QueryError> {
        match self.writer {
            Writer::Json(mut writer) => writer.finish().map_err(failed)?,
            Writer::JsonLines(mut writer) => writer.finish().map_err(failed)?,
            Writer::Csv(_) => {}
            Writer::Arrow(mut writer) => writer.finish().map_err(failed)?,
            Writer::Parquet(writer) => {
                writer.close().map_err(parquet_failed)?;
            }
            Writer::Pretty { batches, .. } => {
                let table = pretty_format_batches_with_schema(self.schema, &batches).map_err(failed)?;
                return Ok(Bytes::from(table.to_string()));
            }
        }
        Ok(self.sink.take())
    }
}

fn failed(error: ArrowError) -> QueryError {
    QueryError::Execution(format!("writing the answer: {error}"))
}

fn parquet_failed(error: ParquetError) -> QueryError {
    QueryError::Execution(format!("writing the answer: {error}"))
}

/// The schema with the values' types in place of dictionaries.
fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &FieldRef| match field.data_type() {
        DataType::Dictionary(_, values) => {
            let plain = Field::new(field.name(), (**values).clone(), field.is_nullable());
            Arc::new(plain.with_metadata(field.metadata().clone()))
        }
        _ => field.clone(),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch in that schema.
fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let arrays: Result<Vec<ArrayRef>, ArrowError> = columns
        .map(|(array, field)| match array.data_type() == field.data_type() {
            true => Ok(array.clone()),
            false => arrow_cast::cast(array, field.data_type()),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays?, &options)
}
