//! Why something was not deleted, or not brought back.

use ochre_batch::tombstone::MAX_PATTERNS;
use ochre_types::{ColumnKind, ColumnName, DatabaseName, Hlc, TableName};

use crate::error::WriteError;

/// Why something was not deleted, or not brought back.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// For a reason that writes have too.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The last time is before the first.
    #[error("there is no time between start and stop: start must be before stop, which is not deleted itself")]
    NoTime,
    /// There are more table patterns than one deletion may have.
    #[error("{given} tables or patterns of tables are given, and at most {MAX_PATTERNS} are allowed: delete in parts")]
    TooManyPatterns {
        /// Patterns given.
        given: usize,
    },
    /// Too many deletions were not carried out yet: each costs every query something.
    #[error(
        "{limit} deletions of database {database} wait to be carried out, and no more are allowed: compact its partitions (ochre partition compact), or delete more at a time"
    )]
    TooMany {
        /// The database.
        database: DatabaseName,
        /// How many are allowed.
        limit: usize,
    },
    /// A table's name is no pattern.
    #[error("{0}")]
    Pattern(String),
    /// The predicate names a field.
    #[error(
        "column {:?} of table {:?} is a {kind}: rows are deleted by tags and time only",
        column.as_str(),
        table.as_str()
    )]
    NotATag {
        /// The table.
        table: TableName,
        /// The column.
        column: ColumnName,
        /// Its kind.
        kind: ColumnKind,
    },
    /// There is no such table.
    #[error("table not found: {:?}", table.as_str())]
    UnknownTable {
        /// The table.
        table: TableName,
    },
    /// There is nothing to bring back.
    #[error("{what} was not dropped, or was brought back already")]
    NotDropped {
        /// What.
        what: String,
    },
    /// It was dropped, and another one has its name.
    #[error("database {0} was made again after it was dropped: drop that one first")]
    MadeAgain(DatabaseName),
    /// It can't be brought back any more.
    #[error(
        "it could be brought back until {} only: its rows are removed now", instant(*until)
    )]
    TooLate {
        /// Until when.
        until: Hlc,
    },
    /// A table of that name was made since, with other columns.
    #[error(
        "table {:?} was made again since, with column {:?} as {kind}, which was {dropped} in the dropped one: drop the new table first, or copy what it has under another name",
        table.as_str(),
        column.as_str()
    )]
    Conflict {
        /// The table.
        table: TableName,
        /// The column.
        column: ColumnName,
        /// Its kind in the dropped table.
        dropped: ColumnKind,
        /// Its kind now.
        kind: ColumnKind,
    },
}

fn instant(hlc: Hlc) -> String {
    let millis = i64::try_from(hlc.millis()).unwrap_or(i64::MAX);
    let time = chrono::DateTime::from_timestamp_millis(millis);
    time.map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}
