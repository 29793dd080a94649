//! Committing: the next revision, whatever the store answers.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use ochre_env::planted::{self, Planted};
use ochre_env::{Clock, Compute, Entropy};
use parking_lot::RwLock;

use super::collect::Collected;
use super::load::{self, DamagedRevision, Head, LoadError, object};
use super::record::{self, Decoded, Envelope};
use super::state::{EditError, State};
use super::{CatalogId, Checkpoints, Owner, Revision};
use crate::epoch::{Fence, Fenced};
use crate::object::create::{self, Created};

/// How many revisions of older writers one commit steps over before it gives up. Each older writer is fenced by our
/// first revision, so more than a few mean that something is very wrong.
const REBASES: usize = 64;

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another server owns the prefix.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The edits do not fit the state; nothing was written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Whether the revision got in is not known. It is put again by the next commit.
    #[error("writing {object}: {source}; whether it was written is not known: commit the same edits again")]
    Unknown {
        /// The revision's object.
        object: String,
        /// What the store says.
        source: Error,
    },
    /// An earlier revision's outcome is still not known; nothing of this commit was tried.
    #[error("an earlier revision {object} is still not known to be written or not: {source}; commit again later")]
    Waiting {
        /// The earlier revision's object.
        object: String,
        /// What the store says.
        source: Error,
    },
    /// Another's revision has our number, and cannot be understood.
    #[error(
        "{object} was written by another server and is damaged: {reason}; nothing more can be committed to this catalog until it is restored"
    )]
    Damaged {
        /// The revision's object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Older writers took one number after the other.
    #[error("{REBASES} revisions of older servers came before ours in {folder}: stop the other servers of this prefix")]
    Crowded {
        /// The catalog's folder.
        folder: String,
    },
}

impl CommitError {
    /// Whether committing the same edits again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Waiting { .. })
    }
}

/// Why a catalog could not be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its revisions could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The revision that takes it over could not be written.
    #[error("taking over the catalog: {0}")]
    TakeOver(#[from] CommitError),
}

impl OpenError {
    /// Whether opening again may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Load(error) => matches!(error, LoadError::Store { .. }),
            Self::TakeOver(error) => error.is_retryable(),
        }
    }
}

/// The revisions of one catalog, and the state they make.
#[derive(Debug)]
pub(super) struct RevisionLog<S: State> {
    pub(super) folder: Path,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    compute: Compute,
    pub(super) fence: Fence,
    checkpoints: Checkpoints,
    /// What readers see: the writer's head, or for a moment the one before it.
    published: RwLock<(Revision, Arc<S>)>,
    writer: tokio::sync::Mutex<Writer<S>>,
    /// One collection of old revisions at a time.
    pub(super) collected: tokio::sync::Mutex<Collected>,
    /// Damage that was found when it was opened, and that took nothing away.
    found: Arc<[DamagedRevision]>,
}

#[derive(Debug)]
struct Writer<S> {
    head: Head<S>,
    /// A revision whose outcome is not known.
    pending: Option<Draft<S>>,
}

/// A revision ready to be put: under one number and nonce, always with these bytes.
#[derive(Debug, Clone)]
struct Draft<S> {
    bytes: Bytes,
    /// The head once it is in the store.
    after: Head<S>,
}

/// What became of a draft.
enum Outcome<S: State> {
    Landed,
    /// An older writer has the number.
    Lost(Box<Decoded<S>>),
}

/// Why it is not known what became of a draft, or why it does not matter.
enum Trouble {
    Store(Error),
    Final(CommitError),
}

impl<S: State> RevisionLog<S> {
    /// Loads the log in `folder`, or begins it with `first`, and commits a revision with the owner's epoch.
    pub(super) async fn open(
        owner: &Owner,
        folder: Path,
        first: impl FnOnce(CatalogId) -> S,
    ) -> Result<Self, OpenError> {
        let head = match load::load(&owner.store, &owner.env.clock, &folder).await? {
            Some(head) => head,
            None => Head::new(first(CatalogId(owner.env.entropy.next_u64()))),
        };
        let log = Self {
            found: head.found.clone(),
            folder,
            store: owner.store.clone(),
            clock: owner.env.clock.clone(),
            entropy: owner.env.entropy.clone(),
            compute: owner.env.compute.clone(),
            fence: owner.fence.clone(),
            checkpoints: owner.checkpoints,
            published: RwLock::new((head.revision, head.state.clone())),
            writer: tokio::sync::Mutex::new(Writer { head, pending: None }),
            collected: tokio::sync::Mutex::default(),
        };
        log.commit(Vec::new()).await?;
        Ok(log)
    }

