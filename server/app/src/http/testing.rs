//! A backend that answers as a test tells it to.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use ochre_batch::NoColumns;
use ochre_env::Env;
use ochre_ingest::line_protocol::{Options, parse};
use ochre_query::{Params, QueryResult};
use ochre_types::DatabaseName;
use parking_lot::Mutex;
use prometheus_client::encoding::DescriptorEncoder;
use tower::ServiceExt;

use super::backend::{Backend, Written};
use super::failure::{Failure, Kind};
use super::router::router;
use super::state::App;
use crate::config::{Config, Sources};

/// A backend that parses, remembers, and fails on request.
#[derive(Default)]
pub struct Double {
    /// What the next calls answer, instead of doing anything.
    pub failure: Mutex<Option<Failure>>,
    /// The writes that arrived: database, body, options.
    pub writes: Mutex<Vec<(DatabaseName, Bytes, Options)>>,
    /// The databases.
    pub databases: Mutex<Vec<DatabaseName>>,
    /// The queries that arrived: database and SQL.
    pub queries: Mutex<Vec<(String, String)>>,
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
        let parsed = parse(&body, &NoColumns, options);
        self.writes.lock().push((database.clone(), body, options.clone()));
        Ok(Written { lines: parsed.lines, rejected: parsed.rejected, rejected_total: parsed.rejected_total })
    }

    async fn query(&self, database: &DatabaseName, sql: &str, _params: &Params) -> Result<QueryResult, Failure> {
        self.fail()?;
        self.queries.lock().push((database.to_string(), sql.to_owned()));
        Err(Failure::new(Kind::Internal, "the double has no rows"))
    }

    async fn create_database(&self, database: &DatabaseName) -> Result<bool, Failure> {
        self.fail()?;
        let mut databases = self.databases.lock();
        let is_new = !databases.contains(database);
        if is_new {
            databases.push(database.clone());
        }
        Ok(is_new)
    }

    fn databases(&self) -> Vec<DatabaseName> {
        self.databases.lock().clone()
    }

    fn health(&self) -> Result<(), String> {
        self.fail().map_err(|failure| failure.message)
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "node": "double" })
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
        let mut config = Config::read(&Sources::default()).unwrap();
        change(&mut config);
        Self { app: Arc::new(App::new(&config, &Env::system())), double: Arc::default() }
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
