//! The line protocol as its users meet it: accepted and refused lines, line numbers, round trips, and agreement with
//! InfluxDB's own parser.
// Every function here is part of a test.
#![allow(clippy::unwrap_used)]

mod differential;
mod dump;
mod lines;
mod positions;
mod requests;
mod round_trip;
