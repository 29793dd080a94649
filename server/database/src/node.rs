//! A node: opening it, its databases, stopping it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_log::{Home, Log, LogConfig, ObjectHome, Opened};
use ochre_query::{Engine, EngineConfig};
use ochre_store::catalog::{Checkpoints, DatabaseEntry, NodeCatalog, NodeEdit, Owner};
use ochre_store::epoch;
use ochre_store::memory::BufferMemory;
use ochre_store::object::verified::VerifiedObjects;
use ochre_store::object::{self, Layout};
use ochre_types::rules::Rules;
use ochre_types::size::format_duration;
use ochre_types::{ByteSize, DatabaseName, Epoch, Hlc, Incarnation, NodeId, Sequence};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::backup;
use crate::budget::{Budget, MemoryShares, Watched};
use crate::clock::StampClock;
use crate::damage::{self, DamageRegistry};
use crate::database::{Database, Shared};
use crate::error::{OpenError, WriteError};
use crate::operations::Operations;
use crate::rules::DefaultRules;
use crate::tokens::TokenIndex;

/// How often the node looks after its stamp ceiling and its log.
const WATCH: Duration = Duration::from_secs(1);
/// Rows of a batch within a query.
const QUERY_BATCH_ROWS: usize = 8_192;
/// The least memory budget.
const LEAST_MEMORY: ByteSize = ByteSize::mib(64);

/// Where the node's log lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogHome {
    /// In a directory that belongs to this log alone.
    Disk(PathBuf),
    /// In memory: gone with the process.
    Memory,
    /// In the object store, beside the catalogs: no disk holds anything.
    ObjectStore,
}

/// How a node divides what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// The shares of the memory.
    pub shares: MemoryShares,
    /// Bytes that queries may have on disk, together.
    pub spill: ByteSize,
}

impl Default for Resources {
    fn default() -> Self {
        Self { shares: MemoryShares::default(), spill: ByteSize::mib(10 << 10) }
    }
}

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The node's label.
    pub node_id: NodeId,
    /// Where all nodes' folders are in the object store; may be empty.
    pub prefix: Path,
    /// Where the log lives.
    pub log: LogHome,
    /// The memory budget: of everything together.
    pub memory: ByteSize,
    /// How it is divided.
    pub resources: Resources,
    /// The rules where no document says otherwise: of databases without one, and for what theirs does not say.
    pub rules: Rules,
    /// Whether a write to a database that does not exist makes it.
    pub auto_create: bool,
    /// Where queries may spill; nowhere if absent.
    pub spill_dir: Option<PathBuf>,
    /// Threads that one query may use.
    pub query_threads: usize,
    /// When catalogs write checkpoints.
    pub checkpoints: Checkpoints,
}

/// Why a node stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Another server has claimed the node's prefix.
    Fenced(String),
    /// The log has failed.
    LogFailed(String),
}

/// Whether a node can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ok,
    /// It can't take writes, for this reason.
    Failing(String),
}

/// What is known of a database from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: DatabaseName,
    /// When it was made on this node, in milliseconds since 1970-01-01 UTC.
    pub created_millis: u64,
    /// How long rows of tables that no narrower rule is for are kept; `None` is for ever.
    pub retention: Option<String>,
}

/// A storage server without its interfaces.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) epoch: Epoch,
    pub(crate) started: Duration,
    pub(crate) shared: Shared,
    pub(crate) catalog: NodeCatalog,
    pub(crate) owner: Owner,
    pub(crate) engine: Engine,
    pub(crate) databases: RwLock<BTreeMap<DatabaseName, Arc<Database>>>,
    /// Databases that were dropped: out of sight, and open until nothing is left of them.
    pub(crate) dropped: RwLock<BTreeMap<DatabaseName, Arc<Database>>>,
    /// Databases that could not be opened, and why.
    pub(crate) not_served: RwLock<BTreeMap<DatabaseName, String>>,
    /// One creation at a time.
    pub(crate) creating: tokio::sync::Mutex<()>,
    /// One change of rules or tokens at a time: the fence is one for all databases.
    pub(crate) applying: tokio::sync::Mutex<()>,
    pub(crate) default_rules: DefaultRules,
    pub(crate) token_index: TokenIndex,
    pub(crate) operations: Operations,
    /// What was found damaged.
    pub(crate) damage: Arc<DamageRegistry>,
    /// The objects, as everything of the node reads them: verified.
    pub(crate) objects: VerifiedObjects,
    pub(crate) watched: Watched,
    /// Whether the catalogs come from a time with another log, which may hold rows that nobody has seen.
    pub(crate) other_log: bool,
    /// Low-water marks, as the lifecycles report them.
    pub(crate) low_water: Arc<Mutex<BTreeMap<DatabaseName, Sequence>>>,
    stop: watch::Sender<Option<StopReason>>,
    stopping: watch::Sender<bool>,
}

