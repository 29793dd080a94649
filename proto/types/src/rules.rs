//! The rules of one database on one node, as far as they exist.

use std::time::Duration;

use crate::size::ByteSize;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// Once it is in the buffer: a crash may take it.
    Accepted,
    /// Once the log has it on stable storage.
    #[default]
    Durable,
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

/// What one database accepts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Columns of a table.
    pub columns: usize,
    /// Tables of the database.
    pub tables: usize,
    /// Partitions that one write may touch.
    pub partitions_per_write: usize,
    /// Bytes of one line of line protocol.
    pub line: ByteSize,
    /// Bytes of a request's body, after decompression.
    pub body: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            columns: 4_096,
            tables: 10_000,
            partitions_per_write: 5_000,
            line: ByteSize::mib(4),
            body: ByteSize::mib(64),
        }
    }
}

/// Everything that an operator may say about one database on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// When a write is acknowledged.
    pub ack: Ack,
    /// When chunks change their state.
    pub buffer: BufferRules,
    /// What is accepted at most.
    pub limits: Limits,
}
