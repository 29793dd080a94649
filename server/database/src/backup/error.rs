//! What can go wrong with a backup.

use ochre_store::catalog::{CommitError, LoadError, OpenError};
use ochre_store::epoch::ClaimError;
use ochre_types::{DatabaseName, NodeId};

use super::BackupId;

/// Why a backup was not made, read, or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A store did not answer, or refused.
    #[error("{doing} {object}: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// The object or folder.
        object: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// Bytes are not those that were once written.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file that a catalog names is not there.
    #[error("{object} is gone, though the catalog of database {database} names it")]
    Gone {
        /// The object.
        object: String,
        /// The database.
        database: DatabaseName,
    },
    /// A catalog can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The prefix can't be claimed, or it can't be read who has it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A catalog could not be begun.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A catalog did not take what it should.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// There is nothing to back up.
    #[error("there is no node {0} in this object store: look at its URL, and at --node-id")]
    NoNode(NodeId),
    /// A database is not there.
    #[error("there is no database {0} here: look at its name")]
    NoDatabase(DatabaseName),
    /// A database can't be read at the moment.
    #[error("database {database} is not served, and so can't be backed up: {reason}; name the others with --database")]
    NotServed {
        /// The database.
        database: DatabaseName,
        /// What is wrong with it.
        reason: String,
    },
    /// What is in memory could not be persisted.
    #[error("database {database} could not be persisted: {reason}")]
    Persist {
        /// The database.
        database: DatabaseName,
        /// Why.
        reason: String,
    },
    /// A text is no id of a backup.
    #[error("{0:?} is not the id of a backup: ochre backup list shows them")]
    BadId(String),
    /// There is no such backup.
    #[error("there is no backup {0} here: ochre backup list shows those that are")]
    NoBackup(BackupId),
    /// There is no backup at all, or none that is old enough.
    #[error("there is no backup here{0}: look at the URL, or choose another time")]
    NoneFits(String),
    /// Another kind of work goes on in the target.
    #[error(
        "{other} goes on in this target since {since_seconds} seconds: try again once it has ended. If it was broken off, its mark {mark} counts for {lives} more; remove that object if you know that nothing runs"
    )]
    Busy {
        /// What.
        other: &'static str,
        /// Since when.
        since_seconds: u64,
        /// Its mark's object.
        mark: String,
        /// How much longer the mark counts.
        lives: String,
    },
    /// It took too long.
    #[error("it took longer than {0}: start it again, and it goes on with what is left")]
    TooLong(&'static str),
    /// The prefix that should be restored to is in use.
    #[error(
        "{folder} is not empty ({found} is there): a backup is restored to a prefix of its own; choose another --node-id or object store"
    )]
    NotEmpty {
        /// The prefix.
        folder: String,
        /// Something that is there.
        found: String,
    },
    /// Another backup was being restored to this prefix.
    #[error(
        "{folder} holds a part of backup {other}, whose restore was broken off: go on with that one (--backup {other}), or remove the folder first"
    )]
    OtherRestore {
        /// The prefix.
        folder: String,
        /// The other backup.
        other: String,
    },
    /// A name is taken.
    #[error("database {0} is there already: give another name with --as")]
    NameTaken(DatabaseName),
    /// A database had been dropped when the backup was made.
    #[error(
        "database {0} had been dropped when this backup was made: choose an earlier one, or restore to an empty prefix and undrop it there"
    )]
    Dropped(DatabaseName),
    /// Several databases can't get one name.
    #[error("--as names one database, and {0} would be restored: choose one with --database")]
    OneName(usize),
    /// Rules can't be carried over.
    #[error("the rules of database {database} can't be read: {reason}")]
    Rules {
        /// The database.
        database: DatabaseName,
        /// What is wrong with them.
        reason: String,
    },
    /// Stamps of a backup are ahead of this server's clock.
    #[error(
        "database {database} has rows that were stamped {ahead_seconds} seconds after this server's clock: rows that are written now would lose against them; set the clock right, or wait"
    )]
    FromTheFuture {
        /// The database.
        database: DatabaseName,
        /// How far ahead.
        ahead_seconds: u64,
    },
    /// The restored database could not be opened.
    #[error("database {database} is restored and could not be opened: {reason}; it is tried again at the next start")]
    NotOpened {
        /// The database.
        database: DatabaseName,
        /// Why.
        reason: String,
    },
    /// Somebody ended it.
    #[error("cancelled: what was copied so far is used by the next one")]
    Cancelled,
}

impl BackupError {
    /// For `map_err`: a store's error while doing something to an object.
    pub(super) fn store(
        doing: &'static str,
        object: &object_store::path::Path,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Store { doing, object, source }
    }
}
