//! How a log is set up.

use std::path::PathBuf;
use std::time::Duration;

use ochre_types::ByteSize;

/// Where the log lives.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// The settings of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Where the log lives.
    pub home: Home,
    /// A group that finds the segment at or above this length goes into a new one.
    pub segment_size: ByteSize,
    /// A group commit takes no more frames once it has this many bytes; a single larger frame is a group of its own.
    pub max_group_bytes: ByteSize,
    /// Bytes appended but not yet synced; above it, append answers [`crate::LogError::Busy`]. A single larger frame is
    /// still taken when nothing else waits.
    pub pending_limit: ByteSize,
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
            idle_mark: Duration::from_secs(1),
            disk_reserve: ByteSize::mib(64),
        }
    }
}
