//! The read buffer: copies in memory of persisted chunks. Those that no query has wanted for longest go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chunk::FrozenChunk;

/// Counts readings of copies in memory, so that they can be put in order.
#[derive(Debug, Clone, Default)]
pub struct Readings(Arc<AtomicU64>);

/// When a copy was last read, in readings of any. Clones are one mark.
#[derive(Debug, Clone, Default)]
pub struct ReadMark {
    last: Arc<AtomicU64>,
    readings: Readings,
}

impl Readings {
    /// A mark of something that has just been read.
    pub fn mark(&self) -> ReadMark {
        let mark = ReadMark { last: Arc::default(), readings: self.clone() };
        mark.touch();
        mark
    }
}

impl ReadMark {
    /// It is read now.
    pub fn touch(&self) {
        let now = self.readings.0.fetch_add(1, Ordering::Relaxed) + 1;
        self.last.store(now, Ordering::Relaxed);
    }

    /// The count of readings at its last one.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

/// A copy in memory of a persisted chunk.
#[derive(Debug, Clone)]
pub struct Resident {
    /// The rows.
    pub chunk: Arc<FrozenChunk>,
    /// When a query last read them.
    pub read: ReadMark,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_last_has_the_highest_mark() {
        let readings = Readings::default();
        let (first, second) = (readings.mark(), readings.mark());
        assert!(first.last() < second.last());
        first.clone().touch();
        assert!(first.last() > second.last());
    }
}
