//! The memory of chunks: bytes held, by share; a soft limit at which chunks are persisted early, a hard one at which
//! writes are pushed back, and a reserve for the work of freezing and persisting, which nothing else can take.
//!
//! ```text
//!   open    chunks that are appended to, closed ones, and batches on their way to them | together at most
//!   frozen  sorted chunks, and copies of persisted ones (the read buffer)              | the sum of both
//!   persist copies made while a chunk is sorted, folded and encoded: lent, and waited for
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_types::ByteSize;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The reserve is lent in pieces of this many bytes.
const PIECE: u64 = 64 << 10;
/// A chunk is closed once it has this part of what chunks may hold, as a divisor: so that copies made while it is
/// sorted and encoded stay small beside the rest.
const CHUNKS: u64 = 24;
/// No chunk is closed for its size alone below this many bytes.
const LEAST_CHUNK: u64 = 1 << 20;

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

/// What a share of the memory holds, has held at most, and may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareUse {
    /// Held now.
    pub used: u64,
    /// The most that was ever held.
    pub peak: u64,
    /// What may be held.
    pub limit: u64,
}

/// Counts the bytes of one share. Clones count together.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    used: AtomicU64,
    peak: AtomicU64,
    limit: u64,
}

impl Gauge {
    /// A gauge at 0 of a share of `limit`.
    pub fn new(limit: ByteSize) -> Self {
        Self(Arc::new(Counts { used: AtomicU64::new(0), peak: AtomicU64::new(0), limit: limit.0 }))
    }

    /// Counts `bytes` more.
    pub fn add(&self, bytes: u64) {
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(used, Ordering::Relaxed);
    }

