//! Backups: a node's catalogs as of one moment, and the files that they name, in another object store.
//!
//! ```text
//!   create:  mark -> persist -> states of all catalogs -> files that the target lacks -> states -> manifest -> unmark
//!   restore: note "unfinished" on the prefix -> files -> claim -> databases' catalogs -> node's catalog -> note gone
//!
//!   <target>/mark/{backup,prune}-<id>                 who is at work
//!   <target>/file/<incarnation>/<chunk>-<digest>.parquet   one file of a chunk, shared by all backups that have it
//!   <target>/backup/<id>/node.pb                      the node's catalog
//!   <target>/backup/<id>/database/<name>.pb           a database's catalog
//!   <target>/backup/<id>/manifest                     what the backup consists of; written last
//! ```
//!
//! # Invariants
//! 1. A backup is there if and only if its manifest is, which is written once, after all that it names.
//! 2. Files are named by chunk and content and never changed, so a second backup copies only what is new.
//! 3. Every byte is checked against a checksum when it is copied, in both directions.
//! 4. A prune and a backup are never at work in one target at the same time: each leaves its mark before it looks for
//!    the other's.
//! 5. A prefix that is being restored is not served before everything is there; restoring again goes on.
//! 6. What is restored gets identities of its own: catalogs, epoch, incarnation, log. It carries its tombstones.

mod create;
mod error;
mod files;
mod layout;
mod manifest;
mod marks;
mod online;
mod prune;
mod read;
mod restore;
mod source;

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use ochre_env::Env;

pub use create::create;
pub use error::BackupError;
pub use manifest::{BackupId, DatabasePart, Manifest, Part};
pub use online::RestoreOrder;
pub use prune::{Pruned, Retain, prune};
pub use read::{Damaged, Verified, choose, list, verify};
pub use restore::{Restored, restore, unfinished};
pub use source::Source;

pub(crate) use layout::unfinished_note;

/// Where backups are, or go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The store. Its root is the folder of backups.
    pub objects: Arc<dyn ObjectStore>,
    /// Seams.
    pub env: Env,
}

/// Who watches work that takes long, and may end it.
pub trait Watch: fmt::Debug + Send + Sync {
    /// There are so many bytes to be copied or read.
    fn total(&self, bytes: u64);
    /// So many more are done.
    fn advance(&self, bytes: u64);
    /// Whether it should end.
    fn is_cancelled(&self) -> bool;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn total(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn is_cancelled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
