//! Before a node is taken over: what its catalogs have, and whether the log is at hand that has the rest.
//!
//! Taking over itself is what every start does: see [`crate::Node::open`].

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use ochre_env::Env;
use ochre_log::{Inspection, LogError};
use ochre_store::catalog::{CatalogFollower, CatalogState, LoadError, NodeFollower, Seen};
use ochre_store::epoch::{self, ClaimError, EpochRecord};
use ochre_store::object::Layout;
use ochre_types::{DatabaseName, LogId, Sequence};

/// Where the log of whoever takes over is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// In this directory.
    Directory(PathBuf),
    /// In the object store, in the node's folder.
    ObjectStore,
}

impl LogPlace {
    async fn inspect(
        &self,
        env: &Env,
        objects: &Arc<dyn ObjectStore>,
        layout: &Layout,
    ) -> Result<Inspection, LogError> {
        match self {
            Self::Directory(dir) => ochre_log::inspect(&env.disk, &env.compute, dir.clone()).await,
            Self::ObjectStore => ochre_log::inspect_objects(env, objects.clone(), layout.log()).await,
        }
    }
}

/// What is known before a node is taken over.
#[derive(Debug)]
pub struct Survey {
    /// The highest claim; `None` if there never was one.
    pub owner: Option<EpochRecord>,
    /// The log that the node's catalog names; `None` before the node had one.
    pub log: Option<LogId>,
    /// The log that was found where the server that takes over has its own.
    pub found: Option<LogId>,
    /// Its databases by name.
    pub databases: Vec<DatabaseSurvey>,
}

/// What is known of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSurvey {
    /// Its name.
    pub name: DatabaseName,
    /// What its catalog has; or why it can't be read.
    pub catalog: Result<Persisted, String>,
}

/// What a catalog has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Persisted {
    /// Its newest revision.
    pub revision: u64,
    /// When that was committed, by its writer's wall clock: milliseconds since 1970-01-01 UTC.
    pub committed_at_millis: u64,
    /// Every frame of its log at or below this is in Parquet.
    pub through: Option<Sequence>,
    /// When the newest of its rows was accepted, by the hybrid clock; `None` if it has none.
    pub newest_millis: Option<u64>,
    /// Rows, counting versions of one key apart.
    pub rows: u64,
}

impl Survey {
    /// Whether acknowledged rows may be in no catalog and in no log that is at hand.
    pub fn log_is_lost(&self) -> bool {
        self.log.is_some() && self.log != self.found
    }
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The epochs can't be read.
    #[error(transparent)]
    Epoch(#[from] ClaimError),
    /// The node's catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] LoadError),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Looks at a node that is to be taken over, and at the log of whoever is to do so. Changes nothing. `None` if there is
/// no such node.
///
/// # Errors
/// If the store does not answer.
pub async fn survey(
    env: &Env,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    log: Option<LogPlace>,
) -> Result<Option<Survey>, SurveyError> {
    let owner = epoch::current(objects, layout, env).await?;
    let Some(node) = NodeFollower::new(objects, layout, &env.clock).look().await? else { return Ok(None) };
    let found = match log {
        Some(place) => place.inspect(env, objects, layout).await?.log_id,
        None => None,
    };
    let mut databases = Vec::new();
    for name in node.state.databases.keys() {
        let looked = CatalogFollower::new(objects, layout, &env.clock, name).look().await;
        let catalog = match looked {
            // A database that was made and never opened has none.
            Ok(seen) => Ok(seen.map(|seen| persisted(&seen, node.state.log_id)).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        };
        databases.push(DatabaseSurvey { name: name.clone(), catalog });
    }
    Ok(Some(Survey { owner, log: node.state.log_id, found, databases }))
}

fn persisted(seen: &Seen<CatalogState>, log: Option<LogId>) -> Persisted {
    let state = &seen.state;
    Persisted {
        revision: seen.revision.0,
        committed_at_millis: seen.committed_at_millis,
        through: state.low_water.filter(|mark| Some(mark.log) == log).map(|mark| mark.sequence),
        newest_millis: state.highest_stamp().map(|stamp| stamp.hlc.millis()),
        rows: state.chunks().map(|chunk| chunk.rows).sum(),
    }
}