impl Node {
    /// Claims the node's prefix, opens its log and its databases, and replays what is not persisted.
    pub async fn open(env: Env, objects: Arc<dyn ObjectStore>, config: NodeConfig) -> Result<Arc<Self>, OpenError> {
        if config.memory < LEAST_MEMORY {
            return Err(OpenError::Memory { given: config.memory, least: LEAST_MEMORY });
        }
        let incarnation = Incarnation(env.entropy.next_u64().max(1));
        let damage = Arc::new(DamageRegistry::new(env.clock.clone()));
        let verified = VerifiedObjects::new(objects, damage.clone());
        let objects: Arc<dyn ObjectStore> = Arc::new(verified.clone());
        let owner = claim(&env, &objects, &config, incarnation).await?;
        let catalog = NodeCatalog::open(&owner).await.map_err(|error| OpenError::Catalog {
            what: format!("node {}", config.node_id),
            reason: error.to_string(),
        })?;
        let (log, opened) = Log::open(&env, log_config(&config, &owner, &catalog), incarnation).await?;
        report(&opened, catalog.state().log_id);
        damage::report_copies(&damage, None, catalog.found_damaged());
        damage::report_log(&damage, &opened);
        let known = catalog.state().log_id;
        let other_log = known.is_some_and(|known| known != opened.log_id) && config.log != LogHome::Memory;
        let floor = opened.highest_stamp.max(catalog.state().ceiling);
        let clock = Arc::new(StampClock::new(incarnation, env.clock.clone(), floor));
        let memory = BufferMemory::with_shares(budget(&config).chunks);
        let engine = engine(&env, &config, &objects)?;
        let joining = Arc::new(tokio::sync::Semaphore::new(1));
        let shared = Shared { env: env.clone(), log, clock, fence: owner.fence.clone(), memory, incarnation, joining };
        let node = Arc::new(Self {
            epoch: owner.fence.epoch(),
            started: env.clock.monotonic(),
            shared,
            catalog,
            owner,
            engine,
            default_rules: DefaultRules::new(&config.rules),
            token_index: TokenIndex::default(),
            operations: Operations::new(&env, incarnation),
            damage,
            objects: verified,
            watched: Watched::default(),
            other_log,
            applying: tokio::sync::Mutex::new(()),
            databases: RwLock::new(BTreeMap::new()),
            dropped: RwLock::new(BTreeMap::new()),
            not_served: RwLock::new(BTreeMap::new()),
            creating: tokio::sync::Mutex::new(()),
            low_water: Arc::default(),
            stop: watch::Sender::new(None),
            stopping: watch::Sender::new(false),
            config,
        });
        node.name_log().await?;
        node.open_databases(&opened).await?;
        node.shared.log.release(&node.low_water.lock());
        let watcher = node.clone();
        env.tasks.spawn("node watch", async move { watcher.watch().await });
        env.tasks.spawn("deletes", node.clone().tend_deletes());
        let (fence, watcher) = (node.shared.fence.clone(), node.clone());
        env.tasks.spawn("fence watch", async move {
            let fenced = fence.watch().await;
            watcher.stop.send_replace(Some(StopReason::Fenced(format!("fenced by epoch {}: {fenced}", fenced.by))));
        });
        Ok(node)
    }

    /// Records the log's identity and the first stamp ceiling in the node's catalog.
    async fn name_log(&self) -> Result<(), OpenError> {
        let mut edits = vec![NodeEdit::SetLogId(self.shared.log.log_id())];
        let ceiling = self.shared.clock.wanted_ceiling();
        edits.extend(ceiling.map(NodeEdit::RaiseCeiling));
        self.catalog.commit(edits).await.map_err(|error| OpenError::Catalog {
            what: format!("node {}", self.config.node_id),
            reason: error.to_string(),
        })?;
        self.shared.clock.raise_ceiling(ceiling.unwrap_or(Hlc::ZERO));
        Ok(())
    }

    /// Looks after the stamp ceiling, the log, and rules that the catalog took late, until the node stops.
    async fn watch(&self) {
        while self.stop.borrow().is_none() {
            tokio::select! {
                biased;
                () = self.shared.clock.wanted() => {}
                () = self.shared.env.clock.sleep(WATCH) => {}
            }
            for database in self.open_now() {
                if let Err(error) = database.catch_up_rules(&self.config.rules) {
                    tracing::warn!(%error, "rules are in the catalog and not in force");
                }
            }
            if let Err(fenced) = self.shared.fence.check_held() {
                self.stop.send_replace(Some(StopReason::Fenced(format!("fenced by epoch {}: {fenced}", fenced.by))));
            } else if let Some(stop) = self.log_ended() {
                self.stop.send_replace(Some(stop));
            } else if let Some(ceiling) = self.shared.clock.wanted_ceiling() {
                match self.catalog.commit(vec![NodeEdit::RaiseCeiling(ceiling)]).await {
                    Ok(_) => self.shared.clock.raise_ceiling(ceiling),
                    Err(error) => tracing::warn!(%error, "the stamp ceiling was not raised: tried again"),
                }
            }
        }
    }

