//! Time and chance: the one place where a client takes them from the machine.
//!
//! Clients run in programs of any kind, not in a server's simulation, and have no seams to inject.

use std::time::Duration;

use tokio::time::Instant;

/// When a call has to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// A deadline that much later than now.
    #[expect(clippy::disallowed_methods, reason = "a client runs in real time")]
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// The time that is left; nothing if it has passed.
    #[expect(clippy::disallowed_methods, reason = "a client runs in real time")]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "a client runs in real time")]
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A number from 0 (included) to 1 (excluded), for jitter.
#[expect(clippy::disallowed_methods, reason = "clients must not agree on when to try again")]
pub(crate) fn chance() -> f64 {
    rand::random()
}
