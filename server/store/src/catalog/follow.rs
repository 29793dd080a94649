//! Following a catalog that another writes: read once, and then revision by revision.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore};
use ochre_env::Clock;
use ochre_types::{DatabaseName, Epoch};

use super::Revision;
use super::database::CatalogState;
use super::load::{self, Head, LoadError, object};
use super::node::NodeState;
use super::record::Decoded;
use super::state::State;
use crate::object::Layout;
use crate::object::create;

/// Revisions that one look reads at most before the catalog is loaded anew, which begins at a checkpoint.
const STEPS: usize = 200;
/// Every so many looks the folder is listed: revisions behind a missing one are not found otherwise.
const LIST_EVERY: u32 = 30;

/// What is known of a followed catalog.
#[derive(Debug, Clone)]
pub struct Seen<S> {
    /// Its state.
    pub state: Arc<S>,
    /// The revision that made it.
    pub revision: Revision,
    /// The epoch of that revision's writer.
    pub epoch: Epoch,
    /// When it was written, by its writer's wall clock: milliseconds since 1970-01-01 UTC.
    pub committed_at_millis: u64,
}

/// Follows one catalog.
#[derive(Debug)]
struct Follower<S: State> {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    folder: Path,
    head: Option<Head<S>>,
    looks: u32,
}

impl<S: State> Follower<S> {
    fn new(store: &Arc<dyn ObjectStore>, clock: &Arc<dyn Clock>, folder: Path) -> Self {
        Self { store: store.clone(), clock: clock.clone(), folder, head: None, looks: 0 }
    }

    /// Reads what is new. After an error, what was known stays.
    async fn look(&mut self) -> Result<Option<Seen<S>>, LoadError> {
        self.looks = self.looks.wrapping_add(1);
        let stepped = match &self.head {
            Some(head) if !self.looks.is_multiple_of(LIST_EVERY) => self.step(head.clone()).await,
            _ => None,
        };
        self.head = match stepped {
            Some(head) => Some(head),
            None => load::load::<S>(&self.store, &self.clock, &self.folder).await?,
        };
        Ok(self.head.as_ref().map(|head| Seen {
            state: head.state.clone(),
            revision: head.revision,
            epoch: head.epoch,
            committed_at_millis: head.committed_at_millis,
        }))
    }

    /// The head after all revisions that follow `head`; `None` if it has to be found by loading.
    async fn step(&self, mut head: Head<S>) -> Option<Head<S>> {
        for _ in 0..STEPS {
            let next = Revision(head.revision.0 + 1);
            match create::read(&self.store, &self.clock, &object(&self.folder, next)).await {
                Ok(bytes) => head = head.after(Decoded::read(next, &bytes).ok()?).ok()?,
                Err(Error::NotFound { .. }) => return Some(head),
                Err(_) => return None,
            }
        }
        None
    }
}

/// Follows a database's catalog.
#[derive(Debug)]
pub struct CatalogFollower {
    follower: Follower<CatalogState>,
    database: DatabaseName,
}

impl CatalogFollower {
    /// Follows the catalog of `database`; nothing is read yet.
    pub fn new(store: &Arc<dyn ObjectStore>, layout: &Layout, clock: &Arc<dyn Clock>, database: &DatabaseName) -> Self {
        Self { follower: Follower::new(store, clock, layout.catalog(database)), database: database.clone() }
    }

    /// Reads what is new; `None` if there is no such catalog.
    ///
    /// # Errors
    /// If the store can't be reached, or revisions are damaged. Looking again is safe.
    pub async fn look(&mut self) -> Result<Option<Seen<CatalogState>>, LoadError> {
        let Some(seen) = self.follower.look().await? else { return Ok(None) };
        load::check_name(&seen.state, &self.database, &self.follower.folder)?;
        Ok(Some(seen))
    }
}

/// Follows a node's own catalog.
#[derive(Debug)]
pub struct NodeFollower(Follower<NodeState>);

impl NodeFollower {
    /// Follows the catalog of the node that `layout` names; nothing is read yet.
    pub fn new(store: &Arc<dyn ObjectStore>, layout: &Layout, clock: &Arc<dyn Clock>) -> Self {
        Self(Follower::new(store, clock, layout.node_catalog()))
    }

    /// Reads what is new; `None` if there is no such catalog.
    ///
    /// # Errors
    /// As [`CatalogFollower::look`].
    pub async fn look(&mut self) -> Result<Option<Seen<NodeState>>, LoadError> {
        self.0.look().await
    }
}