    /// Why the log takes nothing more until the next start, if so.
    fn log_ended(&self) -> Option<StopReason> {
        let status = self.shared.log.status();
        let is_fenced = status.fenced;
        let text = |reason| format!("another server has taken the log over: {reason}");
        status
            .failed
            .map(|reason| if is_fenced { StopReason::Fenced(text(reason)) } else { StopReason::LogFailed(reason) })
    }

    /// Completes when the node must stop, because it may not or can't go on.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        loop {
            if let Some(reason) = stop.borrow_and_update().clone() {
                return reason;
            }
            if stop.changed().await.is_err() {
                return futures::future::pending().await;
            }
        }
    }

    /// Whether the node can take writes.
    pub fn health(&self) -> Health {
        if *self.stopping.borrow() {
            return Health::Failing("the server is stopping".to_owned());
        }
        if let Some(reason) = &*self.stop.borrow() {
            let (StopReason::Fenced(text) | StopReason::LogFailed(text)) = reason;
            return Health::Failing(text.clone());
        }
        match self.shared.log.status().full {
            Some(reason) => Health::Failing(reason),
            None => Health::Ok,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Why a database is not served, if it could not be opened.
    pub fn reason_not_served(&self, name: &DatabaseName) -> Option<String> {
        self.not_served.read().get(name).cloned()
    }

    /// Long work that runs, and that ended.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The databases by name.
    pub fn databases(&self) -> Vec<DatabaseInfo> {
        let state = self.catalog.state();
        let shown = state.databases.iter().filter(|(_, entry)| entry.dropped.is_none());
        let infos = shown.map(|(name, entry)| DatabaseInfo {
            name: name.clone(),
            created_millis: entry.created.hlc.millis(),
            retention: self.database(name).and_then(|database| retention_of(&database.rules())),
        });
        infos.collect()
    }

    /// A database that exists.
    pub fn database(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.databases.read().get(name).cloned()
    }

    /// The databases that are served.
    pub(crate) fn served_now(&self) -> Vec<Arc<Database>> {
        self.databases.read().values().cloned().collect()
    }

    /// The databases that are open: those that are served, and those that were dropped.
    pub(crate) fn open_now(&self) -> Vec<Arc<Database>> {
        let mut open = self.served_now();
        open.extend(self.dropped.read().values().cloned());
        open
    }

    /// Makes a database, with the rules of `*`. False if it was there.
    pub async fn create_database(&self, name: &DatabaseName) -> Result<bool, WriteError> {
        self.create_database_keeping(name, None).await
    }

    /// Makes a database, with the rules of `*` and rows of all tables kept for so long; no time at all is for ever.
    /// False if it was there.
    pub async fn create_database_keeping(
        &self,
        name: &DatabaseName,
        retention: Option<Duration>,
    ) -> Result<bool, WriteError> {
        let _one_at_a_time = self.creating.lock().await;
        if self.database(name).is_some() {
            return Ok(false);
        }
        if let Some(reason) = self.reason_not_served(name) {
            return Err(WriteError::NotServed { name: name.clone(), reason });
        }
        if self.is_stopping() {
            return Err(WriteError::Stopping);
        }
        let retention = retention.map(retention_text);
        if self.make_again(name, retention.clone()).await? {
            return Ok(true);
        }
        self.shared.clock.catch_up().await;
        let created = self.shared.clock.stamp().ok_or(WriteError::NoStamps)?;
        let edit =
            NodeEdit::CreateDatabase { name: name.clone(), entry: DatabaseEntry { created, retention, dropped: None } };
        self.catalog.commit(vec![edit]).await.map_err(|error| WriteError::Catalog(error.to_string()))?;
        let database =
            self.open_database(name, created, None).await.map_err(|error| WriteError::Catalog(error.to_string()))?;
        self.databases.write().insert(name.clone(), database);
        Ok(true)
    }

    /// A database for writing to, made if it does not exist and may be.
    pub async fn database_or_create(&self, name: &DatabaseName) -> Result<Arc<Database>, WriteError> {
        if let Some(database) = self.database(name) {
            return Ok(database);
        }
        if self.config.auto_create || self.not_served.read().contains_key(name) {
            self.create_database(name).await?;
        }
        self.database(name).ok_or_else(|| WriteError::UnknownDatabase(name.clone()))
    }

    /// Stops: persists everything, seals the log, and ends the tasks of the node's `Env`. What can't be persisted
    /// stays in the log.
    pub async fn close(&self) -> Result<(), ochre_log::LogError> {
        self.stopping.send_replace(true);
        for database in self.open_now() {
            if let Err(error) = database.persist_all().await {
                tracing::warn!(database = %database.name(), %error, "not everything was persisted: the rest is replayed from the log at the next start");
            }
        }
        let sealed = self.shared.log.close().await;
        self.shared.env.tasks.abort().await;
        sealed
    }
}

/// How long rows are kept, as rules have it.
fn retention_text(retention: Duration) -> String {
    if retention.is_zero() { "forever".to_owned() } else { format_duration(retention) }
}

/// The retention of tables that only a rule for all tables is for.
fn retention_of(rules: &Rules) -> Option<String> {
    let rule = rules.lifecycle.retain.rules.iter().find(|rule| rule.tables.is_all())?;
    rule.after.map(format_duration)
}

async fn claim(
    env: &Env,
    objects: &Arc<dyn ObjectStore>,
    config: &NodeConfig,
    incarnation: Incarnation,
) -> Result<Owner, OpenError> {
    object::probe(objects, &config.prefix, env).await.map_err(|error| OpenError::Objects(error.to_string()))?;
    let layout = Layout::new(&config.prefix, &config.node_id);
    let fence = epoch::claim(objects, &layout, env, incarnation)
        .await
        .map_err(|error| OpenError::Claim { node: config.node_id.clone(), reason: error.to_string() })?;
    // After the claim: a restore looks for claims after it has left its note.
    let note = backup::unfinished(objects, &layout, &env.clock).await;
    let restoring = |backup| OpenError::Restoring { node: config.node_id.clone(), backup };
    if let Some(backup) = note.map_err(|error| OpenError::Objects(error.to_string()))? {
        return Err(restoring(backup));
    }
    Ok(Owner { store: objects.clone(), layout, env: env.clone(), fence, checkpoints: config.checkpoints })
}

/// Where the log is. In an object store, it is opened when the epoch is claimed and the node's catalog carries it: no
/// older process can commit any more, and opening takes from it the power to acknowledge.
fn log_config(config: &NodeConfig, owner: &Owner, catalog: &NodeCatalog) -> LogConfig {
    let home = match &config.log {
        LogHome::Disk(dir) => Home::Disk { dir: dir.clone() },
        LogHome::Memory => Home::Memory { limit: log_queue(config) },
        LogHome::ObjectStore => Home::ObjectStore(ObjectHome {
            store: owner.store.clone(),
            folder: owner.layout.log(),
            epoch: owner.fence.epoch(),
            known: catalog.state().log_id,
            flush_every: ObjectHome::FLUSH_EVERY,
        }),
    };
    match &config.log {
        LogHome::ObjectStore => LogConfig { pending_limit: log_queue(config), ..LogConfig::new(home) },
        LogHome::Disk(_) | LogHome::Memory => {
            let log = LogConfig::new(home);
            LogConfig { pending_limit: log.pending_limit.min(log_queue(config)), ..log }
        }
    }
}

/// The budget by its parts.
fn budget(config: &NodeConfig) -> Budget {
    let budget = Budget::new(config.memory, &config.resources.shares);
    match &config.log {
        LogHome::Memory | LogHome::ObjectStore => budget.with_log_in_memory(log_queue(config)),
        LogHome::Disk(_) => budget,
    }
}

/// What the log may hold in memory.
fn log_queue(config: &NodeConfig) -> ByteSize {
    ByteSize(config.memory.0 / 8)
}

/// What all queries together may reserve.
pub(crate) fn query_memory(config: &NodeConfig) -> ByteSize {
    budget(config).queries
}

fn engine(env: &Env, config: &NodeConfig, objects: &Arc<dyn ObjectStore>) -> Result<Engine, OpenError> {
    let engine = EngineConfig {
        memory: query_memory(config),
        caches: budget(config).caches,
        target_partitions: config.query_threads,
        spill_dir: config.spill_dir.clone(),
        spill_limit: config.resources.spill,
        batch_size: QUERY_BATCH_ROWS,
        clock: env.clock.clone(),
    };
    Engine::new(engine, objects.clone()).map_err(|error| OpenError::Engine(error.to_string()))
}

/// Says what was found when the log was opened, once each.
fn report(opened: &Opened, known: Option<ochre_types::LogId>) {
    if let Some(known) = known.filter(|known| *known != opened.log_id) {
        tracing::error!(expected = %known, found = %opened.log_id, "LOST LOG: the catalog names another log than the one found here; rows that only that log held are missing. If it still exists, stop, and start with its directory");
    }
    if let Some(torn) = &opened.torn_tail {
        tracing::warn!(
            ?torn,
            "the log ended in an unfinished write, as after a crash: it was cut off and set aside; nothing of it had been acknowledged"
        );
    }
}
