//! The database server without its interfaces: here, and only here, the write path and the read path are put together.
//!
//! ```text
//!   bytes -> parse -> batch -> match schema -> stamp -> log -(synced)-> buffer -> chunks -> Parquet + catalog
//!                     |______________ accept.rs ______________|  apply in log order
//!   SQL -> query engine -> snapshot of a table (source.rs)
//!   start: claim epoch -> node catalog -> log -> each database's catalog -> replay (node.rs, open.rs, replay.rs)
//! ```
//!
//! # Invariants
//! 1. A write is acknowledged only when its frame is synced (or, by `ack: accepted`, when it is in the buffer), and
//!    only by a server whose epoch was the highest within the last ten seconds.
//! 2. Rows become visible in the order of the log, and under `ack: durable` only once they are durable: what a query
//!    has shown, a crash can't take back.
//! 3. A batch whose group commit was refused is never applied, not by this start and not by a replay.
//! 4. Replay applies exactly what the catalog's chunks do not have yet.
//! 5. Rules change as a whole: what is logged after a change was acknowledged was prepared under the new rules.
//! 6. Every stamp is above every stamp in the log and the catalogs, and below a ceiling that the catalog holds.
//!
//! # Absent on purpose
//! HTTP, command lines, configuration files (see `app`); anything about other nodes (see `federation`, to come).

mod accept;
pub mod adopt;
mod alarm;
pub mod attach;
pub mod backup;
pub mod budget;
mod clock;
pub mod damage;
mod database;
pub mod deletes;
mod error;
pub mod explain;
mod gate;
pub mod inspect;
mod node;
mod opening;
pub mod operations;
pub mod partitions;
mod query;
pub mod repair;
mod replay;
pub mod rules;
mod schema;
pub mod scrub;
pub mod simulate;
mod source;
mod status;
mod system;
mod tokens;
mod unlogged;
mod write;

pub use database::Database;
pub use deletes::DeleteError;
pub use error::{OpenError, WriteError};
pub use node::{DatabaseInfo, Health, LogHome, Node, NodeConfig, Resources, StopReason};
pub use status::{DatabaseStatus, NodeStatus};
pub use tokens::{MAX_TOKENS, TokenError};
pub use write::Written;

#[cfg(test)]
mod tests;
