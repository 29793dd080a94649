//! Moves the chunks of one database along: closes what is due, sorts and folds it, puts it into Parquet, and gives
//! memory back.

mod upkeep;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ochre_types::rules::{BufferRules, LifecycleRules, SortRule};
use ochre_types::{Hlc, Sequence};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::buffer::Buffer;
use crate::catalog::{Catalog, ChunkId};
use crate::chunk::{FreezeReason, FrozenChunk};
use crate::memory::{BufferMemory, Pressure};
use crate::persist::{PersistError, Persister};
use crate::selection::Selection;
use upkeep::Upkeep;

pub use upkeep::{CompactProgress, CompactReport, UpkeepError};

/// Copies of a chunk's rows that freezing makes at a time: joined or folded, and sorted.
const FREEZE_COPIES: u64 = 2;
/// Copies of a chunk's rows that persisting makes at a time: what the encoder keeps, and the file.
const PERSIST_COPIES: u64 = 2;
/// How often the rules' ages are looked at.
const TICK: Duration = Duration::from_secs(1);
/// The first wait after a failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Why a step could not be finished. Nothing is lost: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// Rows could not be sorted or folded.
    #[error("freezing chunk {chunk}: {source}")]
    Freeze {
        /// The chunk.
        chunk: ChunkId,
        /// The cause.
        source: arrow_schema::ArrowError,
    },
    /// A chunk could not be persisted.
    #[error(transparent)]
    Persist(#[from] PersistError),
}

/// What a step shall do beyond what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Only what the rules and the memory budget ask for.
    Due,
    /// Freeze everything.
    FreezeAll,
    /// Freeze and persist everything.
    PersistAll,
}

/// The rules that chunks follow.
#[derive(Debug, Clone)]
struct ChunkRules {
    buffer: BufferRules,
    lifecycle: Arc<LifecycleRules>,
}

/// The lifecycle of one database.
pub struct Lifecycle {
    buffer: Arc<Buffer>,
    catalog: Arc<Catalog>,
    persister: Persister,
    memory: BufferMemory,
    rules: Mutex<ChunkRules>,
    /// One step at a time: chunks of a partition are persisted in order.
    step: tokio::sync::Mutex<()>,
    wake: Notify,
    on_low_water: Box<dyn Fn(Sequence) + Send + Sync>,
    upkeep: Upkeep,
}

impl Lifecycle {
    /// A lifecycle that calls `on_low_water` whenever the low-water mark in the catalog has moved. What becomes of chunks
    /// is as by default until [`Lifecycle::set_rules`] says otherwise.
    pub fn new(
        buffer: Arc<Buffer>,
        catalog: Arc<Catalog>,
        persister: Persister,
        memory: BufferMemory,
        rules: BufferRules,
        on_low_water: impl Fn(Sequence) + Send + Sync + 'static,
    ) -> Self {
        let clock = persister.env.clock.clone();
        let upkeep = Upkeep::new(move || Hlc::from_millis(clock.wall_millis()), Arc::new(Semaphore::new(1)));
        Self {
            upkeep,
            buffer,
            catalog,
            persister,
            memory,
            rules: Mutex::new(ChunkRules { buffer: rules, lifecycle: Arc::default() }),
            step: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            on_low_water: Box::new(on_low_water),
        }
    }

    /// Follows other rules from the next step on, which is soon.
    pub fn set_rules(&self, buffer: BufferRules, lifecycle: LifecycleRules) {
        *self.rules.lock() = ChunkRules { buffer, lifecycle: Arc::new(lifecycle) };
        self.wake();
    }

    /// The rules of what becomes of chunks, as they are in force now.
    pub fn rules(&self) -> Arc<LifecycleRules> {
        self.rules.lock().lifecycle.clone()
    }

