//! InfluxDB 3: `/api/v3/write_lp`, `/api/v3/query_sql`, `/api/v3/configure/database`, `/api/v3/configure/table`.

mod database;
mod drop;
mod errors;
mod query;
mod write;

pub use database::{create, list};
pub use drop::{drop_database, drop_table};
pub use errors::response as failure_response;
pub use query::{query_get, query_post};
pub use write::write;

#[cfg(test)]
mod tests;
