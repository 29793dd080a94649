//! Trying again: what, how often, and after which pause.

use std::time::Duration;

use crate::clock::{self, Deadline};
use crate::error::Error;

/// How often a call is made at most.
pub(crate) const ATTEMPTS: u32 = 4;
/// The pause after the first attempt, before jitter; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that the client chooses by itself, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// When a call may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whenever the server was unavailable: carrying it out twice is the same as once, and is answered the same.
    Always,
    /// Only if it was surely never sent.
    IfNotSent,
}

impl Repeat {
    fn allows(self, error: &Error) -> bool {
        match error {
            Error::Connect { .. } => true,
            Error::Unavailable { .. } => self == Self::Always,
            _ => false,
        }
    }
}

/// The pause after attempt `attempt` (from 1): what the server asks for, and at least half of a doubling step, the rest
/// by `chance` (0 to 1).
pub(crate) fn pause(attempt: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let step = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let jittered = step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    // Clients that were told the same time must not come back together either.
    retry_after.map_or(jittered, |asked| asked.saturating_add(jittered / 4))
}

/// Makes a call until it succeeds, fails for good, was tried [`ATTEMPTS`] times, or would have to wait beyond
/// `deadline`. The call gets the time that is left.
pub(crate) async fn until_done<T, F: Future<Output = Result<T, Error>>>(
    deadline: Deadline,
    repeat: Repeat,
    call: impl Fn(Duration) -> F,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        let error = match call(deadline.left()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let retry_after = match &error {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        let pause = pause(attempt, retry_after, clock::chance());
        if attempt == ATTEMPTS || !repeat.allows(&error) || pause >= deadline.left() {
            return Err(error);
        }
        clock::sleep(pause).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn unavailable(retry_after: Option<u64>) -> Error {
        Error::Unavailable { message: "busy".to_owned(), retry_after: retry_after.map(Duration::from_secs) }
    }

    fn unconnected() -> Error {
        Error::Connect { url: "http://h".to_owned(), reason: "refused".to_owned() }
    }

    /// How often a call is made that fails with `error` the first `failures` times, and how it ends.
    async fn run(repeat: Repeat, error: Error, failures: u32) -> (u32, Result<(), Error>) {
        let made = Cell::new(0);
        let call = async |_: Duration| {
            made.set(made.get() + 1);
            if made.get() <= failures { Err(error.clone()) } else { Ok(()) }
        };
        let done = until_done(Deadline::after(Duration::from_secs(30)), repeat, call).await;
        (made.get(), done)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_be_repeated_is() {
        for error in [unavailable(None), unavailable(Some(3)), unconnected()] {
            assert_eq!(run(Repeat::Always, error.clone(), 3).await, (4, Ok(())));
            assert_eq!(run(Repeat::Always, error.clone(), 4).await, (4, Err(error)));
        }
        assert_eq!(run(Repeat::IfNotSent, unavailable(None), 1).await, (1, Err(unavailable(None))));
        assert_eq!(run(Repeat::IfNotSent, unconnected(), 1).await, (2, Ok(())));
        let timeout = Error::Timeout { message: String::new() };
        assert_eq!(run(Repeat::Always, timeout.clone(), 1).await, (1, Err(timeout)));
        let conflict = Error::Conflict { message: String::new() };
        assert_eq!(run(Repeat::Always, conflict.clone(), 1).await, (1, Err(conflict)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_is_not_waited_for() {
        let begun = Deadline::after(Duration::from_secs(100));
        assert_eq!(run(Repeat::Always, unavailable(Some(31)), 1).await, (1, Err(unavailable(Some(31)))));
        assert_eq!(begun.left(), Duration::from_secs(100));
        assert_eq!(run(Repeat::Always, unavailable(Some(20)), 1).await, (2, Ok(())));
        assert!(begun.left() < Duration::from_secs(80), "it waited as it was told");
    }

    #[test]
    fn pauses_double_with_jitter_up_to_a_bound() {
        let millis = |attempt, chance| pause(attempt, None, chance).as_millis();
        assert_eq!([millis(1, 0.0), millis(1, 1.0), millis(2, 1.0), millis(3, 0.5)], [100, 200, 400, 600]);
        assert_eq!([millis(40, 0.0), millis(40, 1.0)], [2_500, 5_000]);
        assert_eq!(pause(1, Some(Duration::from_secs(7)), 1.0), Duration::from_millis(7_050));
    }
}
