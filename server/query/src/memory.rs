//! The memory of one query, within what all queries share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use ochre_store::memory::Gauge;
use ochre_types::ByteSize;

/// Counts what one query reserves. What is beyond its limit is refused, so that operators that can spill do; all else
/// is left to the pool that the queries share.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    shared: Arc<dyn MemoryPool>,
    limit: ByteSize,
    used: AtomicUsize,
    /// Counts what all queries reserve.
    gauge: Gauge,
    /// Whether the query was ended: it gets nothing more.
    ended: AtomicBool,
}

impl QueryMemory {
    pub(crate) fn new(shared: Arc<dyn MemoryPool>, limit: ByteSize, gauge: Gauge) -> Self {
        Self { shared, limit, used: AtomicUsize::new(0), gauge, ended: AtomicBool::new(false) }
    }

    /// Bytes reserved.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Refuses everything from now on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of one query within {}", self.limit, self.shared)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &'static str {
        "one query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.gauge.add(additional as u64);
        self.shared.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.gauge.remove(shrink as u64);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let used = self.used.fetch_add(additional, Ordering::Relaxed);
        let grown = if self.ended.load(Ordering::Relaxed) {
            Err(DataFusionError::ResourcesExhausted("the query was ended, as the server is short of memory".to_owned()))
        } else if used.saturating_add(additional) > self.limit.as_usize() {
            Err(DataFusionError::ResourcesExhausted(format!(
                "limits.query_memory allows one query {}, and {} asked for {additional} bytes beyond the {used} it has",
                self.limit,
                reservation.consumer().name()
            )))
        } else {
            self.shared.try_grow(reservation, additional)
        };
        match grown {
            Ok(()) => self.gauge.add(additional as u64),
            Err(_) => {
                self.used.fetch_sub(additional, Ordering::Relaxed);
            }
        }
        grown
    }

    fn reserved(&self) -> usize {
        self.used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit.as_usize())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn a_query_has_its_limit_and_no_more_than_all_have() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let gauge = Gauge::new(ByteSize(100));
        let query = |limit| -> Arc<dyn MemoryPool> {
            Arc::new(QueryMemory::new(shared.clone(), ByteSize(limit), gauge.clone()))
        };
        let (small, large) = (query(40), query(1_000));
        let one = MemoryConsumer::new("sort").register(&small);
        one.try_grow(40).unwrap();
        let error = one.try_grow(1).unwrap_err().strip_backtrace();
        assert!(error.contains("limits.query_memory allows one query 40B, and sort asked for 1 bytes"), "{error}");
        let other = MemoryConsumer::new("join").register(&large);
        let error = other.try_grow(61).unwrap_err().strip_backtrace();
        assert!(!error.contains("limits.query_memory"), "the shared pool refuses: {error}");
        assert_eq!((small.reserved(), large.reserved(), shared.reserved()), (40, 0, 40));
        other.try_grow(60).unwrap();
        drop(one);
        assert_eq!((small.reserved(), shared.reserved()), (0, 60));
    }
}
