//! One database of a node: writes, its part of queries, its lifecycle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_env::Env;
use ochre_log::{Log, Predecessor};
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{Catalog, ChunkMeta};
use ochre_store::epoch::Fence;
use ochre_store::lifecycle::{Demand, Lifecycle, LifecycleError};
use ochre_store::memory::BufferMemory;
use ochre_types::rules::Rules;
use ochre_types::{DatabaseName, Incarnation, Sequence};

use crate::accept::Acceptor;
use crate::alarm::PartitionAlarm;
use crate::clock::StampClock;
use crate::deletes::Tracker;
use crate::gate::QueryGate;
use crate::rules::{RulesError, RulesInForce};
use crate::schema::Schema;
use crate::status::DatabaseStatus;
use crate::unlogged::Unlogged;

/// What the databases of a node share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub env: Env,
    pub log: Log,
    pub clock: Arc<StampClock>,
    pub fence: Fence,
    pub memory: BufferMemory,
    pub incarnation: Incarnation,
    /// Joining chunks: one job at a time on the node.
    pub joining: Arc<tokio::sync::Semaphore>,
}

/// A database that is being served.
#[derive(Debug)]
pub struct Database {
    name: DatabaseName,
    pub(crate) shared: Shared,
    pub(crate) schema: Arc<Schema>,
    pub(crate) acceptor: Acceptor,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) gate: QueryGate,
    pub(crate) alarm: PartitionAlarm,
    pub(crate) counters: Counters,
    pub(crate) deletes: Tracker,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub rejected_lines: AtomicU64,
    pub refused_writes: AtomicU64,
    pub unlogged: Unlogged,
}

/// Totals of a database since the server was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteTotals {
    /// Rows acknowledged.
    pub rows: u64,
    /// Bytes of the requests that brought them, after decompression.
    pub bytes: u64,
    /// Lines refused for what they are.
    pub rejected_lines: u64,
    /// Writes refused as a whole.
    pub refused_writes: u64,
    /// Rows that were acknowledged as accepted and that the log then refused: in memory until they are in Parquet.
    pub unlogged_rows: u64,
}

/// The parts of a database that opening it has made.
pub(crate) struct Parts {
    pub name: DatabaseName,
    pub rules: Arc<RulesInForce>,
    pub schema: Arc<Schema>,
    pub buffer: Arc<Buffer>,
    pub catalog: Arc<Catalog>,
    pub lifecycle: Arc<Lifecycle>,
    pub predecessor: Predecessor,
}

impl Database {
    pub(crate) fn new(shared: Shared, parts: Parts) -> Self {
        let acceptor = Acceptor::new(&shared, &parts);
        Self {
            name: parts.name,
            shared,
            schema: parts.schema,
            acceptor,
            buffer: parts.buffer,
            catalog: parts.catalog,
            lifecycle: parts.lifecycle,
            gate: QueryGate::new(),
            alarm: PartitionAlarm::default(),
            counters: Counters::default(),
            deletes: Tracker::default(),
        }
    }

    /// The database's name.
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules_in_force().rules.clone()
    }

    pub(crate) fn rules_in_force(&self) -> Arc<RulesInForce> {
        self.acceptor.rules()
    }

    /// Puts rules into force that the catalog has.
    pub(crate) fn put_into_force(&self, rules: Arc<RulesInForce>) {
        let chunks = &rules.rules;
        let (buffer, lifecycle) = (chunks.buffer, chunks.lifecycle.clone());
        self.acceptor.put_into_force(&rules, &self.catalog);
        self.lifecycle.set_rules(buffer, lifecycle);
    }

    /// Puts rules into force that the catalog has and that nobody waited for, as after a failure of the object store.
    pub(crate) fn catch_up_rules(&self, defaults: &Rules) -> Result<(), RulesError> {
        let state = self.catalog.state();
        let Some(record) = &state.rules else { return Ok(()) };
        if record.generation <= self.rules_in_force().generation {
            return Ok(());
        }
        let read = RulesInForce::read(record, defaults).map_err(|problems| RulesError::Unreadable {
            target: format!("database {}", self.name),
            generation: record.generation,
            problems,
        })?;
        self.put_into_force(Arc::new(read));
        tracing::info!(database = %self.name, generation = record.generation, "rules are in force that the catalog took late");
        Ok(())
    }

    /// Freezes every open chunk now.
    pub async fn freeze_all(&self) -> Result<(), LifecycleError> {
        self.lifecycle.step(Demand::FreezeAll).await
    }

    /// Freezes and persists every chunk now.
    pub async fn persist_all(&self) -> Result<(), LifecycleError> {
        self.lifecycle.step(Demand::PersistAll).await
    }

    /// Gives up the copies in memory of persisted chunks: they are read from the object store from now on.
    pub fn evict(&self) {
        self.buffer.evict_resident(|| false);
    }

    /// Totals since the server was started.
    pub fn totals(&self) -> WriteTotals {
        WriteTotals {
            rows: self.counters.rows.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            rejected_lines: self.counters.rejected_lines.load(Ordering::Relaxed),
            refused_writes: self.counters.refused_writes.load(Ordering::Relaxed),
            unlogged_rows: self.counters.unlogged.sweep(
                &self.shared.log,
                &self.name,
                self.shared.env.clock.monotonic(),
            ),
        }
    }

    /// The database at this moment.
    pub fn status(&self) -> DatabaseStatus {
        let state = self.catalog.state();
        let buffered = self.buffer.unpersisted();
        let count = |sum: fn(&ChunkMeta) -> u64| state.chunks().map(|chunk| sum(chunk)).sum();
        DatabaseStatus {
            name: self.name.clone(),
            revision: self.catalog.revision().0,
            tables: self.buffer.tables().len() as u64,
            persisted_chunks: count(|_| 1),
            persisted_rows: count(|chunk| chunk.rows),
            persisted_bytes: count(|chunk| chunk.size_bytes),
            buffered_chunks: buffered.chunks,
            buffered_rows: buffered.rows,
            low_water: state.low_water.map_or(Sequence::ZERO, |mark| mark.sequence),
            writes: self.totals(),
            rules_generation: self.rules_in_force().generation,
            partition_alarm: self.alarm.raised(self.shared.env.clock.monotonic(), self.buffer.partition_load()),
        }
    }
}
