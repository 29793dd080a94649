//! A node: opening it, its databases, stopping it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_log::{Home, Log, LogConfig, Opened};
use ochre_query::{Engine, EngineConfig, Params, QueryError, QueryResult};
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{self, Catalog, Checkpoints, DatabaseEntry, LoadError, NodeCatalog, NodeEdit, Owner};
use ochre_store::epoch;
use ochre_store::lifecycle::Lifecycle;
use ochre_store::memory::BufferMemory;
use ochre_store::object::{self, Layout};
use ochre_store::persist::Persister;
use ochre_types::partition::Template;
use ochre_types::rules::Rules;
use ochre_types::{ByteSize, DatabaseName, Epoch, Hlc, Incarnation, NodeId, Sequence, Stamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::StampClock;
use crate::database::{Database, Parts, Shared};
use crate::error::{OpenError, WriteError};
use crate::replay::Replay;
use crate::schema::Schema;
use crate::source::DatabaseSource;

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
    /// The budget of buffers and queries together.
    pub memory: ByteSize,
    /// What a new database starts from.
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
    /// How long its rows are kept, as given; `None` is for ever.
    pub retention: Option<String>,
}

/// A storage server without its interfaces.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) epoch: Epoch,
    pub(crate) started: Duration,
    pub(crate) shared: Shared,
    pub(crate) catalog: NodeCatalog,
    owner: Owner,
    engine: Engine,
    template: Arc<Template>,
    databases: RwLock<BTreeMap<DatabaseName, Arc<Database>>>,
    /// Databases that could not be opened, and why.
    not_served: RwLock<BTreeMap<DatabaseName, String>>,
    /// One creation at a time.
    creating: tokio::sync::Mutex<()>,
    /// Low-water marks, as the lifecycles report them.
    low_water: Arc<Mutex<BTreeMap<DatabaseName, Sequence>>>,
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
        let owner = claim(&env, &objects, &config, incarnation).await?;
        let catalog = NodeCatalog::open(&owner).await.map_err(|error| OpenError::Catalog {
            what: format!("node {}", config.node_id),
            reason: error.to_string(),
        })?;
        let (log, opened) = Log::open(&env, log_config(&config), incarnation).await?;
        report(&opened, catalog.state().log_id);
        let floor = opened.highest_stamp.max(catalog.state().ceiling);
        let clock = Arc::new(StampClock::new(incarnation, env.clock.clone(), floor));
        let memory = BufferMemory::new(ByteSize(config.memory.0 / 2));
        let engine = engine(&env, &config, &objects)?;
        let shared = Shared { env: env.clone(), log, clock, fence: owner.fence.clone(), memory, incarnation };
        let node = Arc::new(Self {
            epoch: owner.fence.epoch(),
            started: env.clock.monotonic(),
            shared,
            catalog,
            owner,
            engine,
            template: Arc::new(Template::default()),
            databases: RwLock::new(BTreeMap::new()),
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

    async fn open_databases(&self, opened: &Opened) -> Result<(), OpenError> {
        let state = self.catalog.state();
        for name in opened.databases.keys().filter(|name| !state.databases.contains_key(*name)) {
            tracing::warn!(database = %name, "the log has frames of a database that the node's catalog does not know: they are left where they are");
        }
        for (name, entry) in &state.databases {
            match self.open_database(name, entry.created, Some(opened)).await {
                Ok(database) => {
                    self.databases.write().insert(name.clone(), database);
                }
                Err(OpenError::Unusable { database, reason }) => {
                    tracing::error!(%database, %reason, "this database is not served; the others are");
                    self.not_served.write().insert(database, reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes over a database's catalog, replays its log, and starts its lifecycle.
    async fn open_database(
        &self,
        name: &DatabaseName,
        created: Stamp,
        opened: Option<&Opened>,
    ) -> Result<Arc<Database>, OpenError> {
        let catalog = Catalog::open(&self.owner, name, created).await.map_err(|error| match &error {
            catalog::OpenError::Load(LoadError::Damaged { .. } | LoadError::OtherDatabase { .. }) => {
                OpenError::Unusable { database: name.clone(), reason: error.to_string() }
            }
            _ => OpenError::Catalog { what: format!("database {name}"), reason: error.to_string() },
        })?;
        let catalog = Arc::new(catalog);
        let state = catalog.state();
        let shared = &self.shared;
        let log_id = shared.log.log_id();
        let buffer = Buffer::restore(&state, &self.owner.layout, log_id, shared.incarnation, shared.memory.clone());
        let buffer = Arc::new(buffer);
        let schema = Arc::new(Schema::default());
        for table in buffer.tables() {
            schema.restore(&table, &buffer.columns(table.as_str()).unwrap_or_default());
        }
        let lifecycle = Arc::new(self.lifecycle(name, &buffer, &catalog));
        let low_water = state.low_water.filter(|mark| mark.log == log_id).map_or(Sequence::ZERO, |mark| mark.sequence);
        shared.log.raise(name, low_water);
        let replay = Replay {
            database: name,
            log: &shared.log,
            buffer: &buffer,
            schema: &schema,
            lifecycle: &lifecycle,
            memory: &shared.memory,
            template: &self.template,
            env: &shared.env,
        };
        let replayed = replay.run(low_water).await?;
        tracing::info!(database = %name, frames = replayed.frames, rows = replayed.rows, after = %low_water, "replayed the log");
        self.low_water.lock().insert(name.clone(), low_water);
        let predecessor = opened.and_then(|opened| opened.databases.get(name)?.predecessor).unwrap_or_default();
        let running = lifecycle.clone();
        shared.env.tasks.spawn("lifecycle", running.run());
        let parts = Parts {
            name: name.clone(),
            rules: self.config.rules.clone(),
            template: self.template.clone(),
            schema,
            buffer,
            catalog,
            lifecycle,
            predecessor,
        };
        Ok(Arc::new(Database::new(shared.clone(), parts)))
    }

    fn lifecycle(&self, name: &DatabaseName, buffer: &Arc<Buffer>, catalog: &Arc<Catalog>) -> Lifecycle {
        let persister = Persister {
            objects: self.owner.store.clone(),
            layout: self.owner.layout.clone(),
            database: name.clone(),
            log: self.shared.log.log_id(),
            env: self.shared.env.clone(),
        };
        let (low_water, log, database) = (self.low_water.clone(), self.shared.log.clone(), name.clone());
        let on_low_water = move |sequence: Sequence| {
            let mut marks = low_water.lock();
            marks.insert(database.clone(), sequence);
            log.release(&marks);
        };
        let rules = self.config.rules.buffer;
        Lifecycle::new(buffer.clone(), catalog.clone(), persister, self.shared.memory.clone(), rules, on_low_water)
    }

    /// Looks after the stamp ceiling and the log until the node stops.
    async fn watch(&self) {
        while self.stop.borrow().is_none() {
            tokio::select! {
                biased;
                () = self.shared.clock.wanted() => {}
                () = self.shared.env.clock.sleep(WATCH) => {}
            }
            if let Err(fenced) = self.shared.fence.check_held() {
                self.stop.send_replace(Some(StopReason::Fenced(format!("fenced by epoch {}: {fenced}", fenced.by))));
            } else if let Some(reason) = self.shared.log.status().failed {
                self.stop.send_replace(Some(StopReason::LogFailed(reason)));
            } else if let Some(ceiling) = self.shared.clock.wanted_ceiling() {
                match self.catalog.commit(vec![NodeEdit::RaiseCeiling(ceiling)]).await {
                    Ok(_) => self.shared.clock.raise_ceiling(ceiling),
                    Err(error) => tracing::warn!(%error, "the stamp ceiling was not raised: tried again"),
                }
            }
        }
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

    /// The databases by name.
    pub fn databases(&self) -> Vec<DatabaseInfo> {
        let state = self.catalog.state();
        let infos = state.databases.iter().map(|(name, entry)| DatabaseInfo {
            name: name.clone(),
            created_millis: entry.created.hlc.millis(),
            retention: entry.retention.clone(),
        });
        infos.collect()
    }

    /// A database that exists.
    pub fn database(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.databases.read().get(name).cloned()
    }

    pub(crate) fn open_now(&self) -> Vec<Arc<Database>> {
        self.databases.read().values().cloned().collect()
    }

    /// Makes a database. False if it was there.
    pub async fn create_database(&self, name: &DatabaseName) -> Result<bool, WriteError> {
        let _one_at_a_time = self.creating.lock().await;
        if self.database(name).is_some() {
            return Ok(false);
        }
        if let Some(reason) = self.not_served.read().get(name) {
            return Err(WriteError::NotServed { name: name.clone(), reason: reason.clone() });
        }
        if *self.stopping.borrow() {
            return Err(WriteError::Stopping);
        }
        self.shared.clock.catch_up().await;
        let created = self.shared.clock.stamp().ok_or(WriteError::NoStamps)?;
        let edit = NodeEdit::CreateDatabase { name: name.clone(), entry: DatabaseEntry { created, retention: None } };
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

    /// Runs one SQL query over one database.
    pub async fn query(
        self: &Arc<Self>,
        name: &DatabaseName,
        sql: &str,
        params: &Params,
    ) -> Result<QueryResult, QueryError> {
        let database = self.database(name).ok_or_else(|| match self.not_served.read().get(name) {
            Some(reason) => QueryError::Execution(format!("database {name} is not served: {reason}")),
            None => QueryError::UnknownDatabase(name.to_string()),
        })?;
        let source = DatabaseSource { node: self.clone(), database };
        self.engine.query(Arc::new(source), sql, params).await
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
    Ok(Owner { store: objects.clone(), layout, env: env.clone(), fence, checkpoints: config.checkpoints })
}

fn log_config(config: &NodeConfig) -> LogConfig {
    LogConfig::new(match &config.log {
        LogHome::Disk(dir) => Home::Disk { dir: dir.clone() },
        LogHome::Memory => Home::Memory { limit: ByteSize(config.memory.0 / 8) },
    })
}

fn engine(env: &Env, config: &NodeConfig, objects: &Arc<dyn ObjectStore>) -> Result<Engine, OpenError> {
    let engine = EngineConfig {
        memory: ByteSize(config.memory.0 / 4),
        target_partitions: config.query_threads,
        spill_dir: config.spill_dir.clone(),
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
    for damage in &opened.damage {
        tracing::error!(?damage, "the log is damaged: the rest is served");
    }
}
