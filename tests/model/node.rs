//! A node on doubles, that can be stopped in every way and started again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use ochre_database::rules::{Applied, RulesError, Source, Terms};
use ochre_database::{Database, LogHome, Node, NodeConfig};
use ochre_doubles::clock::SimClock;
use ochre_doubles::disk::SimDisk;
use ochre_doubles::entropy::{SimEntropy, env};
use ochre_env::Env;
use ochre_store::catalog::Checkpoints;
use ochre_types::rules::{Rules, Target, render};
use ochre_types::{ByteSize, DatabaseName, NodeId};

/// A machine with a running node.
pub struct Machine {
    clock: Arc<SimClock>,
    entropy: SimEntropy,
    disk: SimDisk,
    objects: Arc<dyn ObjectStore>,
    running: Option<(Arc<Node>, Env)>,
}

impl Machine {
    /// A new machine with a node and a database on it. Must be called within a runtime whose time is paused.
    pub async fn start() -> Self {
        let mut machine = Self {
            clock: Arc::new(SimClock::new()),
            entropy: SimEntropy::new(1),
            disk: SimDisk::new(1),
            objects: Arc::new(InMemory::new()),
            running: None,
        };
        machine.open().await;
        machine.node().create_database(&database_name()).await.expect("nothing is in the way");
        machine
    }

    async fn open(&mut self) {
        let disk = Arc::new(self.disk.clone());
        let env = env(self.clock.clone(), &self.entropy, disk, Duration::from_millis(1));
        let config = NodeConfig {
            node_id: NodeId::new("a").expect("this name is legal"),
            prefix: Path::default(),
            log: LogHome::Disk(PathBuf::from("/log")),
            memory: ByteSize::mib(64),
            resources: Default::default(),
            rules: Rules::default(),
            auto_create: false,
            spill_dir: None,
            query_threads: 1,
            checkpoints: Checkpoints { every: 5, bytes: 1 << 20 },
        };
        let node = Node::open(env.clone(), self.objects.clone(), config).await.expect("nothing is in the way");
        self.running = Some((node, env));
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.running.as_ref().expect("a node runs whenever a test can see the machine").0
    }

    /// The one database.
    pub fn database(&self) -> Arc<Database> {
        self.node().database(&database_name()).expect("it was made at the start")
    }

    /// Applies a document that says all of these rules.
    pub async fn apply(&self, rules: &Rules) -> Result<Applied, RulesError> {
        let target = Target::Database(database_name());
        let document = Source::Text(render(&target, rules));
        self.node().apply_rules(&target, document, Terms::default()).await
    }

    /// Loses power, and starts again.
    pub async fn crash(&mut self) {
        if let Some((node, env)) = self.running.take() {
            env.tasks.abort().await;
            drop((node, env));
        }
        self.disk.crash();
        self.open().await;
    }

    /// Stops cleanly, and starts again.
    pub async fn restart(&mut self) {
        self.node().close().await.expect("nothing is in the way");
        self.running = None;
        self.open().await;
    }
}

/// The name of the one database.
pub fn database_name() -> DatabaseName {
    DatabaseName::new("model").expect("this name is legal")
}
