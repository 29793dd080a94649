//! One file that a compaction makes: encoded as rows come, sent in parts, never wholly in memory.
//!
//! A short file is created in one put, as a persisted chunk is; a longer one is sent in parts and appears when the last
//! one is there. Each try has a name of its own, so that nothing is ever written over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use ochre_batch::fold::has_unique_keys;
use ochre_batch::{SortOrder, StampedRows};
use ochre_env::Clock;
use ochre_types::{ColumnId, ColumnName, Stamp};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::CompactError;
use crate::catalog::{CHECKSUM_BLOCK, ChunkId, ColumnStats};
use crate::object::create::{self, Created};
use crate::parquet::{FileFacts, TagStats, bloom_filters, metadata, properties, record_batch};

/// Bytes of a part. Some stores want all parts but the last to have one length, of 5 MiB at least.
const PART_BYTES: usize = 8 << 20;
/// How long one part may take.
const PART_LIMIT: Duration = Duration::from_secs(120);

/// Where files go.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A file that is being written.
pub(super) struct Output {
    pub(super) id: ChunkId,
    pub(super) path: Path,
    encoder: Encoder,
    upload: Option<Box<dyn MultipartUpload>>,
}

/// The part of an output that makes bytes of rows.
pub(super) struct Encoder {
    columns: Arc<[ColumnId]>,
    schema: arrow_schema::SchemaRef,
    order: SortOrder,
    row_group_bytes: usize,
    bloom: (Arc<[ColumnName]>, u64),
    writer: Option<ArrowWriter<Vec<u8>>>,
    stats: TagStats,
    totals: Totals,
    /// Bytes that are not sent yet.
    ready: Vec<u8>,
    checksums: Checksums,
}

/// What is known of the rows of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) time: (i64, i64),
    pub(super) stamps: (Stamp, Stamp),
    pub(super) unique_keys: bool,
}

/// A file that is in the store.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: ChunkId,
    pub(super) path: Path,
    pub(super) size: u64,
    pub(super) totals: Totals,
    pub(super) stats: Vec<ColumnStats>,
    pub(super) checksums: Arc<[u32]>,
}

impl Encoder {
    pub(super) fn new(
        columns: Arc<[ColumnId]>,
        schema: arrow_schema::SchemaRef,
        order: SortOrder,
        row_group_bytes: usize,
    ) -> Self {
        let stats = TagStats::new(order.tags());
        let highest = Stamp::from_bytes([u8::MAX; Stamp::BYTES]);
        let totals =
            Totals { rows: 0, time: (i64::MAX, i64::MIN), stamps: (highest, Stamp::default()), unique_keys: true };
        let (ready, checksums) = (Vec::new(), Checksums::default());
        let bloom = (Arc::default(), 0);
        Self { columns, schema, order, row_group_bytes, bloom, writer: None, stats, totals, ready, checksums }
    }

    /// The same with bloom filters of the values of these columns, for so many rows.
    pub(super) fn with_bloom(self, columns: &[ColumnName], rows: u64) -> Self {
        Self { bloom: (columns.into(), rows), ..self }
    }

    /// Adds rows, whose keys are above those of all rows before.
    pub(super) fn write(&mut self, rows: &StampedRows) -> Result<(), ParquetError> {
        let (Some(time), Some(stamps)) = (rows.rows.time_range(), rows.stamp_range()) else { return Ok(()) };
        let totals = &mut self.totals;
        totals.rows += rows.rows.len() as u64;
        totals.time = (totals.time.0.min(time.0), totals.time.1.max(time.1));
        totals.stamps = (totals.stamps.0.min(stamps.0), totals.stamps.1.max(stamps.1));
        totals.unique_keys &= has_unique_keys(&rows.rows);
        self.stats.add(&rows.rows);
        let batch = record_batch(rows, &self.columns, &self.schema)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let (bloom, rows) = &self.bloom;
                let properties = bloom_filters(properties(self.order.tags(), &batch), &self.schema, bloom, *rows);
                let properties = properties.set_max_row_group_bytes(Some(self.row_group_bytes)).build();
                none.insert(ArrowWriter::try_new(Vec::new(), self.schema.clone(), Some(properties))?)
            }
        };
        writer.write(&batch)?;
        let bytes = std::mem::take(writer.inner_mut());
        self.take_bytes(bytes);
        Ok(())
    }

    fn take_bytes(&mut self, bytes: Vec<u8>) {
        self.checksums.add(&bytes);
        if self.ready.is_empty() { self.ready = bytes } else { self.ready.extend_from_slice(&bytes) }
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, facts: &FileFacts<'_>) -> Result<(), ParquetError> {
        if let Some(mut writer) = self.writer.take() {
            metadata(facts).into_iter().for_each(|entry| writer.append_key_value_metadata(entry));
            let bytes = writer.into_inner()?;
            self.take_bytes(bytes);
        }
        Ok(())
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }
}

