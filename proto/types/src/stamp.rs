//! Stamps: the total order that decides which value of a cell wins.

use std::fmt;

use crate::identity::Incarnation;

/// A hybrid logical clock reading: 48 bits of milliseconds since 1970-01-01 UTC, then 16 bits of counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hlc(pub u64);

const COUNTER_BITS: u32 = 16;

impl Hlc {
    /// Before every reading.
    pub const ZERO: Self = Self(0);

    /// The first reading of a millisecond.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis << COUNTER_BITS)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// How many readings preceded this one in its millisecond.
    pub fn counter(self) -> u16 {
        (self.0 & u64::from(u16::MAX)) as u16
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One accepted batch's place in the order of all batches of all servers. Given once, by the server that accepted it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// When, by the accepting server's hybrid clock.
    pub hlc: Hlc,
    /// By whom.
    pub incarnation: Incarnation,
}

impl Stamp {
    /// The length of [`Stamp::to_bytes`].
    pub const BYTES: usize = 16;

    /// Big-endian clock, then big-endian incarnation: byte order is stamp order.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.hlc.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.incarnation.0.to_be_bytes());
        bytes
    }

    /// The inverse of [`Stamp::to_bytes`].
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (hlc, incarnation) = bytes.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        Self { hlc: Hlc(number(hlc)), incarnation: Incarnation(number(incarnation)) }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.hlc, self.incarnation)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's hybrid logical clock: never repeats, never goes back, follows the wall clock and what it has seen.
///
/// Pure: the wall clock's reading is handed in.
#[derive(Debug, Clone)]
pub struct HybridClock {
    last: Hlc,
    max_drift_millis: u64,
}

impl HybridClock {
    /// A clock whose every reading is above `floor` (the highest stamp in log and catalog, and the catalog's ceiling).
    pub fn new(floor: Hlc, max_drift_millis: u64) -> Self {
        Self { last: floor, max_drift_millis }
    }

    /// The next reading: the wall clock where it is ahead, else one more than the last.
    pub fn tick(&mut self, wall_millis: u64) -> Hlc {
        self.last = Hlc::from_millis(wall_millis).max(Hlc(self.last.0 + 1));
        self.last
    }

    /// Takes note of a remote stamp. Returns whether it was near enough to the wall clock to advance this clock.
    pub fn observe(&mut self, remote: Hlc, wall_millis: u64) -> bool {
        let near = remote.millis() <= wall_millis.saturating_add(self.max_drift_millis);
        if near {
            self.last = self.last.max(remote);
        }
        near
    }

    /// The last reading given or observed.
    pub fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_the_order() {
        let stamps = [
            Stamp { hlc: Hlc(1), incarnation: Incarnation(u64::MAX) },
            Stamp { hlc: Hlc(2), incarnation: Incarnation(0) },
            Stamp { hlc: Hlc(2), incarnation: Incarnation(1) },
            Stamp { hlc: Hlc(256), incarnation: Incarnation(0) },
        ];
        for pair in stamps.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
        }
        for stamp in stamps {
            assert_eq!(Stamp::from_bytes(stamp.to_bytes()), stamp);
        }
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut clock = HybridClock::new(Hlc::from_millis(1_000), 60_000);
        let first = clock.tick(500);
        assert!(first > Hlc::from_millis(1_000), "above the floor though the wall clock is behind");
        assert_eq!(clock.tick(2_000), Hlc::from_millis(2_000));
        assert_eq!(clock.tick(1_999), Hlc(Hlc::from_millis(2_000).0 + 1));
    }

    #[test]
    fn a_remote_stamp_advances_it_within_the_drift_only() {
        let mut clock = HybridClock::new(Hlc::ZERO, 1_000);
        assert!(clock.observe(Hlc::from_millis(5_900), 5_000));
        assert!(clock.tick(5_000) > Hlc::from_millis(5_900));
        assert!(!clock.observe(Hlc::from_millis(90_000), 5_000));
        assert!(clock.tick(5_000) < Hlc::from_millis(90_000));
    }
}
