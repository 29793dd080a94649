//! Carrying out one job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::UInt32Array;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use ochre_batch::rows::canonical_order;
use ochre_batch::tombstone::acting;
use ochre_batch::{SortOrder, StampedRows, sort};
use ochre_env::Env;
use ochre_env::planted::{self, Planted};
use ochre_types::tombstone::Tombstone;
use ochre_types::{ColumnId, ColumnName, DatabaseName, Hlc, Incarnation, IntervalSet, LogId, Stamp};
use tokio::sync::oneshot;

use super::CompactError;
use super::merge::{Merge, Source, Step};
use super::output::{Encoder, Output, Sink, Written};
use super::plan::{Cause, Job, facts};
use super::read::Input;
use crate::buffer::Buffer;
use crate::catalog::{Catalog, CatalogState, ChunkId, ChunkMeta, Edit, LogRange, PartitionName, Removal, SortedBy};
use crate::object::Layout;
use crate::parquet::{FileFacts, file_schema};

/// The first wait before a commit whose outcome is not known is repeated; it doubles each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// The least and the most bytes of a row group that is being written.
const ROW_GROUP_BYTES: (u64, u64) = (1 << 20, 32 << 20);

/// Joins the chunks of one database.
#[derive(Debug, Clone)]
pub(crate) struct Compactor {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) layout: Layout,
    pub(crate) database: DatabaseName,
    pub(crate) log: LogId,
    pub(crate) env: Env,
}

/// What a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Jobs that were carried out.
    pub jobs: u64,
    /// Chunks that were taken out.
    pub chunks_in: u64,
    /// Chunks that took their place.
    pub chunks_out: u64,
    /// Rows of the former, counting versions apart.
    pub rows_in: u64,
    /// Rows of the latter.
    pub rows_out: u64,
    /// Bytes of the objects of the former.
    pub bytes_in: u64,
    /// Bytes of the objects of the latter.
    pub bytes_out: u64,
}