    pub(super) fn state(&self) -> Arc<S> {
        self.published.read().1.clone()
    }

    /// Where its revisions are.
    pub(super) fn place(&self) -> (&Arc<dyn ObjectStore>, &Arc<dyn Clock>, &Path) {
        (&self.store, &self.clock, &self.folder)
    }

    pub(super) fn found(&self) -> &[DamagedRevision] {
        &self.found
    }

    pub(super) fn revision(&self) -> Revision {
        self.published.read().0
    }

    pub(super) async fn newest_checkpoint(&self) -> Revision {
        self.writer.lock().await.head.newest_checkpoint
    }

    pub(super) async fn commit(&self, edits: Vec<S::Edit>) -> Result<Revision, CommitError> {
        let done = self.commit_if(edits, |_| true).await?;
        Ok(done.expect("a commit without a condition is never passed over"))
    }

    /// Commits unless the state that the edits would change fails `fits`: `None` then.
    pub(super) async fn commit_if(
        &self,
        edits: Vec<S::Edit>,
        fits: impl Fn(&S) -> bool,
    ) -> Result<Option<Revision>, CommitError> {
        self.fence.check_held()?;
        let mut writer = self.writer.lock().await;
        self.settle_pending(&mut writer).await?;
        for _ in 0..REBASES {
            self.fence.check_held()?;
            if !fits(&writer.head.state) {
                return Ok(None);
            }
            let checkpoint = self.checkpoint_is_due(&writer.head);
            let draft = if checkpoint {
                self.draft_checkpoint(&writer.head).await
            } else {
                self.draft_delta(&writer.head, &edits)?
            };
            let revision = draft.after.revision;
            // Remembered before it is put: the future may be dropped at any await.
            writer.pending = Some(draft);
            match self.put_pending(&mut writer).await {
                Ok(true) if !checkpoint => return Ok(Some(revision)),
                Ok(_) => {}
                Err(Trouble::Final(error)) => return Err(error),
                // A checkpoint changes nothing: nothing of the edits has been tried.
                Err(Trouble::Store(source)) if checkpoint => return Err(self.waiting(revision, source)),
                Err(Trouble::Store(source)) => {
                    return Err(CommitError::Unknown { object: self.object(revision), source });
                }
            }
        }
        Err(CommitError::Crowded { folder: self.folder.to_string() })
    }

    /// Finds out what became of a revision that an earlier commit left open.
    async fn settle_pending(&self, writer: &mut Writer<S>) -> Result<(), CommitError> {
        let Some(revision) = writer.pending.as_ref().map(|draft| draft.after.revision) else { return Ok(()) };
        match self.put_pending(writer).await {
            Ok(_) => Ok(()),
            Err(Trouble::Final(error)) => Err(error),
            Err(Trouble::Store(source)) => Err(self.waiting(revision, source)),
        }
    }

    fn waiting(&self, revision: Revision, source: Error) -> CommitError {
        CommitError::Waiting { object: self.object(revision), source }
    }

    fn object(&self, revision: Revision) -> String {
        object(&self.folder, revision).to_string()
    }

    /// Puts the pending draft; returns whether it landed. Either way the head then is what the store has.
    async fn put_pending(&self, writer: &mut Writer<S>) -> Result<bool, Trouble> {
        let Some(draft) = writer.pending.clone() else { return Ok(false) };
        let (head, landed) = match self.put(&draft).await? {
            Outcome::Landed => (draft.after, true),
            Outcome::Lost(winner) => {
                let revision = winner.envelope.revision;
                tracing::info!(object = self.object(revision), epoch = %winner.envelope.epoch, "an older server's revision came first; ours follows it");
                let head = writer.head.after(*winner).map_err(|reason| self.damaged(revision, reason))?;
                (head, false)
            }
        };
        *self.published.write() = (head.revision, head.state.clone());
        writer.head = head;
        writer.pending = None;
        Ok(landed)
    }

