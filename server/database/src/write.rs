//! Writes of one database: lines or columns in, under the rules of the moment.
//!
//! Parsing, splitting and encoding are done without any lock. If rules or schema have changed meanwhile, the write is
//! not logged but made anew, a bounded number of times.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use ochre_batch::Batch;
use ochre_ingest::arrow::{self, Roles};
use ochre_ingest::line_protocol::{self, Options, Rejected};
use ochre_store::memory::{Held, Pressure};
use ochre_types::TableName;
use ochre_types::rules::StoreRule;

use crate::accept::Prepared;
use crate::budget::{cell_limit, write_limit};
use crate::database::Database;
use crate::error::WriteError;
use crate::rules::RulesInForce;
use crate::schema::PinnedSchema;

/// Bytes that a write of lines takes for each byte of its body, about: its rows, and their copy for the log.
const PER_BODY_BYTE: u64 = 2;
/// Bytes that a write of columns takes for each byte of its columns.
const PER_COLUMN_BYTE: u64 = 2;
/// How long a write waits for memory before it is pushed back.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a write is made anew because the schema or the rules changed under it.
const RETRIES: usize = 10;

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

impl Database {
    /// Parses line protocol and stores the good lines, all or nothing where `options` say so. On success they are
    /// acknowledged as the rules' `ack` says. Limits, and which rows are kept, are the rules', whatever `options` say.
    pub async fn write_lines(&self, body: Bytes, options: &Options) -> Result<Written, WriteError> {
        let bytes = body.len() as u64;
        let result = self.under_rules(|rules| self.try_write_lines(&body, options, rules)).await;
        match &result {
            Ok(written) => self.count(written.lines as u64, bytes, written.rejected_total as u64),
            Err(_) => self.count_refused(),
        }
        result
    }

    /// Stores the rows of a record batch, all or none. On success they are acknowledged as the rules' `ack` says.
    ///
    /// # Errors
    /// [`WriteError::Refused`] for what the client got wrong.
    pub async fn write_arrow(&self, table: &TableName, rows: &RecordBatch, roles: &Roles) -> Result<u64, WriteError> {
        let bytes = rows.get_array_memory_size() as u64;
        let result = self.under_rules(|under| self.try_write_arrow(table, rows, roles, under)).await;
        match &result {
            Ok(rows) => self.count(*rows, bytes, 0),
            Err(_) => self.count_refused(),
        }
        result
    }

    /// Stores a batch that was built against this database's schema.
    pub async fn write(&self, batch: Batch) -> Result<(), WriteError> {
        let bytes = batch.memory_size() as u64;
        let store = |rules| async {
            let room = self.room_for(bytes.saturating_mul(PER_COLUMN_BYTE)).await?;
            self.store(batch.clone(), rules, room).await
        };
        self.under_rules(store).await
    }

    /// Makes a write under the rules in force; if they or the schema change meanwhile, anew.
    async fn under_rules<T, F>(&self, write: impl Fn(Arc<RulesInForce>) -> F) -> Result<T, WriteError>
    where
        F: Future<Output = Result<T, WriteError>>,
    {
        for _ in 0..RETRIES {
            match write(self.rules_for_writing()?).await {
                Err(error) if error.is_overtaken() => {}
                done => return done,
            }
        }
        write(self.rules_for_writing()?).await
    }

    /// The rules in force, unless they refuse every write.
    fn rules_for_writing(&self) -> Result<Arc<RulesInForce>, WriteError> {
        let rules = self.rules_in_force();
        self.ensure_writable(&rules)?;
        Ok(rules)
    }

    /// Fails if the rules refuse every write.
    pub(crate) fn ensure_writable(&self, rules: &RulesInForce) -> Result<(), WriteError> {
        if !rules.rules.lifecycle.mutable {
            return Err(WriteError::ReadOnly(self.name().clone()));
        }
        if rules.rules.store == StoreRule::None {
            return Err(WriteError::NotStored(self.name().clone()));
        }
        Ok(())
    }

    async fn try_write_lines(
        &self,
        body: &Bytes,
        options: &Options,
        rules: Arc<RulesInForce>,
    ) -> Result<Written, WriteError> {
        let room = self.room_for((body.len() as u64).saturating_mul(PER_BODY_BYTE)).await?;
        let known = PinnedSchema::new(self.schema.clone(), rules.clone());
        let admit = rules.filter(self.shared.clock.now_nanos());
        let max_cells = cell_limit(&self.shared.memory);
        let options = Options { limits: rules.rules.limits, admit, max_cells, ..options.clone() };
        let body = body.clone();
        let parsed = self.shared.env.compute.run(move || line_protocol::parse(&body, &known, &options)).await;
        if let Some(limit) = parsed.too_many_cells {
            let reason = format!("it has more than {limit} values, rows times columns");
            return Err(WriteError::TooLarge { reason });
        }
        let written = Written { lines: parsed.lines, rejected: parsed.rejected, rejected_total: parsed.rejected_total };
        if parsed.batch.is_empty() {
            return Ok(Written { lines: 0, ..written });
        }
        self.store(parsed.batch, rules, room).await?;
        Ok(written)
    }

