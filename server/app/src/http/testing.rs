//! A backend that answers as a test tells it to.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use ochre_batch::NoColumns;
use ochre_database::Node;
use ochre_env::Env;
use ochre_ingest::arrow::Roles;
use ochre_ingest::line_protocol::{Options, parse};
use ochre_query::{Params, QueryResult};
use ochre_types::rules::Limits;
use ochre_types::token::{Grants, TokenHash};
use ochre_types::{ByteSize, DatabaseName, TableName};
use parking_lot::Mutex;
use prometheus_client::encoding::DescriptorEncoder;
use tower::ServiceExt;

use super::backend::{Backend, Stored, Written};
use super::failure::{Failure, Kind};
use super::router::router;
use super::state::App;
use crate::auth::Access;
use crate::config::{Config, Sources};

/// A backend that parses, remembers, and fails on request.
#[derive(Default)]
pub struct Double {
    /// What the next calls answer, instead of doing anything.
    pub failure: Mutex<Option<Failure>>,
    /// The writes that arrived: database, body, options.
    pub writes: Mutex<Vec<(DatabaseName, Bytes, Options)>>,
    /// The batches that arrived: database, table, rows.
    pub batches: Mutex<Vec<(String, String, RecordBatch)>>,
    /// The databases.
    pub databases: Mutex<Vec<DatabaseName>>,
    /// The retention that a database was last made with.
    pub retention: Mutex<Option<Duration>>,
    /// The limits that lines of every database are parsed with, by its rules.
    pub limits: Mutex<Limits>,
    /// The rule `limits.body` of every database, if it is set.
    pub body_limit: Mutex<Option<u64>>,
    /// The queries that arrived: database and SQL.
    pub queries: Mutex<Vec<(String, String)>>,
    /// The tokens: hash, name, grants.
    pub tokens: Mutex<Vec<(TokenHash, String, Grants)>>,
}

impl Double {
    fn fail(&self) -> Result<(), Failure> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Backend for Double {
    async fn write(&self, database: &DatabaseName, body: Bytes, options: &Options) -> Result<Written, Failure> {
        self.fail()?;
        let options_of_database = Options { limits: *self.limits.lock(), ..options.clone() };
        let parsed = parse(&body, &NoColumns, &options_of_database);
        self.writes.lock().push((database.clone(), body, options.clone()));
        Ok(Written { lines: parsed.lines, rejected: parsed.rejected, rejected_total: parsed.rejected_total })
    }

    async fn put(
        &self,
        database: &DatabaseName,
        table: &TableName,
        rows: &RecordBatch,
        _roles: &Roles,
    ) -> Result<Stored, Failure> {
        self.fail()?;
        self.batches.lock().push((database.to_string(), table.to_string(), rows.clone()));
        Ok(Stored { rows: rows.num_rows() as u64, logged: true })
    }

    async fn query(&self, database: &DatabaseName, sql: &str, _params: &Params) -> Result<QueryResult, Failure> {
        self.fail()?;
        self.queries.lock().push((database.to_string(), sql.to_owned()));
        Err(Failure::new(Kind::Internal, "the double has no rows"))
    }

    fn body_limit(&self, _database: &DatabaseName) -> ByteSize {
        ByteSize(self.body_limit.lock().unwrap_or(u64::MAX))
    }

    async fn create_database(&self, database: &DatabaseName, retention: Option<Duration>) -> Result<bool, Failure> {
        self.fail()?;
        let mut databases = self.databases.lock();
        let is_new = !databases.contains(database);
        *self.retention.lock() = retention;
        if is_new {
            databases.push(database.clone());
        }
        Ok(is_new)
    }

    fn databases(&self) -> Vec<DatabaseName> {
        self.databases.lock().clone()
    }

    fn token(&self, hash: &TokenHash) -> Option<(String, Grants)> {
        let tokens = self.tokens.lock();
        tokens.iter().find(|(known, ..)| known == hash).map(|(_, name, grants)| (name.clone(), grants.clone()))
    }

    fn health(&self) -> Result<(), String> {
        self.fail().map_err(|failure| failure.message)
    }

    fn node(&self) -> Result<Arc<Node>, Failure> {
        Err(Failure::new(Kind::NotImplemented, "the double is no node"))
    }

    fn status(&self) -> serde_json::Value {
        let databases: Vec<_> =
            self.databases().iter().map(|name| serde_json::json!({ "name": name.as_str() })).collect();
        serde_json::json!({ "node": "double", "databases": databases })
    }

    fn encode_metrics(&self, _encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        Ok(())
    }
}

/// The handlers over a double.
pub struct Server {
    /// What they share.
    pub app: Arc<App>,
    /// What is behind them.
    pub double: Arc<Double>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// A header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    /// Serving, with a changed default configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = Self::starting(change);
        server.app.serve(server.double.clone());
        server
    }

    /// Serving, with the default configuration.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Not yet serving.
    pub fn starting(change: impl FnOnce(&mut Config)) -> Self {
        Self::guarded(Access::Everybody, change)
    }

    /// Not yet serving, and asking for what `access` says.
    pub fn guarded(access: Access, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::read(&Sources::default()).unwrap();
        change(&mut config);
        Self { app: Arc::new(App::new(&config, &Env::system(), access)), double: Arc::default() }
    }

    /// Makes the double fail from now on.
    pub fn fail(&self, failure: Failure) {
        *self.double.failure.lock() = Some(failure);
    }

    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response = router(self.app.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends a POST with a body.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a GET with one header.
    pub async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        self.send(Request::get(path).header(name, value).body(Body::empty()).unwrap()).await
    }
}
