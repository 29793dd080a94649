//! The memory of a node: one budget, divided by shares, and the guard that looks at what the process really takes.
//!
//! ```text
//!   --memory = requests | open | frozen | queries | caches | persist | the rest: what nobody counts
//!                |         \____________/     |         |         |
//!                |       refuse writes      spill,   let go    lent, waited for
//!             refuse     above both         refuse
//! ```
//!
//! Every part is counted where it is held. What is not counted (stacks, connections, what operators of a query take
//! without reserving it) shows in the process alone: the guard compares that with the budget, and above it lets no
//! query begin and ends the largest.

use std::sync::Arc;
use std::time::Duration;

use ochre_store::memory::{BufferMemory, ChunkShares, Gauge, ShareUse};
use ochre_types::ByteSize;
use parking_lot::Mutex;

use crate::node::Node;

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(100);
/// Above this part of the budget the largest query is ended.
const TOO_MUCH_PERCENT: u64 = 105;
/// Above this part, no query begins until it is less again.
const MUCH_PERCENT: u64 = 100;
/// How long the guard gives a query to end before it ends another.
const BREATH: Duration = Duration::from_millis(500);
/// How often the guard says at most what it did.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// The largest part of the memory of chunks that one write may take, as a divisor.
const WRITE_PART: u64 = 2;
/// Bytes that a cell of a batch takes, about: its value, its null bit, and the encoded copy.
const CELL_BYTES: u64 = 12;

/// How the budget is divided, in percent of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Bodies of requests.
    pub requests: u8,
    /// Open chunks, and batches on their way to them.
    pub open: u8,
    /// Frozen chunks, and copies of persisted ones.
    pub frozen: u8,
    /// Queries.
    pub queries: u8,
    /// Footers of Parquet objects.
    pub caches: u8,
    /// Freezing, persisting and joining: what these need, no query gets.
    pub persist: u8,
}

impl Default for MemoryShares {
    fn default() -> Self {
        Self { requests: 13, open: 26, frozen: 16, queries: 20, caches: 4, persist: 15 }
    }
}

impl MemoryShares {
    /// The shares by their names in the configuration.
    pub fn named(&self) -> [(&'static str, u8); 6] {
        let Self { requests, open, frozen, queries, caches, persist } = *self;
        [
            ("requests", requests),
            ("open", open),
            ("frozen", frozen),
            ("queries", queries),
            ("caches", caches),
            ("persist", persist),
        ]
    }

    /// Their sum, in percent.
    pub fn sum(&self) -> u32 {
        self.named().iter().map(|(_, share)| u32::from(*share)).sum()
    }
}

/// The parts of a budget, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The whole.
    pub limit: ByteSize,
    /// For bodies of requests.
    pub requests: ByteSize,
    /// For chunks.
    pub chunks: ChunkShares,
    /// For queries.
    pub queries: ByteSize,
    /// For footers of Parquet objects.
    pub caches: ByteSize,
}

impl Budget {
    /// Divides `limit`.
    pub fn new(limit: ByteSize, shares: &MemoryShares) -> Self {
        let part = |percent: u8| ByteSize(limit.0 / 100 * u64::from(percent));
        Self {
            limit,
            requests: part(shares.requests),
            chunks: ChunkShares { open: part(shares.open), frozen: part(shares.frozen), persist: part(shares.persist) },
            queries: part(shares.queries),
            caches: part(shares.caches),
        }
    }

    /// The same, less what a log in memory takes: its frames are held beside the chunks.
    pub fn with_log_in_memory(self, log: ByteSize) -> Self {
        let open = ByteSize(self.chunks.open.0.saturating_sub(log.0));
        Self { chunks: ChunkShares { open, ..self.chunks }, ..self }
    }
}

/// The most bytes that one write may take in memory.
pub(crate) fn write_limit(memory: &BufferMemory) -> u64 {
    memory.limit() / WRITE_PART
}

/// The most cells (rows times columns) that one write may have.
pub(crate) fn cell_limit(memory: &BufferMemory) -> usize {
    usize::try_from(write_limit(memory) / CELL_BYTES).unwrap_or(usize::MAX)
}

/// A part of the memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareStatus {
    /// Its name, as in the configuration; `log` and `resident` beside those.
    pub name: &'static str,
    /// What it holds.
    pub usage: ShareUse,
}

