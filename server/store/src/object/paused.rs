//! For tests: an environment on tokio's paused time, a seeded entropy and a simulated disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use ochre_doubles::disk::SimDisk;
use ochre_env::{Clock, Compute, Entropy, Env, Tasks};
use tokio::time::Instant;

/// A clock that stands still until everybody sleeps.
#[derive(Debug)]
pub(crate) struct PausedClock(Instant);

impl PausedClock {
    #[allow(clippy::disallowed_methods, reason = "tokio's paused time is the simulated one")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for PausedClock {
    fn wall_nanos(&self) -> i64 {
        i64::try_from(self.monotonic().as_nanos()).unwrap() + 1_700_000_000_000_000_000
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "tokio's paused time is the simulated one")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Different numbers, the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Must be called within a runtime whose time is paused.
pub(crate) fn env(disk: &SimDisk) -> Env {
    Env {
        clock: Arc::new(PausedClock::new()),
        entropy: Arc::new(Counting::default()),
        disk: Arc::new(disk.clone()),
        tasks: Tasks::new(),
        compute: Compute::inline(),
    }
}

/// Runs a future to its end on paused time.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}
