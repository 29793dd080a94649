//! Inputs and questions that are too large for the server: it refuses, spills or persists early, and stays within its
//! memory. The real binary with a small budget, watched from outside.
//!
//! ```text
//!   watch.rs     what the process takes, from /proc, while a test goes on
//!   series.rs    millions of distinct series, and queries that want many times the memory over them
//!   wide.rs      ten thousand columns, sparse rows, thousands of tables, years in one request
//!   replay.rs    a log many times as large as the memory
//!   disk.rs      a disk that fills up and has room again, and one that fails to sync
//! ```
//!
//! `OCHRE_TEST_TIER` decides over the size: `full` is what the goals say, `ci` a tenth, `quick` a hundredth.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod disk;
mod replay;
mod series;
mod watch;
mod wide;

/// What of `full` a tier of the tests gets.
fn of_full(full: usize) -> usize {
    match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("quick") => full / 100,
        Ok("full") => full,
        _ => full / 10,
    }
}
