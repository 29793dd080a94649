//! Columns: their kinds and their identity.

use std::fmt;

use crate::name::ColumnName;

/// The type of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldType {
    /// IEEE 754 double; every bit pattern is legal.
    Float,
    /// Signed 64-bit integer.
    Integer,
    /// Unsigned 64-bit integer.
    UInteger,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    String,
}

impl FieldType {
    /// Every field type, in the order of their codes on disk.
    pub const ALL: [Self; 5] = [Self::Float, Self::Integer, Self::UInteger, Self::Boolean, Self::String];

    /// The name that InfluxDB uses in messages and in `name::type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::UInteger => "unsigned",
            Self::Boolean => "boolean",
            Self::String => "string",
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a column is for, and the type of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnKind {
    /// Part of the primary key: UTF-8 text, absent where a row does not carry it.
    Tag,
    /// A value: the newest one of a key wins, field by field.
    Field(FieldType),
    /// Nanoseconds since 1970-01-01 UTC, never absent; the last part of the primary key.
    Time,
}

impl ColumnKind {
    /// The code on disk and on the wire: 0 tag, 1 time, 2.. the field types.
    pub fn code(self) -> u8 {
        match self {
            Self::Tag => 0,
            Self::Time => 1,
            Self::Field(FieldType::Float) => 2,
            Self::Field(FieldType::Integer) => 3,
            Self::Field(FieldType::UInteger) => 4,
            Self::Field(FieldType::Boolean) => 5,
            Self::Field(FieldType::String) => 6,
        }
    }

    /// The inverse of [`ColumnKind::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Tag),
            1 => Some(Self::Time),
            _ => FieldType::ALL.get(usize::from(code) - 2).copied().map(Self::Field),
        }
    }

    /// Whether values of this column are part of the primary key.
    pub fn is_key(self) -> bool {
        matches!(self, Self::Tag | Self::Time)
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => f.write_str("tag"),
            Self::Field(field) => field.fmt(f),
            Self::Time => f.write_str("time"),
        }
    }
}

/// The identity of a column: two columns of one name and different kinds or types are different columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId {
    /// The column's name.
    pub name: ColumnName,
    /// Its kind and type.
    pub kind: ColumnKind,
}

impl fmt::Display for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.name, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_reversible() {
        let kinds: Vec<_> = (0..=255).filter_map(ColumnKind::from_code).collect();
        assert_eq!(kinds.len(), 7);
        for kind in kinds {
            assert_eq!(ColumnKind::from_code(kind.code()), Some(kind));
        }
    }
}
