//! What can go wrong when a node is opened or written to.

use std::time::Duration;

use ochre_ingest::arrow::Refused;
use ochre_log::LogError;
use ochre_types::{ByteSize, DatabaseName, NodeId};

/// Why a write was not acknowledged.
///
/// Where [`WriteError::retry_after`] answers, the same write may succeed later; retrying is always safe.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The buffers' memory is used up.
    #[error("the buffers hold {held} bytes of {limit}: retry once chunks have been persisted")]
    MemoryFull {
        /// Bytes held.
        held: u64,
        /// The limit.
        limit: u64,
    },
    /// The write alone takes more memory than one may.
    #[error(
        "the write takes more memory than one write may on this server ({reason}): send fewer rows in one request, or raise --memory"
    )]
    TooLarge {
        /// By how much.
        reason: String,
    },
    /// The log did not take the batch, or could not make it durable.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another server owns this node's prefix now.
    #[error("this server has been replaced: {0}")]
    Fenced(String),
    /// The server is stopping.
    #[error("the server is stopping: retry once it is back")]
    Stopping,
    /// No stamp may be given, as the catalog could not reserve more.
    #[error("no more stamps are reserved in the catalog, as the object store does not answer: retry later")]
    NoStamps,
    /// Other writes kept changing the schema in a way that this one conflicts with.
    #[error("the schema of database {0} changed while this write was checked: retry")]
    SchemaChanged(DatabaseName),
    /// The rules kept changing while this write was prepared.
    #[error("the rules of database {0} changed while this write was prepared: retry")]
    RulesChanged(DatabaseName),
    /// The rules refuse all writes.
    #[error("database {0} takes no writes, as lifecycle.mutable is false in its rules: retry once that is changed")]
    ReadOnly(DatabaseName),
    /// The rules keep no rows, and there is nowhere else to send them.
    #[error("database {0} keeps no rows, as store is none in its rules: retry once that is changed")]
    NotStored(DatabaseName),
    /// The rows are not such as the table or the rules allow.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// One write touches more partitions than allowed.
    #[error(
        "the write touches {partitions} partitions, and at most {limit} are allowed: split it by time, or raise limits.partitions_per_write"
    )]
    TooManyPartitions {
        /// Partitions touched.
        partitions: usize,
        /// Partitions allowed.
        limit: usize,
    },
    /// The database does not exist and is not made by itself.
    #[error("database not found: {:?}", .0.as_str())]
    UnknownDatabase(DatabaseName),
    /// The database could not be opened when the server started; the others are served.
    #[error("database {name} is not served: {reason}")]
    NotServed {
        /// The database.
        name: DatabaseName,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalog did not take a change.
    #[error("the catalog did not take the change: {0}")]
    Catalog(String),
    /// Rows could not be put into the buffer.
    #[error("rows could not be put into the buffer: {0}")]
    Buffer(#[from] arrow_schema::ArrowError),
}

impl WriteError {
    /// Whether schema or rules changed while the write was prepared, so that it only has to be prepared anew.
    pub(crate) fn is_overtaken(&self) -> bool {
        matches!(self, Self::SchemaChanged(_) | Self::RulesChanged(_))
    }

    /// After which time the same write may succeed, if it may at all without anybody's doing.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::MemoryFull { .. } | Self::SchemaChanged(_) | Self::RulesChanged(_) => Some(Duration::from_secs(1)),
            Self::Log(error) if error.is_retryable() => Some(Duration::from_secs(2)),
            Self::Log(LogError::TooLarge { .. }) => None,
            // A failed log, a fenced or stopping server: this process will not take it, its successor will.
            Self::Log(_) | Self::Fenced(_) | Self::Stopping | Self::NoStamps => Some(Duration::from_secs(5)),
            Self::Catalog(_) => Some(Duration::from_secs(5)),
            // Somebody has to change or repair it; senders must keep the rows until then.
            Self::NotServed { .. } | Self::ReadOnly(_) | Self::NotStored(_) => Some(Duration::from_secs(60)),
            Self::TooLarge { .. }
            | Self::TooManyPartitions { .. }
            | Self::UnknownDatabase(_)
            | Self::Refused(_)
            | Self::Buffer(_) => None,
        }
    }
}

/// Why a node could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The object store can't be used.
    #[error("the object store can't be used: {0}")]
    Objects(String),
    /// The node's prefix could not be claimed.
    #[error("claiming the prefix of node {node}: {reason}")]
    Claim {
        /// The node.
        node: NodeId,
        /// What went wrong.
        reason: String,
    },
    /// The prefix holds a part of a backup.
    #[error(
        "node {node} is being restored from backup {backup}, which is not finished: run ochre backup restore again, and it goes on where it ended"
    )]
    Restoring {
        /// The node.
        node: NodeId,
        /// The backup.
        backup: String,
    },
    /// A catalog could not be opened.
    #[error("opening the catalog of {what}: {reason}")]
    Catalog {
        /// Whose catalog.
        what: String,
        /// What went wrong.
        reason: String,
    },
    /// A database's catalog or log can't be used as it is. The other databases can be served without it.
    #[error("database {database}: {reason}")]
    Unusable {
        /// The database.
        database: DatabaseName,
        /// What is wrong with it.
        reason: String,
    },
    /// The log could not be opened.
    #[error("opening the log: {0}")]
    Log(#[from] LogError),
    /// The query engine could not be set up.
    #[error("setting up the query engine: {0}")]
    Engine(String),
    /// The memory budget is too small to work with.
    #[error("a memory budget of {given} is too small: give at least {least}")]
    Memory {
        /// What was given.
        given: ByteSize,
        /// The least.
        least: ByteSize,
    },
}
