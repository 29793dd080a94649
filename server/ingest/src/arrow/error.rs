//! Why a record batch was refused.

use arrow_schema::DataType;
use ochre_batch::RowError;
use ochre_types::FieldType;

use crate::line_protocol::{MAX_KEY, MAX_STRING, MAX_TIME, MIN_TIME};

/// Why a record batch was refused. Rows are counted from 0 within the record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No column is the time.
    #[error(
        "no time: name a column time, or say which one it is (header ochre-time, or metadata iox::column::type = iox::column_type::timestamp)"
    )]
    NoTime,
    /// Two columns are the time.
    #[error("two times: the columns {first:?} and {second:?} are both said to be the time, of which there is one")]
    TwoTimes {
        /// The one that comes first.
        first: String,
        /// The other.
        second: String,
    },
    /// The write gives a role to a column that the record batch does not have.
    #[error("no column {column:?}, which the write says is {role}: send it, or don't name it")]
    NoSuchColumn {
        /// The column.
        column: String,
        /// Its role.
        role: &'static str,
    },
    /// The write says that the time is a tag.
    #[error("the column {column:?} is said to be both the time and a tag")]
    TimeIsTag {
        /// The column.
        column: String,
    },
    /// A column's metadata says something that no column is.
    #[error(
        "the column {column:?} has the metadata {key} = {value:?}, which is no kind of column: leave it out, or write iox::column_type::tag, ::timestamp, or ::field:: with float, integer, uinteger, boolean or string"
    )]
    Metadata {
        /// The column.
        column: String,
        /// The metadata's key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Two columns have one name.
    #[error("two columns have the name {column:?}: rename one of them")]
    DuplicateColumn {
        /// The name.
        column: String,
    },
    /// A column's Arrow type is that of no field.
    #[error("the column {column:?} is of the Arrow type {found}, which no field has: {remedy}")]
    Unsupported {
        /// The column.
        column: String,
        /// Its Arrow type.
        found: DataType,
        /// What to do.
        remedy: &'static str,
    },
    /// A field has another type than the database, or its metadata, says.
    #[error(
        "field type conflict: the field {column:?} of table {table:?} is sent as {sent} (Arrow type {found}), and is of type {known}: cast it to {remedy}"
    )]
    FieldType {
        /// The table.
        table: String,
        /// The field.
        column: String,
        /// The Arrow type in the record batch.
        found: DataType,
        /// The type of field that it makes.
        sent: FieldType,
        /// The type that the field has.
        known: FieldType,
        /// The Arrow type of that.
        remedy: DataType,
    },
    /// A tag is not text.
    #[error("the tag {column:?} is of the Arrow type {found}: tags are text, cast it to Utf8")]
    TagType {
        /// The tag.
        column: String,
        /// Its Arrow type.
        found: DataType,
    },
    /// The time is no time.
    #[error(
        "the time {column:?} is of the Arrow type {found}: cast it to a Timestamp, or to Int64 of nanoseconds since 1970-01-01 UTC"
    )]
    TimeType {
        /// The column.
        column: String,
        /// Its Arrow type.
        found: DataType,
    },
    /// A row has no time.
    #[error("row {row} has no time: every row needs one")]
    NullTime {
        /// The row.
        row: usize,
    },
    /// A time is beyond the range of times.
    #[error("row {row} has the time {value} {unit}: time outside range {MIN_TIME} - {MAX_TIME} nanoseconds")]
    TimeRange {
        /// The row.
        row: usize,
        /// The time as sent.
        value: i64,
        /// Its unit.
        unit: &'static str,
    },
    /// A tag is empty text.
    #[error("row {row} has an empty text in the tag {column:?}: leave it null where a row does not have the tag")]
    EmptyTag {
        /// The tag.
        column: String,
        /// The row.
        row: usize,
    },
    /// A tag is too long.
    #[error("row {row} has {length} bytes in the tag {column:?}: at most {MAX_KEY} are allowed")]
    TagTooLong {
        /// The tag.
        column: String,
        /// The row.
        row: usize,
        /// Its bytes.
        length: usize,
    },
    /// A string is too long.
    #[error("row {row} has {length} bytes in the field {column:?}: at most {MAX_STRING} are allowed")]
    StringTooLong {
        /// The field.
        column: String,
        /// The row.
        row: usize,
        /// Its bytes.
        length: usize,
    },
    /// Dictionaries and views would make too much text.
    #[error(
        "too much text: written out, the texts up to column {column:?} have more than {limit} bytes, send fewer rows at a time"
    )]
    TooMuchText {
        /// The column at which it is too much.
        column: String,
        /// Bytes that a request may have.
        limit: usize,
    },
    /// A row has no field.
    #[error("missing fields: row {row} has no value in any field")]
    NoFields {
        /// The row.
        row: usize,
    },
    /// The database does not keep a row.
    #[error("row {row}: {reason}")]
    NotKept {
        /// The row.
        row: usize,
        /// Why, as the filter says: see [`crate::RowFilter`].
        reason: String,
    },
    /// The columns do not fit into their table.
    #[error(transparent)]
    Row(#[from] RowError),
}

impl Refused {
    /// The columns disagree with the types or kinds of those that are there.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::FieldType { .. } => true,
            Self::Row(error) => error.is_conflict(),
            _ => false,
        }
    }

    /// A limit of the database or of a batch was met.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::TooMuchText { .. } => true,
            Self::Row(error) => error.is_limit(),
            _ => false,
        }
    }
}