    async fn put(&self, draft: &Draft<S>) -> Result<Outcome<S>, Trouble> {
        let path = object(&self.folder, draft.after.revision);
        match create::create(&self.store, &self.clock, &path, &draft.bytes).await {
            Created::Made => Ok(Outcome::Landed),
            Created::Unknown(error) => Err(Trouble::Store(error)),
            Created::Taken if planted::is(Planted::AssumePutWasOurs) => Ok(Outcome::Landed),
            Created::Taken => self.read_winner(draft, &path).await,
        }
    }

    /// The number is taken: by us, when an earlier answer was lost, or by another.
    async fn read_winner(&self, draft: &Draft<S>, path: &Path) -> Result<Outcome<S>, Trouble> {
        let revision = draft.after.revision;
        let bytes = create::read(&self.store, &self.clock, path).await.map_err(Trouble::Store)?;
        let winner = Decoded::<S>::read(revision, &bytes).map_err(|error| self.damaged(revision, error.to_string()))?;
        let envelope = &winner.envelope;
        let ours = self.fence.epoch();
        if envelope.epoch == ours && envelope.incarnation == self.fence.incarnation() {
            // Ours, or left open by an earlier opening of this catalog in this process, which has been given up.
            let same = envelope.nonce == draft.after.nonce;
            return Ok(if same { Outcome::Landed } else { Outcome::Lost(Box::new(winner)) });
        }
        if envelope.epoch < ours {
            return Ok(Outcome::Lost(Box::new(winner)));
        }
        let fenced = self.fence.mark_fenced(envelope.epoch, Some(envelope.incarnation));
        Err(Trouble::Final(fenced.into()))
    }

    fn damaged(&self, revision: Revision, reason: String) -> Trouble {
        Trouble::Final(CommitError::Damaged { object: self.object(revision), reason })
    }

    /// A checkpoint repeats the state, so it is due before the delta that would be one too many. The first revision
    /// is one.
    fn checkpoint_is_due(&self, head: &Head<S>) -> bool {
        let deltas = head.revision.0 - head.newest_checkpoint.0;
        let bytes = self.checkpoints.bytes.max(head.checkpoint_bytes);
        head.revision == Revision(0) || deltas >= self.checkpoints.every.max(1) || head.delta_bytes > bytes
    }

    fn envelope(&self, head: &Head<S>, checkpoint: bool) -> Envelope {
        let revision = Revision(head.revision.0 + 1);
        Envelope {
            revision,
            epoch: self.fence.epoch(),
            incarnation: self.fence.incarnation(),
            nonce: self.entropy.next_u64(),
            previous_nonce: head.nonce,
            catalog_id: head.state.catalog_id(),
            newest_checkpoint: if checkpoint { revision } else { head.newest_checkpoint },
            committed_at_millis: self.clock.wall_millis(),
        }
    }

    async fn draft_checkpoint(&self, head: &Head<S>) -> Draft<S> {
        let envelope = self.envelope(head, true);
        let state = head.state.clone();
        let bytes = self.compute.run(move || record::write(&envelope, state.write())).await;
        let mut after = advance(head, &envelope);
        (after.newest_checkpoint, after.checkpoint_bytes, after.delta_bytes) =
            (envelope.revision, bytes.len() as u64, 0);
        Draft { bytes, after }
    }

    fn draft_delta(&self, head: &Head<S>, edits: &[S::Edit]) -> Result<Draft<S>, EditError> {
        let envelope = self.envelope(head, false);
        let mut after = advance(head, &envelope);
        let state = Arc::make_mut(&mut after.state);
        edits.iter().try_for_each(|edit| state.apply(edit))?;
        let bytes = record::write(&envelope, S::write_edits(edits));
        after.delta_bytes += bytes.len() as u64;
        Ok(Draft { bytes, after })
    }
}

fn advance<S: State>(head: &Head<S>, envelope: &Envelope) -> Head<S> {
    let (revision, epoch, nonce) = (envelope.revision, envelope.epoch, envelope.nonce);
    Head { revision, epoch, nonce, committed_at_millis: envelope.committed_at_millis, ..head.clone() }
}
