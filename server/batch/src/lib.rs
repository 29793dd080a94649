//! The columnar batch: what a write becomes once parsed, and stays until it is Parquet.
//!
//! ```text
//!   BatchBuilder --finish--> Batch { table -> Rows } --encode--> payload (log, peers) --decode--> Batch
//!                                          |
//!                                        split by partition template -> (key, Rows)
//!                                          |
//!                 concat -> sort -> fold -> Rows with stamps, one version or one row a key
//! ```
//!
//! # Invariants
//! 1. The columns of [`Rows`] are distinct, in canonical order (tags by name, fields by name and type, then time),
//!    each with the one Arrow type of its kind ([`rows::arrow_type`]); all have the same length; `time` is always
//!    there and never null.
//! 2. Row order is part of a batch's meaning: of two rows with one key, the later one wins. Split, encode, decode and
//!    concat keep it.
//! 3. There is one fold ([`fold`]); freezing, compaction, query de-duplication and digests call it.
//! 4. `decode` never panics and never allocates more than a small multiple of its input, whatever the bytes.
//!
//! # Absent on purpose
//! Files, clocks, async, DataFusion, protobuf. The payload's layout is this crate's own: `docs/formats.md`.

pub mod batch;
pub mod builder;
pub mod codec;
pub mod concat;
pub mod fold;
pub mod matching;
pub mod rows;
pub mod sort;
pub mod split;
pub mod stamps;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tombstone;

pub use batch::{Batch, TableRows};
pub use builder::{BatchBuilder, DuplicateField, FieldValue, KnownColumns, NoColumns, RowError};
pub use rows::Rows;
pub use sort::SortOrder;
pub use stamps::{StampedRows, Stamps};
