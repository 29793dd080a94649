//! The memory budget of buffers: bytes held, a soft limit at which chunks are persisted early, and a hard limit at
//! which writes are pushed back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_types::ByteSize;

/// How full the buffers' budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Below the soft limit.
    None,
    /// At or above the soft limit: persist the largest chunks early, give up read buffers.
    Soft,
    /// At or above the hard limit: refuse writes until there is room.
    Hard,
}

/// The bytes that the chunks of all databases of a server hold in memory. Clones share one count.
#[derive(Debug, Clone)]
pub struct BufferMemory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    held: AtomicU64,
    peak: AtomicU64,
    soft: u64,
    hard: u64,
}

impl BufferMemory {
    /// A budget of `hard` bytes, of which the last quarter is above the soft limit.
    pub fn new(hard: ByteSize) -> Self {
        let shared = Shared { held: AtomicU64::new(0), peak: AtomicU64::new(0), soft: hard.0 / 4 * 3, hard: hard.0 };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// The most bytes ever held.
    pub fn peak(&self) -> u64 {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// The hard limit in bytes.
    pub fn limit(&self) -> u64 {
        self.shared.hard
    }

    /// How full the budget would be with `more` bytes.
    pub fn pressure_with(&self, more: u64) -> Pressure {
        let held = self.held().saturating_add(more);
        if held >= self.shared.hard {
            Pressure::Hard
        } else if held >= self.shared.soft {
            Pressure::Soft
        } else {
            Pressure::None
        }
    }

    /// How full the budget is.
    pub fn pressure(&self) -> Pressure {
        self.pressure_with(0)
    }

    /// Counts `bytes` as held until the guard is dropped.
    pub fn hold(&self, bytes: u64) -> Held {
        let mut held = Held { memory: self.clone(), bytes: 0 };
        held.set(bytes);
        held
    }
}

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: BufferMemory,
    bytes: u64,
}

impl Held {
    /// The bytes counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts `bytes` from now on.
    pub fn set(&mut self, bytes: u64) {
        let shared = &self.memory.shared;
        if bytes >= self.bytes {
            let held = shared.held.fetch_add(bytes - self.bytes, Ordering::Relaxed) + (bytes - self.bytes);
            shared.peak.fetch_max(held, Ordering::Relaxed);
        } else {
            shared.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_no_longer_held() {
        let memory = BufferMemory::new(ByteSize(1_000));
        let mut first = memory.hold(700);
        assert_eq!((memory.held(), memory.pressure()), (700, Pressure::None));
        let second = memory.hold(100);
        assert_eq!(memory.pressure(), Pressure::Soft);
        assert_eq!(memory.pressure_with(200), Pressure::Hard);
        first.set(10);
        drop(second);
        assert_eq!((memory.held(), memory.peak()), (10, 800));
        drop(first);
        assert_eq!(memory.held(), 0);
    }
}
