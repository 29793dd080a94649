//! Repairing the catalog of a database that has lost revisions, without a server: what is left of it, and what its
//! objects say of themselves.
//!
//! ```text
//!   revisions that can be read -> state -> objects that it names and are gone: set aside
//!                                       -> objects that nothing names: taken in again
//!   apply: claim the prefix -> the state as a checkpoint -> both as one commit each
//! ```
//!
//! Joined chunks that come back beside what they were joined into change no answer: the fold makes one row of two equal
//! ones. Rows that were deleted or had expired by a lost revision may come back; who applies a repair is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::Env;
use ochre_store::catalog::{
    Catalog, Checkpoints, ChunkId, CommitError, DamagedRevision, Edit, LoadError, NodeCatalog, Owner, Removal,
    Revision, Salvage, SalvageError,
};
use ochre_store::epoch::{self, ClaimError};
use ochre_store::object::Layout;
use ochre_store::readopt::{Readopted, readopt};
use ochre_types::{DatabaseName, Hlc, Incarnation};

use crate::damage::span_text;

/// What a repair would do, or has done.
#[derive(Debug, Clone, Default)]
pub struct RepairReport {
    /// Revisions that are lost, or could not be applied as a whole.
    pub lost: Vec<DamagedRevision>,
    /// Chunks of the state, and their rows.
    pub kept: (u64, u64),
    /// Chunks whose objects are gone, one a line.
    pub missing: Vec<String>,
    /// Chunks that are taken in again, one a line.
    pub found: Vec<String>,
    /// Objects that can't be taken in again, and why.
    pub unclear: Vec<String>,
    /// Deletions that are known; those of lost revisions are not.
    pub tombstones: u64,
    /// The revision from which the catalog is read now; `None` if nothing was changed.
    pub written: Option<Revision>,
}

/// Why a catalog was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The node has no such database.
    #[error("node {node} has no database {database}: ochre inspect lists those that it has")]
    Unknown {
        /// The node's folder.
        node: String,
        /// What was asked for.
        database: DatabaseName,
    },
    /// A catalog can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The objects can't be listed.
    #[error("listing {folder}: {source}")]
    List {
        /// The folder.
        folder: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The prefix can't be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The repaired state was not written.
    #[error(transparent)]
    Write(#[from] SalvageError),
    /// The repaired catalog can't be opened.
    #[error("opening the repaired catalog: {0}")]
    Open(#[from] ochre_store::catalog::OpenError),
    /// The repaired catalog did not take a change.
    #[error("the repaired catalog did not take a change: {0}; repair it again")]
    Commit(#[from] CommitError),
}

/// A database's folder in a store.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub objects: Arc<dyn ObjectStore>,
    /// Where the node is in it.
    pub layout: Layout,
    /// The database.
    pub database: DatabaseName,
}

/// Looks what can be made of a damaged catalog, and makes it if `apply`: then a server that still runs on the prefix is
/// fenced. A catalog that has lost nothing is left alone.
pub async fn repair(env: &Env, place: &Place, apply: bool) -> Result<RepairReport, RepairError> {
    let Place { objects, layout, database } = place;
    let unknown = || RepairError::Unknown { node: layout.node().to_string(), database: database.clone() };
    let node = NodeCatalog::load(objects, layout, env).await?;
    let created = node.and_then(|(_, node)| Some(node.databases.get(database)?.created)).ok_or_else(unknown)?;
    let Some(salvage) = Salvage::read(objects, layout, env, database, created).await? else { return Err(unknown()) };
    let state = &salvage.state;
    let count = |sum: fn(u64) -> u64| state.chunks().map(|chunk| sum(chunk.rows)).sum();
    let mut report = RepairReport {
        lost: salvage.lost.clone(),
        kept: (count(|_| 1), count(|rows| rows)),
        tombstones: state.tombstones.len() as u64,
        ..RepairReport::default()
    };
    if salvage.lost.is_empty() {
        return Ok(report);
    }
    let mut listed = list(place).await?;
    let mut gone = Vec::new();
    for chunk in state.chunks() {
        if listed.remove(&layout.object(database, &chunk.object)).is_none() {
            let (id, table, rows) = (chunk.id, &chunk.table, chunk.rows);
            report.missing.push(format!("chunk {id} of table {table}: {rows} rows, {}", span_text(chunk.time)));
            gone.push(id);
        }
    }
    for removed in state.removed.values() {
        listed.remove(&layout.object(database, &removed.object));
    }
    let mut taken: Vec<Readopted> = Vec::new();
    for (path, size) in listed {
        match take_in(env, place, &salvage, &path, size).await {
            Ok(readopted) => {
                let meta = &readopted.meta;
                let (id, table, rows) = (meta.id, &meta.table, meta.rows);
                report.found.push(format!("chunk {id} of table {table}: {rows} rows, {}", span_text(meta.time)));
                taken.push(readopted);
            }
            Err(reason) => report.unclear.push(reason),
        }
    }
    if apply {
        report.written = Some(write(env, place, &salvage, gone, taken).await?);
    }
    Ok(report)
}

/// The objects below the database's `data/`, with their sizes.
async fn list(place: &Place) -> Result<BTreeMap<Path, u64>, RepairError> {
    let folder = place.layout.object(&place.database, "data");
    let listed: Vec<_> = place
        .objects
        .list(Some(&folder))
        .try_collect()
        .await
        .map_err(|source| RepairError::List { folder: folder.to_string(), source })?;
    Ok(listed.into_iter().map(|object| (object.location, object.size)).collect())
}

async fn take_in(env: &Env, place: &Place, salvage: &Salvage, path: &Path, size: u64) -> Result<Readopted, String> {
    let Place { objects, layout, database } = place;
    let folder = layout.database(database);
    let object = path.as_ref().strip_prefix(folder.as_ref()).map(|object| object.trim_start_matches('/'));
    let object = object.ok_or_else(|| format!("{path} is not in the folder of database {database}"))?;
    let readopted = readopt(objects, &env.compute, &salvage.state, path, object, size).await;
    let readopted = readopted.map_err(|error| error.to_string())?;
    let (id, name) = (readopted.meta.id, path.filename().unwrap_or_default());
    // A copy under another name would be the same chunk twice.
    if name != format!("{id}.parquet") {
        return Err(format!("{path} is not named after its chunk {id}"));
    }
    Ok(readopted)
}

async fn write(
    env: &Env,
    place: &Place,
    salvage: &Salvage,
    gone: Vec<ChunkId>,
    taken: Vec<Readopted>,
) -> Result<Revision, RepairError> {
    let Place { objects, layout, database } = place;
    let incarnation = Incarnation(env.entropy.next_u64().max(1));
    let fence = epoch::claim(objects, layout, env, incarnation).await?;
    let checkpoints = Checkpoints::default();
    let owner = Owner { store: objects.clone(), layout: layout.clone(), env: env.clone(), fence, checkpoints };
    let revision = salvage.write(&owner).await?;
    let catalog = Catalog::open(&owner, database, salvage.state.created).await?;
    let mut edits: Vec<Edit> = taken.into_iter().flat_map(|readopted| readopted.edits).collect();
    if !gone.is_empty() {
        let at = Hlc::from_millis(env.clock.wall_millis());
        edits.push(Edit::RemoveChunks { chunks: gone, at, reason: Removal::SetAside });
    }
    if !edits.is_empty() {
        catalog.commit(edits).await?;
    }
    Ok(revision)
}
