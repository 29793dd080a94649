//! Deletes: rows by predicate, tables, whole databases; and taking drops back.
//!
//! A delete is one frame in the log, ordered among the batches by its stamp, however many rows it hides:
//!
//! ```text
//!   request -> checked -> stamped, logged (acceptor) -> durable -> buffer: the next query does not see the rows
//!                                                                    |
//!                     catalog <- the lifecycle's next commit --------'     compaction then leaves the rows out;
//!                                                                          collecting removes the objects that had them
//! ```
//!
//! # Invariants
//! 1. What is hidden is decided by stamps alone, never by what happened to be in memory: so a restart, a replay or a
//!    restore comes to the same.
//! 2. No low-water mark passes a deletion that the catalog does not have.
//! 3. What a drop hides is removed only when the drop can't be taken back any more.

mod dropping;
mod error;
mod receipt;
mod tracker;

use std::sync::Arc;

use ochre_batch::tombstone::MAX_PATTERNS;
use ochre_types::matching::{Predicate, RowMatch, TablePattern};
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{ColumnKind, Hlc, Stamp, TableName};

use crate::database::Database;
use crate::error::WriteError;
use crate::rules::RulesInForce;

pub use error::DeleteError;
pub use receipt::Receipt;
pub(crate) use tracker::Tracker;

/// Deletions by predicate that may wait at a time for compaction to carry them out.
pub const MAX_WAITING: usize = 10_000;

impl Database {
    /// Deletes the rows that match, with a time from the first to the last, both included. On success no later query
    /// sees them, and no crash brings them back.
    pub async fn delete_rows(&self, rows: RowMatch, time: (i64, i64)) -> Result<Receipt, DeleteError> {
        if time.0 > time.1 {
            return Err(DeleteError::NoTime);
        }
        if rows.tables.len() > MAX_PATTERNS {
            return Err(DeleteError::TooManyPatterns { given: rows.tables.len() });
        }
        self.check_predicate(&rows)?;
        let waiting = self.deletes.waiting(&self.known_tombstones());
        if waiting >= MAX_WAITING {
            return Err(DeleteError::TooMany { database: self.name().clone(), limit: MAX_WAITING });
        }
        self.erase(|stamp, _| Ok(Tombstone::new(stamp, Erasure::Rows { rows, time }))).await
    }

    /// Drops a table with all its rows and columns. It can be taken back for as long as the rules say.
    pub async fn drop_table(&self, table: &TableName) -> Result<Receipt, DeleteError> {
        self.erase(|stamp, rules| {
            // What is logged and not applied yet is in the schema.
            if self.buffer.columns(table.as_str()).is_none() && !self.schema.has(table) {
                return Err(DeleteError::UnknownTable { table: table.clone() });
            }
            let undrop_until = undrop_until(stamp, rules);
            Ok(Tombstone::new(stamp, Erasure::Table { table: table.clone(), undrop_until }))
        })
        .await
    }

    /// Takes the last drop of a table back: its rows and columns are there again, beside those of a table that has taken
    /// its name since.
    pub async fn undrop_table(&self, table: &TableName) -> Result<Receipt, DeleteError> {
        let dropped = |tombstone: &&Arc<Tombstone>| matches!(&tombstone.erasure, Erasure::Table { table: dropped, .. } if dropped == table);
        let known = self.buffer.tombstones();
        let last = known.iter().filter(dropped).rfind(|tombstone| tombstone.is_in_force());
        let last = last.ok_or_else(|| DeleteError::NotDropped { what: format!("table {:?}", table.as_str()) })?;
        self.take_back(last).await
    }

    /// Logs that a drop was taken back, unless it is too late.
    pub(crate) async fn take_back(&self, tombstone: &Tombstone) -> Result<Receipt, DeleteError> {
        self.erase(|stamp, _| {
            if tombstone.is_final(stamp.hlc) {
                return Err(DeleteError::TooLate { until: tombstone.undrop_until().unwrap_or_default() });
            }
            self.check_columns(tombstone)?;
            Ok(Tombstone { reverted: Some(stamp), ..tombstone.clone() })
        })
        .await
    }

