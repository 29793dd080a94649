//! Why a row was refused.

use ochre_types::{ColumnKind, FieldType, NameError};

/// Why a row was refused. The texts of [`RowError::TypeConflict`] and of the limits are InfluxDB's where it has one:
/// clients look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The table or column can't have this name.
    #[error("invalid name: {0}")]
    Name(#[from] NameError),
    /// The column's name is one of Ochre's own.
    #[error("invalid column name: {column:?} on table {table:?} is reserved, choose another name")]
    Reserved {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The field has another type in the database, or earlier in the batch.
    #[error(
        "field type conflict: input field \"{column}\" on measurement \"{table}\" is type {found}, already exists as type {known}"
    )]
    TypeConflict {
        /// The table.
        table: String,
        /// The field.
        column: String,
        /// The type in the row.
        found: FieldType,
        /// The type that the field has.
        known: FieldType,
    },
    /// The name is a tag's in the row and a field's in the database or earlier in the batch, or the other way round.
    #[error(
        "column kind conflict: {} \"{column}\" on table \"{table}\" already exists as a {}, and a table has one column of a name: rename one of them",
        class(*found), class(*known)
    )]
    KindConflict {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The kind in the row.
        found: ColumnKind,
        /// The kind that the column has.
        known: ColumnKind,
    },
    /// The row sets a tag twice.
    #[error("duplicate tags: tag \"{column}\" stands twice")]
    DuplicateTag {
        /// The tag.
        column: String,
    },
    /// The row sets a field twice.
    #[error("duplicate fields: the line has multiple instances of the \"{column}\" field")]
    DuplicateField {
        /// The field.
        column: String,
    },
    /// The row would add a column to a table that has as many as it may have.
    #[error("too many columns: table \"{table}\" may have {limit}, and \"{column}\" would be one more")]
    TooManyColumns {
        /// The table.
        table: String,
        /// The column that would be added.
        column: String,
        /// The columns that a table may have.
        limit: usize,
    },
    /// The row would add a table to a database that has as many as it may have.
    #[error("too many tables: the database may have {limit}, and \"{table}\" would be one more")]
    TooManyTables {
        /// The table that would be added.
        table: String,
        /// The tables that the database may have.
        limit: usize,
    },
    /// The batch would have more cells than [`super::MAX_CELLS`].
    #[error("too many cells: this write has more than {limit} rows times columns, send fewer rows in one request")]
    TooManyCells {
        /// Cells that a batch may have.
        limit: usize,
    },
    /// The text of one column would be longer than an Arrow column can hold.
    #[error(
        "too much text: column \"{column}\" would hold more than 2 GiB in this write, send fewer rows in one request"
    )]
    TooMuchText {
        /// The column.
        column: String,
    },
    /// The row sets no field.
    #[error("missing fields")]
    NoFields,
}

fn class(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Tag => "tag",
        ColumnKind::Field(_) => "field",
        ColumnKind::Time => "time column",
    }
}

impl RowError {
    /// The row's name or type disagrees with the columns that are there.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::TypeConflict { .. } | Self::KindConflict { .. })
    }

    /// The row met a limit of its database or of a batch.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManyColumns { .. }
                | Self::TooManyTables { .. }
                | Self::TooManyCells { .. }
                | Self::TooMuchText { .. }
        )
    }

    pub(super) fn conflict(table: &str, column: &str, found: ColumnKind, known: ColumnKind) -> Self {
        let (table, column) = (table.to_owned(), column.to_owned());
        match (found, known) {
            (ColumnKind::Field(found), ColumnKind::Field(known)) => Self::TypeConflict { table, column, found, known },
            _ => Self::KindConflict { table, column, found, known },
        }
    }
}
