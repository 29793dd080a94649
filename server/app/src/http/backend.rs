//! What the interfaces need of a node.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use ochre_database::Node;
use ochre_database::attach::Attached;
use ochre_ingest::arrow::Roles;
use ochre_ingest::line_protocol::{Options, Rejected};
use ochre_query::{Params, QueryResult};
use ochre_types::token::{Grants, TokenHash};
use ochre_types::{ByteSize, DatabaseName, TableName};

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

/// What became of the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Rows stored.
    pub rows: u64,
    /// Whether the log had them when they were acknowledged, as the database's `ack` rule says.
    pub logged: bool,
}

/// A node as the interfaces see it: the real one, or a double that fails on request.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Parses and stores the lines of `body`; returns once the database's `ack` rule is met.
    async fn write(&self, database: &DatabaseName, body: Bytes, options: &Options) -> Result<Written, Failure>;

    /// Stores the rows of a batch, all or none; returns once the database's `ack` rule is met.
    async fn put(
        &self,
        database: &DatabaseName,
        table: &TableName,
        rows: &RecordBatch,
        roles: &Roles,
    ) -> Result<Stored, Failure>;

    /// Runs one SQL statement.
    async fn query(&self, database: &DatabaseName, sql: &str, params: &Params) -> Result<QueryResult, Failure>;

    /// Bytes that the body of a write to this database may have, by its rules.
    fn body_limit(&self, database: &DatabaseName) -> ByteSize;

    /// Makes a database whose rows are kept for so long (no time at all is for ever; `None`: as `*` says); false if it
    /// was there already.
    async fn create_database(&self, database: &DatabaseName, retention: Option<Duration>) -> Result<bool, Failure>;

    /// The names of all databases, in order.
    fn databases(&self) -> Vec<DatabaseName>;

    /// The name and the grants of the token with that hash.
    fn token(&self, hash: &TokenHash) -> Option<(String, Grants)>;

    /// Whether it works; if not, why.
    fn health(&self) -> Result<(), String>;

    /// The node itself, which management speaks to: no double stands in for it there.
    fn node(&self) -> Result<Arc<Node>, Failure>;

    /// What this server has seen of another's objects, if it only reads those.
    fn attached(&self) -> Option<Arc<Attached>> {
        None
    }

    /// The state of the node, for people and scripts.
    fn status(&self) -> serde_json::Value;

    /// Writes its counters and gauges.
    fn encode_metrics(&self, encoder: &mut prometheus_client::encoding::DescriptorEncoder<'_>) -> std::fmt::Result;
}
