//! How a log is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_types::{ByteSize, Epoch, LogId};

/// Where the log lives.
#[derive(Debug, Clone)]
pub enum Home {
    /// Segments in a directory, which belongs to this log alone.
    Disk {
        /// The directory; made if it is not there.
        dir: PathBuf,
    },
    /// In memory only: gone with the process.
    Memory {
        /// Bytes of frames kept; above it, append answers [`crate::LogError::Full`] until frames are released.
        limit: ByteSize,
    },
    /// Objects in a folder of an object store, which belongs to this node alone.
    ObjectStore(ObjectHome),
}

/// A log in an object store.
#[derive(Debug, Clone)]
pub struct ObjectHome {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The folder of all epochs' logs.
    pub folder: Path,
    /// The epoch of this start, claimed before: every older one is closed when the log is opened.
    pub epoch: Epoch,
    /// The log's identity as the catalog has it: used where no object tells it.
    pub known: Option<LogId>,
    /// How often a segment is put at most, unless it is full before.
    pub flush_every: Duration,
}

impl ObjectHome {
    /// How often a segment is put, unless told.
    pub const FLUSH_EVERY: Duration = Duration::from_millis(250);
}

/// The settings of a log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Where the log lives.
    pub home: Home,
    /// A group that finds the segment at or above this length goes into a new one. (In an object store, every group is
    /// a segment.)
    pub segment_size: ByteSize,
    /// A group commit takes no more frames once it has this many bytes; a single larger frame is a group of its own.
    pub max_group_bytes: ByteSize,
    /// Bytes appended but not yet synced; above it, append answers [`crate::LogError::Busy`], or, in an object store,
    /// [`crate::LogError::Full`]. A single larger frame is still taken when nothing else waits.
    pub pending_limit: ByteSize,
    /// How long [`crate::Log::admit`] lets a write wait for a reader that lags.
    pub patience: Duration,
    /// An idle log appends a mark, and cursors are flushed, this long after the last change.
    pub idle_mark: Duration,
    /// Appends are refused when the disk would have less than this left.
    pub disk_reserve: ByteSize,
}

impl LogConfig {
    /// A log at `home` with the default settings.
    pub fn new(home: Home) -> Self {
        Self {
            home,
            segment_size: ByteSize::mib(64),
            max_group_bytes: ByteSize::mib(8),
            pending_limit: ByteSize::mib(64),
            patience: Duration::from_secs(5),
            idle_mark: Duration::from_secs(1),
            disk_reserve: ByteSize::mib(64),
        }
    }
}
