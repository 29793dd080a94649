//! What is backed up: a running node, or a prefix in an object store without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_store::catalog::{Catalog, CatalogState, NodeCatalog, NodeState, Revision};
use ochre_store::epoch;
use ochre_store::object::Layout;
use ochre_types::{DatabaseName, Epoch, NodeId};

use super::BackupError;
use crate::database::Database;
use crate::node::Node;

/// What is backed up.
pub enum Source {
    /// A running node: everything that it has acknowledged.
    Node(Arc<Node>),
    /// A node's prefix: what its catalogs have.
    Prefix {
        /// The object store.
        objects: Arc<dyn ObjectStore>,
        /// Where all nodes' folders are in it.
        prefix: Path,
        /// The node.
        node: NodeId,
        /// Seams.
        env: Env,
    },
}

/// Catalogs at one moment.
#[derive(Debug)]
pub(super) struct States {
    pub(super) epoch: Epoch,
    pub(super) node: (Revision, Arc<NodeState>),
    pub(super) databases: BTreeMap<DatabaseName, (Revision, Arc<CatalogState>)>,
}

impl Source {
    pub(super) fn node_id(&self) -> NodeId {
        match self {
            Self::Node(node) => node.config.node_id.clone(),
            Self::Prefix { node, .. } => node.clone(),
        }
    }

    pub(super) fn objects(&self) -> &Arc<dyn ObjectStore> {
        match self {
            Self::Node(node) => &node.owner.store,
            Self::Prefix { objects, .. } => objects,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        match self {
            Self::Node(node) => node.owner.layout.clone(),
            Self::Prefix { prefix, node, .. } => Layout::new(prefix, node),
        }
    }

    /// Whether everything that was acknowledged is in its states.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// The catalogs of `databases`, or of all. A running node persists everything first.
    pub(super) async fn states(&self, databases: &[DatabaseName]) -> Result<States, BackupError> {
        match self {
            Self::Node(node) => states_of_node(node, databases).await,
            Self::Prefix { objects, node, env, .. } => {
                states_of_prefix(objects, &self.layout(), node, env, databases).await
            }
        }
    }

    /// A database's catalog as it is now.
    pub(super) async fn state(&self, name: &DatabaseName) -> Result<(Revision, Arc<CatalogState>), BackupError> {
        let missing = || BackupError::NoDatabase(name.clone());
        match self {
            Self::Node(node) => {
                let database = open(node, name).ok_or_else(missing)?;
                Ok((database.catalog.revision(), database.catalog.state()))
            }
            Self::Prefix { objects, env, .. } => {
                let loaded = Catalog::load(objects, &self.layout(), env, name).await?;
                let (revision, state) = loaded.ok_or_else(missing)?;
                Ok((revision, Arc::new(state)))
            }
        }
    }
}

/// A database that is served, or was dropped and can come back.
fn open(node: &Node, name: &DatabaseName) -> Option<Arc<Database>> {
    node.open_now().into_iter().find(|database| database.name() == name)
}

/// Those that were asked for, or all.
fn chosen(state: &NodeState, databases: &[DatabaseName]) -> Result<Vec<DatabaseName>, BackupError> {
    match databases.iter().find(|name| !state.databases.contains_key(*name)) {
        Some(unknown) => Err(BackupError::NoDatabase(unknown.clone())),
        None if databases.is_empty() => Ok(state.databases.keys().cloned().collect()),
        None => Ok(databases.to_vec()),
    }
}

async fn states_of_node(node: &Arc<Node>, databases: &[DatabaseName]) -> Result<States, BackupError> {
    // What a database's catalog has of the node's own is older than this, or as old: tokens and names that are made
    // from now on are in the next backup.
    let node_state = (node.catalog.revision(), node.catalog.state());
    let mut states = BTreeMap::new();
    for name in chosen(&node_state.1, databases)? {
        let Some(database) = open(node, &name) else {
            let reason = node.reason_not_served(&name).unwrap_or_else(|| "it is about to be opened".to_owned());
            return Err(BackupError::NotServed { database: name, reason });
        };
        let failed = |reason: String| BackupError::Persist { database: name.clone(), reason };
        database.persist_all().await.map_err(|error| failed(error.to_string()))?;
        // The revision may be one too low, as commits go on meanwhile: it is for people.
        states.insert(name, (database.catalog.revision(), database.catalog.state()));
    }
    Ok(States { epoch: node.epoch, node: node_state, databases: states })
}

async fn states_of_prefix(
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    node: &NodeId,
    env: &Env,
    databases: &[DatabaseName],
) -> Result<States, BackupError> {
    let missing = || BackupError::NoNode(node.clone());
    let owner = epoch::current(objects, layout, env).await?.ok_or_else(missing)?;
    let (revision, state) = NodeCatalog::load(objects, layout, env).await?.ok_or_else(missing)?;
    let mut states = BTreeMap::new();
    for name in chosen(&state, databases)? {
        // A database that was made and never opened has no catalog yet, and nothing to lose.
        if let Some((revision, state)) = Catalog::load(objects, layout, env, &name).await? {
            states.insert(name, (revision, Arc::new(state)));
        }
    }
    Ok(States { epoch: owner.epoch, node: (revision, Arc::new(state)), databases: states })
}
