//! `ochre serve`: from a configuration to a server, and back to nothing.
//!
//! ```text
//!   lock the data directory -> read tokens and certificates -> listen (503) -> open the node -> ready
//!   signal -> refuse new requests, accept no more -> drain -> close the node -> exit 0
//!   fenced, or the log failed -> the same without closing -> exit 1
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ochre_database::{LogHome, Node, NodeConfig, Resources, StopReason};
use ochre_env::{DiskLock, Env};
use ochre_store::object::{Credentials, Opened, Policy, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::auth::{Access, open_token_file};
use crate::config::{Config, LogHomeKind};
use crate::http::health::VERSION;
use crate::http::listen::{Encryption, Limits, Listening, listen};
use crate::http::node::NodeBackend;
use crate::http::router::router;
use crate::http::state::App;
use crate::http::tls;
use crate::machine;

/// How long requests may take to end when the node can't serve them any more.
const SHORT_DRAIN: Duration = Duration::from_secs(1);

/// The operators' tokens, in the data directory unless told.
const TOKEN_FILE: &str = "admin.token";

/// Why serving ended.
enum End {
    Signal(&'static str),
    Stopped(StopReason),
}

/// Serves until a signal, or until the node must stop, which is an error.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    let env = Env::system();
    let data_dir = std::path::absolute(&config.storage.data_dir).context("finding the data directory")?;
    let _lock = lock(&env, &data_dir)?;
    let mut signals = Signals::new()?;
    let access = access(config, &env, &data_dir)?;
    let app = Arc::new(App::new(config, &env, access));
    if app.body_limit < config.limits.body.as_usize() {
        tracing::warn!(
            limit = app.body_limit,
            "limits.body is more than memory.requests allows: bodies are limited to that"
        );
    }
    let listening = begin_to_listen(config, &env, &app).await?;

    let opening = open(config, &env, &data_dir, &app);
    let node = tokio::select! {
        biased;
        name = signals.next() => {
            tracing::info!(signal = name, "stopped while starting");
            return Ok(());
        }
        node = opening => node?,
    };
    node.show_memory("requests", app.bodies.gauge());
    node.guard_memory(machine::resident);
    app.serve(Arc::new(NodeBackend(node.clone())));
    ready(config, listening.address)?;

    let end = tokio::select! {
        biased;
        name = signals.next() => End::Signal(name),
        reason = node.stopped() => End::Stopped(reason),
    };
    let finish = async {
        match end {
            End::Signal(name) => {
                tracing::info!(signal = name, "stopping: requests in flight may end");
                if !listening.drain(config.http.drain_timeout).await {
                    tracing::warn!("some requests did not end in time and were cut off");
                }
                app.stop();
                node.close().await.context("closing the node")?;
                tracing::info!("stopped");
                Ok(())
            }
            End::Stopped(reason) => {
                let reason = stop_text(&reason);
                tracing::error!("stopping: {reason}");
                app.stop();
                listening.drain(SHORT_DRAIN).await;
                bail!("stopped: {reason}")
            }
        }
    };
    tokio::select! {
        biased;
        finished = finish => finished,
        name = signals.next() => bail!("a second {name} came before the server had stopped: the log keeps what was not persisted"),
    }
}

fn stop_text(reason: &StopReason) -> String {
    match reason {
        StopReason::Fenced(text) => text.clone(),
        StopReason::LogFailed(text) => format!("the log failed: {text}"),
    }
}

/// Makes the data directory and takes it for this process alone.
pub(crate) fn lock(env: &Env, data_dir: &Path) -> anyhow::Result<Box<dyn DiskLock>> {
    let shown = data_dir.display();
    env.disk.create_dir_all(data_dir).with_context(|| format!("making the data directory {shown}"))?;
    match env.disk.lock(data_dir) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!(
            "the data directory {shown} is in use by another process: stop that one, or give this one its own with --data-dir"
        ),
        Err(error) => Err(error).with_context(|| format!("locking the data directory {shown}")),
    }
}

pub(crate) async fn begin_to_listen(config: &Config, env: &Env, app: &Arc<App>) -> anyhow::Result<Listening> {
    let encryption = tls::acceptor(&*env.disk, &config.tls)
        .context("preparing TLS")?
        .map(|acceptor| Encryption { acceptor, failed: app.metrics.failed_handshakes.clone() });
    let listener = TcpListener::bind(config.http.listen).await.with_context(|| {
        format!("listening on {}: is the address in use? --listen takes another", config.http.listen)
    })?;
    let limits = Limits { connections: config.http.max_connections, read_timeout: config.http.read_timeout };
    listen(listener, router(app.clone()), limits, encryption, env.clock.clone()).context("listening")
}

