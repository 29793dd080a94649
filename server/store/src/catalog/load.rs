//! Loading a catalog: from the newest good checkpoint forward.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use ochre_env::Clock;
use ochre_types::{DatabaseName, Epoch};

use super::Revision;
use super::database::CatalogState;
use super::record::{Change, Decoded, Envelope};
use super::state::State;
use crate::object::create;

/// How many revisions are read at a time while looking for a checkpoint.
const READ_AHEAD: usize = 16;

/// Why a catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store did not answer, or refused.
    #[error("reading the catalog {folder}: {source}; it is tried again when the database is next opened")]
    Store {
        /// The catalog's folder.
        folder: String,
        /// What the store says.
        source: Error,
    },
    /// Revisions that nothing newer replaces are missing or damaged. Nothing is served without them.
    #[error("the catalog {folder} is damaged: {}; restore these objects from a backup or another copy of the prefix", list(.revisions))]
    Damaged {
        /// The catalog's folder.
        folder: String,
        /// Which, in rising order.
        revisions: Vec<DamagedRevision>,
    },
    /// The folder is another database's: two names became one path element.
    #[error(
        "the catalog {folder} is that of database {found:?}, not of {wanted:?}: choose another name for this database"
    )]
    OtherDatabase {
        /// The catalog's folder.
        folder: String,
        /// Whose it is.
        found: DatabaseName,
        /// Whose was wanted.
        wanted: DatabaseName,
    },
}

/// A revision that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRevision {
    /// Its number.
    pub revision: Revision,
    /// Its object.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for DamagedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {} ({}): {}", self.revision, self.object, self.reason)
    }
}

