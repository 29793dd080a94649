//! SQL over table snapshots.
//!
//! ```text
//!   sql text -> limits -> statement (one, read-only) -> DataFusion plan over [`Source`]
//!                                                            |
//!        TableExec: chunks pruned by time, partition key and tag range
//!          |-- alone and unique keys --> Parquet or memory, in parallel, as it is
//!          `-- overlapping, or open ---> FoldExec: merge by (tags, time, stamp), then `ochre_batch::fold`
//!                                                            |
//!   QueryResult: plain Arrow schema and stream  <------------'      -> format: json, jsonl, csv, pretty, parquet, arrow
//! ```
//!
//! # Invariants
//! 1. No statement writes, and none reads a file, a URL or a setting that writes: by the statement's kind, by the
//!    plan, and by a runtime that knows one object store only.
//! 2. Pruning never changes an answer: only chunks are left out of which no row can pass the filter.
//! 3. Versions of a row are folded by [`ochre_batch::fold::fold_latest`] and nowhere else. Only filters on tags and
//!    time go below the fold; a filter on a field sees the row as the fold left it.
//! 4. A chunk is read without folding only if its keys are unique and no other chunk of the query can hold them.
//! 5. A column's identity is its [`ochre_types::ColumnId`]; names are resolved once, when the statement is planned.
//! 6. DataFusion is no part of the public interface.
//! 7. A query has the memory and the time that it was given, and no more: see [`QueryLimits`].
//!
//! # Names
//! Identifiers keep their case, quoted or not, as in InfluxDB 3: `SELECT Usage FROM Cpu` reads column `Usage` of table
//! `Cpu`. In a statement that reads `information_schema` only, unquoted identifiers are folded to lower case, as SQL
//! tools expect there. The catalog is `public`, the schema of tables `iox`, that of system tables `system`.
//!
//! # Absent on purpose
//! Which chunks exist (see `store`), which databases exist (see `database`), HTTP and its status codes (see `app`),
//! writing of any kind.

pub mod engine;
pub mod error;
pub mod format;
pub mod params;
pub mod source;

mod catalog;
mod deadline;
mod delete;
mod exec;
mod limits;
mod memory;
mod objects;
mod overlap;
mod prune;
mod readers;
mod running;
mod scan;
mod schema;
mod statement;
mod system;
mod table;

#[cfg(test)]
mod tests;

pub use delete::Delete;
pub use engine::{Engine, EngineConfig, QueryLimits, QueryResult, QueryUse};
pub use error::{QueryError, QueryErrorKind};
pub use format::Format;
pub use params::{ParamError, Params};
pub use source::{Source, SystemTable};
