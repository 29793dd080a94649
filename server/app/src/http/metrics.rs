//! `/metrics`: what the interfaces count, and what the node does, as OpenMetrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use ochre_store::object::Meter;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::backend::Backend;
use super::state::App;
use crate::auth::Identity;

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of request times, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The paths that are told apart; all others are `other`, so that clients can't make labels.
const PATHS: [&str; 10] = [
    "/write",
    "/query",
    "/api/v2/write",
    "/api/v3/write_lp",
    "/api/v3/query_sql",
    "/api/v3/configure/database",
    "/health",
    "/ready",
    "/ping",
    "/metrics",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    path: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    path: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// What the interfaces count.
pub struct HttpMetrics {
    registry: Mutex<Registry>,
    requests: Family<Answer, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Bytes of bodies of writes, inflated.
    pub body_bytes: Counter,
    /// Lines stored.
    pub lines_written: Counter,
    /// Lines refused.
    pub lines_rejected: Counter,
    /// TLS handshakes that did not succeed.
    pub failed_handshakes: Counter,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("ochre")),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            body_bytes: Counter::default(),
            lines_written: Counter::default(),
            lines_rejected: Counter::default(),
            failed_handshakes: Counter::default(),
        };
        {
            let mut registry = metrics.registry.lock();
            registry.register("http_requests", "Requests answered", metrics.requests.clone());
            registry.register("http_request_seconds", "Time until the answer began", metrics.seconds.clone());
            registry.register("http_write_body_bytes", "Bytes of write bodies, inflated", metrics.body_bytes.clone());
            registry.register("http_lines_written", "Lines stored", metrics.lines_written.clone());
            registry.register("http_lines_rejected", "Lines refused", metrics.lines_rejected.clone());
            let handshakes = metrics.failed_handshakes.clone();
            registry.register("http_failed_handshakes", "TLS handshakes that did not succeed", handshakes);
        }
        metrics
    }
}

impl HttpMetrics {
    /// Counts an answer.
    pub fn answered(&self, method: &Method, path: &str, status: u16, took: Duration) {
        let path = PATHS.iter().find(|known| **known == path).copied().unwrap_or("other");
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        self.requests.get_or_create(&Answer { method, path, status }).inc();
        self.seconds.get_or_create(&Route { path }).observe(took.as_secs_f64());
    }
}

/// The node's own counters, asked for at every scrape.
struct NodeCollector(Arc<dyn Backend>);

impl std::fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeCollector")
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0.encode_metrics(&mut encoder)
    }
}

/// How the object store does, asked for at every scrape.
#[derive(Debug)]
struct ObjectCollector(Arc<Meter>);

impl Collector for ObjectCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        super::object_report::encode(&self.0, &mut encoder)
    }
}

/// `GET /metrics`.
pub async fn metrics(State(app): State<Arc<App>>, identity: Identity) -> Response {
    let mut text = String::new();
    let mut encoded = text::encode_registry(&mut text, &app.metrics.registry.lock());
    if let (Ok(()), Ok(backend)) = (encoded, app.backend(&identity)) {
        let mut node = Registry::with_prefix("ochre");
        node.register_collector(Box::new(NodeCollector(backend)));
        if let Some(meter) = app.objects.get() {
            node.register_collector(Box::new(ObjectCollector(meter.clone())));
        }
        encoded = text::encode_registry(&mut text, &node);
    }
    match encoded.and_then(|()| text::encode_eof(&mut text)) {
        Ok(()) => ([(CONTENT_TYPE, CONTENT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
