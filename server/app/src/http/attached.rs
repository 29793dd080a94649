//! Another node's databases behind the interfaces: read, and never written.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use ochre_database::attach::{Attached, AttachedDatabaseStatus, AttachedStatus};
use ochre_database::{Health, Node};
use ochre_ingest::arrow::Roles;
use ochre_ingest::line_protocol::Options;
use ochre_query::{Params, QueryResult};
use ochre_types::token::{Grants, TokenHash};
use ochre_types::{ByteSize, DatabaseName, TableName};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

use super::backend::{Backend, Stored, Written};
use super::failure::{Failure, Kind};
use super::health::VERSION;
use super::node::query_failure;

/// After which time a writer that has lost its way may ask again: somebody has to tell it where to write.
const RETRY_WRITE: Duration = Duration::from_secs(60);

/// An attached node behind the interfaces.
pub struct AttachedBackend {
    /// What is attached.
    pub attached: Arc<Attached>,
    /// Bytes that a body may have: it is read before it is refused.
    pub body_limit: ByteSize,
}

impl AttachedBackend {
    /// 503, as senders drop what is answered with 4xx.
    fn read_only(&self) -> Failure {
        Failure::unavailable(self.attached.why_read_only(), Some(RETRY_WRITE))
    }
}

#[async_trait]
impl Backend for AttachedBackend {
    async fn write(&self, _: &DatabaseName, _: Bytes, _: &Options) -> Result<Written, Failure> {
        Err(self.read_only())
    }

    async fn put(&self, _: &DatabaseName, _: &TableName, _: &RecordBatch, _: &Roles) -> Result<Stored, Failure> {
        Err(self.read_only())
    }

    async fn query(&self, database: &DatabaseName, sql: &str, params: &Params) -> Result<QueryResult, Failure> {
        self.attached.query(database, sql, params).await.map_err(query_failure)
    }

    fn body_limit(&self, _: &DatabaseName) -> ByteSize {
        self.body_limit
    }

    async fn create_database(&self, _: &DatabaseName, _: Option<Duration>) -> Result<bool, Failure> {
        Err(self.read_only())
    }

    fn databases(&self) -> Vec<DatabaseName> {
        self.attached.databases()
    }

    fn token(&self, hash: &TokenHash) -> Option<(String, Grants)> {
        self.attached.token(hash)
    }

    fn health(&self) -> Result<(), String> {
        match self.attached.health() {
            Health::Ok => Ok(()),
            Health::Failing(reason) => Err(reason),
        }
    }

    fn node(&self) -> Result<Arc<Node>, Failure> {
        Err(Failure::new(Kind::NotImplemented, self.attached.why_read_only()))
    }

    fn attached(&self) -> Option<Arc<Attached>> {
        Some(self.attached.clone())
    }

    fn status(&self) -> Value {
        let status = self.attached.status();
        let (epoch, incarnation) = status.owner.unzip();
        json!({
            "node": status.node_id.as_str(),
            "version": VERSION,
            "epoch": epoch.map(|epoch| epoch.0),
            "incarnation": incarnation.map(|incarnation| incarnation.to_string()),
            "health": match &status.health { Health::Ok => "ok", Health::Failing(reason) => reason },
            "attached": {
                "revision": status.revision,
                "age_seconds": status.age_seconds,
                "failing": status.failing,
            },
            "databases": status.databases.iter().map(database).collect::<Vec<_>>(),
        })
    }

    fn encode_metrics(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        encode(&self.attached.status(), encoder)
    }
}

fn database(status: &AttachedDatabaseStatus) -> Value {
    json!({
        "name": status.name.as_str(),
        "catalog_revision": status.revision,
        "age_seconds": status.age_seconds,
        "tables": status.tables,
        "persisted_chunks": status.chunks,
        "persisted_rows": status.rows,
        "persisted_bytes": status.bytes,
        "unreadable": status.unreadable,
    })
}

type Read = fn(&AttachedDatabaseStatus) -> u64;

const DATABASE_GAUGES: [(&str, &str, Read); 5] = [
    ("attached_database_revision", "Revision of the attached catalog that is served", |d| d.revision),
    ("attached_database_age_seconds", "Time since its owner committed that revision", |d| d.age_seconds),
    ("attached_database_chunks", "Chunks of the attached database", |d| d.chunks),
    ("attached_database_rows", "Rows of the attached database", |d| d.rows),
    ("attached_database_unreadable", "1 if no newer revision can be read", |d| u64::from(d.unreadable.is_some())),
];

fn encode(status: &AttachedStatus, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    for (name, help, value) in [
        ("healthy", "1 if the node can do its work", u64::from(status.health == Health::Ok)),
        ("attached_revision", "Revision of the attached node's catalog", status.revision),
        ("attached_age_seconds", "Time since the attached node's catalogs were looked at", status.age_seconds),
        ("attached_refreshes", "How often they were looked at", status.refreshes),
    ] {
        ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    for (name, help, read) in DATABASE_GAUGES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for database in &status.databases {
            let labels = [("database", database.name.as_str())];
            ConstGauge::new(read(database)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
