//! One simulation from its seed to its end.
//!
//! ```text
//!   lives:   open --check--> clients at work, faults --> stop | kill | power loss | another server takes over --> ...
//!   the end: faults stop; each home: open, all is there, writes succeed, persist, log released, close
//!            reopen: nothing is replayed, same answers
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use ochre_database::StopReason;
use ochre_env::Clock;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::answers::Row;
use super::client::{Client, tally};
use super::journal::Violation;
use super::plan::Plan;
use super::read::check_table;
use super::server::{Server, World};

/// How long after another's claim a server may still acknowledge: a look at the store is good for 10 s, and may take 2.
const FENCED_WITHIN: Duration = Duration::from_secs(12);
/// How often, a second apart, a write is tried once all faults have stopped.
const HEALED_WITHIN: u32 = 10;

/// A run that takes longer in simulated time stands still somewhere.
const LONGEST: Duration = Duration::from_secs(2 * 3_600);

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The hash of its trace.
    pub hash: u64,
    /// The events in its trace.
    pub events: u64,
    /// Rows acknowledged.
    pub rows: usize,
    /// Batches by outcome.
    pub batches: BTreeMap<&'static str, usize>,
    /// Starts of servers, kills, take-overs and the like.
    pub happened: BTreeMap<&'static str, u32>,
}

/// Runs a seed in this thread.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime in this thread can be made").block_on(async { Run::new(seed).run_out().await })
}

struct Run {
    world: World,
    rng: SmallRng,
    happened: BTreeMap<&'static str, u32>,
}

type Answers = BTreeMap<(usize, usize), BTreeSet<Row>>;