    async fn try_write_arrow(
        &self,
        table: &TableName,
        rows: &RecordBatch,
        roles: &Roles,
        rules: Arc<RulesInForce>,
    ) -> Result<u64, WriteError> {
        let cells = rows.num_columns().saturating_mul(rows.num_rows());
        let limit = cell_limit(&self.shared.memory);
        if cells > limit {
            let reason = format!("it has {cells} values, rows times columns, and {limit} are allowed");
            return Err(WriteError::TooLarge { reason });
        }
        let bytes = rows.get_array_memory_size() as u64;
        let room = self.room_for(bytes.saturating_mul(PER_COLUMN_BYTE)).await?;
        let known = PinnedSchema::new(self.schema.clone(), rules.clone());
        let (table, rows, roles, under) = (table.clone(), rows.clone(), roles.clone(), rules.clone());
        let now = self.shared.clock.now_nanos();
        let read = move || {
            let filter = under.filter(now);
            arrow::read(&table, &rows, &known, &roles, &under.rules.limits, filter.as_deref())
        };
        let batch = self.shared.env.compute.run(read).await?;
        let rows = batch.row_count() as u64;
        if rows > 0 {
            self.store(batch, rules, room).await?;
        }
        Ok(rows)
    }

    /// Counts `bytes` as held, waiting a moment for room; chunks are persisted early for it.
    ///
    /// # Errors
    /// [`WriteError::MemoryFull`] if there is no room in time.
    async fn room_for(&self, bytes: u64) -> Result<Held, WriteError> {
        let memory = &self.shared.memory;
        // An estimate may be too high: what the write really takes is known once it is prepared.
        let bytes = bytes.min(write_limit(memory));
        if let Some(room) = memory.try_hold(bytes) {
            if memory.pressure() >= Pressure::Soft {
                self.lifecycle.wake();
            }
            return Ok(room);
        }
        let _wanted = memory.want(bytes);
        let mut patience = std::pin::pin!(self.shared.env.clock.sleep(PATIENCE));
        loop {
            let released = memory.released();
            if let Some(room) = memory.try_hold(bytes) {
                return Ok(room);
            }
            self.lifecycle.wake();
            tokio::select! {
                biased;
                () = released => {}
                () = &mut patience => {
                    return Err(WriteError::MemoryFull { held: memory.held(), limit: memory.limit() });
                }
            }
        }
    }

    /// Makes `room` be of `bytes`.
    async fn resize(&self, mut room: Held, bytes: u64) -> Result<Held, WriteError> {
        match bytes.checked_sub(room.bytes()) {
            None | Some(0) => room.set(bytes),
            Some(more) => room.absorb(self.room_for(more).await?),
        }
        Ok(room)
    }

    async fn store(&self, batch: Batch, rules: Arc<RulesInForce>, room: Held) -> Result<(), WriteError> {
        self.check_fence().await?;
        // A reader that lags too far may hold clients' writes up.
        self.shared.log.admit(self.name()).await?;
        let limit = rules.rules.limits.partitions_per_write;
        let prepared = self.shared.env.compute.run(move || Prepared::new(batch, rules)).await;
        let touched = match &prepared {
            Ok(prepared) => prepared.partitions(),
            Err(WriteError::TooManyPartitions { partitions, .. }) => *partitions,
            Err(_) => 0,
        };
        let now = self.shared.env.clock.monotonic();
        self.alarm.note_write(self.name(), touched, limit, now, || self.buffer.partition_load());
        let prepared = prepared?;
        let (bytes, rows, limit) = (prepared.memory_size(), prepared.rows(), write_limit(&self.shared.memory));
        if bytes > limit {
            let reason = format!("it takes {bytes} bytes, and {limit} are allowed");
            return Err(WriteError::TooLarge { reason });
        }
        let room = self.resize(room, bytes).await?;
        self.shared.clock.catch_up().await;
        let logged = self.acceptor.log(prepared, room)?;
        if let Some(appended) = logged.accepted() {
            let log = &self.shared.log;
            self.counters.unlogged.watch(log, self.name(), appended.clone(), rows, now);
        }
        self.acceptor.settle(&logged, self.shared.env.clock.monotonic()).await?;
        self.check_fence().await
    }

    pub(crate) async fn check_fence(&self) -> Result<(), WriteError> {
        self.shared.fence.ensure_held().await.map_err(|fenced| WriteError::Fenced(fenced.to_string()))
    }

    fn count(&self, rows: u64, bytes: u64, rejected_lines: u64) {
        self.counters.rows.fetch_add(rows, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.rejected_lines.fetch_add(rejected_lines, Ordering::Relaxed);
    }

    fn count_refused(&self) {
        self.counters.refused_writes.fetch_add(1, Ordering::Relaxed);
    }
}
