//! Doubles of the seams in `ochre-env`, for simulation and tests: deterministic from a seed, in one thread.

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod objects;