/// Who gets in: everybody if told so, else whoever has a token.
pub(crate) fn access(config: &Config, env: &Env, data_dir: &Path) -> anyhow::Result<Access> {
    if config.http.without_auth {
        return Ok(Access::Everybody);
    }
    let path = config.http.token_file.clone().unwrap_or_else(|| data_dir.join(TOKEN_FILE));
    let operators = open_token_file(env, &path).context("reading the operators' tokens")?;
    tracing::info!(path = %path.display(), tokens = operators.len(), "a token is asked for: this file has the operators'");
    Ok(Access::Tokens { operators })
}

async fn open(config: &Config, env: &Env, data_dir: &Path, app: &App) -> anyhow::Result<Arc<Node>> {
    let url = object_store_url(config.storage.object_store.as_str(), data_dir)?;
    let objects = open_objects(config, env, &url).await.with_context(|| format!("opening the object store {url}"))?;
    // Set once: a server opens its store once.
    let _ = app.objects.set(objects.meter);
    let _ = app.reached.set((url.clone(), settings(config, env)?));
    let spill_dir = data_dir.join("spill");
    clear(&spill_dir)?;
    env.disk.create_dir_all(&spill_dir).with_context(|| format!("making {}", spill_dir.display()))?;
    let log = match config.log.home {
        LogHomeKind::Disk => LogHome::Disk(data_dir.join("log")),
        LogHomeKind::Memory => LogHome::Memory,
        LogHomeKind::ObjectStore => LogHome::ObjectStore,
    };
    let node = NodeConfig {
        node_id: config.node.id.clone(),
        prefix: object_store::path::Path::default(),
        log,
        memory: config.memory.limit.bytes(),
        resources: Resources { shares: config.shares(), spill: config.storage.spill_limit },
        rules: config.rules(),
        auto_create: !config.databases.no_auto_create,
        spill_dir: Some(spill_dir),
        query_threads: std::thread::available_parallelism().map_or(1, usize::from),
        checkpoints: ochre_store::catalog::Checkpoints::default(),
    };
    let node = Node::open(env.clone(), objects.store, node).await;
    node.with_context(|| format!("opening node {} on {url}", config.node.id))
}

/// Removes what queries of an earlier process left there.
pub(crate) fn clear(spill_dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(spill_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("clearing {}", spill_dir.display()))
        }
        _ => Ok(()),
    }
}

/// Opens the object store as the configuration and the environment say.
pub(crate) async fn open_objects(config: &Config, env: &Env, url: &str) -> anyhow::Result<Opened> {
    Ok(ochre_store::object::open_with(url, &settings(config, env)?, env).await?)
}

/// How object stores are reached, as the configuration and the environment say.
fn settings(config: &Config, env: &Env) -> anyhow::Result<Settings> {
    let storage = &config.storage;
    let credentials = match &storage.object_store_credentials_file {
        Some(path) => Credentials::environment().with_file(path, env)?,
        None => Credentials::environment(),
    };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(Settings {
        endpoint: given(storage.object_store_endpoint.as_str()),
        region: given(&storage.object_store_region),
        virtual_host: storage.object_store_virtual_host,
        allow_http: storage.object_store_allow_http,
        credentials,
        policy: Policy {
            attempts: u32::try_from(storage.object_store_attempts).unwrap_or(u32::MAX),
            timeout: storage.object_store_timeout,
            connect_timeout: storage.object_store_connect_timeout,
            requests: storage.object_store_requests,
        },
    })
}

/// The URL of the object store: as given, or of the folder `objects` of the data directory.
pub fn object_store_url(given: &str, data_dir: &Path) -> anyhow::Result<String> {
    if !given.is_empty() {
        return Ok(given.to_owned());
    }
    let objects: PathBuf = data_dir.join("objects");
    match url::Url::from_file_path(&objects) {
        Ok(url) => Ok(url.to_string()),
        Err(()) => bail!("the path {} can't be written as a URL: give --object-store", objects.display()),
    }
}

/// Says where the server can be reached; scripts wait for this line.
pub(crate) fn ready(config: &Config, address: std::net::SocketAddr) -> anyhow::Result<()> {
    if config.http.without_auth {
        tracing::warn!(%address, "serving without authentication: whoever reaches this address can read and write");
    }
    if config.tls.cert.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "serving without TLS: tokens and data go over the network for everybody on it to read");
    }
    tracing::info!(node = %config.node.id, %address, version = VERSION, "ready");
    let mut out = std::io::stdout();
    writeln!(out, "ready node={} listen={address}", config.node.id).context("writing the ready line")?;
    out.flush().context("writing the ready line")
}

/// The signals that stop a server.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_in_the_data_directory_unless_told() {
        let dir = Path::new("/var/lib/my data");
        assert_eq!(object_store_url("", dir).unwrap(), "file:///var/lib/my%20data/objects");
        assert_eq!(object_store_url("s3://b/p", dir).unwrap(), "s3://b/p");
    }
}