impl Output {
    pub(super) fn new(id: ChunkId, path: Path, encoder: Encoder) -> Self {
        Self { id, path, encoder, upload: None }
    }

    /// The encoder, which moves to where it may take long and comes back by [`Output::resume`].
    pub(super) fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Whether there is a part to send.
    pub(super) fn has_part(&self) -> bool {
        self.encoder.ready.len() >= PART_BYTES
    }

    /// Sends the parts that are full.
    pub(super) async fn send_parts(&mut self, sink: &Sink) -> Result<(), CompactError> {
        while self.has_part() {
            let rest = self.encoder.ready.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.encoder.ready, rest);
            self.send(sink, part.into()).await?;
        }
        Ok(())
    }

    async fn send(&mut self, sink: &Sink, part: Bytes) -> Result<(), CompactError> {
        let path = self.path.clone();
        if self.upload.is_none() {
            self.upload = Some(within(sink, &path, sink.store.put_multipart(&path)).await?);
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        within(sink, &path, upload.put_part(PutPayload::from_bytes(part))).await
    }

    /// Sends what is left: the file is in the store then. `None` if it has no rows.
    pub(super) async fn finish(mut self, sink: &Sink) -> Result<Option<Written>, CompactError> {
        if self.encoder.totals.rows == 0 {
            return Ok(None);
        }
        self.send_parts(sink).await?;
        let rest = Bytes::from(std::mem::take(&mut self.encoder.ready));
        match &mut self.upload {
            None => match create::create(&sink.store, &sink.clock, &self.path, &rest).await {
                Created::Made | Created::Taken => {}
                Created::Unknown(source) => return Err(put(&self.path, source)),
            },
            Some(upload) => {
                if !rest.is_empty() {
                    within(sink, &self.path, upload.put_part(PutPayload::from_bytes(rest))).await?;
                }
                within(sink, &self.path, upload.complete()).await?;
            }
        }
        let (checksums, size) = self.encoder.checksums.finish();
        let (totals, stats) = (self.encoder.totals, self.encoder.stats.finish());
        Ok(Some(Written { id: self.id, path: self.path, size, totals, stats, checksums }))
    }

    /// Gives up: what was sent is removed, as far as the store lets us.
    pub(super) async fn abort(mut self, sink: &Sink) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = within(sink, &self.path, upload.abort()).await
        {
            tracing::debug!(%error, "parts of an unfinished file stay until the store removes them");
        }
    }
}

async fn within<T>(
    sink: &Sink,
    path: &Path,
    attempt: impl Future<Output = Result<T, Error>>,
) -> Result<T, CompactError> {
    tokio::select! {
        biased;
        answer = attempt => answer.map_err(|source| put(path, source)),
        () = sink.clock.sleep(PART_LIMIT) => {
            let source = format!("no answer within {PART_LIMIT:?}").into();
            Err(put(path, Error::Generic { store: "object store", source }))
        }
    }
}

fn put(path: &Path, source: Error) -> CompactError {
    CompactError::Put { path: path.clone(), source }
}

/// CRC32C of each block of a file, as it is made.
#[derive(Debug, Default)]
struct Checksums {
    whole: Vec<u32>,
    open: u32,
    bytes: u64,
}

impl Checksums {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHECKSUM_BLOCK - self.bytes % CHECKSUM_BLOCK;
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.open = crc32c::crc32c_append(self.open, now);
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(CHECKSUM_BLOCK) {
                self.whole.push(std::mem::take(&mut self.open));
            }
            bytes = later;
        }
    }

    /// The checksums, and how many bytes there were.
    fn finish(mut self) -> (Arc<[u32]>, u64) {
        if !self.bytes.is_multiple_of(CHECKSUM_BLOCK) {
            self.whole.push(self.open);
        }
        (self.whole.into(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::verified::checksums;

    #[test]
    fn checksums_of_pieces_are_those_of_the_whole() {
        let bytes: Vec<u8> = (0..CHECKSUM_BLOCK as usize * 2 + 77).map(|at| (at * 31 % 251) as u8).collect();
        for length in [bytes.len(), 2 << 20, 1 << 20, 5, 0] {
            let mut sums = Checksums::default();
            bytes[..length].chunks(300_007).for_each(|piece| sums.add(piece));
            assert_eq!(sums.finish(), (checksums(&bytes[..length]), length as u64));
        }
    }
}