    /// Counts `bytes` less; they must have been added before.
    pub fn remove(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes` more unless that goes beyond `limit`. False if it does.
    fn try_add(&self, bytes: u64, limit: u64) -> bool {
        let fits = |used: u64| Some(used.saturating_add(bytes)).filter(|sum| *sum < limit);
        match self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Where it stands.
    pub fn read(&self) -> ShareUse {
        let Counts { used, peak, limit } = &*self.0;
        ShareUse { used: used.load(Ordering::Relaxed), peak: peak.load(Ordering::Relaxed), limit: *limit }
    }
}

/// The shares of chunks, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkShares {
    /// For open chunks.
    pub open: ByteSize,
    /// For frozen chunks and the read buffer.
    pub frozen: ByteSize,
    /// For the work of freezing, persisting and joining.
    pub persist: ByteSize,
}

/// The bytes that the chunks of all databases of a server hold in memory. Clones share one count.
#[derive(Debug, Clone)]
pub struct BufferMemory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    all: Gauge,
    open: Gauge,
    frozen: Gauge,
    work: Gauge,
    /// Bytes that writes wait for.
    wanted: AtomicU64,
    /// Wakes those who wait for room.
    released: Arc<Notify>,
    lent: Arc<Semaphore>,
    soft: u64,
    hard: u64,
}

impl BufferMemory {
    /// A budget of `hard` bytes, of which the last quarter is above the soft limit; a third of it is for frozen chunks,
    /// and the reserve has as much.
    pub fn new(hard: ByteSize) -> Self {
        let third = ByteSize(hard.0 / 3);
        Self::with_shares(ChunkShares { open: ByteSize(hard.0 - third.0), frozen: third, persist: third })
    }

    /// A budget by shares. The hard limit is the sum of `open` and `frozen`; the soft one is three quarters of it.
    pub fn with_shares(shares: ChunkShares) -> Self {
        let hard = shares.open.0.saturating_add(shares.frozen.0);
        let pieces = usize::try_from((shares.persist.0 / PIECE).max(1)).unwrap_or(usize::MAX);
        let shared = Shared {
            all: Gauge::new(ByteSize(hard)),
            open: Gauge::new(shares.open),
            frozen: Gauge::new(shares.frozen),
            work: Gauge::new(shares.persist),
            wanted: AtomicU64::new(0),
            released: Arc::default(),
            lent: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))),
            soft: hard / 4 * 3,
            hard,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.shared.all.read().used
    }

    /// The most bytes ever held.
    pub fn peak(&self) -> u64 {
        self.shared.all.read().peak
    }

    /// The hard limit in bytes.
    pub fn limit(&self) -> u64 {
        self.shared.hard
    }

    /// The shares by name.
    pub fn shares(&self) -> [(&'static str, ShareUse); 3] {
        let Shared { open, frozen, work, .. } = &*self.shared;
        [("open", open.read()), ("frozen", frozen.read()), ("persist", work.read())]
    }

    /// The bytes at which an open chunk is closed whatever the rules say.
    pub fn largest_chunk(&self) -> u64 {
        (self.shared.hard / CHUNKS).max(LEAST_CHUNK)
    }

    /// Whether copies of persisted chunks may stay in memory: there is no pressure, and frozen chunks are within their
    /// share.
    pub fn has_room_for_copies(&self) -> bool {
        let frozen = self.shared.frozen.read();
        self.pressure() == Pressure::None && frozen.used <= frozen.limit
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

    /// How full the budget is, counting what writes wait for.
    pub fn pressure(&self) -> Pressure {
        self.pressure_with(self.shared.wanted.load(Ordering::Relaxed))
    }

    /// Counts `bytes` as held by open chunks until the guard is dropped.
    pub fn hold(&self, bytes: u64) -> Held {
        let mut held = self.nothing(self.shared.open.clone());
        held.set(bytes);
        held
    }

    /// Counts `bytes` as held by frozen chunks until the guard is dropped.
    pub fn hold_frozen(&self, bytes: u64) -> Held {
        let mut held = self.nothing(self.shared.frozen.clone());
        held.set(bytes);
        held
    }

    /// Counts `bytes` as held by open chunks, unless the hard limit stands against it.
    pub fn try_hold(&self, bytes: u64) -> Option<Held> {
        if !self.shared.all.try_add(bytes, self.shared.hard) {
            return None;
        }
        self.shared.open.add(bytes);
        let mut held = self.nothing(self.shared.open.clone());
        held.bytes = bytes;
        Some(held)
    }

    fn nothing(&self, share: Gauge) -> Held {
        Held { memory: self.clone(), share, bytes: 0 }
    }

    /// Says that a write waits for `bytes`, until the guard is dropped: chunks are persisted early for it.
    pub fn want(&self, bytes: u64) -> Wanted {
        self.shared.wanted.fetch_add(bytes, Ordering::Relaxed);
        Wanted { memory: self.clone(), bytes }
    }

    /// Completes when bytes are given back after this call, whenever it is polled.
    pub fn released(&self) -> OwnedNotified {
        self.shared.released.clone().notified_owned()
    }

    /// Borrows `bytes` of the reserve for sorting, folding or encoding, waiting for its turn; more than the whole of it
    /// is lent as the whole. Never ask for more while holding some.
    pub async fn work(&self, bytes: u64) -> Work {
        let limit = (self.shared.work.read().limit / PIECE).max(1);
        let pieces = u32::try_from(bytes.div_ceil(PIECE).clamp(1, limit)).unwrap_or(u32::MAX);
        let permit = self.shared.lent.clone().acquire_many_owned(pieces).await;
        let permit = permit.expect("the semaphore is never closed");
        self.shared.work.add(bytes);
        Work { gauge: self.shared.work.clone(), bytes, _permit: permit }
    }
}

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: BufferMemory,
    share: Gauge,
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
            shared.all.add(bytes - self.bytes);
            self.share.add(bytes - self.bytes);
        } else {
            shared.all.remove(self.bytes - bytes);
            self.share.remove(self.bytes - bytes);
            shared.released.notify_waiters();
        }
        self.bytes = bytes;
    }
}

impl Held {
    /// Takes over what another guard of the same share counts.
    pub fn absorb(&mut self, mut other: Held) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that a write waits for, until this is dropped.
#[derive(Debug)]
pub struct Wanted {
    memory: BufferMemory,
    bytes: u64,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.memory.shared.wanted.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A part of the reserve, given back when dropped.
#[derive(Debug)]
pub struct Work {
    gauge: Gauge,
    bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.gauge.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

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

    #[test]
    fn shares_are_told_apart_and_limited_together() {
        let (open, frozen, persist) = (ByteSize(600), ByteSize(400), ByteSize(200));
        let memory = BufferMemory::with_shares(ChunkShares { open, frozen, persist });
        let one = memory.try_hold(500).unwrap();
        let two = memory.hold_frozen(450);
        assert!(memory.try_hold(50).is_none(), "the hard limit is that of both shares");
        let three = memory.try_hold(49).unwrap();
        assert_eq!(
            memory.shares(),
            [
                ("open", ShareUse { used: 549, peak: 549, limit: 600 }),
                ("frozen", ShareUse { used: 450, peak: 450, limit: 400 }),
                ("persist", ShareUse { used: 0, peak: 0, limit: 200 }),
            ]
        );
        drop((one, three));
        assert_eq!(memory.pressure(), Pressure::None);
        assert!(!memory.has_room_for_copies(), "frozen chunks are beyond their share");
        drop(two);
        assert!(memory.has_room_for_copies());
        assert_eq!((memory.held(), memory.peak()), (0, 999));
    }

    #[test]
    fn what_a_write_waits_for_is_pressure_and_wakes_it() {
        let memory = BufferMemory::new(ByteSize(1_000));
        let held = memory.hold(500);
        let wanted = memory.want(600);
        assert_eq!((memory.pressure(), memory.held()), (Pressure::Hard, 500));
        let mut released = Box::pin(memory.released());
        assert!(released.as_mut().now_or_never().is_none());
        drop(held);
        assert!(released.now_or_never().is_some());
        drop(wanted);
        assert_eq!(memory.pressure(), Pressure::None);
    }

    #[test]
    fn the_reserve_is_lent_in_turn_and_never_refuses() {
        let shares = ChunkShares { open: ByteSize::mib(1), frozen: ByteSize::mib(1), persist: ByteSize::mib(1) };
        let memory = BufferMemory::with_shares(shares);
        let huge = memory.work(ByteSize::mib(9).0).now_or_never().unwrap();
        let mut next = Box::pin(memory.work(1));
        assert!(next.as_mut().now_or_never().is_none(), "the whole reserve is lent");
        drop(huge);
        let next = next.now_or_never().unwrap();
        assert!(memory.work(ByteSize::mib(1).0 - PIECE).now_or_never().is_some());
        drop(next);
        assert_eq!(memory.shares()[2].1.used, 0);
    }
}
