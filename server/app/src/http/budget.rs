//! The bound on the memory of request bodies in flight.

use std::sync::Arc;

use ochre_store::memory::Gauge;
use ochre_types::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;

/// Memory is lent in pieces of this many bytes.
const PIECE: usize = 1 << 10;

/// The memory that all request bodies may hold together.
#[derive(Debug, Clone)]
pub struct Budget {
    pieces: Arc<Semaphore>,
    gauge: Gauge,
}

impl Budget {
    /// A budget of `size`.
    pub fn new(size: ByteSize) -> Self {
        let pieces = Arc::new(Semaphore::new((size.as_usize() / PIECE).min(Semaphore::MAX_PERMITS)));
        Self { pieces, gauge: Gauge::new(size) }
    }

    /// Counts what is lent.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// A lease of nothing, to be grown.
    pub fn lease(&self) -> Lease {
        Lease { budget: self.clone(), held: None, bytes: 0 }
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Lease {
    /// A lease of nothing from the same budget.
    pub fn fresh(&self) -> Self {
        self.budget.lease()
    }

    /// Grows the lease to `bytes` in all, or fails because others hold too much at the moment.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let pieces = bytes.div_ceil(PIECE).saturating_sub(self.bytes.div_ceil(PIECE));
        if bytes <= self.bytes {
            return Ok(());
        }
        let permits = u32::try_from(pieces).unwrap_or(u32::MAX);
        match Arc::clone(&self.budget.pieces).try_acquire_many_owned(permits) {
            Ok(more) => {
                match &mut self.held {
                    Some(held) => held.merge(more),
                    None => self.held = Some(more),
                }
                self.budget.gauge.add((bytes - self.bytes) as u64);
                self.bytes = bytes;
                Ok(())
            }
            Err(_) => Err(Failure::exhausted(
                "the bodies of the requests in flight fill the memory set aside for them: try again later, or send \
                 smaller batches",
            )),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.gauge.remove(self.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back() {
        let budget = Budget::new(ByteSize(4096));
        let mut a = budget.lease();
        a.grow_to(1).unwrap();
        a.grow_to(1024).unwrap();
        a.grow_to(3000).unwrap();
        let mut b = budget.lease();
        b.grow_to(1024).unwrap();
        assert_eq!(b.grow_to(1025).unwrap_err().retry_after_seconds(), Some(1));
        assert_eq!(budget.gauge().read().used, 3000 + 1024);
        drop(a);
        b.grow_to(4096).unwrap();
        drop(b);
        assert_eq!((budget.gauge().read().used, budget.gauge().read().peak), (0, 4096));
    }
}
