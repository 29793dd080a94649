//! Bugs planted on purpose, to prove that the checkers of the test suite find them.
//!
//! Without the feature `planted`, [`is`] is always false and the compiler removes what it guards.

/// A bug that can be switched on by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Planted {
    /// The log says "synced" without syncing.
    SkipFsync,
    /// A write is acknowledged before its group commit ended.
    EarlyAck,
    /// Replay skips the first frame that is not persisted.
    ReplayOffByOne,
    /// The catalog's low-water mark is one frame too high.
    LowWaterTooHigh,
    /// A snapshot for a query forgets frozen chunks.
    ForgetFrozen,
    /// Stamps follow the wall clock, back as well as ahead, so that an older value of a cell may win.
    StampsGoBack,
    /// A chunk is shown from memory as unpersisted even after its Parquet is in the catalog: twice in all.
    SkipDedup,
    /// Replay passes over every frame up to the highest that the partition has persisted, whatever lies between.
    PassOverByHighest,
    /// A lost conditional put is taken for our own without reading the winner.
    AssumePutWasOurs,
    /// The catalog's low-water mark passes a deletion that the catalog does not get.
    ForgetTombstone,
    /// Joining chunks leaves out the rows of one of them.
    JoinForgetsInput,
}

impl Planted {
    /// Every planted bug.
    pub const ALL: [Self; 11] = [
        Self::SkipFsync,
        Self::EarlyAck,
        Self::ReplayOffByOne,
        Self::LowWaterTooHigh,
        Self::ForgetFrozen,
        Self::StampsGoBack,
        Self::SkipDedup,
        Self::PassOverByHighest,
        Self::AssumePutWasOurs,
        Self::ForgetTombstone,
        Self::JoinForgetsInput,
    ];
}

/// Whether `bug` is switched on, on this thread.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub fn is(bug: Planted) -> bool {
    let _ = bug;
    false
}

#[cfg(feature = "planted")]
mod switch {
    use super::Planted;

    thread_local! {
        static ON: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
    }

    /// Whether `bug` is switched on, on this thread.
    pub fn is(bug: Planted) -> bool {
        ON.get() == Some(bug)
    }

    /// Switches one bug on for this thread, or all off.
    pub fn set(bug: Option<Planted>) {
        ON.set(bug);
    }
}

#[cfg(feature = "planted")]
pub use switch::{is, set};
