//! Partitions as operators see them: listed, frozen, persisted and joined on demand, closed for writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_store::buffer::partitions::PartitionState;
use ochre_store::catalog::{Edit, PartitionName, TemplateId};
use ochre_store::compact::Outcome;
use ochre_store::lifecycle::{CompactProgress, CompactReport, LifecycleError};
use ochre_store::selection::Selection;
use ochre_types::partition::PartitionKey;
use ochre_types::{DatabaseName, TableName};

use crate::database::Database;
use crate::error::WriteError;
use crate::node::Node;
use crate::operations::{Operation, OperationError, Progress, Work};

/// What shall be done with partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionWork {
    /// Sort and fold what is open.
    Freeze,
    /// Freeze, and put everything into objects.
    Persist,
    /// Persist, then join chunks, and carry out deletes and retention.
    Compact,
}

impl PartitionWork {
    /// The kind of its operation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Persist => "persist",
            Self::Compact => "compact",
        }
    }
}

/// A partition at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The partition and its chunks.
    pub state: PartitionState,
    /// Whether it takes no writes.
    pub read_only: bool,
}

/// Why a partition was not closed or opened.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// There is no such partition.
    #[error("table {:?} of database {database} has no partition {:?}", .table.as_str(), .key.as_str())]
    Unknown {
        /// The database.
        database: DatabaseName,
        /// The table.
        table: TableName,
        /// The key.
        key: PartitionKey,
    },
    /// The catalog did not take the change.
    #[error("the catalog did not take the change: {0}")]
    Catalog(String),
    /// What was written before could not be put into the buffer.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Database {
    /// The partitions of a selection that have chunks, by table, template and key.
    pub fn partitions(&self, selection: &Selection) -> Vec<PartitionInfo> {
        let catalog = self.catalog.state();
        let states = self.buffer.partitions(selection).into_iter();
        states.map(|state| PartitionInfo { read_only: catalog.read_only.contains(&state.name), state }).collect()
    }

    /// Closes the partitions with a key for writes, or opens them: those that templates of the table made so far, and
    /// the one that the template in force makes. On return every row of an acknowledged write is in, and no further one
    /// gets in. Returns how many have changed.
    pub async fn set_read_only(
        &self,
        table: &TableName,
        key: &PartitionKey,
        read_only: bool,
    ) -> Result<usize, PartitionError> {
        let selection = Selection { tables: None, key: Some(key.clone()) };
        let mut names: Vec<PartitionName> = self.buffer.partitions(&selection).into_iter().map(|it| it.name).collect();
        names.extend(self.catalog.state().read_only.iter().filter(|name| name.key == *key).cloned());
        names.retain(|name| name.table == *table);
        if names.is_empty() {
            let (database, table) = (self.name().clone(), table.clone());
            return Err(PartitionError::Unknown { database, table, key: key.clone() });
        }
        let rules = self.rules();
        let (template, _) = rules.partition.template(table);
        if read_only && template.parse_key(key).is_ok() {
            let template = TemplateId(template.id());
            names.push(PartitionName { table: table.clone(), template, key: key.clone() });
        }
        names.sort();
        names.dedup();
        let before = self.catalog.state();
        names.retain(|name| before.read_only.contains(name) != read_only);
        let changed = names.len();
        if changed > 0 {
            let edit = Edit::SetReadOnly { partitions: names, read_only };
            self.catalog.commit(vec![edit]).await.map_err(|error| PartitionError::Catalog(error.to_string()))?;
        }
        self.acceptor.refresh_closed(&self.catalog);
        self.acceptor.settle_all(self.shared.env.clock.monotonic()).await?;
        Ok(changed)
    }

    /// Does `work` with the partitions of a selection.
    async fn work(&self, work: PartitionWork, selection: &Selection, progress: &Progress) -> Result<String, String> {
        let failed = |error: LifecycleError| error.to_string();
        let sealed = self.lifecycle.freeze(selection).await.map_err(failed)?;
        if work == PartitionWork::Freeze {
            return Ok(format!("{} chunks are frozen", sealed.len()));
        }
        progress.set_total(sealed.len() as u64);
        let mut persisted = 0;
        while !progress.cancelled() && self.lifecycle.persist_one(&sealed).await.map_err(failed)? {
            persisted += 1;
            progress.advance(1);
        }
        if work == PartitionWork::Compact {
            return self.join_chunks(selection, progress).await;
        }
        Ok(format!("{persisted} chunks were persisted"))
    }

    /// Persists every chunk now, then joins and settles whatever can be, and removes objects whose grace is over.
    pub async fn compact_all(&self) -> Result<CompactReport, String> {
        self.persist_all().await.map_err(|error| error.to_string())?;
        let report = self.lifecycle.compact(&Selection::default(), &Alone).await.map_err(|error| error.to_string())?;
        self.lifecycle.upkeep_step().await;
        Ok(report)
    }

    async fn join_chunks(&self, selection: &Selection, progress: &Progress) -> Result<String, String> {
        // Chunks are joined once the log's low-water mark has passed them, and any older chunk in memory holds it back.
        self.persist_all().await.map_err(|error| error.to_string())?;
        let watched = Joining { progress, planned: AtomicU64::new(progress.operation().done) };
        let report = self.lifecycle.compact(selection, &watched).await.map_err(|error| error.to_string())?;
        let joined = report.joined;
        let mut said = format!(
            "{} chunks became {}, {} rows became {}",
            joined.chunks_in, joined.chunks_out, joined.rows_in, joined.rows_out
        );
        if report.expired > 0 {
            said += &format!("; {} were too old and taken out", report.expired);
        }
        if report.waiting > 0 {
            said += &format!(
                "; {} wait until everything written before them is persisted, or a drop can't be taken back any more",
                report.waiting
            );
        }
        Ok(said)
    }
}

/// Nobody watches.
struct Alone;

impl CompactProgress for Alone {
    fn planned(&self, _: u64) {}
    fn done(&self, _: &PartitionName, _: &Outcome) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// Shows how far a compaction is: its unit is chunks taken in.
struct Joining<'a> {
    progress: &'a Progress,
    planned: AtomicU64,
}

impl CompactProgress for Joining<'_> {
    fn planned(&self, chunks: u64) {
        self.progress.set_total(self.planned.fetch_add(chunks, Ordering::Relaxed) + chunks);
    }

    fn done(&self, partition: &PartitionName, outcome: &Outcome) {
        self.progress.advance(outcome.chunks_in);
        let (table, key) = (partition.table.as_str(), partition.key.as_str());
        self.progress.finding(format!(
            "table {table:?}, partition {key:?}: {} chunks became {}",
            outcome.chunks_in, outcome.chunks_out
        ));
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

impl Node {
    /// Begins to work on the partitions of a selection.
    pub fn work_on_partitions(
        &self,
        database: Arc<Database>,
        selection: Selection,
        work: PartitionWork,
        begun_by: String,
    ) -> Result<Operation, OperationError> {
        let target = match (&selection.tables, &selection.key) {
            (None, None) => "all partitions".to_owned(),
            (Some(tables), None) => format!("tables {tables}"),
            (None, Some(key)) => format!("partitions {:?}", key.as_str()),
            (Some(tables), Some(key)) => format!("partitions {:?} of tables {tables}", key.as_str()),
        };
        let described =
            Work { kind: work.name(), database: Some(database.name().clone()), target, unit: "chunks", begun_by };
        self.operations.spawn(described, |progress| async move { database.work(work, &selection, &progress).await })
    }
}
