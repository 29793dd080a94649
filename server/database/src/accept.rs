//! The write path from a parsed batch on: check, stamp, log, wait, apply.
//!
//! Rows are applied in the order of the log. Whoever's batch has become durable applies all that are durable by
//! then; so no task has to wait for another one to be scheduled.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use ochre_batch::{Batch, codec, split, tombstone};
use ochre_log::{Appended, FrameKind, Log, LogError, Predecessor, Record};
use ochre_store::buffer::{Buffer, Placed, TablePart};
use ochre_store::catalog::Catalog;
use ochre_store::memory::Held;
use ochre_types::rules::{Ack, PartitionRules};
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{DatabaseName, Incarnation, Sequence, Stamp};
use parking_lot::{Mutex, RwLock};

use crate::clock::StampClock;
use crate::database::{Parts, Shared};
use crate::error::WriteError;
use crate::rules::RulesInForce;
use crate::schema::Schema;

/// A batch that is encoded for the log and split for the buffer, under the rules that were in force.
#[derive(Debug)]
pub struct Prepared {
    rules: Arc<RulesInForce>,
    batch: Batch,
    payload: bytes::Bytes,
    parts: Vec<TablePart>,
}

impl Prepared {
    /// Encodes and splits. Heavy: run it through `Compute`.
    pub fn new(batch: Batch, rules: Arc<RulesInForce>) -> Result<Self, WriteError> {
        let parts = split_batch(&batch, &rules.rules.partition);
        let (partitions, limit) = (count_partitions(&parts), rules.rules.limits.partitions_per_write);
        if partitions > limit {
            return Err(WriteError::TooManyPartitions { partitions, limit });
        }
        let payload = codec::encode(&batch);
        Ok(Self { rules, batch, payload, parts })
    }

    /// The partitions that the batch has rows of.
    pub fn partitions(&self) -> usize {
        count_partitions(&self.parts)
    }

    /// Bytes that the batch takes: its rows, as they came and by partition, and the payload for the log.
    pub fn memory_size(&self) -> u64 {
        let copied = self.parts.iter().filter(|part| part.parts.len() > 1);
        let copied: usize = copied.flat_map(|part| &part.parts).map(|(_, rows)| rows.memory_size()).sum();
        (self.batch.memory_size() + copied + self.payload.len()) as u64
    }

    /// The rows of the batch.
    pub fn rows(&self) -> u64 {
        self.batch.row_count() as u64
    }
}

fn count_partitions(parts: &[TablePart]) -> usize {
    parts.iter().map(|part| part.parts.len()).sum()
}

/// The rows of a batch by table and partition.
pub fn split_batch(batch: &Batch, rules: &PartitionRules) -> Vec<TablePart> {
    let tables = batch.tables().iter();
    tables
        .map(|part| {
            let (template, _) = rules.template(&part.table);
            TablePart {
                table: part.table.clone(),
                columns: part.rows.columns().clone(),
                template: template.clone(),
                parts: split::split(&part.table, &part.rows, template),
            }
        })
        .collect()
}

/// Takes batches of one database in order.
#[derive(Debug)]
pub struct Acceptor {
    database: DatabaseName,
    incarnation: Incarnation,
    log: Log,
    clock: Arc<StampClock>,
    buffer: Arc<Buffer>,
    schema: Arc<Schema>,
    /// Changed only under the lock of the queue, so that what is logged was prepared under the rules in force.
    rules: RwLock<Arc<RulesInForce>>,
    queue: Mutex<Queue>,
    /// Held while batches are applied, so that they are applied in the order of the queue.
    applying: Mutex<()>,
}

#[derive(Debug)]
struct Queue {
    /// What the first frame of this incarnation has to name, and that frame once it is queued; `None` once it is
    /// durable.
    start: Option<(Predecessor, Option<Appended>)>,
    /// Whether the database was dropped: it takes nothing until it is shown again.
    refuses: bool,
    /// Batches and deletions that are in the log and not in the buffer, in the order of the log.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    appended: Appended,
    ack: Ack,
    placed: Placed,
    work: Work,
}

/// What is to be applied.
#[derive(Debug)]
enum Work {
    /// A batch, and the memory that it holds.
    Rows(Vec<TablePart>, Held),
    /// A deletion, or that one was taken back.
    Tombstone(Arc<Tombstone>),
}

/// A batch or a deletion that the log has taken.
#[derive(Debug)]
pub struct Logged {
    appended: Appended,
    ack: Ack,
}

impl Logged {
    /// What to watch if the write is acknowledged before the log has it.
    pub fn accepted(&self) -> Option<&Appended> {
        (self.ack == Ack::Accepted).then_some(&self.appended)
    }
}

