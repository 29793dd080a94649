//! Names that people give, valid by construction.
//!
//! A name is text without control characters, of bounded length. What a name may contain beyond that is as wide as
//! the protocols Ochre is compatible with; storage percent-encodes names (see [`crate::path`]), so that no name can
//! leave its folder.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("{what} is empty: give it at least one character")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// The name is longer than its kind allows.
    #[error("{what} has {length} bytes: at most {limit} are allowed")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The name holds a character that its kind does not allow.
    #[error("{what} {name:?} has the character {character:?} at byte {offset}: {allowed}")]
    Character {
        /// What was being named.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The first refused character.
        character: char,
        /// Its offset in bytes.
        offset: usize,
        /// What is allowed instead.
        allowed: &'static str,
    },
    /// The name is kept for Ochre itself.
    #[error("{what} {name:?} is reserved: choose another name")]
    Reserved {
        /// What was being named.
        what: &'static str,
        /// The name as given.
        name: String,
    },
}

fn check(
    what: &'static str,
    name: &str,
    limit: usize,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > limit {
        return Err(NameError::TooLong { what, length: name.len(), limit });
    }
    match name.char_indices().find(|(_, c)| !is_allowed(*c)) {
        Some((offset, character)) => {
            Err(NameError::Character { what, name: name.to_owned(), character, offset, allowed })
        }
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:literal, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The longest allowed name, in bytes of UTF-8.
            pub const LIMIT: usize = $limit;

            /// Checks `name` and takes it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                check($what, name, Self::LIMIT, $allowed, $is_allowed)?;
                Ok(Self(Arc::from(name)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }
    };
}

name!(
    /// A server's stable label, given by the operator (`--node-id`).
    NodeId, "a node id", 128, "use letters, digits, '-', '_' and '.', starting with a letter or digit",
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);
name!(
    /// A database: what InfluxDB 1 calls a database with its retention policy, and InfluxDB 2 a bucket.
    DatabaseName, "a database name", 511, "control characters are not allowed",
    |c: char| !c.is_control()
);
name!(
    /// A table: what InfluxDB 1 and 2 call a measurement.
    TableName, "a table name", 65_535, "the character NUL is not allowed",
    |c: char| c != '\0'
);
name!(
    /// A column of a table.
    ColumnName, "a column name", 65_535, "the character NUL is not allowed",
    |c: char| c != '\0'
);

impl Default for DatabaseName {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_plain_labels() {
        assert!(NodeId::new("edge-7.site_b").is_ok());
        let error = NodeId::new("a/b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a node id \"a/b\" has the character '/' at byte 1: use letters, digits, '-', '_' and '.', starting with a letter or digit"
        );
        assert!(matches!(NodeId::new(""), Err(NameError::Empty { .. })));
    }

    #[test]
    fn database_names_are_as_wide_as_influxdb_ones() {
        for name in ["telegraf", "db/rp", "mine and yours", "üñï", "..", "a|b!c"] {
            assert!(DatabaseName::new(name).is_ok(), "{name}");
        }
        assert!(DatabaseName::new("a\nb").is_err());
        assert!(DatabaseName::new("x".repeat(512)).is_err());
    }
}
