//! What bulk clients by Arrow Flight are promised: batches in and out, to the value.
//!
//! `session` is the client; the other modules are promises by topic.

mod access;
mod errors;
mod put;
mod rows;
mod session;
mod streams;