impl Run {
    /// Must be called within the runtime, whose time it takes.
    fn new(seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed ^ 7);
        Self { world: World::new(Plan::new(seed)), rng, happened: BTreeMap::new() }
    }

    async fn run_out(mut self) -> Result<Summary, Violation> {
        let clock = self.world.homes[0].clock.clone();
        let story = async {
            self.lives().await?;
            self.settle().await
        };
        tokio::select! {
            biased;
            told = story => told?,
            () = clock.sleep(LONGEST) => {
                return Err(Violation::new("ends", format!("not at its end after {LONGEST:?}")));
            }
        }
        let journal = self.world.journal.lock();
        let generations = u32::try_from(journal.rules.generations()).unwrap_or(u32::MAX);
        self.happened.insert("generations of rules", generations);
        Ok(Summary {
            hash: self.world.trace.hash(),
            events: self.world.trace.events(),
            rows: journal.acked_rows(),
            batches: tally(&journal),
            happened: self.happened.clone(),
        })
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn chance(&mut self, of: bool, probability: f64) -> bool {
        self.rng.random_bool(probability) && of
    }

    async fn lives(&mut self) -> Result<(), Violation> {
        let mut server = self.start(0).await?;
        for _ in 1..self.world.plan.lives {
            self.live(&server).await?;
            let home = self.rng.random_range(0..self.world.plan.homes);
            if home != server.home && self.rng.random_bool(0.7) {
                server = self.take_over(server, home).await?;
                continue;
            }
            self.end(server).await?;
            server = self.start(home).await?;
        }
        self.live(&server).await?;
        self.end(server).await
    }

    /// Opens a server, checks what it has, and sends it clients.
    async fn start(&mut self, home: usize) -> Result<Server, Violation> {
        self.count("starts");
        let server = self.world.open(home).await?;
        self.check(&server, false).await?;
        let Plan { writers, readers, .. } = self.world.plan;
        for _ in 0..writers {
            let client = self.client(&server);
            server.clients.spawn("writer", client.write_on());
        }
        if self.world.plan.rule_changes {
            let client = self.client(&server);
            server.clients.spawn("ruler", client.rule_on());
        }
        if self.world.plan.deletes {
            let client = self.client(&server);
            server.clients.spawn("deleter", client.delete_on());
        }
        for _ in 0..readers {
            let client = self.client(&server);
            server.clients.spawn("reader", client.read_on());
        }
        self.world.make_objects_faulty();
        Ok(server)
    }

    fn client(&mut self, server: &Server) -> Client {
        let rng = SmallRng::seed_from_u64(self.rng.random());
        Client::new(&self.world, server, rng)
    }

    /// Lets a server work among faults, for some steps or until it stops by itself.
    async fn live(&mut self, server: &Server) -> Result<(), Violation> {
        for _ in 0..self.rng.random_range(1..=self.world.plan.steps) {
            let step = Duration::from_millis(self.rng.random_range(1..3_000));
            self.world.sleep(step).await;
            self.disturb(server).await;
            if let Some(violation) = self.world.violation.lock().take() {
                return Err(violation);
            }
            if server.node.stopped().now_or_never().is_some() {
                self.count("stops by itself");
                return Ok(());
            }
        }
        Ok(())
    }

    /// Begins or ends a fault, or asks the server for something.
    async fn disturb(&mut self, server: &Server) {
        let plan = self.world.plan.clone();
        if self.chance(plan.clock_jumps, 0.3) {
            self.count("clock jumps");
            let hour = 3_600_000_000_000;
            self.world.homes[server.home].clock.set_skew(self.rng.random_range(-hour..hour));
        }
        let disk = self.world.homes[server.home].disk.clone();
        if self.chance(plan.full_disk, 0.3) {
            self.count("full disks");
            disk.set_capacity(disk.used() + self.rng.random_range(0..2_000));
            disk.hide_capacity(self.rng.random_bool(0.7));
        } else if self.chance(plan.full_disk, 0.5) {
            disk.set_capacity(u64::MAX);
        }
        if self.chance(plan.sync_errors, 0.25) {
            self.count("sync errors");
            disk.fail_syncs(true);
        }
        if self.chance(plan.outages, 0.35) {
            self.count("outages");
            let outage = Duration::from_millis(self.rng.random_range(0..20_000));
            self.world.objects.unavailable_until(self.world.now() + outage);
        }
        if self.rng.random_bool(0.2) {
            self.world.objects.deliver_late().await;
        }
        self.ask_for_work(server).await;
    }

    async fn ask_for_work(&mut self, server: &Server) {
        let number = self.rng.random_range(0..self.world.plan.databases);
        let what = self.rng.random_range(0..12);
        let Some(database) = server.node.database(&World::database(number)) else { return };
        let known = self.world.journal.lock().known_to(server.home);
        match what {
            0 => drop(database.freeze_all().await),
            2 if self.world.plan.compacts => {
                self.count("joinings on demand");
                drop(database.compact_all().await);
            }
            // What was acknowledged before is in the catalog now.
            1 if database.persist_all().await.is_ok() => {
                self.count("persists on demand");
                self.world.journal.lock().make_global_of(&known, number);
            }
            _ => {}
        }
    }

    /// Ends a server in one of the ways in which servers end.
    async fn end(&mut self, server: Server) -> Result<(), Violation> {
        if self.rng.random_bool(0.2) {
            self.count("clean stops");
            let known = self.world.journal.lock().known_to(server.home);
            if server.node.close().await.is_ok() && self.all_persisted(&server) {
                self.world.journal.lock().make_global(&known);
            }
            self.world.kill(server, false).await;
            return Ok(());
        }
        let power_loss = self.world.plan.power_loss && self.rng.random_bool(0.8);
        self.count(if power_loss { "power losses" } else { "kills" });
        self.world.kill(server, power_loss).await;
        Ok(())
    }

    fn all_persisted(&self, server: &Server) -> bool {
        server.node.status().databases.iter().all(|database| database.buffered_chunks == 0)
    }

    /// Another machine claims the prefix while `old` is at work. `old` must notice, and stop acknowledging.
    async fn take_over(&mut self, old: Server, home: usize) -> Result<Server, Violation> {
        self.count("take-overs");
        let strict = self.rng.random_bool(0.6);
        if strict {
            self.world.heal_objects();
        }
        let new = self.start(home).await?;
        if strict {
            self.world.heal_objects();
        }
        let claimed_at = self.world.now();
        let together = Duration::from_millis(self.rng.random_range(0..25_000));
        self.world.sleep(together).await;
        if strict && together > FENCED_WITHIN {
            let last = *old.acked_at.lock();
            if last > claimed_at + FENCED_WITHIN {
                let what = format!("claimed at {claimed_at:?}, and the old server still acknowledged at {last:?}");
                return Err(Violation::new("fencing", what));
            }
            match old.node.stopped().now_or_never() {
                Some(StopReason::Fenced(_) | StopReason::LogFailed(_)) => {}
                None => return Err(Violation::new("fencing", "the old server does not stop")),
            }
        }
        let power_loss = self.world.plan.power_loss && self.rng.random_bool(0.5);
        self.world.kill(old, power_loss).await;
        Ok(new)
    }

    /// Reads every table.
    async fn check(&self, server: &Server, strict: bool) -> Result<Answers, Violation> {
        let World { plan, journal, trace, .. } = &self.world;
        let mut answers = Answers::new();
        for database in 0..plan.databases {
            for table in 0..plan.tables {
                let rows = check_table(&server.node, journal, trace, server.home, database, table, strict).await?;
                answers.insert((database, table), rows);
            }
        }
        Ok(answers)
    }

    /// No more faults: every home's server must come up, have all, take writes, persist, and let go of its log.
    async fn settle(&mut self) -> Result<(), Violation> {
        for home in 0..self.world.plan.homes {
            self.world.heal().await;
            let server = self.world.open(home).await?;
            self.check(&server, true).await?;
            if self.world.plan.rule_changes {
                self.rule_once_healed(&server).await?;
            }
            if self.rng.random_bool(0.7) {
                self.write_once_healed(&server).await?;
            }
            let known = self.world.journal.lock().known_to(home);
            for database in 0..self.world.plan.databases {
                let Some(database) = server.node.database(&World::database(database)) else { continue };
                let persisted = database.persist_all().await;
                persisted.map_err(|error| Violation::new("persists", error.to_string()))?;
            }
            self.world.journal.lock().make_global(&known);
            self.world.sleep(Duration::from_secs(5)).await;
            self.check_released(&server)?;
            let before = self.check(&server, true).await?;
            self.close(server).await?;
            self.reopen(home, &before).await?;
        }
        Ok(())
    }

    /// Rules can be applied, and then take writes again.
    async fn rule_once_healed(&mut self, server: &Server) -> Result<(), Violation> {
        for database in 0..self.world.plan.databases {
            if server.node.database(&World::database(database)).is_none() {
                continue;
            }
            let mut client = self.client(server);
            client.plan.given_up = 0;
            if !client.rule_kindly(database).await? {
                return Err(Violation::new("heals", "rules can't be applied"));
            }
        }
        Ok(())
    }

    async fn write_once_healed(&mut self, server: &Server) -> Result<(), Violation> {
        for database in 0..self.world.plan.databases {
            let mut client = self.client(server);
            client.plan.given_up = 0;
            client.plan.bad_lines = 0;
            let mut tries = 0;
            while !client.write_to(database).await? {
                tries += 1;
                if tries == HEALED_WITHIN {
                    return Err(Violation::new("heals", format!("writes still fail: {:?}", server.node.health())));
                }
                self.world.sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(())
    }

    fn check_released(&self, server: &Server) -> Result<(), Violation> {
        let status = server.node.status();
        if !self.all_persisted(server) {
            return Err(Violation::new("persists", format!("chunks are left in memory: {:?}", status.databases)));
        }
        // In the object store, a segment goes once a later one says that it is no longer needed.
        let kept = if self.world.plan.object_log { 3 } else { 1 };
        if status.log.segments > kept {
            return Err(Violation::new("releases", format!("all is persisted, and the log keeps {:?}", status.log)));
        }
        Ok(())
    }

    async fn close(&self, server: Server) -> Result<(), Violation> {
        let closed = server.node.close().await;
        closed.map_err(|error| Violation::new("closes", error.to_string()))?;
        self.world.kill(server, false).await;
        Ok(())
    }

    async fn reopen(&self, home: usize, before: &Answers) -> Result<(), Violation> {
        let server = self.world.open(home).await?;
        if !self.all_persisted(&server) {
            let what = format!("a clean stop left something to replay: {:?}", server.node.status().databases);
            return Err(Violation::new("reopens", what));
        }
        if self.check(&server, true).await? != *before {
            return Err(Violation::new("reopens", "other answers than before the stop"));
        }
        self.close(server).await
    }
}
