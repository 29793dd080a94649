//! Catalogs: what a database, and a node, consist of, as a log of revisions in the object store.
//!
//! ```text
//!   edits --commit--> revision n+1 (delta | checkpoint) --create-if-absent--> <folder>/<n+1>.pb --> state in memory
//!                        ^                                    |
//!                        '---- rebase onto a lower epoch's ---' name taken: read the winner
//!
//!   load: list, read backwards to the newest good checkpoint, apply the deltas after it
//! ```
//!
//! # Invariants
//! 1. A revision is written once, under the next number, and never changed; the first is a checkpoint.
//! 2. Epochs never fall along the log: after the first revision of a higher epoch, nothing of a lower one gets in.
//! 3. The state in memory changes only after the revision that says so is in the store.
//! 4. One number and nonce never stand for two bodies. A revision whose outcome is not known is put again, as it is,
//!    before anything else is committed.
//! 5. A checkpoint repeats the state before it, and is followed by the delta that caused it. So a damaged checkpoint
//!    can be passed over; a damaged or missing delta that no good checkpoint follows is an error that names it.
//! 6. Every edit can be applied twice: committing again what may already be in is safe.
//!
//! # Bounds
//! Loading reads one listing, at most one checkpoint's distance of revisions (see [`Checkpoints`]) and one checkpoint.
//! [`Catalog::collect_revisions`] removes those below the older of the two newest good checkpoints, but for the first
//! revision of each epoch.
//!
//! # Absent on purpose
//! Reading Parquet, deciding what to commit, and removing objects. prost stays in here.

mod chunk;
mod collect;
mod commit;
mod copy;
mod database;
mod follow;
mod frame;
mod load;
mod node;
pub(crate) mod record;
mod rules;
mod salvage;
mod state;
mod verify;
mod wire;

use std::fmt;
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;
use ochre_env::Env;
use ochre_types::{DatabaseName, Stamp};

use crate::epoch::Fence;
use crate::object::Layout;
use crate::object::verified::VerifiedObjects;
use commit::RevisionLog;

pub use chunk::{
    CHECKSUM_BLOCK, ChunkId, ChunkIdError, ChunkMeta, ColumnStats, LogRange, Removal, RemovedChunk, SortedBy,
};
pub use collect::CollectError;
pub use commit::{CommitError, OpenError};
pub use copy::CopyError;
pub use database::{CatalogState, Edit, LowWater, PartitionName, Predecessor, SliceId, TableState, TemplateId};
pub use follow::{CatalogFollower, NodeFollower, Seen};
pub use load::{DamagedRevision, LoadError};
pub use node::{Alias, DatabaseEntry, DroppedDatabase, NodeEdit, NodeState, TokenEntry};
pub use rules::{MAX_RULES_HISTORY, RulesRecord};
pub use salvage::{Salvage, SalvageError};
pub use state::EditError;
pub use verify::Verified;
pub use wire::WireError;

/// The identity of one catalog: 64 random bits, drawn when its first revision is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CatalogId(pub u64);

impl fmt::Display for CatalogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CatalogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a revision of a catalog. The first is 1; 0 is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a checkpoint is written: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoints {
    /// Deltas since the last checkpoint.
    pub every: u64,
    /// Bytes of deltas since the last checkpoint, if that is also more than the checkpoint itself had.
    pub bytes: u64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { every: 100, bytes: 1 << 20 }
    }
}

/// Whoever may write the catalogs of one node: the holder of its epoch.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Where the objects are.
    pub store: Arc<dyn ObjectStore>,
    /// How they are named.
    pub layout: Layout,
    /// Time, chance and threads.
    pub env: Env,
    /// The epoch, and whether it is still held.
    pub fence: Fence,
    /// When checkpoints are written.
    pub checkpoints: Checkpoints,
}

/// A database's catalog, open for writing.
#[derive(Debug)]
pub struct Catalog {
    log: RevisionLog<CatalogState>,
    /// Where its chunks' objects are read through, once that is known.
    objects: OnceLock<(VerifiedObjects, Layout)>,
}

impl Catalog {
    /// Loads the catalog of `database`, or begins it (created at `created`), and takes it over: a revision that
    /// carries the owner's epoch is in the store on return, so that no older writer can commit any more.
    ///
    /// # Errors
    /// [`OpenError::Load`] with [`LoadError::Damaged`] concerns this database only. If [`OpenError::is_retryable`],
    /// opening again may succeed.
    pub async fn open(owner: &Owner, database: &DatabaseName, created: Stamp) -> Result<Self, OpenError> {
        let name = database.clone();
        let folder = owner.layout.catalog(database);
        let log = RevisionLog::open(owner, folder.clone(), move |id| CatalogState::new(name, id, created)).await?;
        load::check_name(&log.state(), database, &folder)?;
        Ok(Self { log, objects: OnceLock::new() })
    }

    /// The state without taking it over, for reading only; `None` if there is no such catalog.
    ///
    /// # Errors
    /// If the store can't be reached, or revisions are damaged.
    pub async fn load(
        store: &Arc<dyn ObjectStore>,
        layout: &Layout,
        env: &Env,
        database: &DatabaseName,
    ) -> Result<Option<(Revision, CatalogState)>, LoadError> {
        let folder = layout.catalog(database);
        let Some(head) = load::load::<CatalogState>(store, &env.clock, &folder).await? else { return Ok(None) };
        load::check_name(&head.state, database, &folder)?;
        Ok(Some((head.revision, Arc::unwrap_or_clone(head.state))))
    }

