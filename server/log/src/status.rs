//! What a log tells about itself, for metrics and `system.log`.

use std::collections::BTreeMap;
use std::time::Duration;

use ochre_types::{DatabaseName, LogId, Sequence};

use crate::cursors::{CursorState, QueueLimit};

/// Counters since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub appended_bytes: u64,
    pub appended_frames: u64,
    pub refused_frames: u64,
    pub synced_groups: u64,
    pub sync_nanos: u64,
}

/// How far one database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// The oldest sequence that can be read, or the next one if none can.
    pub oldest: Sequence,
    /// The last sequence given.
    pub appended: Sequence,
    /// The last sequence that is durable.
    pub synced: Sequence,
}

/// How far one cursor's reader has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorStatus {
    /// Where it stands, and what it has lost.
    pub cursor: CursorState,
    /// How far it may lag.
    pub limit: Option<QueueLimit>,
    /// Bytes of its database's frames behind it; at most 64 KiB, or for old positions about a thousandth, too much.
    pub lag_bytes: u64,
    /// Age of the oldest frame behind it, by its stamp.
    pub lag_age: Duration,
}

/// A log's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    /// The log's identity.
    pub log_id: LogId,
    /// Number of segments kept (0 in memory).
    pub segments: u64,
    /// The oldest segment's number; in an object store, the epoch times 2^32 and the number within it.
    pub first_segment: u64,
    /// The newest segment's number.
    pub last_segment: u64,
    /// Bytes kept in segments, or in memory.
    pub bytes: u64,
    /// Bytes appended and not yet synced.
    pub pending_bytes: u64,
    /// Why the log takes nothing more until the server is started again.
    pub failed: Option<String>,
    /// Whether that is because another server has taken the log over.
    pub fenced: bool,
    /// Why the log takes nothing at the moment.
    pub full: Option<String>,
    /// Bytes written in group commits since the log was opened.
    pub appended_bytes_total: u64,
    /// Frames written since the log was opened.
    pub appended_frames_total: u64,
    /// Frames refused after they had been queued, since the log was opened.
    pub refused_frames_total: u64,
    /// Group commits since the log was opened.
    pub synced_groups_total: u64,
    /// Nanoseconds spent in their syncs.
    pub sync_nanos_total: u64,
    /// Every database that was ever written to and is still known.
    pub databases: BTreeMap<DatabaseName, DatabaseStatus>,
    /// Every cursor, by database and name.
    pub cursors: Vec<CursorStatus>,
}
