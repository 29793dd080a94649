//! What all handlers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderValue;
use ochre_env::{Clock, Compute, Entropy, Env};
use ochre_store::object::{Meter, Settings};
use ochre_types::token::{Grants, TokenHash};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::backend::Backend;
use super::budget::Budget;
use super::failure::Failure;
use super::metrics::HttpMetrics;
use crate::auth::{Access, Identity};
use crate::config::{Config, LogHomeKind};

/// Where the server is in its life.
#[derive(Clone)]
enum Phase {
    Starting,
    Serving(Arc<dyn Backend>),
    Stopping,
}

/// What all handlers share.
pub struct App {
    phase: RwLock<Phase>,
    /// Who gets in.
    pub access: Access,
    /// Writes and queries served at a time.
    pub requests: Arc<Semaphore>,
    /// The memory of request bodies.
    pub bodies: Budget,
    /// Whether what is in the log outlives the process.
    pub keeps_log: bool,
    /// Bytes that a body may have, before and after decompression.
    pub body_limit: usize,
    /// How long a client may pause within a body.
    pub read_timeout: Duration,
    /// Refused lines that an answer names.
    pub reported_lines: usize,
    /// Whether the older APIs refuse a whole write for one bad line.
    pub refuse_partial_writes: bool,
    /// `X-Influxdb-Version`.
    pub influxdb_version: HeaderValue,
    /// `Access-Control-Allow-Origin`; `None` if browsers are not welcome.
    pub cors_origin: Option<HeaderValue>,
    /// `cluster-uuid`, which clients of InfluxDB 3 see on every answer.
    pub cluster_uuid: HeaderValue,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
    /// For long inflations.
    pub compute: Compute,
    /// What the interfaces count.
    pub metrics: HttpMetrics,
    /// What requests to the object store are counted with, once it is open.
    pub objects: OnceLock<Arc<Meter>>,
    /// The URL of the object store and how it is reached, once it is open: other stores are reached likewise.
    pub reached: OnceLock<(String, Settings)>,
    /// When the process started, in nanoseconds since 1970-01-01 UTC.
    pub started: i64,
    started_monotonic: Duration,
}

impl App {
    /// A server that is starting.
    pub fn new(config: &Config, env: &Env, access: Access) -> Self {
        let bodies = Budget::new(config.budget().requests);
        let body_limit = config.limits.body.as_usize().min(config.budget().requests.as_usize());
        let origin = match config.http.cors_origin.as_str() {
            "auto" if access.asks_for_tokens() => "*",
            "auto" => "",
            origin => origin,
        };
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
        Self {
            phase: RwLock::new(Phase::Starting),
            access,
            requests: Arc::new(Semaphore::new(config.http.max_requests.min(Semaphore::MAX_PERMITS))),
            bodies,
            keeps_log: config.log.home != LogHomeKind::Memory,
            body_limit,
            read_timeout: config.http.read_timeout,
            reported_lines: config.limits.reported_lines,
            refuse_partial_writes: config.databases.refuse_partial_writes,
            influxdb_version: header(&config.http.influxdb_version),
            cors_origin: Some(origin).filter(|o| !o.is_empty()).map(header),
            cluster_uuid: header(&super::decorate::uuid(name_bits(config.node.id.as_str()))),
            clock: env.clock.clone(),
            entropy: env.entropy.clone(),
            compute: env.compute.clone(),
            metrics: HttpMetrics::default(),
            objects: OnceLock::new(),
            reached: OnceLock::new(),
            started: env.clock.wall_nanos(),
            started_monotonic: env.clock.monotonic(),
        }
    }

    /// The node is open: requests are served from now on.
    pub fn serve(&self, backend: Arc<dyn Backend>) {
        *self.phase.write() = Phase::Serving(backend);
    }

    /// The node is about to be closed: no request reaches it any more.
    pub fn stop(&self) {
        *self.phase.write() = Phase::Stopping;
    }

    /// The node, unless it is starting or stopping. Whoever asks for it has to have an identity, so that no handler
    /// gets at it without the layer of `auth`; what that identity may do is for the handler to ask of it.
    pub fn backend(&self, _asker: &Identity) -> Result<Arc<dyn Backend>, Failure> {
        self.node()
    }

    /// Fails while the node is starting or stopping.
    pub fn ready(&self) -> Result<(), Failure> {
        self.node().map(|_| ())
    }

    /// Whether the node can do its work; if not, why.
    pub fn health(&self) -> Result<(), String> {
        self.node().map_err(|failure| failure.message)?.health()
    }

    /// The name and the grants of the token with that hash, if the node has it.
    pub fn token(&self, hash: &TokenHash) -> Result<Option<(String, Grants)>, Failure> {
        Ok(self.node()?.token(hash))
    }

    fn node(&self) -> Result<Arc<dyn Backend>, Failure> {
        match &*self.phase.read() {
            Phase::Serving(backend) => Ok(backend.clone()),
            Phase::Starting => Err(Failure::unavailable("the server is starting: try again later", None)),
            Phase::Stopping => Err(Failure::unavailable("the server is stopping: try again later", None)),
        }
    }

    /// Time since the process started.
    pub fn up(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started_monotonic)
    }
}

/// 128 bits that are the same for the same name.
fn name_bits(name: &str) -> (u64, u64) {
    let fold =
        |seed: u64| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (fold(0xcbf2_9ce4_8422_2325), fold(0x8422_2325_cbf2_9ce4))
}
