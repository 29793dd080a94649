//! The node's stamps.
//!
//! A stamp may be given only below the ceiling that the node's catalog holds, so that the next incarnation, which
//! starts at the ceiling, is above every stamp that this one gave, even if this one's log is lost. The ceiling is
//! raised ahead in steps. While the object store is away, readings are held below it: the clock then lags the wall
//! clock, but goes on.

use std::sync::Arc;
use std::time::Duration;

use ochre_env::Clock;
use ochre_env::planted::{self, Planted};
use ochre_types::{Hlc, HybridClock, Incarnation, Stamp};
use parking_lot::Mutex;

/// How far ahead of the wall clock the ceiling is raised.
const STEP: Duration = Duration::from_secs(5 * 60);
/// Below the ceiling, the part that is used by counting on only, while the ceiling can't be raised.
const SPARE: Duration = Duration::from_secs(60);
/// A remote stamp further ahead than this does not advance the clock.
const MAX_DRIFT: Duration = Duration::from_secs(24 * 3600);

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Gives this incarnation's stamps.
#[derive(Debug)]
pub struct StampClock {
    incarnation: Incarnation,
    wall: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clock: HybridClock,
    ceiling: Hlc,
}

impl StampClock {
    /// A clock above `floor` and, until the ceiling is raised, without any stamp to give.
    pub fn new(incarnation: Incarnation, wall: Arc<dyn Clock>, floor: Hlc) -> Self {
        let state = State { clock: HybridClock::new(floor, millis(MAX_DRIFT)), ceiling: floor };
        Self { incarnation, wall, state: Mutex::new(state) }
    }

    /// The next stamp; `None` if the ceiling is reached.
    pub fn stamp(&self) -> Option<Stamp> {
        let mut state = self.state.lock();
        let highest_wall = state.ceiling.millis().saturating_sub(millis(SPARE));
        if planted::is(Planted::StampsGoBack) {
            return Some(Stamp { hlc: Hlc::from_millis(self.wall.wall_millis()), incarnation: self.incarnation });
        }
        let mut clock = state.clock.clone();
        let hlc = clock.tick(self.wall.wall_millis().min(highest_wall));
        if hlc >= state.ceiling {
            return None;
        }
        state.clock = clock;
        Some(Stamp { hlc, incarnation: self.incarnation })
    }

    /// The ceiling that should be in the catalog by now, if it is not there yet.
    pub fn wanted_ceiling(&self) -> Option<Hlc> {
        let state = self.state.lock();
        let now = self.wall.wall_millis().max(state.clock.last().millis());
        let near = state.ceiling.millis().saturating_sub(now) < millis(STEP) / 2;
        near.then(|| Hlc::from_millis(now + millis(STEP)))
    }

    /// The catalog holds this ceiling now.
    pub fn raise_ceiling(&self, ceiling: Hlc) {
        let mut state = self.state.lock();
        state.ceiling = state.ceiling.max(ceiling);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    #[derive(Debug)]
    struct Wall(Mutex<u64>);

    impl Clock for Wall {
        fn wall_nanos(&self) -> i64 {
            (*self.0.lock() * 1_000_000) as i64
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(futures::future::ready(()))
        }
    }

    #[test]
    fn no_stamp_is_given_at_or_above_the_ceiling() {
        let wall = Arc::new(Wall(Mutex::new(1_000_000)));
        let clock = StampClock::new(Incarnation(7), wall.clone(), Hlc::from_millis(1_000_000));
        assert_eq!(clock.stamp(), None, "nothing is reserved yet");
        let ceiling = clock.wanted_ceiling().unwrap();
        clock.raise_ceiling(ceiling);
        assert_eq!(clock.wanted_ceiling(), None);
        let first = clock.stamp().unwrap();
        assert!(first.hlc > Hlc::from_millis(1_000_000) && first.hlc < ceiling);

        // The object store is away for an hour: stamps go on rising below the old ceiling.
        *wall.0.lock() += 3_600_000;
        let mut last = first;
        for _ in 0..200_000 {
            let next = clock.stamp().unwrap();
            assert!(next > last && next.hlc < ceiling);
            last = next;
        }
        // It is back: the clock catches up with the wall.
        clock.raise_ceiling(clock.wanted_ceiling().unwrap());
        assert_eq!(clock.stamp().unwrap().hlc, Hlc::from_millis(4_600_000));
    }
}