/// What the process takes, as the guard saw it, and gauges that others keep.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    gauges: Mutex<Vec<(&'static str, Gauge)>>,
    resident: Mutex<Option<ShareUse>>,
}

impl Node {
    /// Shows a part of the memory in the status that somebody else counts.
    pub fn show_memory(&self, name: &'static str, gauge: Gauge) {
        self.watched.gauges.lock().push((name, gauge));
    }

    /// The parts of the memory at this moment.
    pub fn memory_shares(&self) -> Vec<ShareStatus> {
        let queries = self.engine.usage();
        let log = self.shared.log.status();
        let pending = ShareUse { used: log.pending_bytes, peak: log.pending_bytes, limit: 0 };
        let shown = self.watched.gauges.lock().iter().map(|(name, gauge)| (*name, gauge.read())).collect::<Vec<_>>();
        let own = [("queries", queries.memory), ("caches", queries.caches), ("log", pending)];
        let resident = self.watched.resident.lock().map(|usage| ("resident", usage));
        let all = shown.into_iter().chain(self.shared.memory.shares()).chain(own).chain(resident);
        all.map(|(name, usage)| ShareStatus { name, usage }).collect()
    }

    /// Watches the memory of the process until the node stops: `resident` says how many bytes it takes, as far as the
    /// system can't take them back. Without an answer there is nothing to guard.
    pub fn guard_memory(self: &Arc<Self>, resident: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        let node = Arc::downgrade(self);
        let clock = self.shared.env.clock.clone();
        let guard = async move {
            let mut guard = Guard::default();
            loop {
                clock.sleep(LOOK).await;
                let (Some(node), Some(resident)) = (node.upgrade(), resident()) else { return };
                guard.look(&node, resident, clock.monotonic());
            }
        };
        self.shared.env.tasks.spawn("memory guard", guard);
    }
}

/// What the guard remembers.
#[derive(Debug, Default)]
struct Guard {
    refusing: bool,
    ended_at: Option<Duration>,
    said_at: Option<Duration>,
}

impl Guard {
    fn look(&mut self, node: &Node, resident: u64, now: Duration) {
        let limit = node.config.memory.0;
        {
            let mut seen = node.watched.resident.lock();
            let peak = seen.map_or(0, |seen| seen.peak).max(resident);
            *seen = Some(ShareUse { used: resident, peak, limit });
        }
        let percent = |part: u64| limit / 100 * part;
        let refuse = resident > percent(MUCH_PERCENT);
        if refuse != self.refusing {
            self.refusing = refuse;
            let reason = format!("the process takes {resident} bytes of {limit}");
            node.engine.refuse(refuse.then_some(reason));
        }
        let rested = self.ended_at.is_none_or(|at| now.saturating_sub(at) >= BREATH);
        if resident <= percent(TOO_MUCH_PERCENT) || !rested {
            return;
        }
        let reason = format!("it had taken most when the process took {resident} bytes of {limit}");
        let ended = node.engine.end_largest(&reason);
        self.ended_at = ended.map(|_| now).or(self.ended_at);
        if self.said_at.is_none_or(|at| now.saturating_sub(at) >= SAY_EVERY) {
            self.said_at = Some(now);
            tracing::warn!(resident, limit, ended_query_bytes = ?ended, "the process takes more memory than --memory allows: no query begins until it takes less");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shares_leave_something_for_what_nobody_counts() {
        let shares = MemoryShares::default();
        assert_eq!(shares.sum(), 94);
        let budget = Budget::new(ByteSize::mib(500), &shares);
        assert_eq!(budget.requests, ByteSize::mib(65));
        assert_eq!(budget.chunks.open.0 + budget.chunks.frozen.0, ByteSize::mib(210).0);
        assert_eq!((budget.queries, budget.chunks.persist), (ByteSize::mib(100), ByteSize::mib(75)));
        let memory = BufferMemory::with_shares(budget.chunks);
        assert_eq!((write_limit(&memory), cell_limit(&memory)), (105 << 20, (105 << 20) / 12));
        let log = budget.with_log_in_memory(ByteSize::mib(30));
        assert_eq!(log.chunks.open, ByteSize::mib(100));
    }
}
