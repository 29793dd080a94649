//! The write path from a parsed batch on: check, stamp, log, wait, apply.
//!
//! Rows are applied in the order of the log. Whoever's batch has become durable applies all that are durable by
//! then; so no task has to wait for another one to be scheduled.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use ochre_batch::{Batch, codec, split};
use ochre_log::{Appended, Log, LogError, Predecessor, Record};
use ochre_store::buffer::{Buffer, Placed, TablePart};
use ochre_store::memory::Held;
use ochre_types::partition::Template;
use ochre_types::rules::Ack;
use ochre_types::{DatabaseName, Incarnation, Sequence, Stamp};
use parking_lot::Mutex;

use crate::clock::StampClock;
use crate::error::WriteError;
use crate::schema::Schema;

/// A batch that is encoded for the log and split for the buffer.
#[derive(Debug)]
pub struct Prepared {
    batch: Batch,
    payload: bytes::Bytes,
    parts: Vec<TablePart>,
}

impl Prepared {
    /// Encodes and splits. Heavy: run it through `Compute`.
    pub fn new(batch: Batch, template: &Arc<Template>, partition_limit: usize) -> Result<Self, WriteError> {
        let parts = split_batch(&batch, template);
        let partitions = parts.iter().map(|part| part.parts.len()).sum();
        if partitions > partition_limit {
            return Err(WriteError::TooManyPartitions { partitions, limit: partition_limit });
        }
        let payload = codec::encode(&batch);
        Ok(Self { batch, payload, parts })
    }

    /// Bytes that the batch will take in the buffer.
    pub fn memory_size(&self) -> u64 {
        self.batch.memory_size() as u64
    }
}

/// The rows of a batch by table and partition.
pub fn split_batch(batch: &Batch, template: &Arc<Template>) -> Vec<TablePart> {
    let tables = batch.tables().iter();
    tables
        .map(|part| TablePart {
            table: part.table.clone(),
            columns: part.rows.columns().clone(),
            template: template.clone(),
            parts: split::split(&part.table, &part.rows, template),
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
    queue: Mutex<Queue>,
    /// Held while batches are applied, so that they are applied in the order of the queue.
    applying: Mutex<()>,
}

#[derive(Debug)]
struct Queue {
    /// What the first frame of this incarnation has to name, and that frame once it is queued; `None` once it is
    /// durable.
    start: Option<(Predecessor, Option<Appended>)>,
    /// Batches that are in the log and not in the buffer, in the order of the log.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    appended: Appended,
    placed: Placed,
    parts: Vec<TablePart>,
    _held: Held,
}

/// A batch that the log has taken.
#[derive(Debug)]
pub struct Logged {
    appended: Appended,
}

impl Acceptor {
    /// An acceptor whose first frame will name `predecessor`.
    pub fn new(
        database: DatabaseName,
        incarnation: Incarnation,
        log: Log,
        clock: Arc<StampClock>,
        buffer: Arc<Buffer>,
        schema: Arc<Schema>,
        predecessor: Predecessor,
    ) -> Self {
        let queue = Mutex::new(Queue { start: Some((predecessor, None)), pending: VecDeque::new() });
        Self { database, incarnation, log, clock, buffer, schema, queue, applying: Mutex::new(()) }
    }

    /// Stamps a batch and queues it for the log. From here on it may become durable, whatever the caller does.
    ///
    /// A conflict with the schema gives [`WriteError::SchemaChanged`] and leaves no trace: parse again.
    pub fn log(&self, prepared: Prepared, held: Held) -> Result<Logged, WriteError> {
        let mut queue = self.queue.lock();
        if self.schema.check(&prepared.batch).is_err() {
            return Err(WriteError::SchemaChanged(self.database.clone()));
        }
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
        queue.pending.push_back(Pending { appended: appended.clone(), placed, parts: prepared.parts, _held: held });
        Ok(Logged { appended })
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

    fn placed(&self, sequence: Sequence, stamp: Stamp) -> Placed {
        Placed { sequence, stamp, origin: self.incarnation, origin_sequence: sequence.0 }
    }

    /// Waits as `ack` says, and until the batch is in the buffer. May be dropped at any time: the batch is then
    /// applied with the next one, or by replay.
    pub async fn settle(&self, logged: &Logged, ack: Ack, now: std::time::Duration) -> Result<(), WriteError> {
        let outcome = match ack {
            Ack::Durable => self.log.synced(&logged.appended).await,
            Ack::Accepted => Ok(()),
        };
        self.apply_ready(ack, now)?;
        Ok(outcome?)
    }

    /// Applies every batch at the head of the queue whose outcome is known (or, accepted, need not be).
    pub fn apply_ready(&self, ack: Ack, now: std::time::Duration) -> Result<(), WriteError> {
        let _in_order = self.applying.lock();
        loop {
            let Some(pending) = self.next_ready(ack) else { return Ok(()) };
            self.buffer.apply(pending.placed, &pending.parts, now)?;
        }
    }

    /// The first batch that can be applied; those that the log refused are dropped on the way.
    fn next_ready(&self, ack: Ack) -> Option<Pending> {
        let mut queue = self.queue.lock();
        loop {
            let outcome = match ack {
                Ack::Durable => self.log.synced(&queue.pending.front()?.appended).now_or_never()?,
                Ack::Accepted => Ok(()),
            };
            let pending = queue.pending.pop_front()?;
            match outcome {
                Ok(()) => return Some(pending),
                Err(LogError::Full { .. }) => {}
                Err(error) => {
                    tracing::debug!(database = %self.database, %error, "a batch of unknown outcome is left to replay");
                }
            }
        }
    }
}
