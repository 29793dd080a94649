//! Removing the objects of chunks that were taken out of the catalog, once nobody can be reading them any more.
//!
//! ```text
//!   chunk taken out --grace--> object removed --commit--> forgotten by the catalog
//! ```
//!
//! The grace is longer than any query may run, and than attached readers need to see a newer catalog. It counts from the
//! hybrid clock's reading in the commit that took the chunk out. The object goes first: after a crash between the two it
//! is looked for once more, and not found. Objects of damaged chunks that were set aside stay for ever.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use ochre_types::{DatabaseName, Hlc};

use crate::catalog::{Catalog, CatalogState, ChunkId, CommitError, Edit, Removal};
use crate::object::Layout;

/// Objects that one call removes at most.
pub const MAX_COLLECTED: usize = 1_000;
/// Objects that are removed at a time.
const AT_A_TIME: usize = 16;

/// Why objects were not removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The store did not do it.
    #[error("removing {path}: {source}")]
    Remove {
        /// The object.
        path: Path,
        /// What the store says.
        source: Error,
    },
    /// The catalog did not take note.
    #[error("noting in the catalog that objects were removed: {0}")]
    Commit(#[from] CommitError),
}

/// The removed chunks whose objects may go now, the oldest first.
pub fn due(state: &CatalogState, now: Hlc, grace: Duration) -> Vec<(ChunkId, Arc<str>)> {
    let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    let over = |at: Hlc| at.millis().saturating_add(grace) < now.millis();
    let gone = state.removed.iter().filter(|(_, removed)| removed.reason != Removal::SetAside && over(removed.at));
    // Names are never given twice; this is for the day on which one is.
    let named = |id: &ChunkId| state.tables.values().any(|table| table.chunks.contains_key(id));
    let mut due: Vec<_> = gone.filter(|(id, _)| !named(id)).collect();
    due.sort_by_key(|(_, removed)| removed.at);
    due.into_iter().map(|(id, removed)| (*id, removed.object.clone())).collect()
}

/// Removes the objects that are due, up to [`MAX_COLLECTED`]. Returns how many.
pub(crate) async fn collect(
    catalog: &Catalog,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    database: &DatabaseName,
    (now, grace): (Hlc, Duration),
) -> Result<usize, ObjectsError> {
    let mut due = due(&catalog.state(), now, grace);
    due.truncate(MAX_COLLECTED);
    if due.is_empty() {
        return Ok(0);
    }
    for batch in due.chunks(AT_A_TIME) {
        let mut removing = Vec::with_capacity(batch.len());
        for (_, object) in batch {
            removing.push(remove(catalog, objects, layout.object(database, object)));
        }
        futures::future::try_join_all(removing).await?;
    }
    let chunks: Vec<ChunkId> = due.into_iter().map(|(id, _)| id).collect();
    let removed = chunks.len();
    catalog.commit(vec![Edit::ForgetRemoved { chunks }]).await?;
    Ok(removed)
}

async fn remove(catalog: &Catalog, objects: &Arc<dyn ObjectStore>, path: Path) -> Result<(), ObjectsError> {
    // Through the store that knows its checksums, so that it forgets them.
    let done = match catalog.verified_objects() {
        Some(verified) => verified.delete(&path).await,
        None => objects.delete(&path).await,
    };
    match done {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(ObjectsError::Remove { path, source }),
    }
}
