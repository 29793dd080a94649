//! How much of a database stands behind a position: in bytes, and in time.
//!
//! Kept as steps: each says how many bytes there are up to a sequence, and when the oldest of its frames was stamped.
//! New frames join the newest step until it is full, and when there are too many steps, neighbours become one. So what
//! is told of a position within a step is too much by less than that step, never too little.

use std::collections::{BTreeMap, VecDeque};

use ochre_types::{DatabaseName, Sequence};

/// Bytes that a step takes before the next one begins.
const STEP: u64 = 64 << 10;
/// Milliseconds of stamps that a step spans at most.
const STEP_MILLIS: u64 = 1_000;
/// The most steps of a database.
const STEPS: usize = 1_024;

/// What stands behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lag {
    pub bytes: u64,
    /// When the oldest frame behind the position was stamped, in milliseconds since 1970; `None` if there is none.
    pub since: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    through: Sequence,
    /// Bytes of this and all earlier frames.
    total: u64,
    oldest_millis: u64,
}

/// The steps of one database.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    steps: VecDeque<Step>,
    /// Bytes of all frames ever noted.
    total: u64,
    /// Bytes of those that are no longer in the log.
    forgotten: u64,
    step: u64,
}

pub(crate) type Backlogs = BTreeMap<DatabaseName, Backlog>;

impl Default for Backlog {
    fn default() -> Self {
        Self::with_step(STEP)
    }
}

impl Backlog {
    pub fn with_step(step: u64) -> Self {
        Self { steps: VecDeque::new(), total: 0, forgotten: 0, step }
    }

    /// Takes note of a frame; sequences rise.
    pub fn note(&mut self, sequence: Sequence, bytes: u64, millis: u64) {
        self.total += bytes;
        let before = self.steps.iter().nth_back(1).map_or(self.forgotten, |step| step.total);
        if let Some(last) = self.steps.back_mut()
            && self.total - before <= self.step
            && millis < last.oldest_millis.saturating_add(STEP_MILLIS)
        {
            last.through = sequence;
            last.total = self.total;
            last.oldest_millis = last.oldest_millis.min(millis);
            return;
        }
        if self.steps.len() >= STEPS {
            self.halve();
        }
        self.steps.push_back(Step { through: sequence, total: self.total, oldest_millis: millis });
    }

    fn halve(&mut self) {
        let steps: Vec<Step> = self.steps.drain(..).collect();
        let pairs = steps.chunks(2).filter_map(|pair| {
            let oldest_millis = pair.iter().map(|step| step.oldest_millis).min()?;
            pair.last().map(|last| Step { oldest_millis, ..*last })
        });
        self.steps.extend(pairs);
    }

    /// Everything up to `through` is no longer in the log.
    pub fn forget(&mut self, through: Sequence) {
        while let Some(step) = self.steps.pop_front_if(|step| step.through <= through) {
            self.forgotten = step.total;
        }
    }

    /// What stands behind `position`.
    pub fn behind(&self, position: Sequence) -> Lag {
        let passed = self.steps.partition_point(|step| step.through <= position);
        let before = passed.checked_sub(1).and_then(|at| self.steps.get(at)).map_or(self.forgotten, |step| step.total);
        let since = self.steps.range(passed..).map(|step| step.oldest_millis).min();
        Lag { bytes: self.total - before, since }
    }

    /// The lowest position at or above `position` behind which `fits` holds.
    pub fn cut(&self, position: Sequence, fits: impl Fn(Lag) -> bool) -> Sequence {
        let mut at = position;
        while !fits(self.behind(at)) {
            let passed = self.steps.partition_point(|step| step.through <= at);
            match self.steps.get(passed) {
                Some(step) => at = step.through,
                None => break,
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_of_one_frame_are_exact(sizes in prop::collection::vec(1u64..100, 0..40), at in 0u64..45, gone in 0u64..45, most in 0u64..500) {
            let mut backlog = Backlog::with_step(0);
            let frames: Vec<(u64, u64, u64)> = (1..).zip(&sizes).map(|(i, size)| (i, *size, 10_000 * i)).collect();
            for (sequence, bytes, millis) in &frames {
                backlog.note(Sequence(*sequence), *bytes, *millis);
            }
            backlog.forget(Sequence(gone));
            let behind = |position: u64| frames.iter().filter(move |(sequence, ..)| *sequence > position.max(gone));
            let bytes = |position: u64| behind(position).map(|(_, bytes, _)| bytes).sum::<u64>();
            let expected = Lag { bytes: bytes(at), since: behind(at).map(|(.., millis)| *millis).min() };
            prop_assert_eq!(backlog.behind(Sequence(at)), expected);
            let cut = backlog.cut(Sequence(at), |lag| lag.bytes <= most).0;
            prop_assert!(bytes(cut) <= most && cut >= at);
            let one_less = (at..cut).rev().find(|position| *position <= at || frames.iter().any(|(s, ..)| s == position && *s > gone));
            prop_assert!(one_less.is_none_or(|position| bytes(position) > most || bytes(position) == bytes(cut)), "cut {cut}");
        }

        #[test]
        fn coarse_steps_never_tell_too_little(sizes in prop::collection::vec(1u64..100_000, 1..3_000), at in 0u64..3_000) {
            let mut backlog = Backlog::default();
            (1..).zip(&sizes).for_each(|(i, size)| backlog.note(Sequence(i), *size, 10 * i));
            let exact: u64 = sizes.iter().skip(at as usize).sum();
            let told = backlog.behind(Sequence(at));
            prop_assert!(told.bytes >= exact);
            prop_assert_eq!(told.since.is_some(), exact > 0);
            prop_assert!(told.since.is_none_or(|since| since <= 10 * (at + 1)));
            prop_assert!(backlog.steps.len() <= STEPS);
        }
    }
}
