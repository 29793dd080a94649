//! What a seed decides: the workload, the node's settings, and which faults there are. A seed leaves most kinds of
//! faults out, so that the others are met in depth.

use std::time::Duration;

use ochre_doubles::objects::FaultRates;
use ochre_store::catalog::Checkpoints;
use ochre_types::ByteSize;
use ochre_types::rules::{BufferRules, Rules};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::rules::TEMPLATES;

/// One seed's choices.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub databases: usize,
    pub tables: usize,
    pub hosts: u32,
    pub days: i64,
    /// Different times in a day: few make keys repeat.
    pub instants: i64,
    pub extreme_times: bool,
    pub batch_rows: usize,
    /// Of 100 lines.
    pub bad_lines: u32,
    /// Of 100 writes, those that the client gives up on.
    pub given_up: u32,
    pub writers: usize,
    pub readers: usize,
    /// The longest pause of a writer between writes.
    pub pause: Duration,
    pub rules: Rules,
    pub checkpoints: Checkpoints,
    /// The longest pause before heavy or blocking work.
    pub slowest: Duration,
    pub lives: usize,
    /// The longest life of a process, in steps of the scenario.
    pub steps: u32,
    /// Servers that share the prefix, each with a disk of its own.
    pub homes: usize,
    pub power_loss: bool,
    pub full_disk: bool,
    pub sync_errors: bool,
    pub clock_jumps: bool,
    pub outages: bool,
    pub rates: FaultRates,
    /// Whether somebody changes the rules all the time.
    pub rule_changes: bool,
    /// The templates that the rules choose from, by number.
    pub templates: Vec<usize>,
    /// Whether rules choose orders, ...
    pub sorts: bool,
    /// ... acknowledge early, ...
    pub accepted: bool,
    /// ... refuse all writes, ...
    pub read_only: bool,
    /// ... or refuse some rows.
    pub filters: bool,
    /// Whether somebody deletes rows, ...
    pub deletes: bool,
    /// ... and drops tables and brings them back.
    pub drops: bool,
    /// Whether chunks are joined, often.
    pub compacts: bool,
    /// Whether the log is in the object store, so that every home has what is durable.
    pub object_log: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let millis = |rng: &mut SmallRng, most: u64| Duration::from_millis(rng.random_range(0..=most));
        let freeze_after = Duration::from_millis(rng.random_range(200..4_000));
        let buffer = BufferRules {
            freeze_rows: rng.random_range(2..60),
            freeze_size: if rng.random_bool(0.2) {
                ByteSize(rng.random_range(1_000..20_000))
            } else {
                ByteSize::mib(128)
            },
            freeze_after,
            persist_after: freeze_after + millis(rng, 4_000),
        };
        Self {
            seed,
            databases: rng.random_range(1..=2),
            tables: rng.random_range(1..=2),
            hosts: rng.random_range(1..5),
            days: rng.random_range(1..4),
            instants: if rng.random_bool(0.5) { rng.random_range(1..6) } else { 1_000 },
            extreme_times: rng.random_bool(0.2),
            batch_rows: rng.random_range(1..12),
            bad_lines: if rng.random_bool(0.3) { rng.random_range(1..30) } else { 0 },
            given_up: if rng.random_bool(0.3) { rng.random_range(1..30) } else { 0 },
            writers: rng.random_range(1..4),
            readers: rng.random_range(0..2),
            pause: millis(rng, 2_000) + Duration::from_millis(500),
            rules: Rules { buffer, ..Rules::default() },
            checkpoints: Checkpoints { every: rng.random_range(2..30), bytes: 1 << 20 },
            slowest: if rng.random_bool(0.3) { millis(rng, 400) } else { millis(rng, 10) },
            lives: rng.random_range(2..6),
            steps: rng.random_range(2..8),
            homes: if rng.random_bool(0.45) { 2 } else { 1 },
            power_loss: rng.random_bool(0.7),
            full_disk: rng.random_bool(0.2),
            sync_errors: rng.random_bool(0.25),
            clock_jumps: rng.random_bool(0.3),
            outages: rng.random_bool(0.3),
            rates: Self::rates(rng),
            rule_changes: rng.random_bool(0.7),
            templates: Self::templates(rng),
            sorts: rng.random_bool(0.5),
            accepted: rng.random_bool(0.3),
            read_only: rng.random_bool(0.2),
            filters: rng.random_bool(0.3),
            deletes: rng.random_bool(0.5),
            drops: rng.random_bool(0.4),
            compacts: rng.random_bool(0.6),
            object_log: rng.random_bool(0.25),
        }
        .with_lifecycle(rng)
    }

    /// What becomes of chunks, soon enough to be seen.
    fn with_lifecycle(mut self, rng: &mut SmallRng) -> Self {
        let seconds = |rng: &mut SmallRng, most: u64| Duration::from_millis(rng.random_range(0..=most * 1_000));
        let lifecycle = &mut self.rules.lifecycle;
        lifecycle.compact.enabled = self.compacts;
        lifecycle.compact.max_files = rng.random_range(2..6);
        lifecycle.compact.quiet_after = seconds(rng, 10);
        self.rules.limits.query_time = Duration::from_secs(20);
        lifecycle.grace = Duration::from_secs(21) + seconds(rng, 10);
        self
    }

    /// Few, so that each comes again after another one.
    fn templates(rng: &mut SmallRng) -> Vec<usize> {
        let count = rng.random_range(2..=3);
        (0..count).map(|_| rng.random_range(0..TEMPLATES.len())).collect()
    }

    fn rates(rng: &mut SmallRng) -> FaultRates {
        let rate = |rng: &mut SmallRng, most: u32| if rng.random_bool(0.35) { rng.random_range(1..most) } else { 0 };
        FaultRates {
            refused: rate(rng, 200),
            lost_answer: rate(rng, 200),
            late: rate(rng, 50),
            max_delay: Duration::from_millis(if rng.random_bool(0.3) { rng.random_range(1..800) } else { 5 }),
        }
    }
}
