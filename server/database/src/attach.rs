//! Another node's databases, read from the object store alone.
//!
//! ```text
//!   every few seconds: node's catalog -> which databases -> each one's new revisions -> a buffer of persisted chunks
//!   query -> buffer as of then -> a file is gone, and nothing was sent yet -> look again -> query again
//! ```
//!
//! # Invariants
//! 1. Nothing is written: no claim, no revision, no object. The owner does not notice.
//! 2. A query sees one revision of its database. What the owner has in memory and in its log only is not seen.
//! 3. What can't be read stays as it was last seen, and says since when.

mod database;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_query::{Engine, EngineConfig, Params, QueryError, QueryResult};
use ochre_store::catalog::{CatalogFollower, NodeFollower, NodeState, Seen};
use ochre_store::epoch::{self, EpochRecord};
use ochre_store::memory::BufferMemory;
use ochre_store::object::Layout;
use ochre_store::object::verified::VerifiedObjects;
use ochre_types::rules::Rules;
use ochre_types::token::{Grants, TokenHash};
use ochre_types::{ByteSize, DatabaseName, NodeId};
use parking_lot::RwLock;

use crate::backup;
use crate::budget::Budget;
use crate::damage::DamageRegistry;
use crate::error::OpenError;
use crate::node::{Health, Resources};
use database::AttachedDatabase;
pub use status::{AttachedDatabaseStatus, AttachedStatus};

/// Rows of a batch within a query.
const QUERY_BATCH_ROWS: usize = 8_192;
/// How often one query looks again at a catalog whose files have been collected.
const AGAIN: usize = 3;
/// Missed refreshes after which the answers are so old that it is a failure.
const MISSED: u32 = 6;

/// How a node is attached.
#[derive(Debug, Clone)]
pub struct AttachConfig {
    /// The node.
    pub node_id: NodeId,
    /// Where all nodes' folders are in the object store; may be empty.
    pub prefix: Path,
    /// The memory budget: of everything together.
    pub memory: ByteSize,
    /// How it is divided.
    pub resources: Resources,
    /// What the databases' rules do not say.
    pub rules: Rules,
    /// Where queries may spill; nowhere if absent.
    pub spill_dir: Option<PathBuf>,
    /// Threads that one query may use.
    pub query_threads: usize,
    /// How often the catalogs are looked at.
    pub refresh: Duration,
}

/// Another node, attached.
pub struct Attached {
    config: AttachConfig,
    env: Env,
    objects: Arc<dyn ObjectStore>,
    layout: Layout,
    engine: Engine,
    memory: BufferMemory,
    /// The objects as queries read them.
    verified: VerifiedObjects,
    /// One refresh at a time.
    followers: tokio::sync::Mutex<Followers>,
    view: RwLock<Arc<View>>,
    refreshes: std::sync::atomic::AtomicU64,
}

/// Who reads the catalogs.
struct Followers {
    node: NodeFollower,
    databases: BTreeMap<DatabaseName, CatalogFollower>,
}

/// What is known at one moment.
#[derive(Debug, Clone)]
struct View {
    owner: Option<EpochRecord>,
    node: Seen<NodeState>,
    databases: BTreeMap<DatabaseName, Arc<AttachedDatabase>>,
    /// Databases that can't be read, and why; those that could be before are among `databases`, too.
    unreadable: BTreeMap<DatabaseName, String>,
    /// When everything was last looked at, by the monotonic clock.
    looked: Duration,
    /// Why the last look failed; what was known before is kept then.
    failing: Option<String>,
}

impl Attached {
    /// Reads a node's catalogs.
    ///
    /// # Errors
    /// If there is no such node, or it is being restored. Databases that can't be read are named by the status.
    pub async fn open(env: Env, objects: Arc<dyn ObjectStore>, config: AttachConfig) -> Result<Arc<Self>, OpenError> {
        let layout = Layout::new(&config.prefix, &config.node_id);
        let failed = |error: &dyn fmt::Display| OpenError::Objects(error.to_string());
        let note = backup::unfinished(&objects, &layout, &env.clock).await.map_err(|error| failed(&error))?;
        if let Some(backup) = note {
            return Err(OpenError::Restoring { node: config.node_id.clone(), backup });
        }
        let of_node = |reason: String| OpenError::Catalog { what: format!("node {}", config.node_id), reason };
        let mut node = NodeFollower::new(&objects, &layout, &env.clock);
        let seen = node.look().await.map_err(|error| of_node(error.to_string()))?;
        let seen = seen.ok_or_else(|| of_node("there is no such node in this object store".to_owned()))?;
        let budget = Budget::new(config.memory, &config.resources.shares);
        let verified = VerifiedObjects::new(objects.clone(), Arc::new(DamageRegistry::new(env.clock.clone())));
        let reading: Arc<dyn ObjectStore> = Arc::new(verified.clone());
        let engine = EngineConfig {
            memory: budget.queries,
            caches: budget.caches,
            target_partitions: config.query_threads,
            spill_dir: config.spill_dir.clone(),
            spill_limit: config.resources.spill,
            batch_size: QUERY_BATCH_ROWS,
            clock: env.clock.clone(),
        };
        let engine = Engine::new(engine, reading).map_err(|error| OpenError::Engine(error.to_string()))?;
        let view = View {
            owner: None,
            node: seen,
            databases: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            looked: env.clock.monotonic(),
            failing: None,
        };
        let attached = Self {
            // Nothing is buffered: chunks are in the object store.
            memory: BufferMemory::with_shares(budget.chunks),
            verified,
            followers: tokio::sync::Mutex::new(Followers { node, databases: BTreeMap::new() }),
            view: RwLock::new(Arc::new(view)),
            refreshes: 0.into(),
            config,
            env,
            objects,
            layout,
            engine,
        };
        attached.refresh().await;
        match attached.view().failing.clone() {
            Some(reason) => Err(OpenError::Objects(reason)),
            None => Ok(Arc::new(attached)),
        }
    }

