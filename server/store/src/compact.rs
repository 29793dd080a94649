//! Joining persisted chunks: from several to fewer, sorted, folded, settled where that may be, without what was deleted.
//!
//! ```text
//!   catalog --plan--> job: inputs of one partition
//!     inputs --row groups--> merge --rows in order--> outputs, cut by time --parts--> object store
//!     one commit: outputs in, inputs out --> buffer shows outputs instead of inputs
//! ```
//!
//! # Invariants
//! 1. A job changes no answer: neither of a query nor of any later compaction.
//! 2. Outputs enter the catalog in the revision that takes the inputs out, and only if all inputs are still there. A
//!    commit whose outcome is not known is repeated until it is: then outputs are in once, or not at all.
//! 3. Memory is bounded by the job's size, not by that of the chunks: see [`mod@plan`].
//! 4. A deletion is carried out only if it can't be taken back any more; each output names those that never act on it
//!    again: those that its inputs named, those that acted on them, and, if it is settled, all that are known and at or
//!    below its boundary. One that comes later is not among them.
//!
//! # Log ranges
//! The range of an output spans those of its inputs, and frames between them that may have gone elsewhere. That is no
//! lie, as long as nobody asks: ranges serve a replay, which reads only frames above the low-water mark, and every input's
//! range ends at or below it (see [`mod@plan`]), or is of a log that is no longer the node's.

mod merge;
mod output;
pub mod plan;
mod read;
mod run;
mod settle;

use std::sync::Arc;

use object_store::path::Path;

use crate::catalog::{ChunkId, CommitError};

pub use plan::{Cause, Job, Policy, TableView, plan};
pub use run::Outcome;
pub(crate) use run::{Compactor, Terms};
pub use settle::common_boundary;

/// Why chunks were not joined. They stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// An input could not be read.
    #[error("reading chunk {chunk} ({object}): {source}")]
    Read {
        /// The chunk.
        chunk: ChunkId,
        /// Its object, below its database's folder.
        object: Arc<str>,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// An input is no file of ours, or damaged.
    #[error("chunk {chunk} can't be joined with others: {what}; `ochre scrub` says more")]
    Unreadable {
        /// The chunk.
        chunk: ChunkId,
        /// What is wrong with it.
        what: String,
    },
    /// Rows could not be joined.
    #[error("joining rows: {source}")]
    Merge {
        /// The cause.
        source: arrow_schema::ArrowError,
    },
    /// An output could not be encoded.
    #[error("encoding joined rows as Parquet: {source}")]
    Encode {
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// The object store did not take an output.
    #[error("putting {path} into the object store: {source}")]
    Put {
        /// The object.
        path: Path,
        /// The cause.
        source: object_store::Error,
    },
    /// The catalog did not take it.
    #[error("committing joined chunks to the catalog: {0}")]
    Commit(#[from] CommitError),
    /// The server is about to stop.
    #[error("the server stops: chunks are joined after the next start")]
    Stopped,
    /// Somebody asked for it.
    #[error("joining chunks was cancelled")]
    Cancelled,
}

#[cfg(test)]
mod tests;
