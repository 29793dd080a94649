//! Tests of the crate as a whole, over a double of a database.

mod answers;
mod double;
mod explain;
mod formats;
mod groups;
mod statements;
