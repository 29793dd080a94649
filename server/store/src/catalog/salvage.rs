//! What can be made of a catalog that has lost revisions, and a new beginning for it.
//!
//! The newest good checkpoint, then every delta that can be read, each edit that fits. What the lost revisions did is not
//! known: chunks that they added are missing, chunks that they took out are back. The low-water mark stays where it was
//! before them: replaying what is in chunks already changes no answer.

use std::sync::Arc;

use object_store::ObjectStore;
use ochre_env::Env;
use ochre_types::{DatabaseName, Epoch, Stamp};

use super::database::{CatalogState, Edit};
use super::load::{self, DamagedRevision, LoadError, list_revisions, object, read_backwards};
use super::record::{self, Change, Envelope};
use super::state::State;
use super::{CatalogId, Owner, Revision};
use crate::object::Layout;
use crate::object::create::{self, Created};

/// The rest of a damaged catalog.
#[derive(Debug, Clone)]
pub struct Salvage {
    /// What its revisions still give.
    pub state: CatalogState,
    /// The highest revision in the store.
    pub newest: Revision,
    /// The highest epoch of any revision that could be read.
    pub epoch: Epoch,
    /// The revisions that are lost, or that could not be applied as a whole.
    pub lost: Vec<DamagedRevision>,
}

/// Why a repaired catalog was not written.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// Another has written the revision.
    #[error("{object} is there already: a server is running; stop it and look again")]
    Taken {
        /// The revision's object.
        object: String,
    },
    /// The store did not answer.
    #[error("writing {object}: {source}; whether it was written is not known: look again")]
    Unknown {
        /// The revision's object.
        object: String,
        /// What the store says.
        source: object_store::Error,
    },
}

impl Salvage {
    /// Reads what can be read of a database's catalog. `created` is when the database was made, for a catalog of which
    /// no checkpoint is left. `None` if there are no revisions.
    ///
    /// # Errors
    /// If the store does not answer, or the catalog is another database's.
    pub async fn read(
        store: &Arc<dyn ObjectStore>,
        layout: &Layout,
        env: &Env,
        database: &DatabaseName,
        created: Stamp,
    ) -> Result<Option<Self>, LoadError> {
        let folder = layout.catalog(database);
        let numbers = list_revisions(store, &env.clock, &folder).await?;
        let Some(newest) = numbers.last().copied() else { return Ok(None) };
        let tail = read_backwards::<CatalogState>(store, &env.clock, &folder, &numbers, newest).await?;
        let lose =
            |revision, reason| DamagedRevision { revision, object: object(&folder, revision).to_string(), reason };
        let mut lost: Vec<_> = tail.bad.into_iter().map(|(revision, bad)| lose(revision, bad.reason)).collect();
        let id = tail.deltas.values().map(|delta| delta.envelope.catalog_id).next();
        let id = id.unwrap_or_else(|| CatalogId(env.entropy.next_u64()));
        let (mut state, mut epoch) = match tail.base {
            Some(base) => (Arc::unwrap_or_clone(base.state), base.epoch),
            None => (CatalogState::new(database.clone(), id, created), Epoch(0)),
        };
        load::check_name(&state, database, &folder)?;
        let first_lost = lost.iter().map(|lost| lost.revision).min();
        for (revision, delta) in tail.deltas {
            epoch = epoch.max(delta.envelope.epoch);
            let Change::Delta(edits) = delta.change else { continue };
            for edit in edits {
                // What the lost ones had is replayed as far as the log still has it.
                if matches!(edit, Edit::SetLowWater(_)) && first_lost.is_some_and(|first| revision > first) {
                    continue;
                }
                let mut after = state.clone();
                match after.apply(&edit) {
                    Ok(()) => state = after,
                    Err(error) => {
                        lost.push(lose(revision, format!("a part of it does not fit without the lost ones: {error}")))
                    }
                }
            }
        }
        Ok(Some(Self { state, newest, epoch, lost }))
    }

    /// Writes the state as a checkpoint after everything that is there, under the owner's epoch: from now on the
    /// catalog is read from here. The damaged revisions stay where they are.
    ///
    /// # Errors
    /// If the store does not answer, or another server writes as well.
    pub async fn write(&self, owner: &Owner) -> Result<Revision, SalvageError> {
        let revision = Revision(self.newest.0 + 1);
        let envelope = Envelope {
            revision,
            epoch: owner.fence.epoch(),
            incarnation: owner.fence.incarnation(),
            nonce: owner.env.entropy.next_u64(),
            previous_nonce: 0,
            catalog_id: self.state.catalog_id,
            newest_checkpoint: revision,
            committed_at_millis: owner.env.clock.wall_millis(),
        };
        let bytes = record::write(&envelope, self.state.write());
        let path = object(&owner.layout.catalog(&self.state.database), revision);
        match create::create(&owner.store, &owner.env.clock, &path, &bytes).await {
            Created::Made => Ok(revision),
            Created::Taken => Err(SalvageError::Taken { object: path.to_string() }),
            Created::Unknown(source) => Err(SalvageError::Unknown { object: path.to_string(), source }),
        }
    }
}
