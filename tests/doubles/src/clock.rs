//! Time that stands still until everybody sleeps.
//!
//! Monotonic time is tokio's paused one: it jumps to the next deadline when no task can run. Wall time is the same
//! from a fixed date on, plus a skew that a test may change at any moment, back as well as ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use ochre_env::Clock;
use tokio::time::Instant;

/// The wall clock when a simulation begins: nanoseconds since 1970-01-01 UTC.
pub const BEGINNING: i64 = 1_700_000_000_000_000_000;

/// A machine's clocks. Clones are the clocks of the same machine.
#[derive(Debug, Clone)]
pub struct SimClock {
    start: Instant,
    skew: Arc<AtomicI64>,
}

impl SimClock {
    /// Clocks that begin now. Must be called within a runtime whose time is paused.
    #[allow(
        clippy::disallowed_methods,
        clippy::new_without_default,
        reason = "tokio's paused time is the simulated one"
    )]
    pub fn new() -> Self {
        Self { start: Instant::now(), skew: Arc::default() }
    }

    /// The clocks of another machine that began at the same moment.
    pub fn other_machine(&self) -> Self {
        Self { start: self.start, skew: Arc::default() }
    }

    /// Lets the wall clock be wrong by this many nanoseconds from now on.
    pub fn set_skew(&self, nanos: i64) {
        self.skew.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_nanos(&self) -> i64 {
        let since = i64::try_from(self.monotonic().as_nanos()).unwrap_or(i64::MAX);
        BEGINNING.saturating_add(since).saturating_add(self.skew.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "tokio's paused time is the simulated one")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
