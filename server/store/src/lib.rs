//! Storage: from stamped batches to Parquet in an object store, and back for queries.
//!
//! ```text
//!   apply(seq, stamp, batch) -> split -> open chunk -freeze-> frozen chunk -persist-> Parquet + catalog commit
//!                                             \                  \                       \
//!                                              `--- snapshot of a table: each row in exactly one chunk
//! ```
//!
//! # Invariants
//! 1. Rows of one batch and partition enter one chunk.
//! 2. Chunks of one partition are persisted in the order in which they were opened. The log range of a persisted chunk
//!    has no row of the partition that is not in one of its persisted chunks, under whatever templates it came.
//! 3. A chunk, its log positions and the low-water mark move into the catalog in one commit; what the catalog names
//!    is durable; log segments are released only after it.
//! 4. A snapshot shows a chunk in memory or in Parquet, never both and never neither.
//! 5. Objects are only ever created: under names that contain the incarnation.
//!
//! # Absent on purpose
//! DataFusion (see `query`), the log's frames (see `log`; replay is `database`'s), decisions about other nodes.

pub mod buffer;
pub mod catalog;
pub mod chunk;
pub mod collect;
pub mod compact;
pub mod damage;
pub mod epoch;
pub mod footer;
pub mod lifecycle;
pub mod memory;
pub mod object;
pub mod order;
pub mod parquet;
pub mod partition;
pub mod persist;
pub mod readopt;
pub mod resident;
pub mod retention;
pub mod selection;
pub mod snapshot;
