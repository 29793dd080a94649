//! The settings, by concern.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ochre_database::budget::{Budget, MemoryShares};
use ochre_store::object::Policy;
use ochre_types::rules::{Ack, BufferRules, Limits, LogRules, Rules};
use ochre_types::{ByteSize, NodeId};

use super::ConfigError;
use super::setting::{Setting, concerns};
use super::sources::Sources;
use super::values::{LogFormat, LogHomeKind, MemorySize, Percent, Reader, StoreUrl};

concerns! {
    /// Which server this is.
    Node as node {
        /// The server's stable name. Its objects lie under it in the object store; whoever starts with the same name
        /// on the same store takes over from this server.
        id: NodeId = "ochre", "node-id", "node.id", "name";
    }

    /// How clients reach it.
    Http as http {
        /// The address and port of the one listener; port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:8086", "listen", "http.listen", "address";
        /// Serve everybody who can reach the listener, without asking for a token.
        without_auth: bool = "false", "without-auth", "http.without-auth", "yes or no", switch;
        /// The file with the operators' tokens, one a line, each of which may do everything; made with a random one if
        /// it is not there. Empty for `admin.token` in the data directory.
        token_file: Option<PathBuf> = "", "token-file", "http.token-file", "path";
        /// The version that `X-Influxdb-Version` and `/ping` tell to clients of InfluxDB, some of which choose their
        /// dialect by it.
        influxdb_version: String = "1.8.10-ochre", "influxdb-version", "http.influxdb-version", "text";
        /// The web origin that browsers let use this server: `*` for every page, empty for none; `auto` is `*` where a
        /// token is needed, else none.
        cors_origin: String = "auto", "cors-origin", "http.cors-origin", "origin";
        /// Connections served at a time; further ones wait to be accepted.
        max_connections: usize = "4096", "max-connections", "http.max-connections", "connections";
        /// Writes and queries served at a time; further ones are answered 503 with Retry-After.
        max_requests: usize = "1024", "max-requests", "http.max-requests", "requests";
        /// How long a client may pause within a request before it is given up.
        read_timeout: Duration = "30s", "read-timeout", "http.read-timeout", "duration";
        /// How long requests in flight may take to end when the server stops.
        drain_timeout: Duration = "30s", "drain-timeout", "http.drain-timeout", "duration";
    }

    /// How connections are encrypted.
    Tls as tls {
        /// The server's certificate and what it is signed with, in PEM. With it the port speaks TLS only.
        cert: Option<PathBuf> = "", "tls-cert", "tls.cert", "path";
        /// The private key of the certificate, in PEM.
        key: Option<PathBuf> = "", "tls-key", "tls.key", "path";
        /// The certificates, in PEM, one of which must have signed the certificate that a client shows: mutual TLS.
        /// Empty for letting clients in without one.
        client_ca: Option<PathBuf> = "", "tls-client-ca", "tls.client-ca", "path";
    }

    /// Where files and objects are.
    Storage as storage {
        /// The directory of this server's log and caches, used by one process at a time.
        data_dir: PathBuf = "ochre-data", "data-dir", "storage.data-dir", "path";
        /// Where Parquet and catalogs go: `file:///path`, `memory`, `s3://bucket/prefix`, `gs://…` or `az://…`; empty
        /// for the folder `objects` of the data directory. Credentials come from the environment (`AWS_*`, …).
        object_store: StoreUrl = "", "object-store", "storage.object-store", "url";
        /// The URL of the service that has the bucket, where it is not Amazon's, Google's or Microsoft's own.
        object_store_endpoint: StoreUrl = "", "object-store-endpoint", "storage.object-store-endpoint", "url";
        /// The region of the bucket; for `s3:` only.
        object_store_region: String = "", "object-store-region", "storage.object-store-region", "text";
        /// Name the bucket in the host, not in the path; for `s3:` only.
        object_store_virtual_host: bool = "false", "object-store-virtual-host", "storage.object-store-virtual-host", "yes or no", switch;
        /// Send data and requests unencrypted to an endpoint on another machine.
        object_store_allow_http: bool = "false", "object-store-allow-http", "storage.object-store-allow-http", "yes or no", switch;
        /// The file with credentials, as AWS's tools write it or as TOML; it goes before the environment.
        object_store_credentials_file: Option<PathBuf> = "", "object-store-credentials-file", "storage.object-store-credentials-file", "path";
        /// How long one request to a remote store may take, and a second more for each MiB it carries: 25s at most.
        object_store_timeout: Duration = "10s", "object-store-timeout", "storage.object-store-timeout", "duration";
        /// How long connecting to a remote store may take.
        object_store_connect_timeout: Duration = "5s", "object-store-connect-timeout", "storage.object-store-connect-timeout", "duration";
        /// How often a request to a remote store is sent at most, the first time included.
        object_store_attempts: usize = "5", "object-store-attempts", "storage.object-store-attempts", "times";
        /// Requests to a remote store under way at a time: so many that write, so many that read, so many small ones.
        object_store_requests: usize = "64", "object-store-requests", "storage.object-store-requests", "requests";
        /// What all queries together may put on disk when they outgrow their memory.
        spill_limit: ByteSize = "10GiB", "spill-limit", "storage.spill-limit", "bytes";
    }

    /// The write-ahead log.
    Log as log {
        /// Where acknowledged writes are until they are in Parquet: `disk` (survives a crash), `object-store` (survives
        /// the loss of the machine; a write takes about a quarter of a second longer), or `memory` (survives nothing).
        home: LogHomeKind = "disk", "log", "log.home", "disk, object-store or memory";
    }

    /// The memory budget.
    Memory as memory {
        /// What buffers, caches and queries may hold together: a size, or a share of the machine's memory.
        limit: MemorySize = "50%", "memory", "memory.limit", "bytes or %";
        /// The share of the bodies of requests. It bounds the largest body, whatever `limits.body` says.
        requests: Percent = "13%", "memory-requests", "memory.requests", "%";
        /// The share of open chunks and of batches on their way to them.
        open: Percent = "26%", "memory-open", "memory.open", "%";
        /// The share of frozen chunks and of copies of persisted ones; what open chunks don't need of theirs, these may
        /// take until they do, and the other way round.
        frozen: Percent = "16%", "memory-frozen", "memory.frozen", "%";
        /// The share of queries. What they need beyond it they put on disk, or they are refused.
        queries: Percent = "20%", "memory-queries", "memory.queries", "%";
        /// The share of what is known of Parquet objects: their footers.
        caches: Percent = "4%", "memory-caches", "memory.caches", "%";
        /// The share of freezing, persisting and joining chunks, which no query can take.
        persist: Percent = "15%", "memory-persist", "memory.persist", "%";
    }

    /// What new databases start with.
    Databases as databases {
        /// Refuse writes to databases that were not created before, instead of creating them.
        no_auto_create: bool = "false", "no-auto-create", "databases.no-auto-create", "yes or no", switch;
        /// When a write is acknowledged: `durable` (synced to the log) or `accepted` (in memory).
        ack: Ack = "durable", "ack", "databases.ack", "durable or accepted";
        /// Refuse a whole write to /write or /api/v2/write if one of its lines is bad, instead of keeping the others.
        refuse_partial_writes: bool = "false", "refuse-partial-writes", "databases.refuse-partial-writes", "yes or no", switch;
    }

    /// When chunks change their state.
    Buffer as buffer {
        /// Rows after which an open chunk is frozen.
        freeze_rows: u64 = "1048576", "freeze-rows", "buffer.freeze-rows", "rows";
        /// Bytes in memory after which an open chunk is frozen.
        freeze_size: ByteSize = "128MiB", "freeze-size", "buffer.freeze-size", "bytes";
        /// Age of its first row after which an open chunk is frozen.
        freeze_after: Duration = "5m", "freeze-after", "buffer.freeze-after", "duration";
        /// Age of its first row after which a frozen chunk is persisted, whatever its size.
        persist_after: Duration = "10m", "persist-after", "buffer.persist-after", "duration";
    }

    /// What is accepted at most.
    Limit as limits {
        /// Tags and fields of a table.
        columns: usize = "4096", "max-columns", "limits.columns", "columns";
        /// Tables of a database.
        tables: usize = "10000", "max-tables", "limits.tables", "tables";
        /// Partitions that one write may touch.
        partitions_per_write: usize = "5000", "max-partitions-per-write", "limits.partitions-per-write", "partitions";
        /// Bytes of one line of line protocol.
        line: ByteSize = "4MiB", "max-line", "limits.line", "bytes";
        /// Bytes of a request's body, before and after decompression.
        body: ByteSize = "64MiB", "max-body", "limits.body", "bytes";
        /// Refused lines that an answer names; the rest is only counted.
        reported_lines: usize = "100", "max-reported-lines", "limits.reported-lines", "lines";
        /// How long a query may run.
        query_time: Duration = "5m", "max-query-time", "limits.query-time", "duration";
    }

    /// What the server tells about itself on standard error.
    Logging as logging {
        /// Which log lines are written: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
        /// `info,ochre_store=debug`.
        level: String = "info", "log-level", "logging.level", "filter";
        /// How log lines are written: `text`, or `json` (one object a line).
        format: LogFormat = "text", "log-format", "logging.format", "text or json";
    }
}

