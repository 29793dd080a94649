//! What is done with persisted chunks: those that are too old are taken out, others are joined, and the objects of what
//! was taken out are removed after the grace.
//!
//! This runs beside [`Lifecycle::step`], so that a long job never keeps chunks from being persisted. In one database one
//! job runs at a time, and on one node too: databases take turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ochre_types::tombstone::Tombstone;
use ochre_types::{Hlc, Sequence, TableName};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{FIRST_RETRY, Lifecycle};
use crate::buffer::JoinOrder;
use crate::catalog::{CatalogState, ChunkId, ChunkMeta, CollectError, PartitionName, Removal, TemplateId};
use crate::collect::{self, ObjectsError};
use crate::compact::plan::{InMemory, MAX_OUTPUTS};
use crate::compact::{self, CompactError, Compactor, Job, Outcome, Policy, TableView, Terms, common_boundary};
use crate::retention;
use crate::selection::Selection;
use crate::snapshot::Stage;

/// How often it is looked for something to do.
const TICK: Duration = Duration::from_secs(10);
/// The longest wait before a job that failed is tried again.
const LAST_RETRY: Duration = Duration::from_secs(15 * 60);
/// Old revisions are looked for after so many new ones.
const REVISIONS: u64 = 50;
/// A job borrows this part of the reserve for persisting, as a divisor: a chunk that is persisted meanwhile never wants
/// more than the rest.
const RESERVE_PART: u64 = 4;
/// Partitions whose jobs failed and that wait, at most; beyond that all are tried again.
const MAX_FAILED: usize = 10_000;

/// Who watches a compaction that was asked for.
pub trait CompactProgress: Send + Sync {
    /// So many further chunks are to be joined.
    fn planned(&self, chunks: u64);
    /// A job has ended.
    fn done(&self, partition: &PartitionName, outcome: &Outcome);
    /// Whether to stop after what is being done now.
    fn cancelled(&self) -> bool;
}

/// What a compaction that was asked for came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    /// The jobs together.
    pub joined: Outcome,
    /// Chunks that were taken out as all their rows are too old.
    pub expired: u64,
    /// Chunks that can't be joined yet: their frames are above the log's low-water mark, or a drop that can still be
    /// taken back hides rows of them.
    pub waiting: u64,
}

/// Rounds of joining that one request makes at most, beside one for every [`CHUNKS_A_ROUND`] that were there: enough for
/// all of those. Chunks that come meanwhile are left to what the rules say; else a busy writer would never let it end.
const ROUNDS: usize = 8;
/// A round joins up to sixteen chunks of a partition; this leaves room for jobs that take fewer.
const CHUNKS_A_ROUND: usize = 4;