impl Outcome {
    /// The sum of two.
    pub fn and(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            chunks_in: self.chunks_in + other.chunks_in,
            chunks_out: self.chunks_out + other.chunks_out,
            rows_in: self.rows_in + other.rows_in,
            rows_out: self.rows_out + other.rows_out,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

/// What a job is carried out with, beside the job itself.
pub(crate) struct Terms<'a> {
    /// The table's present order and its version.
    pub(crate) order: (SortOrder, u32),
    /// Whether chunks of a version are in it.
    pub(crate) keeps_order: &'a (dyn Fn(u32) -> bool + Sync),
    /// The deletions that are known.
    pub(crate) tombstones: &'a [Arc<Tombstone>],
    /// Rows older than this are left out.
    pub(crate) visible_from: Option<i64>,
    /// The columns whose values the files have bloom filters of.
    pub(crate) bloom: &'a [ColumnName],
    /// Bytes that the job may take, about.
    pub(crate) memory: u64,
    /// The hybrid clock.
    pub(crate) now: Hlc,
    /// Whether to give up.
    pub(crate) cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// The part of a job's memory that bloom filters may take, as a divisor: more than a byte a value.
const BLOOM_PART: u64 = 4;

/// What a job makes, between opening its inputs and the end of its files. Moves to where it may take long, and back.
struct Work {
    merge: Merge,
    outputs: Vec<Output>,
    cuts: Vec<i64>,
}

/// Why a [`Work`] came back.
enum Progress {
    /// Row groups of these inputs are wanted.
    Fetch(Vec<usize>),
    /// There are parts to send.
    Send,
    /// All rows are in outputs.
    Done,
}

impl Work {
    fn advance(&mut self) -> Result<Progress, CompactError> {
        loop {
            match self.merge.step()? {
                Step::Groups(wanted) => return Ok(Progress::Fetch(wanted)),
                Step::Done => return Ok(Progress::Done),
                Step::Rows(rows) => self.distribute(&rows)?,
            }
            if self.outputs.iter().any(Output::has_part) {
                return Ok(Progress::Send);
            }
        }
    }

    /// Hands rows to the outputs that their times belong to.
    fn distribute(&mut self, rows: &StampedRows) -> Result<(), CompactError> {
        let encode = |source| CompactError::Encode { source };
        if let [only] = self.outputs.as_mut_slice() {
            return only.encoder().write(rows).map_err(encode);
        }
        let mut indices: Vec<Vec<u32>> = vec![Vec::new(); self.outputs.len()];
        for (row, time) in rows.rows.times().iter().enumerate() {
            indices[self.cuts.partition_point(|cut| cut <= time)].push(row as u32);
        }
        for (output, indices) in self.outputs.iter_mut().zip(indices) {
            let part =
                sort::take(rows, &UInt32Array::from(indices)).map_err(|source| CompactError::Merge { source })?;
            output.encoder().write(&part).map_err(encode)?;
        }
        Ok(())
    }
}

impl Compactor {
    /// Carries out a job. `None` if the chunks changed meanwhile: nothing has happened then.
    ///
    /// May be dropped at any time: what was sent so far is then an orphan, and a commit that has begun goes on.
    pub(crate) async fn run(&self, job: &Job, terms: &Terms<'_>) -> Result<Option<Outcome>, CompactError> {
        let sink = Sink { store: self.objects.clone(), clock: self.env.clock.clone() };
        let sorted_by = match &job.order {
            Some(kept) => kept.clone(),
            None => SortedBy { version: terms.order.1, columns: terms.order.0.tags().into() },
        };
        let mut inputs = self.open(job).await?;
        let work = self.begin(job, terms, &sorted_by, &inputs);
        let outputs = self.write(work, &mut inputs, &sink, terms).await?;
        drop(inputs);
        let written = self.finish(job, &sorted_by, outputs, &sink).await?;
        if (terms.cancelled)() {
            self.remove(&written).await;
            return Err(CompactError::Cancelled);
        }
        let metas = self.metas(job, terms, &sorted_by, &written);
        let outcome = Outcome {
            jobs: 1,
            chunks_in: job.inputs.len() as u64,
            chunks_out: metas.len() as u64,
            rows_in: job.inputs.iter().map(|chunk| chunk.rows).sum(),
            rows_out: metas.iter().map(|chunk| chunk.rows).sum(),
            bytes_in: job.inputs.iter().map(|chunk| chunk.size_bytes).sum(),
            bytes_out: metas.iter().map(|chunk| chunk.size_bytes).sum(),
        };
        let edits = edits(job, terms, sorted_by, &metas);
        if self.commit(job, edits, metas).await? {
            return Ok(Some(outcome));
        }
        self.remove(&written).await;
        Ok(None)
    }

    async fn open(&self, job: &Job) -> Result<Vec<Input>, CompactError> {
        let table = self.buffer.columns_at(&job.partition.table, highest_stamp(job));
        let read: Arc<dyn ObjectStore> = match self.catalog.verified_objects() {
            Some(verified) => Arc::new(verified.clone()),
            None => self.objects.clone(),
        };
        let mut inputs = Vec::with_capacity(job.inputs.len());
        let forgotten = usize::from(planted::is(Planted::JoinForgetsInput));
        for meta in &job.inputs[forgotten..] {
            let path = self.layout.object(&self.database, &meta.object);
            inputs.push(Input::open(read.clone(), path, meta.clone(), &table).await?);
        }
        Ok(inputs)
    }

    fn begin(&self, job: &Job, terms: &Terms<'_>, sorted_by: &SortedBy, inputs: &[Input]) -> Work {
        let order = SortOrder::new(sorted_by.columns.clone());
        let sources = inputs.iter().map(|input| {
            let meta = &input.meta;
            let erased = acting(terms.tombstones, &facts(meta));
            let erased = erased.into_iter().filter(|active| active.tombstone.is_final(terms.now)).collect();
            let resort = job.order.is_none() && !(terms.keeps_order)(meta.sorted_by.version);
            Source::new(meta.clone(), input.columns().clone(), erased, resort)
        });
        let name = &job.partition.table;
        let merge = Merge::new(name.clone(), order.clone(), job.settle, terms.visible_from, sources.collect());
        let mut columns: Vec<ColumnId> = inputs.iter().flat_map(|input| input.columns().ids()).cloned().collect();
        columns.sort_by(canonical_order);
        columns.dedup();
        let schema = file_schema(&columns, &self.buffer.columns_at(name, highest_stamp(job)), job.settle.is_none());
        let columns: Arc<[ColumnId]> = columns.into();
        let row_group = (terms.memory / 16).clamp(ROW_GROUP_BYTES.0, ROW_GROUP_BYTES.1);
        let rows: u64 = inputs.iter().map(|input| input.meta.rows).sum();
        let bloom_bytes = terms.memory / BLOOM_PART / terms.bloom.len().max(1) as u64;
        let bloom_rows = (rows / (job.cuts.len() as u64 + 1)).min(bloom_bytes);
        let outputs = (0..=job.cuts.len()).map(|_| {
            let id = self.buffer.next_chunk_id();
            let path = self.layout.object(&self.database, &object(job, id));
            let encoder = Encoder::new(columns.clone(), schema.clone(), order.clone(), row_group as usize);
            Output::new(id, path, encoder.with_bloom(terms.bloom, bloom_rows))
        });
        Work { merge, outputs: outputs.collect(), cuts: job.cuts.clone() }
    }

    /// Reads all inputs to their end.
    async fn write(
        &self,
        mut work: Work,
        inputs: &mut [Input],
        sink: &Sink,
        terms: &Terms<'_>,
    ) -> Result<Vec<Output>, CompactError> {
        let failed = loop {
            let advancing = move || {
                let progress = work.advance();
                (work, progress)
            };
            let (back, progress) = self.env.compute.run(advancing).await;
            work = back;
            let done = match progress {
                Ok(Progress::Done) => return Ok(work.outputs),
                Ok(Progress::Send) => send(&mut work.outputs, sink).await,
                Ok(Progress::Fetch(wanted)) => fetch(&mut work.merge, inputs, &wanted).await,
                Err(error) => Err(error),
            };
            match done {
                Err(error) => break error,
                Ok(()) if (terms.cancelled)() => break CompactError::Cancelled,
                Ok(()) => {}
            }
        };
        for output in work.outputs {
            output.abort(sink).await;
        }
        Err(failed)
    }

    /// Ends the files; all of them are in the store then, or none.
    async fn finish(
        &self,
        job: &Job,
        sorted_by: &SortedBy,
        outputs: Vec<Output>,
        sink: &Sink,
    ) -> Result<Vec<Written>, CompactError> {
        let batches = batches(job);
        let mut written = Vec::with_capacity(outputs.len());
        let mut failed = None;
        for output in outputs {
            if failed.is_some() {
                output.abort(sink).await;
                continue;
            }
            match self.finish_one(job, sorted_by, &batches, output, sink).await {
                Ok(done) => written.extend(done),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            None => Ok(written),
            Some(error) => {
                self.remove(&written).await;
                Err(error)
            }
        }
    }

    async fn finish_one(
        &self,
        job: &Job,
        sorted_by: &SortedBy,
        batches: &Arc<Batches>,
        mut output: Output,
        sink: &Sink,
    ) -> Result<Option<Written>, CompactError> {
        let (database, partition) = (self.database.clone(), job.partition.clone());
        let (sorted_by, batches, settled) = (sorted_by.clone(), batches.clone(), job.settle);
        let ending = move || {
            let (id, stamps) = (output.id, output.encoder().totals().stamps);
            let facts = FileFacts {
                database: &database,
                table: &partition.table,
                partition: &(partition.template.0, partition.key.clone()),
                chunk: id,
                sorted_by: &sorted_by.columns,
                stamps: Some(stamps),
                batches: &batches,
                settled,
            };
            let ended = output.encoder().finish(&facts);
            (output, ended)
        };
        let (output, ended) = self.env.compute.run(ending).await;
        match ended {
            Ok(()) => output.finish(sink).await,
            Err(source) => {
                output.abort(sink).await;
                Err(CompactError::Encode { source })
            }
        }
    }

    fn metas(&self, job: &Job, terms: &Terms<'_>, sorted_by: &SortedBy, written: &[Written]) -> Vec<Arc<ChunkMeta>> {
        let applied: Arc<[Stamp]> = applied(job, terms).into();
        let (log, intervals) = (self.log_range(job), batches(job));
        let meta = |written: &Written| {
            let totals = written.totals;
            Arc::new(ChunkMeta {
                id: written.id,
                table: job.partition.table.clone(),
                partition_key: job.partition.key.clone(),
                template: job.partition.template,
                object: object(job, written.id),
                size_bytes: written.size,
                rows: totals.rows,
                time: totals.time,
                stamps: totals.stamps,
                unique_keys: totals.unique_keys,
                level: 1,
                sorted_by: sorted_by.clone(),
                log,
                stats: written.stats.clone(),
                intervals: BTreeMap::clone(&intervals),
                settled: job.settle,
                applied: applied.clone(),
                checksums: written.checksums.clone(),
            })
        };
        written.iter().map(meta).collect()
    }

    /// The range that spans those of the inputs: of the node's log where one of them is of it.
    fn log_range(&self, job: &Job) -> LogRange {
        let of_this = |chunk: &&Arc<ChunkMeta>| chunk.log.log == self.log;
        let log = match job.inputs.iter().find(of_this) {
            Some(_) => self.log,
            None => job.inputs.first().map_or(self.log, |chunk| chunk.log.log),
        };
        let ranges = || job.inputs.iter().map(|chunk| chunk.log).filter(|range| range.log == log);
        LogRange {
            log,
            first: ranges().map(|range| range.first).min().unwrap_or_default(),
            last: ranges().map(|range| range.last).max().unwrap_or_default(),
        }
    }

    /// Takes chunks out of the catalog, whatever becomes of whoever waits for it, and shows them no more. Those that are
    /// not there are passed over.
    pub(crate) async fn take_out(
        &self,
        chunks: BTreeMap<PartitionName, Vec<ChunkId>>,
        at: Hlc,
        reason: Removal,
    ) -> Result<(), CompactError> {
        let all = chunks.values().flatten().copied().collect();
        let edits = vec![Edit::RemoveChunks { chunks: all, at, reason }];
        let this = self.clone();
        self.owned(async move {
            this.commit_until_known(&edits, |_| true).await?;
            for (partition, chunks) in &chunks {
                this.buffer.install_joined(partition, chunks, Vec::new());
            }
            Ok(())
        })
        .await
    }

    /// Commits a job, whatever becomes of whoever waits for it, and shows the outputs. False if the inputs changed
    /// meanwhile.
    async fn commit(&self, job: &Job, edits: Vec<Edit>, metas: Vec<Arc<ChunkMeta>>) -> Result<bool, CompactError> {
        let (this, partition) = (self.clone(), job.partition.clone());
        let inputs: Vec<ChunkId> = job.inputs.iter().map(|chunk| chunk.id).collect();
        self.owned(async move {
            let done = this.commit_until_known(&edits, |state| fits(state, &partition, &inputs, &metas)).await?;
            if done {
                let path = |meta: &Arc<ChunkMeta>| this.layout.object(&this.database, &meta.object);
                let shown = metas.iter().map(|meta| (meta.clone(), path(meta))).collect();
                this.buffer.install_joined(&partition, &inputs, shown);
            }
            Ok(done)
        })
        .await
    }

    /// Runs `work` to its end though the caller be dropped: what the catalog says is then what the buffer shows.
    async fn owned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CompactError>> + Send + 'static,
    ) -> Result<T, CompactError> {
        let (sender, receiver) = oneshot::channel();
        self.env.tasks.spawn("commit of joined chunks", async move { drop(sender.send(work.await)) });
        receiver.await.unwrap_or(Err(CompactError::Stopped))
    }

    async fn commit_until_known(
        &self,
        edits: &[Edit],
        fits: impl Fn(&CatalogState) -> bool,
    ) -> Result<bool, CompactError> {
        let mut pause = FIRST_RETRY;
        loop {
            match self.catalog.commit_if(edits.to_vec(), &fits).await {
                Ok(revision) => return Ok(revision.is_some()),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(database = %self.database, %error, retry_in = ?pause, "chunks wait for the catalog");
                }
                Err(error) => return Err(error.into()),
            }
            self.env.clock.sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    /// Removes files that are in no catalog and never will be, as far as the store lets us.
    async fn remove(&self, written: &[Written]) {
        for file in written {
            if let Err(error) = self.objects.delete(&file.path).await
                && !matches!(error, Error::NotFound { .. })
            {
                tracing::debug!(object = %file.path, %error, "an unused file stays: `ochre scrub` finds it");
            }
        }
    }
}

/// The batches of chunks, by origin.
type Batches = BTreeMap<Incarnation, IntervalSet>;

fn batches(job: &Job) -> Arc<Batches> {
    let mut all = Batches::new();
    for (origin, intervals) in job.inputs.iter().flat_map(|chunk| &chunk.intervals) {
        all.entry(*origin).or_default().extend(intervals);
    }
    Arc::new(all)
}

fn highest_stamp(job: &Job) -> Stamp {
    job.inputs.iter().map(|chunk| chunk.stamps.1).max().unwrap_or_default()
}

fn object(job: &Job, id: ChunkId) -> Arc<str> {
    Layout::chunk(&job.partition.table, job.partition.key.as_str(), &id.to_string()).into()
}

/// Whether the edits of a job still fit: all inputs are there, or all outputs, as after a commit whose answer was lost.
/// Without outputs nothing can come back by taking inputs out.
fn fits(state: &CatalogState, partition: &PartitionName, inputs: &[ChunkId], outputs: &[Arc<ChunkMeta>]) -> bool {
    let Some(table) = state.tables.get(&partition.table) else { return false };
    let has = |id: &ChunkId| table.chunks.contains_key(id);
    outputs.is_empty() || inputs.iter().all(has) || outputs.iter().all(|output| has(&output.id))
}

fn edits(job: &Job, terms: &Terms<'_>, sorted_by: SortedBy, metas: &[Arc<ChunkMeta>]) -> Vec<Edit> {
    let table = job.partition.table.clone();
    let reason = match (metas, job.cause) {
        ([], Cause::Expired) => Removal::Expired,
        ([], _) => Removal::Erased,
        _ => Removal::Joined,
    };
    let mut edits = Vec::with_capacity(3);
    if !metas.is_empty() {
        edits.push(Edit::AddSortOrder { table, version: sorted_by.version, columns: sorted_by.columns });
        edits.push(Edit::AddChunks { chunks: metas.to_vec() });
    }
    let chunks = job.inputs.iter().map(|chunk| chunk.id).collect();
    edits.push(Edit::RemoveChunks { chunks, at: terms.now, reason });
    edits
}

/// The deletions that never act on the outputs of a job again: see invariant 4 of [`super`].
fn applied(job: &Job, terms: &Terms<'_>) -> Vec<Stamp> {
    let low = job.inputs.iter().map(|chunk| chunk.time.0).min().unwrap_or(i64::MIN);
    let high = job.inputs.iter().map(|chunk| chunk.time.1).max().unwrap_or(i64::MAX);
    let named = |tombstone: &Tombstone| job.inputs.iter().any(|chunk| chunk.applied.contains(&tombstone.stamp));
    let acted: BTreeSet<Stamp> = job
        .inputs
        .iter()
        .flat_map(|chunk| acting(terms.tombstones, &facts(chunk)))
        .filter(|active| active.tombstone.is_final(terms.now))
        .map(|active| active.tombstone.stamp)
        .collect();
    let settled = |tombstone: &Tombstone| {
        job.settle.is_some_and(|boundary| tombstone.stamp.hlc <= boundary)
            && tombstone.concerns(&job.partition.table, (low, high))
    };
    let never_again =
        |tombstone: &&Arc<Tombstone>| named(tombstone) || acted.contains(&tombstone.stamp) || settled(tombstone);
    let stamps: BTreeSet<Stamp> = terms.tombstones.iter().filter(never_again).map(|one| one.stamp).collect();
    stamps.into_iter().collect()
}

async fn send(outputs: &mut [Output], sink: &Sink) -> Result<(), CompactError> {
    for output in outputs {
        output.send_parts(sink).await?;
    }
    Ok(())
}

async fn fetch(merge: &mut Merge, inputs: &mut [Input], wanted: &[usize]) -> Result<(), CompactError> {
    for at in wanted {
        let group = inputs[*at].next_group().await?;
        merge.source(*at).give(group);
    }
    Ok(())
}
