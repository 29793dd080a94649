//! Real processes that are killed, stopped, replaced, and run out of disk, and files whose bytes change.
//!
//! ```text
//!   kills.rs      writers -> server -> kill -9 -> server ...  against journal.rs: what was acknowledged, kept outside,
//!                 and deleter.rs: what was deleted; the log on disk and in the object store
//!   full_disk.rs  the same with a disk that fills up
//!   fencing.rs    SIGSTOP, a successor on the same prefix, SIGCONT
//!   torn_tail.rs  a log cut off at every byte of its last frame
//!   damage.rs     a flipped byte in log, catalog and Parquet
//! ```
//!
//! `OCHRE_CRASH_KILLS` says how many kills; else `OCHRE_TEST_TIER` decides: `quick` 3, `ci` 30, `full` 500.
//! `OCHRE_CRASH_SEED` repeats a run's random choices (not its timing).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, in the real world")]

mod damage;
mod deleter;
mod fencing;
mod full_disk;
pub mod in_process;
mod journal;
mod kills;
mod torn_tail;
mod writers;

/// How much a tier of the tests gets.
fn by_tier(quick: u64, ci: u64, full: u64) -> u64 {
    match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("quick") => quick,
        Ok("full") => full,
        _ => ci,
    }
}