    /// As [`Catalog::load`], with the damage that was found and took nothing away.
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub async fn look(
        store: &Arc<dyn ObjectStore>,
        layout: &Layout,
        env: &Env,
        database: &DatabaseName,
    ) -> Result<Option<(Revision, CatalogState, Vec<DamagedRevision>)>, LoadError> {
        let folder = layout.catalog(database);
        let Some(head) = load::load::<CatalogState>(store, &env.clock, &folder).await? else { return Ok(None) };
        load::check_name(&head.state, database, &folder)?;
        Ok(Some((head.revision, Arc::unwrap_or_clone(head.state), head.found.to_vec())))
    }

    /// Lets reads of its chunks' objects be verified by `objects`: of those that it has, and of those to come.
    pub fn verify_with(&self, objects: VerifiedObjects, layout: Layout) {
        objects.know_all(&layout, &self.log.state());
        drop(self.objects.set((objects, layout)));
    }

    /// Revisions that were found damaged when it was opened, and that took nothing away: a copy of them is sound, or
    /// others hold what they held.
    pub fn found_damaged(&self) -> &[DamagedRevision] {
        self.log.found()
    }

    /// The state as of the last commit.
    pub fn state(&self) -> Arc<CatalogState> {
        self.log.state()
    }

    /// The last revision.
    pub fn revision(&self) -> Revision {
        self.log.revision()
    }

    /// Applies `edits` in one revision; they are in the store, and in [`Catalog::state`], on success. Commits of one
    /// catalog wait for each other. If the returned future is dropped, whether the edits get in is not known.
    ///
    /// # Errors
    /// If [`CommitError::is_retryable`], commit the same edits again: that is safe even if they got in.
    pub async fn commit(&self, edits: Vec<Edit>) -> Result<Revision, CommitError> {
        self.know_added(&edits);
        self.log.commit(edits).await
    }

    fn know_added(&self, edits: &[Edit]) {
        if let Some((objects, layout)) = self.objects.get() {
            let state = self.log.state();
            for edit in edits {
                // Before it is committed, as nobody may read an object that is not known yet.
                let Edit::AddChunks { chunks } = edit else { continue };
                chunks.iter().for_each(|chunk| objects.know(layout, &state.database, chunk));
            }
        }
    }

    /// Where its chunks' objects are verified as they are read, if anywhere.
    pub fn verified_objects(&self) -> Option<&VerifiedObjects> {
        self.objects.get().map(|(objects, _)| objects)
    }

    /// As [`Catalog::commit`], unless the state that the edits would change fails `fits`: then nothing is written, and
    /// the answer is `None`. After an error that is retryable `fits` must also hold where the edits got in.
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub async fn commit_if(
        &self,
        edits: Vec<Edit>,
        fits: impl Fn(&CatalogState) -> bool,
    ) -> Result<Option<Revision>, CommitError> {
        self.know_added(&edits);
        self.log.commit_if(edits, fits).await
    }

    /// Removes the objects of revisions that no reader needs any more. Returns how many.
    ///
    /// # Errors
    /// What the store says. Nothing is lost by trying again.
    pub async fn collect_revisions(&self, before_millis: u64) -> Result<u64, CollectError> {
        self.log.collect(before_millis).await
    }
}

/// The node's own catalog, open for writing.
#[derive(Debug)]
pub struct NodeCatalog {
    log: RevisionLog<NodeState>,
}

impl NodeCatalog {
    /// Loads the node's catalog, or begins it, and takes it over; as [`Catalog::open`].
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub async fn open(owner: &Owner) -> Result<Self, OpenError> {
        let log = RevisionLog::open(owner, owner.layout.node_catalog(), NodeState::new).await?;
        Ok(Self { log })
    }

    /// The state without taking it over; `None` if there is no such catalog.
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub async fn load(
        store: &Arc<dyn ObjectStore>,
        layout: &Layout,
        env: &Env,
    ) -> Result<Option<(Revision, NodeState)>, LoadError> {
        let head = load::load::<NodeState>(store, &env.clock, &layout.node_catalog()).await?;
        Ok(head.map(|head| (head.revision, Arc::unwrap_or_clone(head.state))))
    }

    /// Revisions that were found damaged when it was opened, and that took nothing away: a copy of them is sound, or
    /// others hold what they held.
    pub fn found_damaged(&self) -> &[DamagedRevision] {
        self.log.found()
    }

    /// The state as of the last commit.
    pub fn state(&self) -> Arc<NodeState> {
        self.log.state()
    }

    /// The last revision.
    pub fn revision(&self) -> Revision {
        self.log.revision()
    }

    /// As [`Catalog::commit`].
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub async fn commit(&self, edits: Vec<NodeEdit>) -> Result<Revision, CommitError> {
        self.log.commit(edits).await
    }

    /// As [`Catalog::collect_revisions`].
    ///
    /// # Errors
    /// As [`Catalog::collect_revisions`].
    pub async fn collect_revisions(&self, before_millis: u64) -> Result<u64, CollectError> {
        self.log.collect(before_millis).await
    }
}

/// Feeds `bytes` to the readers of revisions and epoch records, as a whole object and as a body whose checksum was
/// right. They must never panic.
pub fn fuzz_decode(bytes: &[u8]) {
    drop(record::read_epoch(bytes));
    for kind in [frame::Kind::Delta, frame::Kind::Checkpoint] {
        for revision in [Revision(0), Revision(1)] {
            drop(record::Decoded::<CatalogState>::read_body(revision, kind, bytes));
            drop(record::Decoded::<NodeState>::read_body(revision, kind, bytes));
        }
    }
    drop(record::Decoded::<CatalogState>::read(Revision(1), bytes));
}

#[cfg(test)]
mod tests;
