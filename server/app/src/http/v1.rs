//! InfluxDB 1: `/write` and `/query`, as its clients, Telegraf first of all, know them.

mod deletions;
mod errors;
mod lexer;
mod query;
mod results;
mod statements;
mod write;

pub use errors::{has_no_points, partial_message, response as failure_response};
pub use query::query;
pub use write::write;

#[cfg(test)]
mod tests;
