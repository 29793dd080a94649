//! Simulation, level 1: one node, later many, in one thread, on doubles of disk, object store and clock. The code of
//! `database` and of everything below it is the real one; a seed decides all the rest.
//!
//! ```text
//!   seed -> plan -> run: server.rs (machines, processes)  client.rs (writes, reads)
//!                     |                                             ruler.rs (changes of rules)  deleter.rs (deletes, drops)
//!                     |-> journal.rs, read.rs: what was acknowledged, and whether answers agree with it
//!                     |-> deletions.rs: what was deleted
//!                     |-> rules.rs: what rules were applied, and what may be in force
//!                     '-> trace.rs: a hash of what passed the seams
//! ```
//!
//! A failing seed prints how to run it again, and becomes a test of its own in [`known`].
//!
//! Environment: `OCHRE_SIM_SEED` runs one seed; `OCHRE_SIM_SEEDS` says how many, `OCHRE_SIM_FIRST` from which one on;
//! else `OCHRE_TEST_TIER` decides: `quick` 10, `ci` 50, `full` 2,000. `OCHRE_SIM_TRACE` prints every event.

pub mod answers;
mod client;
mod deleter;
mod deletions;
mod journal;
mod known;
mod plan;
#[cfg(feature = "planted")]
mod planted;
mod read;
mod ruler;
mod rules;
mod run;
mod server;
mod trace;

use std::collections::BTreeMap;

use run::{Summary, run};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: give a number")))
}

/// Runs a seed that must hold.
fn must_hold(seed: u64) -> Summary {
    run(seed).unwrap_or_else(|violation| {
        panic!("seed {seed}: {violation}\nrun it again: OCHRE_SIM_SEED={seed} cargo test -p ochre --test integration sim::seeds_hold")
    })
}

#[test]
fn seeds_hold() {
    if let Some(seed) = number("OCHRE_SIM_SEED") {
        println!("{:#?}", must_hold(seed));
        return;
    }
    let by_tier = match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("full") => 2_000,
        Ok("quick") => 10,
        _ => 50,
    };
    let first = number("OCHRE_SIM_FIRST").unwrap_or(1);
    let count = number("OCHRE_SIM_SEEDS").unwrap_or(by_tier);
    let (mut rows, mut events) = (0, 0);
    let mut happened: BTreeMap<&str, u32> = BTreeMap::new();
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in first..first + count {
        let summary = must_hold(seed);
        rows += summary.rows;
        events += summary.events;
        summary.happened.iter().for_each(|(what, times)| *happened.entry(what).or_default() += times);
        summary.batches.iter().for_each(|(outcome, times)| *batches.entry(outcome).or_default() += times);
    }
    println!(
        "{count} seeds from {first} on: {rows} rows acknowledged, {events} events; batches {batches:?}; {happened:?}"
    );
}

#[test]
fn a_seed_gives_one_trace() {
    for seed in [3, 14, 27] {
        let (first, second) = (must_hold(seed), must_hold(seed));
        assert_eq!(first, second, "seed {seed} ran in two ways: compare the output of OCHRE_SIM_TRACE=1");
    }
    assert_ne!(must_hold(3).hash, must_hold(14).hash);
}
