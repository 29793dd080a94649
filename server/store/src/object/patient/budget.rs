//! How many retries a store may be sent: a store that is down is not hammered.
//!
//! A retry takes a token. An answer gives half a one back, and time gives one a second; there are never more than
//! [`CAPACITY`]. So up to a third of all requests may fail for as long as they like and each is tried again, and a
//! store that answers nothing gets each request once and about one retry a second from all callers together.

use std::time::Duration;

use parking_lot::Mutex;

/// The most tokens, and how many there are in the beginning.
const CAPACITY: f64 = 100.0;
/// Tokens that an answer gives back.
const REWARD: f64 = 0.5;
/// Tokens that a second gives back.
const A_SECOND: f64 = 1.0;

#[derive(Debug)]
pub(super) struct Budget(Mutex<Tokens>);

#[derive(Debug)]
struct Tokens {
    left: f64,
    /// Monotonic time of the last change.
    seen: Duration,
}

impl Budget {
    /// A full one.
    pub(super) fn new(now: Duration) -> Self {
        Self(Mutex::new(Tokens { left: CAPACITY, seen: now }))
    }

    /// Takes what a retry costs; false if it is not there.
    pub(super) fn take(&self, now: Duration) -> bool {
        let mut tokens = self.0.lock();
        let passed = now.saturating_sub(tokens.seen).as_secs_f64();
        tokens.left = (tokens.left + passed * A_SECOND).min(CAPACITY);
        tokens.seen = tokens.seen.max(now);
        let enough = tokens.left >= 1.0;
        if enough {
            tokens.left -= 1.0;
        }
        enough
    }

    /// The store has answered.
    pub(super) fn reward(&self) {
        let mut tokens = self.0.lock();
        tokens.left = (tokens.left + REWARD).min(CAPACITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_and_come_back_with_time_and_answers() {
        let budget = Budget::new(Duration::ZERO);
        let taken = |now| (0..1_000).filter(|_| budget.take(now)).count();
        assert_eq!(taken(Duration::ZERO), 100);
        assert_eq!(taken(Duration::from_secs(7)), 7);
        for _ in 0..10 {
            budget.reward();
        }
        assert_eq!(taken(Duration::from_secs(7)), 5);
        assert_eq!(taken(Duration::from_secs(3)), 0, "time does not go back");
        assert_eq!(taken(Duration::from_secs(3_600)), 100, "and no more are saved up");
    }
}
