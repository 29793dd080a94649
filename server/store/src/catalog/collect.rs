//! Removing revisions that no reader needs any more.
//!
//! A catalog is loaded from its newest good checkpoint on, and from the one before it if that is damaged. What is below
//! the older of the two is needed by nobody, once those who may have begun to read before it was written are done: after
//! the grace.
//!
//! **The first revision of each epoch stays for ever.** It is what stops an older writer: one that was paused for a long
//! time tries to create the number after its last revision, which is just this one. If it were gone, the put would
//! succeed, and the writer would believe that its commit counts.
//!
//! Lower numbers go first, so that what is left after a crash is still a log without gaps at its end.

use object_store::{Error, ObjectStoreExt};
use ochre_types::Epoch;

use super::Revision;
use super::commit::RevisionLog;
use super::load::{LoadError, list_revisions, object};
use super::record::{Change, Decoded, Envelope};
use super::state::State;
use crate::epoch::Fenced;
use crate::object::create;

/// How many revisions are read or removed at a time.
const AT_A_TIME: usize = 16;
/// How many revisions one call removes at most.
const MAX_REMOVED: usize = 1_000;

/// Why revisions could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Another server owns the prefix.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// They could not be listed.
    #[error(transparent)]
    List(#[from] LoadError),
    /// One could not be read or removed.
    #[error("removing old revisions: {object}: {source}; it is tried again later")]
    Store {
        /// The revision's object.
        object: String,
        /// What the store says.
        source: Error,
    },
}

/// Up to where revisions were looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Collected {
    below: Revision,
    /// The epoch of the revision before, if it is known.
    epoch: Option<Epoch>,
}

impl<S: State> RevisionLog<S> {
    /// Removes revisions below the older of the two newest good checkpoints, if that was written before
    /// `before_millis` (wall clock of its writer); see the module's doc. Returns how many.
    pub(super) async fn collect(&self, before_millis: u64) -> Result<u64, CollectError> {
        self.fence.check_held()?;
        // One at a time, and nothing is committed meanwhile that would be another's.
        let mut collected = self.collected.lock().await;
        let Some(keep_from) = self.older_checkpoint(before_millis).await? else { return Ok(0) };
        let numbers = list_revisions(&self.store, &self.clock, &self.folder).await?;
        let old: Vec<Revision> = numbers.range(collected.below..keep_from).copied().take(MAX_REMOVED).collect();
        let mut found = Vec::with_capacity(old.len());
        for batch in old.chunks(AT_A_TIME) {
            let mut reading = Vec::with_capacity(batch.len());
            for revision in batch {
                reading.push(self.envelope_of(*revision));
            }
            let envelopes = futures::future::try_join_all(reading).await?;
            found.extend(batch.iter().copied().zip(envelopes));
        }
        let mut epoch = collected.epoch;
        let mut gone = Vec::new();
        for (revision, envelope) in &found {
            // One that can't be read stays, and so does the one after it: either may be the first of its epoch.
            let this = envelope.as_ref().map(|envelope| envelope.epoch);
            if this.is_some() && this == epoch {
                gone.push(*revision);
            }
            epoch = this;
        }
        for batch in gone.chunks(AT_A_TIME) {
            self.fence.check_held()?;
            let mut removing = Vec::with_capacity(batch.len());
            for revision in batch {
                removing.push(self.remove(*revision));
            }
            futures::future::try_join_all(removing).await?;
        }
        if let Some((last, _)) = found.last() {
            *collected = Collected { below: Revision(last.0 + 1), epoch };
        }
        Ok(gone.len() as u64)
    }

    /// The older of the two newest good checkpoints, if it was written before `before_millis`.
    async fn older_checkpoint(&self, before_millis: u64) -> Result<Option<Revision>, CollectError> {
        let mut next = self.newest_checkpoint().await;
        let mut good = 0;
        while next > Revision(1) {
            let checkpoint = self.read_revision(next).await?;
            if let Some(Decoded { envelope, change: Change::Checkpoint(_), .. }) = &checkpoint {
                good += 1;
                if good == 2 {
                    return Ok((envelope.committed_at_millis < before_millis).then_some(next));
                }
            }
            // The delta before it names the checkpoint before it.
            let before = self.envelope_of(Revision(next.0 - 1)).await?;
            match before {
                Some(before) if before.newest_checkpoint < next => next = before.newest_checkpoint,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn envelope_of(&self, revision: Revision) -> Result<Option<Envelope>, CollectError> {
        Ok(self.read_revision(revision).await?.map(|decoded| decoded.envelope))
    }

    /// A revision; `None` if it is missing or damaged.
    async fn read_revision(&self, revision: Revision) -> Result<Option<Decoded<S>>, CollectError> {
        let path = object(&self.folder, revision);
        match create::read(&self.store, &self.clock, &path).await {
            Ok(bytes) => Ok(Decoded::<S>::read(revision, &bytes).ok()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(CollectError::Store { object: path.to_string(), source }),
        }
    }

    async fn remove(&self, revision: Revision) -> Result<(), CollectError> {
        let path = object(&self.folder, revision);
        match self.store.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(CollectError::Store { object: path.to_string(), source }),
        }
    }
}
