//! Time.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

/// Wall and monotonic time.
pub trait Clock: Debug + Send + Sync {
    /// Nanoseconds since 1970-01-01 UTC by the wall clock, which may jump.
    fn wall_nanos(&self) -> i64;

    /// Time since some fixed moment; never goes back, and goes on while the process is stopped.
    fn monotonic(&self) -> Duration;

    /// Completes after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Milliseconds since 1970-01-01 UTC by the wall clock; 0 before that.
    fn wall_millis(&self) -> u64 {
        u64::try_from(self.wall_nanos() / 1_000_000).unwrap_or(0)
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods, clippy::new_without_default, reason = "this is the seam")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall_nanos(&self) -> i64 {
        let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
