//! Why a line was refused.

use ochre_batch::RowError;
use ochre_types::ColumnKind;

use super::precision::{MAX_TIME, MIN_TIME};
use super::{Flavour, MAX_KEY, MAX_STRING};

/// Why a line was refused. Where InfluxDB has a phrase for a cause, the message begins with it: clients look for
/// these phrases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line begins with a comma.
    #[error("missing measurement")]
    MissingMeasurement,
    /// A tag has no key: `m,=v` or `m, f=1`.
    #[error("missing tag key")]
    MissingTagKey,
    /// A tag has no `=`, or nothing after it.
    #[error("missing tag value")]
    MissingTagValue,
    /// A tag's value has an equals sign that is not escaped.
    #[error("invalid tag format")]
    InvalidTagFormat,
    /// A tag is called `time`.
    #[error("invalid tag key: input tag \"time\" on measurement \"{measurement}\" is invalid")]
    TimeTag {
        /// The measurement.
        measurement: String,
    },
    /// A field is called `time`: the only field (versions 1 and 2), or any (version 3).
    #[error("invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid")]
    TimeField {
        /// The measurement.
        measurement: String,
    },
    /// Nothing follows measurement and tags.
    #[error("missing fields")]
    MissingFields,
    /// A field has no key: `m =1`.
    #[error("missing field key")]
    MissingFieldKey,
    /// Nothing follows a field's `=`.
    #[error("missing field value")]
    MissingFieldValue,
    /// A field has no `=`, or something follows its value.
    #[error("invalid field format")]
    InvalidFieldFormat,
    /// A field's value looks like a number, and is none; NaN and infinities are none.
    #[error("invalid number")]
    InvalidNumber,
    /// A float's exponent is incomplete, or its value is beyond the range of a double.
    #[error("invalid float")]
    InvalidFloat,
    /// An integer is beyond 64 bits.
    #[error("unable to parse integer {text}: value out of range")]
    IntegerRange {
        /// The number as written, shortened.
        text: String,
    },
    /// An unsigned integer is beyond 64 bits.
    #[error("unable to parse unsigned {text}: value out of range")]
    UnsignedRange {
        /// The number as written, shortened.
        text: String,
    },
    /// A field's value is neither number nor string nor one of the spellings of a boolean.
    #[error("invalid boolean")]
    InvalidBoolean,
    /// The quotes of a string do not close.
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    /// A string is too long.
    #[error("input field \"{field}\" on measurement \"{measurement}\" is too long, {length} > {limit}", limit = MAX_STRING)]
    StringTooLong {
        /// The field.
        field: String,
        /// The measurement.
        measurement: String,
        /// Bytes of the string.
        length: usize,
    },
    /// Measurement, tags and a field's key are too long together.
    #[error("max key length exceeded: {length} > {limit}", limit = MAX_KEY)]
    KeyTooLong {
        /// Their bytes, as written.
        length: usize,
    },
    /// The line is too long.
    #[error("line too long: {length} bytes, where {limit} are allowed")]
    LineTooLong {
        /// Bytes of the line.
        length: usize,
        /// Bytes that the database allows.
        limit: usize,
    },
    /// The timestamp is not an integer.
    #[error("bad timestamp")]
    BadTimestamp,
    /// The timestamp is beyond the range of times.
    #[error("time outside range {MIN_TIME} - {MAX_TIME}")]
    TimeRange,
    /// Something follows the timestamp.
    #[error("point is invalid: unexpected text after the timestamp")]
    TrailingText,
    /// The line is not UTF-8.
    #[error("invalid UTF-8 at byte {offset} of the request: line protocol must be UTF-8")]
    InvalidUtf8 {
        /// The first wrong byte's offset in the request's body (uncompressed), from 0.
        offset: usize,
    },
    /// The database does not keep the row.
    #[error("{reason}")]
    NotKept {
        /// Why, as the filter says: see [`crate::RowFilter`].
        reason: String,
    },
    /// The row does not fit into its table.
    #[error(transparent)]
    Row(#[from] RowError),
}

impl LineError {
    /// Whether the line is not line protocol, so that no schema and no setting would make it acceptable.
    pub fn is_syntax(&self) -> bool {
        match self {
            Self::TimeTag { .. }
            | Self::TimeField { .. }
            | Self::StringTooLong { .. }
            | Self::LineTooLong { .. }
            | Self::NotKept { .. } => false,
            Self::Row(error) => matches!(
                error,
                RowError::DuplicateTag { .. }
                    | RowError::DuplicateField { .. }
                    | RowError::NoFields
                    | RowError::Name(_)
            ),
            _ => true,
        }
    }

    /// Whether the line disagrees with the types or kinds of the columns that are there.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Row(error) if error.is_conflict())
    }

    /// Whether the line met a limit of its database (version 3 answers 422 then).
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Row(error) if error.is_limit())
    }

    /// The reason in the words of an API.
    pub fn reason(&self, flavour: Flavour) -> String {
        let conflict = |column: &str, known: ColumnKind, found: ColumnKind| {
            format!("invalid column type for column '{column}', expected {}, got {}", iox_type(known), iox_type(found))
        };
        match (flavour, self) {
            (Flavour::V3, Self::Row(RowError::TypeConflict { column, found, known, .. })) => {
                conflict(column, ColumnKind::Field(*known), ColumnKind::Field(*found))
            }
            (Flavour::V3, Self::Row(RowError::KindConflict { column, found, known, .. })) => {
                conflict(column, *known, *found)
            }
            _ => self.to_string(),
        }
    }
}

/// A column's kind as version 3 writes it.
pub(crate) fn iox_type(kind: ColumnKind) -> &'static str {
    use ochre_types::FieldType::{Boolean, Float, Integer, String, UInteger};
    match kind {
        ColumnKind::Tag => "iox::column_type::tag",
        ColumnKind::Time => "iox::column_type::timestamp",
        ColumnKind::Field(Float) => "iox::column_type::field::float",
        ColumnKind::Field(Integer) => "iox::column_type::field::integer",
        ColumnKind::Field(UInteger) => "iox::column_type::field::uinteger",
        ColumnKind::Field(Boolean) => "iox::column_type::field::boolean",
        ColumnKind::Field(String) => "iox::column_type::field::string",
    }
}