    /// Lets [`Lifecycle::run`] look now instead of at the next tick.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Steps whenever something may be due, for ever.
    pub async fn run(self: Arc<Self>) {
        let mut retry = FIRST_RETRY;
        loop {
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = self.persister.env.clock.sleep(TICK) => {}
            }
            match self.step(Demand::Due).await {
                Ok(()) => retry = FIRST_RETRY,
                Err(error) => {
                    tracing::warn!(database = %self.persister.database, %error, retry_in = ?retry, "chunks stay in memory for now");
                    self.persister.env.clock.sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// One step: closes, freezes and persists what is due or demanded.
    ///
    /// Cancel-safe: a chunk moves on only when it is done, and a commit whose answer was not awaited is found again
    /// by the next one.
    pub async fn step(&self, demand: Demand) -> Result<(), LifecycleError> {
        let _one_at_a_time = self.step.lock().await;
        let ChunkRules { buffer: rules, lifecycle } = self.rules.lock().clone();
        let sort = &lifecycle.sort;
        let all = (demand != Demand::Due).then_some(FreezeReason::Asked);
        self.buffer.close_due(&rules, self.persister.env.clock.monotonic(), all);
        self.freeze_closed(sort).await?;
        self.persist_due(&rules, demand).await?;
        while self.memory.pressure() >= Pressure::Soft && self.relieve(sort).await? {}
        if !self.memory.has_room_for_copies() {
            self.buffer.evict_resident(|| self.memory.has_room_for_copies());
        }
        if let Some(mark) = self.persister.commit_mark(&self.buffer, &self.catalog).await? {
            (self.on_low_water)(mark);
        }
        Ok(())
    }

    /// Freezes what is in the open chunks of a selection now. Returns those of its chunks that are in memory only.
    pub async fn freeze(&self, selection: &Selection) -> Result<BTreeSet<ChunkId>, LifecycleError> {
        let _one_at_a_time = self.step.lock().await;
        let sealed = self.buffer.close_selected(selection);
        self.freeze_closed(&self.rules().sort).await?;
        Ok(sealed)
    }

    /// Persists one of these chunks, as [`Lifecycle::freeze`] found them. False if none of them is in memory only any
    /// more.
    pub async fn persist_one(&self, chunks: &BTreeSet<ChunkId>) -> Result<bool, LifecycleError> {
        let _one_at_a_time = self.step.lock().await;
        self.persist_next(|chunk| chunks.contains(&chunk.id)).await
    }

    async fn freeze_closed(&self, sort: &SortRule) -> Result<(), LifecycleError> {
        while let Some(job) = self.buffer.next_to_freeze(sort) {
            let chunk = job.chunk.id;
            let memory = self.memory.clone();
            let (closed, order) = (job.chunk, job.order);
            let _work = self.memory.work(closed.bytes().saturating_mul(FREEZE_COPIES)).await;
            let frozen = self.persister.env.compute.run(move || closed.freeze(&order, &memory)).await;
            let frozen = frozen.map_err(|source| LifecycleError::Freeze { chunk, source })?;
            self.buffer.install_frozen(&job.table, &job.partition, frozen);
        }
        Ok(())
    }

    async fn persist_due(&self, rules: &BufferRules, demand: Demand) -> Result<(), LifecycleError> {
        let now = self.persister.env.clock.monotonic();
        let due = |chunk: &FrozenChunk| match (demand, chunk.reason) {
            (Demand::PersistAll, _) | (_, FreezeReason::Full | FreezeReason::Memory) => true,
            _ => now.saturating_sub(chunk.opened_at) >= rules.persist_after,
        };
        while self.persist_next(due).await? {}
        Ok(())
    }

    async fn persist_next(&self, due: impl Fn(&FrozenChunk) -> bool) -> Result<bool, LifecycleError> {
        let Some(job) = self.buffer.next_to_persist(due, &self.rules().bloom) else { return Ok(false) };
        let _work = self.memory.work(job.chunk.bytes().saturating_mul(PERSIST_COPIES)).await;
        let mark = self.persister.persist(&self.buffer, &self.catalog, job).await?;
        (self.on_low_water)(mark);
        Ok(true)
    }

    /// Gives some memory back: copies of what is persisted first, then the largest open chunk. False if there is
    /// nothing left to give.
    async fn relieve(&self, sort: &SortRule) -> Result<bool, LifecycleError> {
        if self.buffer.evict_resident(|| self.memory.pressure() < Pressure::Soft) > 0 {
            return Ok(true);
        }
        if self.persist_next(|_| true).await? {
            return Ok(true);
        }
        if !self.buffer.close_largest() {
            return Ok(false);
        }
        self.freeze_closed(sort).await?;
        self.persist_next(|_| true).await
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifecycle({})", self.persister.database)
    }
}
