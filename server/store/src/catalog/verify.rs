//! Verifying every revision of a catalog, also those that opening it does not read.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use ochre_env::Clock;

use super::database::CatalogState;
use super::load::{DamagedRevision, LoadError, list_revisions, object};
use super::node::NodeState;
use super::record::Decoded;
use super::state::State;
use super::{Catalog, NodeCatalog, Revision};
use crate::object::create;

/// Revisions that are read at a time.
const AT_A_TIME: usize = 8;

/// What was found of the revisions of a catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Revisions that were read.
    pub revisions: u64,
    /// Those that are damaged in one copy or in all.
    pub damaged: Vec<DamagedRevision>,
}

impl Catalog {
    /// Reads every revision that is in the store.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn verify(&self) -> Result<Verified, LoadError> {
        let (store, clock, folder) = self.log.place();
        verify::<CatalogState>(store, clock, folder).await
    }
}

impl NodeCatalog {
    /// As [`Catalog::verify`].
    ///
    /// # Errors
    /// As [`Catalog::verify`].
    pub async fn verify(&self) -> Result<Verified, LoadError> {
        let (store, clock, folder) = self.log.place();
        verify::<NodeState>(store, clock, folder).await
    }
}

async fn verify<S: State>(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
) -> Result<Verified, LoadError> {
    let numbers = list_revisions(store, clock, folder).await?;
    let read = |revision: Revision| async move { check::<S>(store, clock, folder, revision).await };
    let found: Vec<_> = futures::stream::iter(numbers).map(read).buffered(AT_A_TIME).try_collect().await?;
    let revisions = found.iter().filter(|found| found.is_some()).count() as u64;
    Ok(Verified { revisions, damaged: found.into_iter().flatten().flatten().collect() })
}

/// What is wrong with a revision, if anything is; `None` if it is not there any more.
async fn check<S: State>(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
    revision: Revision,
) -> Result<Option<Option<DamagedRevision>>, LoadError> {
    let path = object(folder, revision);
    let bytes = match create::read(store, clock, &path).await {
        Ok(bytes) => bytes,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(LoadError::Store { folder: folder.to_string(), source }),
    };
    let reason = match Decoded::<S>::read(revision, &bytes) {
        Ok(decoded) => decoded.damaged_copy.map(|reason| format!("of one copy, {reason}")),
        Err(error) => Some(error.to_string()),
    };
    Ok(Some(reason.map(|reason| DamagedRevision { revision, object: path.to_string(), reason })))
}