impl Acceptor {
    /// An acceptor for the database of `parts`, whose first frame will name the predecessor there.
    pub fn new(shared: &Shared, parts: &Parts) -> Self {
        let queue = Queue { start: Some((parts.predecessor, None)), pending: VecDeque::new(), refuses: false };
        Self {
            database: parts.name.clone(),
            incarnation: shared.incarnation,
            log: shared.log.clone(),
            clock: shared.clock.clone(),
            buffer: parts.buffer.clone(),
            schema: parts.schema.clone(),
            rules: RwLock::new(Arc::new(parts.rules.closing(&parts.catalog.state().read_only))),
            queue: Mutex::new(queue),
            applying: Mutex::new(()),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RulesInForce> {
        self.rules.read().clone()
    }

    /// Puts rules into force: on return, they hold for everything that is logged from now on.
    pub fn put_into_force(&self, rules: &RulesInForce, catalog: &Catalog) {
        let _nothing_is_logged = self.queue.lock();
        *self.rules.write() = Arc::new(rules.closing(&catalog.state().read_only));
    }

    /// Puts the closed partitions into force that the catalog has.
    pub fn refresh_closed(&self, catalog: &Catalog) {
        let _nothing_is_logged = self.queue.lock();
        let mut rules = self.rules.write();
        *rules = Arc::new(rules.closing(&catalog.state().read_only));
    }

    /// Waits until the outcome of all that was logged before is known, and it is in the buffer.
    pub async fn settle_all(&self, now: std::time::Duration) -> Result<(), WriteError> {
        let last = self.queue.lock().pending.back().map(|pending| pending.appended.clone());
        if let Some(last) = last {
            // What the log refused is not applied; its writer is told.
            let _outcome = self.log.synced(&last).await;
            self.apply_ready(now)?;
        }
        Ok(())
    }

    /// Stamps a batch and queues it for the log. From here on it may become durable, whatever the caller does.
    ///
    /// Other rules than those that the batch was prepared under give [`WriteError::RulesChanged`], a conflict with the
    /// schema [`WriteError::SchemaChanged`]; both leave no trace: parse again.
    pub fn log(&self, prepared: Prepared, held: Held) -> Result<Logged, WriteError> {
        let mut queue = self.queue.lock();
        if queue.refuses {
            return Err(WriteError::UnknownDatabase(self.database.clone()));
        }
        if !Arc::ptr_eq(&self.rules.read(), &prepared.rules) {
            return Err(WriteError::RulesChanged(self.database.clone()));
        }
        let rules = &prepared.rules.rules;
        if self.schema.check(&prepared.batch, &rules.columns).is_err() {
            return Err(WriteError::SchemaChanged(self.database.clone()));
        }
        let ack = rules.log.ack;
        self.log_start(&mut queue)?;
        let stamp = self.clock.stamp().ok_or(WriteError::NoStamps)?;
        let payload = prepared.payload;
        // A batch's origin sequence is its local sequence: dense but for what the log names as refused.
        let appended = self.log.append_with(&self.database, |sequence| Record {
            min_reader: codec::MIN_READER,
            ..Record::rows(self.incarnation, sequence.0, stamp, codec::FORMAT, payload)
        })?;
        self.schema.merge(&prepared.batch);
        let placed = self.placed(appended.sequence, stamp);
        queue.pending.push_back(Pending {
            appended: appended.clone(),
            ack,
            placed,
            work: Work::Rows(prepared.parts, held),
        });
        Ok(Logged { appended, ack })
    }

    /// Stamps a deletion and queues it for the log, in its place among the batches; it is always durable before it is
    /// applied. `make` gets the stamp; it runs while nothing else is logged, under the rules given to it, so that what it
    /// checks holds until the deletion's turn. Batches that come later are checked against the schema without what was
    /// dropped.
    pub fn log_tombstone<E: From<WriteError>>(
        &self,
        make: impl FnOnce(Stamp, &RulesInForce) -> Result<Tombstone, E>,
    ) -> Result<(Logged, Arc<Tombstone>), E> {
        let mut queue = self.queue.lock();
        self.log_start(&mut queue)?;
        let stamp = self.clock.stamp().ok_or(WriteError::NoStamps)?;
        let tombstone = Arc::new(make(stamp, &self.rules.read())?);
        let drops_all = matches!(tombstone.erasure, Erasure::Database { .. }) && tombstone.is_in_force();
        let payload = tombstone::encode(&tombstone);
        let appended = self
            .log
            .append_with(&self.database, |sequence| Record {
                kind: FrameKind::Tombstone,
                min_reader: tombstone::MIN_READER,
                ..Record::rows(self.incarnation, sequence.0, stamp, tombstone::FORMAT, payload)
            })
            .map_err(WriteError::from)?;
        self.schema.erase(&tombstone, &self.buffer);
        queue.refuses |= drops_all;
        let placed = self.placed(appended.sequence, stamp);
        let work = Work::Tombstone(tombstone.clone());
        queue.pending.push_back(Pending { appended: appended.clone(), ack: Ack::Durable, placed, work });
        Ok((Logged { appended, ack: Ack::Durable }, tombstone))
    }

    /// Sees to it that this incarnation's first frame is in the log before any batch. A group that the log refuses
    /// takes everything queued behind it along: so a batch never gets in without the start frame before it.
    fn log_start(&self, queue: &mut Queue) -> Result<(), WriteError> {
        let Some((predecessor, sent)) = &queue.start else { return Ok(()) };
        let outcome = sent.as_ref().map(|sent| self.log.synced(sent).now_or_never());
        match outcome {
            Some(None) => Ok(()),
            Some(Some(Ok(()))) => {
                queue.start = None;
                Ok(())
            }
            None | Some(Some(Err(_))) => {
                let predecessor = *predecessor;
                let stamp = self.clock.stamp().ok_or(WriteError::NoStamps)?;
                let record = Record::start(self.incarnation, stamp, predecessor);
                let appended = self.log.append(&self.database, record)?;
                queue.start = Some((predecessor, Some(appended)));
                Ok(())
            }
        }
    }

    /// Takes no more writes, as the database was dropped.
    pub fn refuse_all(&self) {
        self.queue.lock().refuses = true;
    }

    /// Takes writes again.
    pub fn admit(&self) {
        self.queue.lock().refuses = false;
    }

    /// Whether it takes no writes, as the database was dropped.
    pub fn refuses(&self) -> bool {
        self.queue.lock().refuses
    }

    fn placed(&self, sequence: Sequence, stamp: Stamp) -> Placed {
        Placed { sequence, stamp, origin: self.incarnation, origin_sequence: sequence.0 }
    }

    /// Waits as the rules' `ack` says, and until the batch is in the buffer. May be dropped at any time: the batch is
    /// then applied with the next one, or by replay.
    pub async fn settle(&self, logged: &Logged, now: std::time::Duration) -> Result<(), WriteError> {
        if logged.ack == Ack::Accepted {
            self.apply_ready(now)?;
            if !self.wait_for_log(&logged.appended) {
                return Ok(());
            }
            // The rules were changed a moment ago, and a batch before this one has to be durable first: so this one
            // shares its fate, and is not applied if the log refuses both.
        }
        let outcome = self.log.synced(&logged.appended).await;
        self.apply_ready(now)?;
        Ok(outcome?)
    }

    /// Lets a batch that is not applied yet wait until the log has it; false if it is applied.
    fn wait_for_log(&self, appended: &Appended) -> bool {
        let mut queue = self.queue.lock();
        let mut waiting = queue.pending.iter_mut().filter(|pending| pending.appended.sequence == appended.sequence);
        waiting.next().map(|pending| pending.ack = Ack::Durable).is_some()
    }

    /// Applies every batch at the head of the queue whose outcome is known (or, accepted, need not be).
    pub fn apply_ready(&self, now: std::time::Duration) -> Result<(), WriteError> {
        let _in_order = self.applying.lock();
        loop {
            let Some(pending) = self.next_ready() else { return Ok(()) };
            match pending.work {
                Work::Rows(parts, _held) => self.buffer.apply(pending.placed, &parts, now)?,
                Work::Tombstone(tombstone) => self.buffer.apply_tombstone(pending.placed, &tombstone),
            }
        }
    }

    /// The first batch that can be applied; those that the log refused are dropped on the way.
    fn next_ready(&self) -> Option<Pending> {
        let mut queue = self.queue.lock();
        loop {
            let front = queue.pending.front()?;
            let outcome = match front.ack {
                Ack::Durable => self.log.synced(&front.appended).now_or_never()?,
                Ack::Accepted => Ok(()),
            };
            let pending = queue.pending.pop_front()?;
            match outcome {
                Ok(()) => return Some(pending),
                // What a refused drop took from the schema is there after all.
                Err(LogError::Full { .. }) => {
                    if let Work::Tombstone(tombstone) = &pending.work {
                        self.schema.restore_erased(tombstone, &self.buffer);
                    }
                }
                Err(error) => {
                    tracing::debug!(database = %self.database, %error, "a batch of unknown outcome is left to replay");
                }
            }
        }
    }
}
