//! The listener: accepts connections, serves HTTP/1.1 and HTTP/2 on them, and ends them in order.
//!
//! ```text
//!   accept --(at most max_connections)--> connection task: [TLS ->] HTTP --stop--> finish the requests in flight, close
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use ochre_env::{Clock, Tasks};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long to wait before accepting again when the system has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests that one HTTP/2 connection may have in flight.
const STREAMS: u32 = 256;
/// How often an idle HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// How long a client may take to begin a connection, to shake hands, or to send a request's head.
    pub read_timeout: Duration,
}

/// How connections are encrypted.
#[derive(Clone)]
pub struct Encryption {
    /// Shakes hands.
    pub acceptor: TlsAcceptor,
    /// Counts the handshakes that did not succeed.
    pub failed: Counter,
}

/// A listener at work.
pub struct Listening {
    /// The address, with the real port.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

/// Starts to serve `router` on `listener`, over TLS only if there is an `encryption`.
pub fn listen(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    encryption: Option<Encryption>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Listening> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let tasks = Tasks::new();
    let connections = Connections { router, limits, encryption, stopped, tasks: tasks.clone() };
    let accepting = Accepting { listener, connections, clock: clock.clone() };
    tasks.spawn("accept connections", accepting.run());
    Ok(Listening { address, stop, tasks, clock })
}

impl Listening {
    /// Accepts no more connections, lets the requests in flight end within `time`, and cuts off the others. Returns
    /// whether all have ended.
    pub async fn drain(self, time: Duration) -> bool {
        self.stop.send_replace(true);
        let ended = {
            let joined = std::pin::pin!(self.tasks.join());
            let over = self.clock.sleep(time);
            matches!(futures::future::select(joined, over).await, futures::future::Either::Left(_))
        };
        self.tasks.abort().await;
        ended
    }
}

struct Accepting {
    listener: TcpListener,
    connections: Connections,
    clock: Arc<dyn Clock>,
}

/// What each connection gets.
#[derive(Clone)]
struct Connections {
    router: Router,
    limits: Limits,
    encryption: Option<Encryption>,
    stopped: watch::Receiver<bool>,
    tasks: Tasks,
}

impl Accepting {
    async fn run(self) {
        let Self { listener, connections, clock } = self;
        let mut stopped = connections.stopped.clone();
        let places = Arc::new(Semaphore::new(connections.limits.connections.min(Semaphore::MAX_PERMITS)));
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = told(&mut stopped) => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = connections.clone().begin(stream);
                    connections.tasks.spawn("connection", async move {
                        let _place = place;
                        connection.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Connections {
    /// Waits for the client's first bytes, shakes hands if need be, and serves its requests.
    async fn begin(mut self, stream: TcpStream) {
        let begun = tokio::time::timeout(self.limits.read_timeout, stream.readable());
        let begun = tokio::select! {
            biased;
            () = told(&mut self.stopped) => return,
            begun = begun => begun,
        };
        if !matches!(begun, Ok(Ok(()))) || stream.set_nodelay(true).is_err() {
            return;
        }
        match self.encryption.take() {
            None => self.serve(stream).await,
            Some(encryption) => {
                if let Some(stream) = self.shake_hands(stream, &encryption).await {
                    self.serve(stream).await;
                }
            }
        }
    }

    async fn shake_hands(&mut self, stream: TcpStream, encryption: &Encryption) -> Option<TlsStream<TcpStream>> {
        let handshake = tokio::time::timeout(self.limits.read_timeout, encryption.acceptor.accept(stream));
        let reason = tokio::select! {
            biased;
            () = told(&mut self.stopped) => return None,
            handshake = handshake => match handshake {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            },
        };
        encryption.failed.inc();
        tracing::debug!(reason, "a TLS handshake did not succeed");
        None
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { router, limits, mut stopped, tasks, encryption: _ } = self;
        let mut builder = auto::Builder::new(Owned(tasks));
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.read_timeout);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).max_concurrent_streams(STREAMS);
        let service = TowerToHyperService::new(router);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            biased;
            () = told(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = connection.as_mut() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Completes when the listener is told to stop, or is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _gone = stopped.wait_for(|stop| *stop).await.is_err();
}

/// Runs the streams of HTTP/2 connections as owned tasks.
#[derive(Clone)]
struct Owned(Tasks);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn("http2 stream", stream);
    }
}
