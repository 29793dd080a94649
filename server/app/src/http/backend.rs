//! What the interfaces need of a node.

use async_trait::async_trait;
use bytes::Bytes;
use ochre_ingest::line_protocol::{Options, Rejected};
use ochre_query::{Params, QueryResult};
use ochre_types::DatabaseName;

use super::failure::Failure;

/// What became of the lines of a write.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines stored.
    pub lines: usize,
    /// Lines refused, the first ones of them.
    pub rejected: Vec<Rejected>,
    /// How many were refused in all.
    pub rejected_total: usize,
}

/// A node as the interfaces see it: the real one, or a double that fails on request.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Parses and stores the lines of `body`; returns once the database's `ack` rule is met.
    async fn write(&self, database: &DatabaseName, body: Bytes, options: &Options) -> Result<Written, Failure>;

    /// Runs one SQL statement.
    async fn query(&self, database: &DatabaseName, sql: &str, params: &Params) -> Result<QueryResult, Failure>;

    /// Makes a database; false if it was there already.
    async fn create_database(&self, database: &DatabaseName) -> Result<bool, Failure>;

    /// The names of all databases, in order.
    fn databases(&self) -> Vec<DatabaseName>;

    /// Whether it works; if not, why.
    fn health(&self) -> Result<(), String>;

    /// The state of the node, for people and scripts.
    fn status(&self) -> serde_json::Value;

    /// Writes its counters and gauges.
    fn encode_metrics(&self, encoder: &mut prometheus_client::encoding::DescriptorEncoder<'_>) -> std::fmt::Result;
}
