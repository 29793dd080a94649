//! Tombstones: what was deleted, and how far back.
//!
//! A tombstone hides rows whose stamp is lower than its own, now and whenever such rows arrive. Its stamp is its
//! identity. Tombstones only ever join: of one that was reverted and the same one that was not, the reverted one stays.

use crate::matching::RowMatch;
use crate::name::TableName;
use crate::stamp::{Hlc, Stamp};

/// What a tombstone takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// Rows: those that match, with a time between these two, both included (nanoseconds since 1970-01-01 UTC).
    Rows {
        /// Which rows.
        rows: RowMatch,
        /// The lowest and the highest time.
        time: (i64, i64),
    },
    /// A table with all its rows and columns.
    Table {
        /// The table.
        table: TableName,
        /// Until when it can be brought back.
        undrop_until: Hlc,
    },
    /// The database with all its tables.
    Database {
        /// Until when it can be brought back.
        undrop_until: Hlc,
    },
}

/// A deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Its identity. Rows with a lower stamp are hidden.
    pub stamp: Stamp,
    /// What is hidden.
    pub erasure: Erasure,
    /// The stamp of the undrop that took it back; it hides nothing then.
    pub reverted: Option<Stamp>,
}

impl Tombstone {
    /// A deletion that is in force.
    pub fn new(stamp: Stamp, erasure: Erasure) -> Self {
        Self { stamp, erasure, reverted: None }
    }

    /// Whether it hides anything.
    pub fn is_in_force(&self) -> bool {
        self.reverted.is_none()
    }

    /// Until when it can be taken back; `None` if it can't.
    pub fn undrop_until(&self) -> Option<Hlc> {
        match &self.erasure {
            Erasure::Rows { .. } => None,
            Erasure::Table { undrop_until, .. } | Erasure::Database { undrop_until } => Some(*undrop_until),
        }
    }

    /// Whether it is in force and can't be taken back any more: only then may what it hides be removed.
    pub fn is_final(&self, now: Hlc) -> bool {
        self.is_in_force() && self.undrop_until().is_none_or(|until| until < now)
    }

    /// Takes in what another node or an earlier moment says of the same tombstone.
    pub fn join(&mut self, other: &Self) {
        self.reverted = match (self.reverted, other.reverted) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    /// Whether it can hide rows of this table that have times within `time`.
    pub fn concerns(&self, table: &TableName, time: (i64, i64)) -> bool {
        self.is_in_force()
            && match &self.erasure {
                Erasure::Rows { rows, time: erased } => {
                    rows.may_match_table(table) && erased.0 <= time.1 && time.0 <= erased.1
                }
                Erasure::Table { table: dropped, .. } => dropped == table,
                Erasure::Database { .. } => true,
            }
    }

    /// Whether it drops this table, or the database with it; it may have been taken back.
    pub fn drops(&self, table: &TableName) -> bool {
        match &self.erasure {
            Erasure::Rows { .. } => false,
            Erasure::Table { table: dropped, .. } => dropped == table,
            Erasure::Database { .. } => true,
        }
    }

    /// Whether it hides a row of `table` with this stamp, these tags and this time.
    pub fn hides<'a>(&self, table: &TableName, stamp: Stamp, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> bool {
        stamp < self.stamp
            && self.concerns(table, (time, time))
            && match &self.erasure {
                Erasure::Rows { rows, .. } => rows.admits(table, tag, time),
                Erasure::Table { .. } | Erasure::Database { .. } => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Incarnation;

    fn stamp(hlc: u64) -> Stamp {
        Stamp { hlc: Hlc(hlc), incarnation: Incarnation(1) }
    }

    #[test]
    fn only_older_rows_of_its_tables_and_times_are_hidden() {
        let cpu = TableName::new("cpu").unwrap();
        let disk = TableName::new("disk").unwrap();
        let rows = RowMatch { tables: vec!["cpu".parse().unwrap()], predicate: Some("host = 'a'".parse().unwrap()) };
        let tombstone = Tombstone::new(stamp(10), Erasure::Rows { rows, time: (5, 8) });
        let host = |value: &'static str| move |name: &str| (name == "host").then_some(value);
        assert!(tombstone.hides(&cpu, stamp(9), &host("a"), 5));
        assert!(!tombstone.hides(&cpu, stamp(10), &host("a"), 5));
        assert!(!tombstone.hides(&cpu, stamp(9), &host("b"), 5));
        assert!(!tombstone.hides(&cpu, stamp(9), &host("a"), 9));
        assert!(!tombstone.hides(&disk, stamp(9), &host("a"), 5));
    }

    #[test]
    fn what_was_reverted_stays_reverted() {
        let drop = || Erasure::Table { table: TableName::new("cpu").unwrap(), undrop_until: Hlc(99) };
        let mut tombstone = Tombstone::new(stamp(10), drop());
        let reverted = Tombstone { reverted: Some(stamp(12)), ..tombstone.clone() };
        tombstone.join(&reverted);
        tombstone.join(&Tombstone::new(stamp(10), drop()));
        assert_eq!(tombstone, reverted);
        assert!(!tombstone.hides(&TableName::new("cpu").unwrap(), stamp(9), &|_| None, 0));
    }
}
