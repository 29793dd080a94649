//! The rules of one database on one node: everything that an operator may say about it.
//!
//! ```text
//!   document (YAML, JSON, protobuf) --read--> tree --check, all mistakes at once--> Rules --applied as a whole-->
//! ```
//!
//! What a document does not say has its default.

mod diff;
pub mod document;
mod render;
pub mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ColumnKind;
use crate::matching::{RowMatch, TablePattern};
use crate::name::{ColumnName, TableName};
use crate::partition::Template;
use crate::size::ByteSize;

pub use diff::{Change, diff, fields};
pub use document::{Document, Problem, Problems, Target};
pub use render::render;

/// The partition rules that a document may have.
pub const MAX_PARTITION_RULES: usize = 100;
/// The retention rules that a document may have.
pub const MAX_RETAIN_RULES: usize = 100;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// Once it is in the buffer: a crash may take it.
    Accepted,
    /// Once the log has it on stable storage.
    #[default]
    Durable,
}

/// How the log treats this database. The log's home and flush interval are the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRules {
    /// When a write is acknowledged.
    pub ack: Ack,
}

/// One partition rule: how the rows of some tables lie together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRule {
    /// The tables that it is for.
    pub tables: TablePattern,
    /// What makes their partition keys.
    pub template: Arc<Template>,
}

/// The partition rules in order: the first whose pattern matches a table decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionRules {
    /// At most [`MAX_PARTITION_RULES`].
    pub rules: Vec<PartitionRule>,
    /// What holds for tables that no rule matches: one partition a day.
    pub otherwise: Arc<Template>,
}

impl PartitionRules {
    /// The template of a table, and the position of the rule that it comes from; `None` if none matches.
    pub fn template(&self, table: &TableName) -> (&Arc<Template>, Option<usize>) {
        match self.rules.iter().position(|rule| rule.tables.matches(table)) {
            Some(position) => (&self.rules[position].template, Some(position)),
            None => (&self.otherwise, None),
        }
    }
}

/// When an open chunk is frozen, and a frozen one persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferRules {
    /// Rows after which an open chunk is frozen.
    pub freeze_rows: u64,
    /// Bytes in memory after which an open chunk is frozen.
    pub freeze_size: ByteSize,
    /// Age of its first row (since arrival) after which an open chunk is frozen.
    pub freeze_after: Duration,
    /// Age of its first row (since arrival) after which a frozen chunk is persisted, whatever its size.
    pub persist_after: Duration,
}

impl Default for BufferRules {
    fn default() -> Self {
        Self {
            freeze_rows: 1 << 20,
            freeze_size: ByteSize::mib(128),
            freeze_after: Duration::from_secs(5 * 60),
            persist_after: Duration::from_secs(10 * 60),
        }
    }
}

/// The order of rows in chunks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SortRule {
    /// Chosen at a table's first freeze: tags with few values first.
    #[default]
    Auto,
    /// These tags first, in this order, where a table has them; then its other tags.
    Tags(Vec<ColumnName>),
}

/// How long the rows of some tables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainRule {
    /// The tables that it is for.
    pub tables: TablePattern,
    /// Rows whose time is further back than this are gone, by the wall clock. `None`: kept for ever.
    pub after: Option<Duration>,
}

/// The retention rules in order: the first whose pattern matches a table decides. Rows of tables that none matches
/// are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetainRules {
    /// At most [`MAX_RETAIN_RULES`].
    pub rules: Vec<RetainRule>,
}

impl RetainRules {
    /// How long rows of a table are kept; `None` is for ever.
    pub fn of(&self, table: &TableName) -> Option<Duration> {
        self.rules.iter().find(|rule| rule.tables.matches(table)).and_then(|rule| rule.after)
    }
}

/// How persisted chunks are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactRules {
    /// Whether chunks are joined by themselves. Deletes and retention are carried out in any case.
    pub enabled: bool,
    /// Joined chunks are cut, by time, into files of about this size.
    pub max_file_size: ByteSize,
    /// Chunks of a partition as they were frozen that are joined at the latest: as soon as there are so many.
    pub max_files: usize,
    /// How long a partition has to be quiet until what overlaps in it is joined, however little it is.
    pub quiet_after: Duration,
}

impl Default for CompactRules {
    fn default() -> Self {
        Self {
            enabled: true,
            max_file_size: ByteSize::mib(512),
            max_files: 8,
            quiet_after: Duration::from_secs(30 * 60),
        }
    }
}

/// What becomes of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRules {
    /// How long rows are kept.
    pub retain: RetainRules,
    /// How old a version must be before it is joined with others for good, in a database that has met a peer. One value
    /// in the whole federation.
    pub settle_window: Duration,
    /// How chunks are joined.
    pub compact: CompactRules,
    /// The order of rows in chunks that are frozen from now on.
    pub sort: SortRule,
    /// Tags and text fields whose values chunks have bloom filters of, from now on.
    pub bloom: Vec<ColumnName>,
    /// Whether writes are taken.
    pub mutable: bool,
    /// How long objects stay after nothing names them any more: longer than any query may run, and than attached
    /// readers need to see a newer catalog.
    pub grace: Duration,
    /// How long a dropped table or database can be brought back.
    pub undrop_within: Duration,
}

impl Default for LifecycleRules {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        Self {
            retain: RetainRules::default(),
            settle_window: Duration::from_secs(14 * 24 * HOUR),
            compact: CompactRules::default(),
            sort: SortRule::Auto,
            bloom: Vec::new(),
            mutable: true,
            grace: Duration::from_secs(HOUR),
            undrop_within: Duration::from_secs(7 * 24 * HOUR),
        }
    }
}

/// Which rows this node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreRule {
    /// All.
    #[default]
    All,
    /// None: what nothing stores and nothing sends is refused.
    None,
    /// Those that match; others are refused line by line.
    Match(RowMatch),
}

/// What one database accepts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Columns of a table.
    pub columns: usize,
    /// Tables of the database.
    pub tables: usize,
    /// Partitions that one write may touch.
    pub partitions_per_write: usize,
    /// How far back from the server's clock the time of a written row may lie; `None`: as far as it likes.
    pub past: Option<Duration>,
    /// How far ahead of the server's clock the time of a written row may lie; `None`: as far as it likes.
    pub future: Option<Duration>,
    /// Bytes of one line of line protocol.
    pub line: ByteSize,
    /// Bytes of a request's body, after decompression.
    pub body: ByteSize,
    /// Memory that one query may take, within what all queries of the server have.
    pub query_memory: ByteSize,
    /// How long a query may run.
    pub query_time: Duration,
    /// Queries that may run at a time; further ones wait for their turn.
    pub concurrent_queries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            columns: 4_096,
            tables: 10_000,
            partitions_per_write: 5_000,
            past: None,
            future: None,
            line: ByteSize::mib(4),
            body: ByteSize::mib(64),
            query_memory: ByteSize(2 << 30),
            query_time: Duration::from_secs(5 * 60),
            concurrent_queries: 32,
        }
    }
}

/// Everything that an operator may say about one database on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// How rows are partitioned.
    pub partition: PartitionRules,
    /// The kinds that columns of these names have, in every table.
    pub columns: BTreeMap<ColumnName, ColumnKind>,
    /// How the log treats it.
    pub log: LogRules,
    /// When chunks change their state.
    pub buffer: BufferRules,
    /// What becomes of chunks.
    pub lifecycle: LifecycleRules,
    /// Which rows are kept.
    pub store: StoreRule,
    /// What is accepted at most.
    pub limits: Limits,
}
