//! The vocabulary of Ochre: names, identities, stamps, column kinds, intervals, partition templates, rules.
//!
//! Everything here is pure: no clock, no files, no network, no async. A value of a type in this crate is
//! valid by construction; what comes from outside is parsed into it and refused with the reason.
//!
//! ```text
//!   node id, epoch  --names-->  incarnation  --draws-->  stamps (hlc, incarnation)
//!   database -> table -> columns (name, kind)      primary key = all tags + time
//!   template(table, tags, time) -> partition key
//! ```
//!
//! # Invariants
//! 1. Identity is the [`Incarnation`]; a [`NodeId`] or [`Epoch`] is only a label for people.
//! 2. [`Stamp`]s are totally ordered by (hybrid logical clock, incarnation), and no two batches share one.
//! 3. A [`ColumnId`] is (name, kind): two columns of one name and different types are two columns.
//! 4. A [`partition::PartitionKey`] is a function of table, tags and row time only, and is reversible.
//!
//! # Absent on purpose
//! prost, tokio, arrow, files and clocks: see the crates `store`, `env` and `batch`.

pub mod column;
pub mod identity;
pub mod interval;
pub mod matching;
pub mod name;
pub mod partition;
pub mod path;
pub mod rules;
pub mod size;
pub mod stamp;
pub mod token;
pub mod tombstone;

pub use column::{ColumnId, ColumnKind, FieldType};
pub use identity::{Epoch, Incarnation, LogId, Sequence};
pub use interval::IntervalSet;
pub use name::{ColumnName, DatabaseName, NameError, NodeId, TableName};
pub use size::ByteSize;
pub use stamp::{Hlc, HybridClock, Stamp};

/// The name of the time column of every table.
pub const TIME_COLUMN: &str = "time";
/// The hidden column that carries each row's stamp where it is still needed.
pub const STAMP_COLUMN: &str = "_stamp";
