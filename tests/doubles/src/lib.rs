//! Doubles of the seams in `ochre-env`, for simulation and tests: deterministic from a seed, in one thread.
//!
//! # Invariants
//! 1. The same seed and the same calls in the same order give the same answers, faults included.
//! 2. A double is never kinder than the real thing: after a crash only synced bytes and names are sure to be there.
//!
//! # Absent on purpose
//! Checkers and workloads: they are the test suites' own.

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod objects;
