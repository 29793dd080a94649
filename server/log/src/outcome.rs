//! How a group commit ends, for all who wait for it.
//!
//! They are woken in the order in which they came, so that a simulation runs in one way only; tokio's `watch` would wake
//! them in any.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::LogError;

/// How a group commit ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Pending,
    Synced,
    Refused(LogError),
    /// The writer was stopped in the middle.
    Abandoned,
}

#[derive(Debug)]
struct Shared {
    outcome: Mutex<Outcome>,
    ended: Notify,
}

/// The writer's side. Dropped before it was told, the outcome is [`Outcome::Abandoned`].
#[derive(Debug)]
pub(crate) struct Ending(Arc<Shared>);

/// The side of those who wait.
#[derive(Debug, Clone)]
pub(crate) struct Awaited(Arc<Shared>);

impl Ending {
    /// A commit that has not ended.
    pub fn new() -> Self {
        Self(Arc::new(Shared { outcome: Mutex::new(Outcome::Pending), ended: Notify::new() }))
    }

    /// Somebody more waits.
    pub fn subscribe(&self) -> Awaited {
        Awaited(self.0.clone())
    }

    /// Tells everybody.
    pub fn tell(&self, outcome: Outcome) {
        *self.0.outcome.lock() = outcome;
        self.0.ended.notify_waiters();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let is_pending = matches!(*self.0.outcome.lock(), Outcome::Pending);
        if is_pending {
            self.tell(Outcome::Abandoned);
        }
    }
}

impl Awaited {
    /// The outcome, once there is one.
    pub async fn ended(&self) -> Outcome {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let outcome = self.0.outcome.lock().clone();
            if !matches!(outcome, Outcome::Pending) {
                return outcome;
            }
            ended.await;
        }
    }
}
