//! Which rows a rule speaks of: tables by pattern AND rows by predicate; an empty match is everything.
//!
//! This module parses and checks a match; `ochre_batch::matching` evaluates it over rows.

mod pattern;
mod predicate;

use crate::name::TableName;

pub use pattern::{TablePattern, TablePatternError};
pub use predicate::{Comparison, Condition, Predicate, PredicateError, TagTest, TextPattern, ValueTest};

/// A match: rows of tables that one of `tables` matches (all, if there are none) and that pass `predicate` (all, if
/// there is none).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowMatch {
    /// Patterns of tables.
    pub tables: Vec<TablePattern>,
    /// What has to be true of a row.
    pub predicate: Option<Predicate>,
}

impl RowMatch {
    /// Whether rows of this table can match at all.
    pub fn may_match_table(&self, table: &TableName) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|pattern| pattern.matches(table))
    }

    /// Whether the row of `table` with these tags and this time (nanoseconds since 1970-01-01 UTC) matches. `tag` gives
    /// the value of a tag, or nothing if the row does not carry it.
    pub fn admits<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> bool {
        self.may_match_table(table) && self.predicate.as_ref().is_none_or(|predicate| predicate.admits(tag, time))
    }
}
