//! Protocols in, columnar batches out.
//!
//! ```text
//!   bytes of a request --line_protocol::parse--> rows --BatchBuilder--> Batch
//!                                        \-----> refused lines: number, text, reason
//!   an Arrow record batch --arrow::read--> Batch of one table, or why the whole was refused
//! ```
//!
//! # Invariants
//! 1. Nothing here panics, whatever the bytes; each protocol has a `fuzz` entry point that says so.
//! 2. A refused line leaves no trace: no rows, no columns, no tables.
//! 3. In the steady state (lines of shapes seen before) no line allocates.
//!
//! # Absent on purpose
//! HTTP, decompression, clocks (the time of a request comes in as a number), and the schema itself: what is known is
//! asked through [`ochre_batch::KnownColumns`].

pub mod arrow;
pub mod line_protocol;

mod filter;

pub use filter::RowFilter;
