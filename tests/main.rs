//! What crosses crates: end-to-end tests over the real binary, and other suites that need more than one crate.
//!
//! One test target, so that everything is linked once. Each folder is a suite with its own mission.

mod e2e;
mod model;
mod sim;