/// Why persisted chunks were left as they are. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// A job failed.
    #[error("joining {} chunks of table {:?}, partition {:?}: {source}", .chunks, .partition.table.as_str(), .partition.key.as_str())]
    Join {
        /// The partition.
        partition: PartitionName,
        /// How many chunks it takes.
        chunks: usize,
        /// The cause.
        source: CompactError,
    },
    /// Chunks that are too old could not be taken out.
    #[error("taking out chunks that are too old: {0}")]
    Expire(CompactError),
    /// Objects could not be removed.
    #[error(transparent)]
    Collect(#[from] ObjectsError),
    /// Revisions could not be removed.
    #[error(transparent)]
    Revisions(#[from] CollectError),
}

/// The state of the upkeep of one database.
pub(super) struct Upkeep {
    now: Box<dyn Fn() -> Hlc + Send + Sync>,
    /// One job on the node.
    turn: Arc<Semaphore>,
    /// One job in the database, and what failed.
    one: tokio::sync::Mutex<Failures>,
    wake: Notify,
}

/// When to try again, by partition.
#[derive(Debug, Default)]
struct Failures {
    partitions: BTreeMap<PartitionName, (Duration, Duration)>,
    /// The revision at which old ones were last looked for.
    collected_at: u64,
}

impl Failures {
    fn waits(&self, partition: &PartitionName, now: Duration) -> bool {
        self.partitions.get(partition).is_some_and(|(until, _)| now < *until)
    }

    /// Notes a failure, and returns how long to wait.
    fn failed(&mut self, partition: &PartitionName, now: Duration) -> Duration {
        if self.partitions.len() >= MAX_FAILED {
            self.partitions.clear();
        }
        let pause = self.partitions.get(partition).map_or(FIRST_RETRY, |(_, pause)| (*pause * 2).min(LAST_RETRY));
        self.partitions.insert(partition.clone(), (now + pause, pause));
        pause
    }
}

impl Upkeep {
    pub(super) fn new(now: impl Fn() -> Hlc + Send + Sync + 'static, turn: Arc<Semaphore>) -> Self {
        Self { now: Box::new(now), turn, one: tokio::sync::Mutex::default(), wake: Notify::new() }
    }
}

struct Unwatched;

impl CompactProgress for Unwatched {
    fn planned(&self, _: u64) {}
    fn done(&self, _: &PartitionName, _: &Outcome) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Lifecycle {
    /// Tells ages by `now`, the hybrid clock's reading, and joins chunks only while it has the node's `turn`.
    #[must_use]
    pub fn sharing(mut self, now: impl Fn() -> Hlc + Send + Sync + 'static, turn: Arc<Semaphore>) -> Self {
        self.upkeep = Upkeep::new(now, turn);
        self
    }

    /// The lowest time that rows of a table may have to be seen; `None` where there is no limit.
    pub fn visible_from(&self, table: &TableName) -> Option<i64> {
        retention::visible_from(&self.rules().retain, table, (self.upkeep.now)())
    }

    /// Lets [`Lifecycle::run_upkeep`] look now instead of at the next tick.
    pub fn wake_upkeep(&self) {
        self.upkeep.wake.notify_one();
    }

    /// Does what is due with persisted chunks, for ever.
    pub async fn run_upkeep(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.upkeep.wake.notified() => {}
                () = self.persister.env.clock.sleep(TICK) => {}
            }
            self.upkeep_step().await;
        }
    }

    /// Does what is due with persisted chunks. What fails is named, and tried again later.
    pub async fn upkeep_step(&self) {
        let database = &self.persister.database;
        let report =
            |error: UpkeepError| tracing::warn!(%database, %error, "persisted chunks stay as they are for now");
        if let Err(error) = self.expire(&Selection::default()).await {
            report(error);
        }
        for job in self.jobs(&Selection::default(), false).await {
            let _turn = self.turn().await;
            let mut failures = self.upkeep.one.lock().await;
            match self.join(&job, &Unwatched).await {
                Ok(_) => drop(failures.partitions.remove(&job.partition)),
                Err(source) => {
                    let retry_in = failures.failed(&job.partition, self.persister.env.clock.monotonic());
                    let chunks = job.inputs.len();
                    let error = UpkeepError::Join { partition: job.partition, chunks, source };
                    tracing::warn!(%database, %error, ?retry_in, "chunks are not joined for now");
                }
            }
        }
        if let Err(error) = self.collect().await {
            report(error);
        }
    }

    /// Joins and settles the chunks of a selection as far as that may be done now, whatever the rules say about when;
    /// carries out deletes and retention on the way. Chunks in memory stay there: persist them before.
    ///
    /// # Errors
    /// At the first job that fails. What was done before stays done.
    pub async fn compact(
        &self,
        selection: &Selection,
        progress: &dyn CompactProgress,
    ) -> Result<CompactReport, UpkeepError> {
        let mut report = CompactReport { expired: self.expire(selection).await?, ..CompactReport::default() };
        let rounds = ROUNDS + self.catalog.state().chunks().count() / CHUNKS_A_ROUND;
        for _ in 0..rounds {
            let jobs = self.jobs(selection, true).await;
            if jobs.is_empty() || progress.cancelled() {
                break;
            }
            progress.planned(jobs.iter().map(|job| job.inputs.len() as u64).sum());
            for job in jobs {
                let _turn = self.turn().await;
                let _one = self.upkeep.one.lock().await;
                let chunks = job.inputs.len();
                let joined = self.join(&job, progress).await;
                let outcome =
                    joined.map_err(|source| UpkeepError::Join { partition: job.partition.clone(), chunks, source })?;
                let outcome = outcome.unwrap_or_default();
                progress.done(&job.partition, &outcome);
                report.joined = report.joined.and(outcome);
            }
        }
        report.waiting = self.waiting(selection);
        Ok(report)
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        self.upkeep.turn.acquire().await.expect("the semaphore is never closed")
    }

    fn compactor(&self) -> Compactor {
        let persister = &self.persister;
        Compactor {
            buffer: self.buffer.clone(),
            catalog: self.catalog.clone(),
            objects: persister.objects.clone(),
            layout: persister.layout.clone(),
            database: persister.database.clone(),
            log: persister.log,
            env: persister.env.clone(),
        }
    }

    /// Up to where no replay asks for frames.
    fn mark(&self, state: &CatalogState) -> Sequence {
        let of_this = state.low_water.filter(|mark| mark.log == self.persister.log);
        of_this.map_or(Sequence::ZERO, |mark| mark.sequence)
    }

    /// Takes chunks out of which every row is too old.
    async fn expire(&self, selection: &Selection) -> Result<u64, UpkeepError> {
        let state = self.catalog.state();
        let mark = (self.persister.log, self.mark(&state));
        let mut gone: BTreeMap<PartitionName, Vec<ChunkId>> = BTreeMap::new();
        let mut count = 0;
        for (name, table) in &state.tables {
            let Some(from) = self.visible_from(name) else { continue };
            let expired = retention::expired(table, from, mark).into_iter();
            for (partition, chunk) in expired.filter(|(partition, _)| selection.takes(name, &partition.key)) {
                if count < retention::MAX_EXPIRED {
                    count += 1;
                    gone.entry(partition).or_default().push(chunk);
                }
            }
        }
        if count > 0 {
            let at = (self.upkeep.now)();
            self.compactor().take_out(gone, at, Removal::Expired).await.map_err(UpkeepError::Expire)?;
            tracing::info!(database = %self.persister.database, chunks = count, "took out chunks that are older than the rules keep");
        }
        Ok(count as u64)
    }

    /// The jobs that are due, or with `everything` all that can be done.
    async fn jobs(&self, selection: &Selection, everything: bool) -> Vec<Job> {
        let state = self.catalog.state();
        let clock = self.persister.env.clock.monotonic();
        let failures = self.upkeep.one.lock().await;
        let failed: Vec<PartitionName> = match everything {
            true => Vec::new(),
            false => failures.partitions.keys().filter(|name| failures.waits(name, clock)).cloned().collect(),
        };
        drop(failures);
        let tables = state.tables.iter().filter(|(_, table)| !table.chunks.is_empty());
        let tables: Vec<TableFacts> = tables.filter_map(|(name, _)| self.facts(name, &state, everything)).collect();
        let selection = selection.clone();
        let plan = move || {
            let mut jobs: Vec<Job> = Vec::new();
            for facts in &tables {
                let Some(table) = state.tables.get(&facts.table) else { continue };
                let kept_since = facts.order.kept_since;
                let skip = |name: &PartitionName| !selection.takes(&name.table, &name.key) || failed.contains(name);
                let view = TableView {
                    table: &facts.table,
                    chunks: &table.chunks,
                    tombstones: &facts.tombstones,
                    keeps_order: &|version| version >= kept_since,
                    in_memory: &facts.in_memory,
                    skip: &skip,
                };
                jobs.extend(compact::plan(&view, &facts.policy));
            }
            jobs.sort_by_key(|job| job.cause);
            jobs
        };
        self.persister.env.compute.run(plan).await
    }

    fn facts(&self, table: &TableName, state: &CatalogState, everything: bool) -> Option<TableFacts> {
        let rules = self.rules();
        let now = (self.upkeep.now)();
        let settle_at = state.met_peer.then(|| common_boundary(now, rules.settle_window));
        let mut in_memory = Vec::new();
        if settle_at.is_some() {
            let snapshot = self.buffer.snapshot(table.as_str());
            let chunks = snapshot.iter().flat_map(|snapshot| &snapshot.chunks);
            in_memory.extend(chunks.filter(|chunk| chunk.stage != Stage::Persisted).map(|chunk| InMemory {
                template: TemplateId(chunk.template_id),
                key: chunk.key.clone(),
                time: chunk.time_range,
                stamps: chunk.stamps,
            }));
        }
        let concerns = |tombstone: &Arc<Tombstone>| tombstone.concerns(table, (i64::MIN, i64::MAX));
        let policy = Policy {
            rules: rules.compact,
            now,
            log: (self.persister.log, self.mark(state)),
            visible_from: self.visible_from(table),
            settle_at,
            everything,
            open_bytes: self.job_bytes() / 2,
        };
        Some(TableFacts {
            table: table.clone(),
            order: self.buffer.join_order(table, &rules.sort)?,
            tombstones: self.buffer.tombstones().into_iter().filter(concerns).collect(),
            in_memory,
            policy,
        })
    }

    /// Bytes that a job may take, about.
    fn job_bytes(&self) -> u64 {
        let [.., (_, persist)] = self.memory.shares();
        persist.limit / RESERVE_PART
    }

    /// Carries out one job. `None` if its chunks have changed since it was planned.
    async fn join(&self, job: &Job, progress: &dyn CompactProgress) -> Result<Option<Outcome>, CompactError> {
        let table = &job.partition.table;
        let state = self.catalog.state();
        let Some(facts) = self.facts(table, &state, false) else { return Ok(None) };
        let _work = self.memory.work(self.job_bytes()).await;
        let kept_since = facts.order.kept_since;
        let rules = self.rules();
        let terms = Terms {
            bloom: &rules.bloom,
            order: (facts.order.order, facts.order.version),
            keeps_order: &|version| version >= kept_since,
            tombstones: &facts.tombstones,
            visible_from: facts.policy.visible_from,
            memory: self.job_bytes() / MAX_OUTPUTS as u64,
            now: facts.policy.now,
            cancelled: &|| progress.cancelled(),
        };
        let outcome = self.compactor().run(job, &terms).await?;
        if let Some(outcome) = &outcome {
            tracing::debug!(
                database = %self.persister.database, table = %table, partition = job.partition.key.as_str(),
                cause = ?job.cause, settled = job.settle.is_some(), chunks_in = outcome.chunks_in,
                chunks_out = outcome.chunks_out, rows_in = outcome.rows_in, rows_out = outcome.rows_out, "joined chunks"
            );
        }
        Ok(outcome)
    }

    /// Chunks of a selection that can't be joined yet.
    fn waiting(&self, selection: &Selection) -> u64 {
        let state = self.catalog.state();
        let mut waiting = 0;
        for (name, table) in &state.tables {
            let Some(facts) = self.facts(name, &state, true) else { continue };
            let ready = |chunk: &ChunkMeta| compact::plan::is_ready(chunk, &facts.tombstones, &facts.policy);
            let chosen = table.chunks.values().filter(|chunk| selection.takes(name, &chunk.partition_key));
            waiting += chosen.filter(|chunk| !ready(chunk)).count() as u64;
        }
        waiting
    }

    /// Removes the objects of what was taken out long enough ago, and old revisions of the catalog.
    async fn collect(&self) -> Result<(), UpkeepError> {
        let (now, grace) = ((self.upkeep.now)(), self.rules().grace);
        let persister = &self.persister;
        let (objects, layout, database) = (&persister.objects, &persister.layout, &persister.database);
        loop {
            let removed = collect::collect(&self.catalog, objects, layout, database, (now, grace)).await?;
            if removed > 0 {
                tracing::debug!(%database, objects = removed, "removed objects that nothing names any more");
            }
            if removed < collect::MAX_COLLECTED {
                break;
            }
        }
        let revision = self.catalog.revision().0;
        let mut failures = self.upkeep.one.lock().await;
        if revision >= failures.collected_at + REVISIONS {
            let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            let before = persister.env.clock.wall_millis().saturating_sub(grace);
            self.catalog.collect_revisions(before).await?;
            failures.collected_at = revision;
        }
        Ok(())
    }
}

/// What planning has to know of a table beside its chunks.
struct TableFacts {
    table: TableName,
    order: JoinOrder,
    tombstones: Vec<Arc<Tombstone>>,
    in_memory: Vec<InMemory>,
    policy: Policy,
}
