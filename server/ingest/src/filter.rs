//! Which rows a database takes, asked while they are read.

use std::fmt;

use ochre_types::TableName;

/// Refuses rows that a database does not keep.
pub trait RowFilter: fmt::Debug + Send + Sync {
    /// Why the row of `table` with these tags and this time (nanoseconds since 1970-01-01 UTC) is not taken; nothing if
    /// it is. `tag` gives the value of a tag, or nothing if the row does not carry it.
    fn refuse<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<String>;
}
