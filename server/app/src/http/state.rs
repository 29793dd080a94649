//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ochre_env::{Clock, Compute, Entropy, Env};
use ochre_types::ByteSize;
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
    /// When the process started, in nanoseconds since 1970-01-01 UTC.
    pub started: i64,
    started_monotonic: Duration,
}

/// The share of the memory budget that request bodies may take; the node has the rest.
const BODIES_SHARE: u64 = 8;

/// How the memory budget is divided between request bodies and the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySplit {
    /// For request bodies.
    pub bodies: ByteSize,
    /// For everything else.
    pub node: ByteSize,
}

impl MemorySplit {
    /// An eighth for bodies, or what one body of the largest allowed size takes, but never more than half.
    pub fn of(limit: ByteSize, body: ByteSize) -> Self {
        let bodies = (limit.0 / BODIES_SHARE).max(body.0.min(limit.0 / 2));
        Self { bodies: ByteSize(bodies), node: ByteSize(limit.0 - bodies) }
    }
}

impl App {
    /// A server that is starting.
    pub fn new(config: &Config, env: &Env, access: Access) -> Self {
        let split = MemorySplit::of(config.memory.limit.bytes(), config.limits.body);
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
            bodies: Budget::new(split.bodies),
            keeps_log: config.log.home == LogHomeKind::Disk,
            body_limit: config.limits.body.as_usize().min(split.bodies.as_usize()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_node_share_the_memory() {
        let mib = ByteSize::mib;
        let split = |limit, body| MemorySplit::of(mib(limit), mib(body));
        assert_eq!(split(8192, 64), MemorySplit { bodies: mib(1024), node: mib(7168) });
        assert_eq!(split(256, 64), MemorySplit { bodies: mib(64), node: mib(192) });
        assert_eq!(split(64, 64), MemorySplit { bodies: mib(32), node: mib(32) });
    }
}
