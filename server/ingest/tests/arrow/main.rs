//! Arrow record batches as writers meet them: accepted and refused ones, and agreement with the same rows as lines.
// Every function here is part of a test.
#![allow(clippy::unwrap_used)]

mod accepted;
mod agreement;
#[path = "../line_protocol/dump.rs"]
mod dump;
mod known;
mod refused;
