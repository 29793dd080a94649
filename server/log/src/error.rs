//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ochre_types::{ByteSize, DatabaseName, Sequence};

/// Why the log did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// More is waiting to be written than the log may hold in memory. Retry shortly.
    #[error("the log has {pending} bytes waiting to be written, and {limit:?} are allowed: retry shortly")]
    Busy {
        /// Bytes that wait.
        pending: u64,
        /// Bytes that may wait.
        limit: ByteSize,
    },
    /// There is no room. Nothing of the frame is kept or will ever be replayed. Retry later: heals by itself.
    #[error("the log has no room ({reason}): free space, or retry once data has been persisted and released")]
    Full {
        /// What is full.
        reason: Arc<str>,
    },
    /// A write or sync failed before; nothing can be appended until the server is started again. Whether a frame that
    /// waited is replayed then is unknown.
    #[error("the log has failed ({reason}): check the disk, then start the server again")]
    Failed {
        /// The first failure.
        reason: Arc<str>,
    },
    /// Another server has taken the log over; this one can't append any more. What waited was not acknowledged.
    #[error("the log belongs to another server now ({reason}): this one must stop")]
    Fenced {
        /// What shows it.
        reason: Arc<str>,
    },
    /// A reader lags beyond its queue limit, and its rule holds up clients' writes meanwhile. Retry later.
    #[error(
        "cursor {cursor:?} on database {database} lags {lag_bytes} bytes behind, beyond its queue limit: retry once its reader has caught up, or change what the queue does when it is full"
    )]
    QueueFull {
        /// The cursor.
        cursor: String,
        /// Its database.
        database: DatabaseName,
        /// Bytes behind it.
        lag_bytes: u64,
    },
    /// An object could not be read, listed or written.
    #[error("{action} {path} failed: {reason}: is the object store in reach?")]
    Object {
        /// What was being done.
        action: &'static str,
        /// To which object or folder.
        path: String,
        /// The store's answer.
        reason: Arc<str>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The record does not fit into a frame.
    #[error("a record's {what} is {size}, and at most {limit} is allowed: split the batch")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The reader's position is before what is kept.
    #[error(
        "frames of database {database} after sequence {after} are gone; the oldest that can be read is {oldest}: catch up from chunks"
    )]
    Gone {
        /// The database.
        database: DatabaseName,
        /// The position asked for.
        after: Sequence,
        /// The oldest sequence that is kept, or the next one if none is.
        oldest: Sequence,
    },
    /// There is no such cursor.
    #[error("there is no cursor {name:?} on database {database}: open it first")]
    NoCursor {
        /// The cursor's name.
        name: String,
        /// Its database.
        database: DatabaseName,
    },
    /// A cursor was moved past what is durable.
    #[error("cursor {name:?} on database {database} cannot move to {position}: the log is durable up to {synced} only")]
    CursorAhead {
        /// The cursor's name.
        name: String,
        /// Its database.
        database: DatabaseName,
        /// Where to.
        position: Sequence,
        /// The last durable sequence.
        synced: Sequence,
    },
    /// The directory belongs to another process.
    #[error("log directory {dir} is in use by another process: stop it, or give this node a directory of its own")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A file was written by a newer release.
    #[error("{file} has format version {version}, and this release reads up to {supported}: start a newer release")]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u16,
        /// The highest known version.
        supported: u16,
    },
    /// An operation on a file failed.
    #[error("{action} {path} failed: {error}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's answer.
        error: Arc<io::Error>,
    },
}

impl LogError {
    /// Whether the same request may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Full { .. } | Self::QueueFull { .. })
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { action, path, error: Arc::new(error) }
    }
}

/// Whether an error says that there is no room, rather than that the disk is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
