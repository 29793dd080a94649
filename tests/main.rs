//! What crosses crates: end-to-end tests over the real binary, and other suites that need more than one crate.
//!
//! One test target, so that everything is linked once. Each folder is a suite with its own mission.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what is wanted")]

mod clients;
mod crash;
mod e2e;
mod fuzz;
mod limits;
mod model;
mod objects;
mod sim;
mod soak;
mod sql;
mod tidy;