impl Config {
    /// The rules that new databases start with.
    pub fn rules(&self) -> Rules {
        Rules {
            log: LogRules { ack: self.databases.ack },
            buffer: BufferRules {
                freeze_rows: self.buffer.freeze_rows,
                freeze_size: self.buffer.freeze_size,
                freeze_after: self.buffer.freeze_after,
                persist_after: self.buffer.persist_after,
            },
            limits: Limits {
                columns: self.limits.columns,
                tables: self.limits.tables,
                partitions_per_write: self.limits.partitions_per_write,
                line: self.limits.line,
                body: self.limits.body,
                query_time: self.limits.query_time,
                ..Limits::default()
            },
            ..Rules::default()
        }
    }

    /// How the memory is divided.
    pub fn shares(&self) -> MemoryShares {
        let memory = &self.memory;
        MemoryShares {
            requests: memory.requests.0,
            open: memory.open.0,
            frozen: memory.frozen.0,
            queries: memory.queries.0,
            caches: memory.caches.0,
            persist: memory.persist.0,
        }
    }

    /// The parts of the memory in bytes.
    pub fn budget(&self) -> Budget {
        Budget::new(self.memory.limit.bytes(), &self.shares())
    }

    /// What is wrong with values that are right one by one.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut positive = |name: &str, is_zero: bool| {
            if is_zero {
                problems.push(format!("{name} is 0: give it at least 1"));
            }
        };
        positive("http.max-connections", self.http.max_connections == 0);
        positive("http.max-requests", self.http.max_requests == 0);
        positive("buffer.freeze-rows", self.buffer.freeze_rows == 0);
        positive("buffer.freeze-size", self.buffer.freeze_size.0 == 0);
        positive("limits.columns", self.limits.columns == 0);
        positive("limits.tables", self.limits.tables == 0);
        positive("limits.partitions-per-write", self.limits.partitions_per_write == 0);
        positive("limits.line", self.limits.line.0 == 0);
        positive("limits.body", self.limits.body.0 == 0);
        positive("storage.object-store-attempts", self.storage.object_store_attempts == 0);
        positive("storage.object-store-requests", self.storage.object_store_requests == 0);
        positive("storage.object-store-timeout", self.storage.object_store_timeout.is_zero());
        positive("storage.object-store-connect-timeout", self.storage.object_store_connect_timeout.is_zero());
        if self.storage.object_store_timeout > Policy::LONGEST_TIMEOUT {
            problems.push(format!(
                "storage.object-store-timeout is {:?}: at most {:?} are possible",
                self.storage.object_store_timeout,
                Policy::LONGEST_TIMEOUT
            ));
        }
        self.tls_contradictions(&mut problems);
        let shares = self.shares();
        if shares.sum() > 100 {
            let named = shares.named().map(|(name, share)| format!("{name} {share}%"));
            problems.push(format!(
                "the shares of memory are {} % together ({}): 100 % at most are possible, and less leaves room for what is not counted",
                shares.sum(),
                named.join(", ")
            ));
        }
        if self.memory.limit.bytes() < MemorySize::LEAST {
            problems.push(format!(
                "memory.limit is {}: at least {} are needed",
                self.memory.limit.bytes(),
                MemorySize::LEAST
            ));
        }
        if tracing_subscriber::EnvFilter::try_new(&self.logging.level).is_err() {
            problems.push(format!(
                "logging.level is {:?}, which is no filter: write error, warn, info, debug, trace, or such as \
                 info,ochre_store=debug",
                self.logging.level
            ));
        }
        self.header_contradictions(&mut problems);
        problems
    }

    fn tls_contradictions(&self, problems: &mut Vec<String>) {
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => problems.push("tls.cert is given without tls.key: TLS needs both".to_owned()),
            (None, Some(_)) => problems.push("tls.key is given without tls.cert: TLS needs both".to_owned()),
            (None, None) if self.tls.client_ca.is_some() => {
                problems.push(
                    "tls.client-ca is given without tls.cert and tls.key: client certificates are part of TLS"
                        .to_owned(),
                );
            }
            _ => {}
        }
        if self.http.without_auth && self.http.token_file.is_some() {
            problems.push("http.token-file and http.without-auth are both given: leave one of them out".to_owned());
        }
    }

    fn header_contradictions(&self, problems: &mut Vec<String>) {
        let origin = self.http.cors_origin.as_str();
        if http::HeaderValue::from_str(origin).is_err() {
            problems
                .push(format!("http.cors-origin is {origin:?}, which can't be sent in a header: write * or an origin"));
        }
        let version = self.http.influxdb_version.as_str();
        if http::HeaderValue::from_str(version).is_err() {
            problems.push(format!("http.influxdb-version is {version:?}, which can't be sent in a header"));
        }
    }
}
