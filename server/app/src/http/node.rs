//! The real node behind the interfaces, and what its errors mean to clients.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use ochre_database::{Health, Node, WriteError};
use ochre_ingest::arrow::Roles;
use ochre_ingest::line_protocol::Options;
use ochre_query::{Params, QueryError, QueryErrorKind, QueryResult};
use ochre_types::rules::Ack;
use ochre_types::token::{Grants, TokenHash};
use ochre_types::{ByteSize, DatabaseName, TableName};
use prometheus_client::encoding::DescriptorEncoder;

use super::backend::{Backend, Stored, Written};
use super::failure::{Failure, Kind};
use super::node_report;

/// A node behind the interfaces.
pub struct NodeBackend(pub Arc<Node>);

#[async_trait]
impl Backend for NodeBackend {
    async fn write(&self, database: &DatabaseName, body: Bytes, options: &Options) -> Result<Written, Failure> {
        let database = self.0.database_or_create(database).await.map_err(write_failure)?;
        let written = database.write_lines(body, options).await.map_err(write_failure)?;
        Ok(Written { lines: written.lines, rejected: written.rejected, rejected_total: written.rejected_total })
    }

    async fn put(
        &self,
        database: &DatabaseName,
        table: &TableName,
        rows: &RecordBatch,
        roles: &Roles,
    ) -> Result<Stored, Failure> {
        let database = self.0.database_or_create(database).await.map_err(write_failure)?;
        let logged = database.rules().log.ack == Ack::Durable;
        let rows = database.write_arrow(table, rows, roles).await.map_err(write_failure)?;
        Ok(Stored { rows, logged })
    }

    async fn query(&self, database: &DatabaseName, sql: &str, params: &Params) -> Result<QueryResult, Failure> {
        self.0.query(database, sql, params).await.map_err(query_failure)
    }

    fn body_limit(&self, database: &DatabaseName) -> ByteSize {
        self.0.body_limit(database)
    }

    async fn create_database(&self, database: &DatabaseName, retention: Option<Duration>) -> Result<bool, Failure> {
        self.0.create_database_keeping(database, retention).await.map_err(write_failure)
    }

    fn databases(&self) -> Vec<DatabaseName> {
        self.0.databases().into_iter().map(|info| info.name).collect()
    }

    fn token(&self, hash: &TokenHash) -> Option<(String, Grants)> {
        self.0.token(hash).map(|(name, grants)| (name.as_str().to_owned(), grants))
    }

    fn health(&self) -> Result<(), String> {
        match self.0.health() {
            Health::Ok => Ok(()),
            Health::Failing(reason) => Err(reason),
        }
    }

    fn node(&self) -> Result<Arc<Node>, Failure> {
        Ok(self.0.clone())
    }

    fn status(&self) -> serde_json::Value {
        node_report::json(&self.0.status())
    }

    fn encode_metrics(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        node_report::encode(&self.0.status(), encoder)
    }
}

/// What a refused write means to its client. Whatever may succeed later is 503: clients drop batches on 4xx.
pub fn write_failure(error: WriteError) -> Failure {
    let message = error.to_string();
    if let Some(after) = error.retry_after() {
        let is_exhausted = matches!(error, WriteError::MemoryFull { .. });
        return Failure { is_exhausted, ..Failure::unavailable(message, Some(after)) };
    }
    match error {
        WriteError::UnknownDatabase(_) => Failure::new(Kind::UnknownDatabase, message),
        WriteError::TooManyPartitions { .. } => Failure::new(Kind::Unprocessable, message),
        WriteError::Log(_) | WriteError::TooLarge { .. } => Failure::new(Kind::TooLarge, message),
        WriteError::Refused(_) => Failure::invalid(message),
        error => {
            tracing::error!(%error, "a write failed inside the server: it was not acknowledged");
            Failure::new(Kind::Internal, message)
        }
    }
}

/// What a failed query means to its client.
pub fn query_failure(error: QueryError) -> Failure {
    let message = error.to_string();
    match error.kind() {
        QueryErrorKind::Sql | QueryErrorKind::UnknownTable => Failure::invalid(message),
        QueryErrorKind::UnknownDatabase => Failure::new(Kind::UnknownDatabase, message),
        QueryErrorKind::Refused => Failure::new(Kind::NotImplemented, message),
        QueryErrorKind::ResourcesExhausted => Failure::exhausted(message),
        QueryErrorKind::TimedOut => Failure::new(Kind::Timeout, message),
        QueryErrorKind::Execution => {
            tracing::warn!(%error, "a query failed inside the server");
            Failure::new(Kind::Internal, message)
        }
    }
}