    /// A predicate speaks of tags: one that names a field would silently match nothing.
    fn check_predicate(&self, rows: &RowMatch) -> Result<(), DeleteError> {
        let Some(predicate) = &rows.predicate else { return Ok(()) };
        for table in self.buffer.tables().iter().filter(|table| rows.may_match_table(table)) {
            for tag in predicate.tags() {
                if let Some(kind @ ColumnKind::Field(_)) = self.schema.kind(table.as_str(), tag) {
                    return Err(DeleteError::NotATag { table: table.clone(), column: tag.clone(), kind });
                }
            }
        }
        Ok(())
    }

    /// Deletes rows of one table, which must be there.
    pub async fn delete_from(&self, table: &TableName, predicate: Option<Predicate>) -> Result<Receipt, DeleteError> {
        if self.buffer.columns(table.as_str()).is_none() {
            return Err(DeleteError::UnknownTable { table: table.clone() });
        }
        let tables = vec![TablePattern::exactly(table).map_err(|error| DeleteError::Pattern(error.to_string()))?];
        self.delete_rows(RowMatch { tables, predicate }, (i64::MIN, i64::MAX)).await
    }

    /// Columns of one name and two kinds can't be in one table's files.
    fn check_columns(&self, tombstone: &Tombstone) -> Result<(), DeleteError> {
        for table in self.buffer.all_tables().iter().filter(|table| tombstone.drops(table)) {
            let dropped = self.buffer.dropped_columns(table.as_str()).remove(&tombstone.stamp).unwrap_or_default();
            for column in dropped.iter().filter(|column| column.id.kind != ColumnKind::Time) {
                if let Some(kind) = self.schema.kind(table.as_str(), &column.id.name)
                    && kind != column.id.kind
                {
                    let (column, dropped) = (column.id.name.clone(), column.id.kind);
                    return Err(DeleteError::Conflict { table: table.clone(), column, dropped, kind });
                }
            }
        }
        Ok(())
    }

    /// Logs a deletion and waits until it is durable and applied.
    async fn erase(
        &self,
        make: impl FnOnce(Stamp, &RulesInForce) -> Result<Tombstone, DeleteError>,
    ) -> Result<Receipt, DeleteError> {
        self.check_fence().await?;
        self.shared.clock.catch_up().await;
        let (logged, tombstone) = self.acceptor.log_tombstone(|stamp, rules| {
            if !rules.rules.lifecycle.mutable {
                return Err(WriteError::ReadOnly(self.name().clone()).into());
            }
            make(stamp, rules)
        })?;
        self.acceptor.settle(&logged, self.shared.env.clock.monotonic()).await?;
        self.lifecycle.wake();
        self.check_fence().await?;
        let state = self.catalog.state();
        tracing::info!(database = %self.name(), tombstone = %tombstone.stamp, what = receipt::what(&tombstone), undone = !tombstone.is_in_force(), "deleted");
        Ok(self.deletes.receipt(self.name(), &state, &self.buffer, &tombstone, self.shared.clock.now()))
    }

    /// The deletions that are known, newest first.
    pub fn deletes(&self) -> Vec<Receipt> {
        let (state, now) = (self.catalog.state(), self.shared.clock.now());
        let known = self.known_tombstones();
        known.iter().rev().map(|known| self.deletes.receipt(self.name(), &state, &self.buffer, known, now)).collect()
    }

    /// Those of the buffer, which is ahead of the catalog.
    pub(crate) fn known_tombstones(&self) -> Vec<Arc<Tombstone>> {
        self.buffer.tombstones()
    }
}

/// Until when a drop with this stamp can be taken back.
fn undrop_until(stamp: Stamp, rules: &RulesInForce) -> Hlc {
    let within = u64::try_from(rules.rules.lifecycle.undrop_within.as_millis()).unwrap_or(u64::MAX);
    Hlc::from_millis(stamp.hlc.millis().saturating_add(within).min(u64::MAX >> 16))
}