fn list(revisions: &[DamagedRevision]) -> String {
    revisions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A state, and the revision that made it.
#[derive(Debug, Clone)]
pub(super) struct Head<S> {
    pub(super) state: Arc<S>,
    pub(super) revision: Revision,
    pub(super) epoch: Epoch,
    pub(super) nonce: u64,
    pub(super) newest_checkpoint: Revision,
    /// Bytes of that checkpoint.
    pub(super) checkpoint_bytes: u64,
    /// Bytes of the deltas after it.
    pub(super) delta_bytes: u64,
    /// When the revision was written, by its writer's wall clock.
    pub(super) committed_at_millis: u64,
    /// Damage that was found while it was loaded, and that took nothing away.
    pub(super) found: Arc<[DamagedRevision]>,
}

impl<S: State> Head<S> {
    /// Before the first revision.
    pub(super) fn new(state: S) -> Self {
        Self {
            state: Arc::new(state),
            revision: Revision(0),
            epoch: Epoch(0),
            nonce: 0,
            newest_checkpoint: Revision(0),
            checkpoint_bytes: 0,
            delta_bytes: 0,
            committed_at_millis: 0,
            found: Arc::default(),
        }
    }

    /// At a checkpoint.
    fn at(envelope: &Envelope, state: S, bytes: u64) -> Self {
        Self {
            state: Arc::new(state),
            revision: envelope.revision,
            epoch: envelope.epoch,
            nonce: envelope.nonce,
            newest_checkpoint: envelope.revision,
            checkpoint_bytes: bytes,
            delta_bytes: 0,
            committed_at_millis: envelope.committed_at_millis,
            found: Arc::default(),
        }
    }

    /// The head after `decoded`, or why that cannot follow this one.
    pub(super) fn after(&self, decoded: Decoded<S>) -> Result<Self, String> {
        let Decoded { envelope, change, bytes, .. } = decoded;
        self.may_precede(&envelope)?;
        let edits = match change {
            Change::Checkpoint(state) => return Ok(Self::at(&envelope, state, bytes)),
            Change::Delta(_) if self.revision == Revision(0) => {
                return Err("it is the first revision, and no checkpoint".to_owned());
            }
            Change::Delta(edits) => edits,
        };
        let mut head = self.clone();
        let state = Arc::make_mut(&mut head.state);
        for edit in &edits {
            state.apply(edit).map_err(|error| format!("it does not fit the revisions before it: {error}"))?;
        }
        (head.revision, head.epoch, head.nonce) = (envelope.revision, envelope.epoch, envelope.nonce);
        head.delta_bytes += bytes;
        head.committed_at_millis = envelope.committed_at_millis;
        Ok(head)
    }

    fn may_precede(&self, envelope: &Envelope) -> Result<(), String> {
        // A first revision brings its own catalog id.
        if self.revision == Revision(0) {
            return Ok(());
        }
        if envelope.epoch < self.epoch {
            return Err(format!("it was written by epoch {} after one of epoch {}", envelope.epoch, self.epoch));
        }
        if envelope.catalog_id != self.state.catalog_id() {
            let (found, own) = (envelope.catalog_id, self.state.catalog_id());
            return Err(format!("it is of catalog {found}, and the ones before it of {own}"));
        }
        // Not known after a damaged checkpoint.
        let follows = self.revision.0 + 1 == envelope.revision.0;
        if follows && envelope.previous_nonce != self.nonce {
            return Err("it does not continue the revision before it".to_owned());
        }
        Ok(())
    }
}

/// Refuses the catalog of another database.
pub(super) fn check_name(state: &CatalogState, wanted: &DatabaseName, folder: &Path) -> Result<(), LoadError> {
    if state.database == *wanted {
        return Ok(());
    }
    let (found, wanted) = (state.database.clone(), wanted.clone());
    Err(LoadError::OtherDatabase { folder: folder.to_string(), found, wanted })
}

/// The object of a revision.
pub(super) fn object(folder: &Path, revision: Revision) -> Path {
    folder.clone().join(format!("{:020}.pb", revision.0))
}

/// The newest state; `None` if there are no revisions.
pub(super) async fn load<S: State>(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
) -> Result<Option<Head<S>>, LoadError> {
    let numbers = list_revisions(store, clock, folder).await?;
    let Some(newest) = numbers.last().copied() else { return Ok(None) };
    let Tail { base, deltas, bad, copies } = read_backwards::<S>(store, clock, folder, &numbers, newest).await?;
    let checkpoints: BTreeSet<_> = deltas.values().map(|delta| delta.envelope.newest_checkpoint).collect();
    let (passed, lost): (Vec<_>, Vec<_>) =
        bad.into_iter().partition(|(revision, bad)| bad.was_checkpoint || checkpoints.contains(revision));
    let name = |(revision, bad): (Revision, Bad)| damaged(folder, revision, bad.reason);
    let Some(mut head) = base.filter(|_| lost.is_empty()) else {
        // Without any checkpoint, the damaged ones are the loss.
        let revisions = if lost.is_empty() { passed } else { lost };
        return Err(LoadError::Damaged {
            folder: folder.to_string(),
            revisions: revisions.into_iter().map(name).collect(),
        });
    };
    let passed = passed.into_iter().map(name).map(|mut passed| {
        passed.reason.push_str("; it was passed over: its state was rebuilt from an older one");
        passed
    });
    let found: Vec<DamagedRevision> = passed.chain(copies).collect();
    for found in &found {
        tracing::warn!(object = found.object, reason = found.reason, "a revision is damaged, and nothing is missing");
    }
    for (revision, delta) in deltas {
        head = head.after(delta).map_err(|reason| LoadError::Damaged {
            folder: folder.to_string(),
            revisions: vec![damaged(folder, revision, reason)],
        })?;
    }
    head.found = found.into();
    Ok(Some(head))
}

fn damaged(folder: &Path, revision: Revision, reason: String) -> DamagedRevision {
    DamagedRevision { revision, object: object(folder, revision).to_string(), reason }
}

/// The numbers of the revisions that are there.
pub(super) async fn list_revisions(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
) -> Result<BTreeSet<Revision>, LoadError> {
    let objects = create::list_folder(store, clock, folder)
        .await
        .map_err(|source| LoadError::Store { folder: folder.to_string(), source })?;
    let number = |path: &Path| {
        let digits = path.filename()?.strip_suffix(".pb").filter(|digits| digits.len() == 20)?;
        digits.parse().ok().map(Revision)
    };
    Ok(objects.iter().filter_map(number).collect())
}

/// The newest revisions, down to the newest good checkpoint.
pub(super) struct Tail<S: State> {
    /// That checkpoint; `None` if there is no good one.
    pub(super) base: Option<Head<S>>,
    /// The deltas after it.
    pub(super) deltas: BTreeMap<Revision, Decoded<S>>,
    /// What could not be used of the revisions after it.
    pub(super) bad: BTreeMap<Revision, Bad>,
    /// What was read from its second copy, or has a damaged one.
    copies: Vec<DamagedRevision>,
}

/// A revision that is missing or cannot be read.
pub(super) struct Bad {
    pub(super) reason: String,
    /// Whether a sound header says so.
    was_checkpoint: bool,
}

pub(super) async fn read_backwards<S: State>(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
    numbers: &BTreeSet<Revision>,
    newest: Revision,
) -> Result<Tail<S>, LoadError> {
    let oldest = numbers.first().map_or(newest.0, |oldest| oldest.0);
    let mut tail = Tail { base: None, deltas: BTreeMap::new(), bad: BTreeMap::new(), copies: Vec::new() };
    // Boxed, so that the compiler sees that loading can be part of a task.
    let read = |revision: Revision| {
        let read = async move {
            if !numbers.contains(&revision) {
                return (revision, None);
            }
            (revision, Some(create::read(store, clock, &object(folder, revision)).await))
        };
        read.boxed()
    };
    let mut objects = futures::stream::iter((oldest..=newest.0).rev().map(Revision)).map(read).buffered(READ_AHEAD);
    while let Some((revision, answer)) = objects.next().await {
        let missing = || Bad { reason: "it is missing".to_owned(), was_checkpoint: false };
        let bad = match answer {
            None | Some(Err(Error::NotFound { .. })) => missing(),
            Some(Err(source)) => return Err(LoadError::Store { folder: folder.to_string(), source }),
            Some(Ok(bytes)) => match Decoded::<S>::read(revision, &bytes) {
                Ok(decoded) => {
                    let copy = decoded.damaged_copy.as_ref();
                    tail.copies.extend(copy.map(|reason| damaged(folder, revision, format!("of one copy, {reason}"))));
                    match decoded.change {
                        Change::Checkpoint(state) => {
                            tail.base = Some(Head::at(&decoded.envelope, state, decoded.bytes));
                            return Ok(tail);
                        }
                        Change::Delta(_) => drop(tail.deltas.insert(revision, decoded)),
                    }
                    continue;
                }
                Err(error) => Bad { was_checkpoint: error.was_checkpoint(), reason: error.to_string() },
            },
        };
        tail.bad.insert(revision, bad);
    }
    Ok(tail)
}
