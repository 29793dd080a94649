//! Every planted bug must be caught by a checker within some seeds: so the checkers are worth their time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ochre_env::planted::{self, Planted};

use super::run::run;

/// Within how many seeds a bug must be caught.
const SEEDS: u64 = 40;

/// Which seed caught it, and what it said.
fn catch(bug: Planted) -> Option<(u64, String)> {
    planted::set(Some(bug));
    let caught = (1..=SEEDS).find_map(|seed| match catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(Ok(_)) => None,
        Ok(Err(violation)) => Some((seed, violation.to_string())),
        Err(_) => Some((seed, "a panic".to_owned())),
    });
    planted::set(None);
    caught
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        match catch(bug) {
            Some((seed, what)) => println!("{bug:?}: caught by seed {seed}: {what:.200}"),
            None => missed.push(bug),
        }
    }
    assert_eq!(missed, [], "not caught within {SEEDS} seeds");
}