    /// Looks at the catalogs every so often, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.env.clock.sleep(self.config.refresh).await;
            self.refresh().await;
        }
    }

    fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Looks at the catalogs now.
    pub async fn refresh(&self) {
        let mut followers = self.followers.lock().await;
        let before = self.view();
        let view = match self.look(&mut followers, &before).await {
            Ok(view) => view,
            Err(reason) => {
                tracing::warn!(node = %self.config.node_id, reason, "the attached node can't be looked at: what was read before is served");
                View { failing: Some(reason), ..(*before).clone() }
            }
        };
        self.refreshes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        *self.view.write() = Arc::new(view);
    }

    async fn look(&self, followers: &mut Followers, before: &View) -> Result<View, String> {
        let begun = self.env.clock.monotonic();
        let owner = epoch::current(&self.objects, &self.layout, &self.env).await.map_err(|error| error.to_string())?;
        let node = followers.node.look().await.map_err(|error| error.to_string())?;
        let node = node.ok_or("the node's catalog is gone")?;
        let (mut databases, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
        let shown = |name: &DatabaseName| node.state.databases.get(name).is_some_and(|entry| entry.dropped.is_none());
        followers.databases.retain(|name, _| shown(name));
        for name in node.state.databases.keys().filter(|name| shown(name)) {
            let follower = followers
                .databases
                .entry(name.clone())
                .or_insert_with(|| CatalogFollower::new(&self.objects, &self.layout, &self.env.clock, name));
            let held = before.databases.get(name);
            match follower.look().await {
                // It was made, and its owner has not opened it yet.
                Ok(None) => {}
                Ok(Some(seen)) => {
                    let database = match held {
                        Some(held) if held.revision == seen.revision => held.clone(),
                        _ => Arc::new(AttachedDatabase::new(self, name, seen, held)),
                    };
                    databases.insert(name.clone(), database);
                }
                Err(error) => {
                    if !before.unreadable.contains_key(name) {
                        tracing::error!(database = %name, %error, "this database of the attached node can't be read; the others are served");
                    }
                    databases.extend(held.map(|held| (name.clone(), held.clone())));
                    unreadable.insert(name.clone(), error.to_string());
                }
            }
        }
        Ok(View { owner, node, databases, unreadable, looked: begun, failing: None })
    }

    /// Runs one SQL query over one database, as of the revision that was last seen.
    ///
    /// # Errors
    /// As a query of a node.
    pub async fn query(
        self: &Arc<Self>,
        name: &DatabaseName,
        sql: &str,
        params: &Params,
    ) -> Result<QueryResult, QueryError> {
        let mut tries = 1;
        loop {
            let database = self.database(name)?;
            match database.query(self, sql, params).await {
                // Its owner may have joined and collected the files meanwhile; then there is a newer revision.
                Err(error @ QueryError::Execution(_)) if tries < AGAIN => {
                    self.refresh().await;
                    if self.database(name)?.revision == database.revision {
                        return Err(error);
                    }
                    tracing::debug!(database = %name, %error, "the query begins again with a newer revision");
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    fn database(&self, name: &DatabaseName) -> Result<Arc<AttachedDatabase>, QueryError> {
        let view = self.view();
        if let Some(database) = view.databases.get(name) {
            return Ok(database.clone());
        }
        Err(match view.unreadable.get(name) {
            Some(reason) => QueryError::Execution(format!("database {name} can't be read: {reason}")),
            None => QueryError::UnknownDatabase(name.to_string()),
        })
    }

    /// The databases that are served, by name.
    pub fn databases(&self) -> Vec<DatabaseName> {
        self.view().databases.keys().cloned().collect()
    }

    /// The name and the grants of the node's token with this hash.
    pub fn token(&self, hash: &TokenHash) -> Option<(String, Grants)> {
        let view = self.view();
        let mut tokens = view.node.state.tokens.iter();
        tokens
            .find(|(_, entry)| entry.hash == *hash)
            .map(|(name, entry)| (name.as_str().to_owned(), entry.grants.clone()))
    }

    /// Whether the catalogs could be looked at lately.
    pub fn health(&self) -> Health {
        let view = self.view();
        let age = self.env.clock.monotonic().saturating_sub(view.looked);
        match &view.failing {
            Some(reason) if age > self.config.refresh * MISSED => {
                let seconds = age.as_secs();
                Health::Failing(format!(
                    "node {} could not be looked at for {seconds} seconds: {reason}",
                    self.config.node_id
                ))
            }
            _ => Health::Ok,
        }
    }

    /// Why writes are refused, and where they belong.
    pub fn why_read_only(&self) -> String {
        let node = &self.config.node_id;
        format!(
            "this server reads node {node} from its object store and takes no writes: write to the server that runs node {node}"
        )
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attached({})", self.config.node_id)
    }
}
