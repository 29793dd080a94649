//! Sets of sequence numbers as disjoint, closed intervals.

use std::collections::BTreeMap;
use std::fmt;

/// A set of `u64`s, kept as disjoint, non-adjacent closed intervals `first..=last` in rising order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IntervalSet {
    last_by_first: BTreeMap<u64, u64>,
}

impl IntervalSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all of `first..=last`; joins what touches. Adding what is there changes nothing.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        if let Some((&before, &before_last)) = self.last_by_first.range(..=first).next_back()
            && before_last.saturating_add(1) >= first
        {
            first = before;
            last = last.max(before_last);
        }
        while let Some((&after, &after_last)) = self.last_by_first.range(first..=last.saturating_add(1)).next() {
            last = last.max(after_last);
            self.last_by_first.remove(&after);
        }
        self.last_by_first.insert(first, last);
    }

    /// Adds every interval of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (first, last) in other.iter() {
            self.insert(first, last);
        }
    }

    /// Whether `value` is in the set.
    pub fn contains(&self, value: u64) -> bool {
        self.last_by_first.range(..=value).next_back().is_some_and(|(_, last)| *last >= value)
    }

    /// The end of the interval that starts at or below `from + 1`, or `from`: how far the set reaches without a hole.
    pub fn contiguous_after(&self, from: u64) -> u64 {
        let next = from.saturating_add(1);
        match self.last_by_first.range(..=next).next_back() {
            Some((_, last)) if *last >= next => *last,
            _ => from,
        }
    }

    /// The intervals in rising order, as (first, last).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.last_by_first.iter().map(|(first, last)| (*first, *last))
    }

    /// How many intervals the set needs.
    pub fn interval_count(&self) -> usize {
        self.last_by_first.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.last_by_first.is_empty()
    }
}

impl FromIterator<(u64, u64)> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(intervals: I) -> Self {
        let mut set = Self::new();
        for (first, last) in intervals {
            set.insert(first, last);
        }
        set
    }
}

impl fmt::Debug for IntervalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(first, last)| first..=last)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_intervals_become_one() {
        let mut set = IntervalSet::new();
        set.insert(5, 7);
        set.insert(1, 2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 2), (5, 7)]);
        set.insert(3, 4);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 7)]);
        set.insert(2, 6);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 7)]);
        assert_eq!(set.contiguous_after(0), 7);
        assert_eq!(set.contiguous_after(7), 7);
        assert!(set.contains(7) && !set.contains(8) && !set.contains(0));
    }

    #[test]
    fn it_agrees_with_a_plain_set() {
        let mut set = IntervalSet::new();
        let mut plain = std::collections::BTreeSet::new();
        let mut state = 7u64;
        for _ in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let first = (state >> 33) % 500;
            let last = first + (state >> 20) % 4;
            set.insert(first, last);
            plain.extend(first..=last);
        }
        for value in 0..600 {
            assert_eq!(set.contains(value), plain.contains(&value), "{value}");
        }
        let ends: Vec<_> = set.iter().collect();
        assert!(ends.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "disjoint and not touching");
    }

    #[test]
    fn the_ends_of_the_range_are_legal() {
        let set: IntervalSet = [(u64::MAX, u64::MAX), (0, 0), (u64::MAX - 1, u64::MAX - 1)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, 0), (u64::MAX - 1, u64::MAX)]);
    }
}
