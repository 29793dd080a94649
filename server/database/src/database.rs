//! One database of a node: writes, its part of queries, its lifecycle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ochre_batch::Batch;
use ochre_env::Env;
use ochre_ingest::line_protocol::{self, Options, Rejected};
use ochre_log::{Log, Predecessor};
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{Catalog, ChunkMeta};
use ochre_store::epoch::Fence;
use ochre_store::lifecycle::{Demand, Lifecycle, LifecycleError};
use ochre_store::memory::{BufferMemory, Pressure};
use ochre_types::partition::Template;
use ochre_types::rules::Rules;
use ochre_types::{DatabaseName, Incarnation, Sequence};

use crate::accept::{Acceptor, Prepared};
use crate::clock::StampClock;
use crate::error::WriteError;
use crate::schema::Schema;
use crate::status::DatabaseStatus;

/// How often a write is parsed anew because the schema changed under it.
const SCHEMA_RETRIES: usize = 5;

/// What the databases of a node share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub env: Env,
    pub log: Log,
    pub clock: Arc<StampClock>,
    pub fence: Fence,
    pub memory: BufferMemory,
    pub incarnation: Incarnation,
}

/// A database that is being served.
#[derive(Debug)]
pub struct Database {
    name: DatabaseName,
    rules: Rules,
    template: Arc<Template>,
    shared: Shared,
    schema: Arc<Schema>,
    acceptor: Acceptor,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    rows: AtomicU64,
    bytes: AtomicU64,
    rejected_lines: AtomicU64,
    refused_writes: AtomicU64,
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
}

/// What became of a write of lines.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines stored and acknowledged.
    pub lines: usize,
    /// The first refused lines.
    pub rejected: Vec<Rejected>,
    /// How many lines were refused in all.
    pub rejected_total: usize,
}

/// The parts of a database that opening it has made.
pub(crate) struct Parts {
    pub name: DatabaseName,
    pub rules: Rules,
    pub template: Arc<Template>,
    pub schema: Arc<Schema>,
    pub buffer: Arc<Buffer>,
    pub catalog: Arc<Catalog>,
    pub lifecycle: Arc<Lifecycle>,
    pub predecessor: Predecessor,
}

impl Database {
    pub(crate) fn new(shared: Shared, parts: Parts) -> Self {
        let acceptor = Acceptor::new(
            parts.name.clone(),
            shared.incarnation,
            shared.log.clone(),
            shared.clock.clone(),
            parts.buffer.clone(),
            parts.schema.clone(),
            parts.predecessor,
        );
        Self {
            name: parts.name,
            rules: parts.rules,
            template: parts.template,
            shared,
            schema: parts.schema,
            acceptor,
            buffer: parts.buffer,
            catalog: parts.catalog,
            lifecycle: parts.lifecycle,
            counters: Counters::default(),
        }
    }

    /// The database's name.
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Parses line protocol and stores the good lines, all or nothing where `options` say so. On success they are
    /// acknowledged as the rules' `ack` says.
    pub async fn write_lines(&self, body: Bytes, options: &Options) -> Result<Written, WriteError> {
        let result = self.try_write_lines(&body, options).await;
        match &result {
            Ok(written) => {
                self.counters.rows.fetch_add(written.lines as u64, Ordering::Relaxed);
                self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                self.counters.rejected_lines.fetch_add(written.rejected_total as u64, Ordering::Relaxed);
            }
            Err(_) => {
                self.counters.refused_writes.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    async fn try_write_lines(&self, body: &Bytes, options: &Options) -> Result<Written, WriteError> {
        let mut tries = 0;
        loop {
            let (schema, body, options) = (self.schema.clone(), body.clone(), options.clone());
            let parsed = self.shared.env.compute.run(move || line_protocol::parse(&body, &*schema, &options)).await;
            let written =
                Written { lines: parsed.lines, rejected: parsed.rejected, rejected_total: parsed.rejected_total };
            if parsed.batch.is_empty() {
                return Ok(Written { lines: 0, ..written });
            }
            match self.write(parsed.batch).await {
                Err(WriteError::SchemaChanged(_)) if tries < SCHEMA_RETRIES => tries += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(written),
            }
        }
    }

    /// Stores a batch that was built against this database's schema.
    pub async fn write(&self, batch: Batch) -> Result<(), WriteError> {
        self.check_fence().await?;
        let (template, limit) = (self.template.clone(), self.rules.limits.partitions_per_write);
        let prepared = self.shared.env.compute.run(move || Prepared::new(batch, &template, limit)).await?;
        let bytes = prepared.memory_size();
        let memory = &self.shared.memory;
        let pressure = memory.pressure_with(bytes);
        if pressure >= Pressure::Soft {
            self.lifecycle.wake();
        }
        if pressure == Pressure::Hard {
            return Err(WriteError::MemoryFull { held: memory.held(), limit: memory.limit() });
        }
        self.shared.clock.catch_up().await;
        let logged = self.acceptor.log(prepared, memory.hold(bytes))?;
        self.acceptor.settle(&logged, self.rules.ack, self.shared.env.clock.monotonic()).await?;
        self.check_fence().await
    }

    async fn check_fence(&self) -> Result<(), WriteError> {
        self.shared.fence.ensure_held().await.map_err(|fenced| WriteError::Fenced(fenced.to_string()))
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
        }
    }
}
