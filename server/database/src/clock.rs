//! The node's stamps.
//!
//! A stamp may be given only below the ceiling that the node's catalog holds, so that the next incarnation, which
//! starts at the ceiling, is above every stamp that this one gave, even if this one's log is lost. The ceiling is
//! raised ahead in steps, as long as stamps are given; an idle server commits nothing. The first write after a pause
//! waits for the ceiling. While the object store is away, readings are held below it: the clock then lags the wall
//! clock, but goes on.

use std::sync::Arc;
use std::time::Duration;

use ochre_env::Clock;
use ochre_env::planted::{self, Planted};
use ochre_types::{Hlc, HybridClock, Incarnation, Stamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// How far ahead of the wall clock the ceiling is raised.
const STEP: Duration = Duration::from_secs(5 * 60);
/// Below the ceiling, the part that is used by counting on only, while the ceiling can't be raised.
const SPARE: Duration = Duration::from_secs(60);
/// How long a write waits for the ceiling to be raised before it takes a stamp that lags the wall clock.
const CATCH_UP: Duration = Duration::from_secs(2);
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
    /// Somebody waits for the ceiling to be raised.
    wanted: Notify,
    ceiling: watch::Sender<Hlc>,
}

#[derive(Debug)]
struct State {
    clock: HybridClock,
    ceiling: Hlc,
    /// Whether stamps were given or waited for since the ceiling was last raised.
    in_use: bool,
}

impl State {
    /// The highest reading of the wall clock that a stamp may carry.
    fn highest_wall(&self) -> u64 {
        self.ceiling.millis().saturating_sub(millis(SPARE))
    }
}

impl StampClock {
    /// A clock above `floor` and, until the ceiling is raised, without any stamp to give.
    pub fn new(incarnation: Incarnation, wall: Arc<dyn Clock>, floor: Hlc) -> Self {
        let clock = HybridClock::new(floor, millis(MAX_DRIFT));
        let state = Mutex::new(State { clock, ceiling: floor, in_use: true });
        Self { incarnation, wall, state, wanted: Notify::new(), ceiling: watch::Sender::new(floor) }
    }

    /// The next stamp; `None` if the ceiling is reached.
    pub fn stamp(&self) -> Option<Stamp> {
        let mut state = self.state.lock();
        if planted::is(Planted::StampsGoBack) {
            return Some(Stamp { hlc: Hlc::from_millis(self.wall.wall_millis()), incarnation: self.incarnation });
        }
        let mut clock = state.clock.clone();
        let hlc = clock.tick(self.wall.wall_millis().min(state.highest_wall()));
        if hlc >= state.ceiling {
            return None;
        }
        state.clock = clock;
        state.in_use = true;
        Some(Stamp { hlc, incarnation: self.incarnation })
    }

    /// The hybrid clock's reading by now, without giving a stamp.
    pub fn now(&self) -> Hlc {
        let last = self.state.lock().clock.last();
        last.max(Hlc::from_millis(self.wall.wall_millis()))
    }

    /// The reading by which ages are told: the wall clock's. After a start the hybrid clock may be minutes ahead, up to
    /// the ceiling that was reserved, and rows would be too old so much too early.
    pub fn age_now(&self) -> Hlc {
        Hlc::from_millis(self.wall.wall_millis())
    }

    /// The same in nanoseconds since 1970-01-01 UTC.
    pub fn now_nanos(&self) -> i64 {
        i64::try_from(self.wall.wall_millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }

    /// The ceiling that should be in the catalog by now, if it is not there yet.
    pub fn wanted_ceiling(&self) -> Option<Hlc> {
        let state = self.state.lock();
        if !state.in_use {
            return None;
        }
        let now = self.wall.wall_millis().max(state.clock.last().millis());
        let near = state.ceiling.millis().saturating_sub(now) < millis(STEP) / 2;
        near.then(|| Hlc::from_millis(now + millis(STEP)))
    }

    /// The catalog holds this ceiling now.
    pub fn raise_ceiling(&self, ceiling: Hlc) {
        let mut state = self.state.lock();
        if ceiling > state.ceiling {
            state.ceiling = ceiling;
            state.in_use = false;
            self.ceiling.send_replace(ceiling);
        }
    }

    /// Completes when [`StampClock::wanted_ceiling`] should be looked at.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits a short while for the ceiling if it holds the clock back, as after a pause.
    pub async fn catch_up(&self) {
        let mut ceiling = self.ceiling.subscribe();
        let held_back = {
            let mut state = self.state.lock();
            let held_back = self.wall.wall_millis() > state.highest_wall();
            state.in_use |= held_back;
            held_back
        };
        if held_back {
            self.wanted.notify_one();
            tokio::select! {
                biased;
                _ = ceiling.changed() => {}
                () = self.wall.sleep(CATCH_UP) => {}
            }
        }
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

        assert_eq!(clock.wanted_ceiling(), None, "half of the step is left");

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
        clock.raise_ceiling(Hlc::from_millis(5_000_000));
        *wall.0.lock() += 3_600_000;
        assert_eq!(clock.wanted_ceiling(), None, "nobody asks for stamps: nothing is committed");
    }
}
