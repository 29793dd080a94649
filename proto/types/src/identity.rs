//! Who wrote what: epochs, incarnations, log ids and sequence numbers.

use std::fmt;

/// The ordinal of one claim of a node's prefix in the object store; the highest claim owns the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

/// The identity of one start of a server: 64 random bits, drawn when the epoch is claimed. Zero names nobody (it is
/// the incarnation of settled rows).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u64);

/// The identity of one log: 64 random bits, drawn when the log is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LogId(pub u64);

/// A position in the stream of one database's frames. The first frame has sequence 1; 0 is "before everything".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first frame.
    pub const ZERO: Self = Self(0);

    /// The sequence after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! hex {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}
hex!(Incarnation);
hex!(LogId);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
