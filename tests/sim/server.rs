//! The machines of a simulation, and the servers that run on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_database::{LogHome, Node, NodeConfig};
use ochre_doubles::clock::SimClock;
use ochre_doubles::disk::SimDisk;
use ochre_doubles::entropy::{SimEntropy, env};
use ochre_doubles::objects::{FaultRates, SimObjects};
use ochre_env::{Clock, Env, Tasks};
use ochre_types::{ByteSize, DatabaseName, NodeId};
use parking_lot::Mutex;

use super::journal::{Journal, Violation};
use super::plan::Plan;
use super::trace::{Trace, TracedDisk, TracedObjects};

/// Faults in the way of opening are taken away after this many tries, and it must succeed after as many again.
const TRIES: u32 = 4;

/// A machine: what survives a process.
#[derive(Debug)]
pub struct Home {
    pub disk: SimDisk,
    pub clock: SimClock,
}

/// Everything outside of the servers.
pub struct World {
    pub plan: Plan,
    pub trace: Trace,
    pub objects: SimObjects,
    pub homes: Vec<Home>,
    pub journal: Arc<Mutex<Journal>>,
    /// The first violation that a client saw.
    pub violation: Arc<Mutex<Option<Violation>>>,
    entropy: SimEntropy,
}

/// A process that serves, and its clients.
pub struct Server {
    pub home: usize,
    pub node: Arc<Node>,
    pub env: Env,
    pub clients: Tasks,
    /// When it acknowledged a write last.
    pub acked_at: Arc<Mutex<Duration>>,
}

impl Server {
    /// The number of its claim.
    pub fn claim(&self) -> u64 {
        self.node.status().epoch.0
    }
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Plan) -> Self {
        let clock = SimClock::new();
        let objects = SimObjects::new(Arc::new(clock.clone()), plan.seed ^ 1);
        let home = |number| Home { disk: SimDisk::new(plan.seed ^ (2 + number)), clock: clock.other_machine() };
        Self {
            trace: Trace::new(),
            objects,
            homes: (0..plan.homes as u64).map(home).collect(),
            journal: Arc::new(Mutex::new(Journal::new(
                plan.homes,
                plan.databases,
                plan.rules.clone(),
                plan.object_log,
            ))),
            violation: Arc::default(),
            entropy: SimEntropy::new(plan.seed ^ 99),
            plan,
        }
    }

    /// The name of a database.
    pub fn database(number: usize) -> DatabaseName {
        DatabaseName::new(["first", "second/db", "third"][number]).expect("these names are legal")
    }

    /// The name of a table.
    pub fn table(number: usize) -> &'static str {
        ["cpu", "disk io", "mem"][number]
    }

    fn config(&self) -> NodeConfig {
        NodeConfig {
            node_id: NodeId::new("a").expect("this name is legal"),
            prefix: Path::from("fleet"),
            log: if self.plan.object_log { LogHome::ObjectStore } else { LogHome::Disk(PathBuf::from("/log")) },
            memory: ByteSize::mib(64),
            resources: Default::default(),
            rules: self.plan.rules.clone(),
            auto_create: true,
            spill_dir: None,
            query_threads: 1,
            checkpoints: self.plan.checkpoints,
        }
    }

    /// Starts a server on a machine.
    pub async fn open(&self, home: usize) -> Result<Server, Violation> {
        let mut tries = 0;
        loop {
            let Home { disk, clock } = &self.homes[home];
            let disk = Arc::new(TracedDisk { disk: disk.clone(), trace: self.trace.clone() });
            let env = env(Arc::new(clock.clone()), &self.entropy, disk, self.plan.slowest);
            let objects: Arc<dyn ObjectStore> =
                Arc::new(TracedObjects { objects: self.objects.clone(), trace: self.trace.clone() });
            let error = match Node::open(env.clone(), objects, self.config()).await {
                Ok(node) => {
                    self.trace.note(format_args!("opened on {home} as {}", node.status().epoch));
                    let mut journal = self.journal.lock();
                    let now = journal.tick();
                    journal.rules.opened(home, &node, now)?;
                    journal.opened();
                    drop(journal);
                    return Ok(Server { home, node, env, clients: Tasks::new(), acked_at: Arc::default() });
                }
                Err(error) => error.to_string(),
            };
            self.trace.note(format_args!("not opened on {home}: {error}"));
            env.tasks.abort().await;
            tries += 1;
            if tries == TRIES {
                self.heal().await;
            } else if tries == 2 * TRIES {
                return Err(Violation::new("opens", error));
            }
        }
    }

    /// Ends a process as `kill -9` does; `power_loss` takes what its machine had not synced.
    pub async fn kill(&self, server: Server, power_loss: bool) {
        self.trace.note(format_args!("kill on {}, power loss: {power_loss}", server.home));
        server.clients.abort().await;
        server.env.tasks.abort().await;
        self.journal.lock().lose_in_flight(server.home);
        let home = server.home;
        drop(server);
        self.homes[home].disk.fail_syncs(false);
        if power_loss {
            self.homes[home].disk.crash();
        }
    }

    /// Draws faults of the object store from now on, as the plan says.
    pub fn make_objects_faulty(&self) {
        self.objects.set_rates(self.plan.rates);
    }

    /// Ends all faults of the object store; delays stay.
    pub fn heal_objects(&self) {
        self.objects.set_rates(FaultRates { max_delay: self.plan.rates.max_delay, ..FaultRates::default() });
        self.objects.set_unavailable(false);
        self.objects.unavailable_until(Duration::ZERO);
    }

    /// Ends all faults.
    pub async fn heal(&self) {
        self.trace.note(format_args!("heal"));
        self.heal_objects();
        self.objects.deliver_late().await;
        for home in &self.homes {
            home.disk.set_capacity(u64::MAX);
            home.disk.hide_capacity(false);
            home.disk.fail_syncs(false);
            home.clock.set_skew(0);
        }
    }

    /// Monotonic time.
    pub fn now(&self) -> Duration {
        self.homes[0].clock.monotonic()
    }

    /// Lets time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.homes[0].clock.sleep(duration).await;
    }
}
