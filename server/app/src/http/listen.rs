//! The listener: accepts connections, serves HTTP/1.1 and HTTP/2 on them, and ends them in order.
//!
//! ```text
//!   accept --(at most max_connections)--> connection task --stop--> finish the requests in flight, then close
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use ochre_env::{Clock, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

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
    /// How long a client may take to begin a connection or to send a request's head.
    pub read_timeout: Duration,
}

/// A listener at work.
pub struct Listening {
    /// The address, with the real port.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

/// Starts to serve `router` on `listener`.
pub fn listen(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Listening> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let tasks = Tasks::new();
    let accepting = Accepting { listener, router, limits, stopped, tasks: tasks.clone(), clock: clock.clone() };
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
    router: Router,
    limits: Limits,
    stopped: watch::Receiver<bool>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl Accepting {
    async fn run(self) {
        let Self { listener, router, limits, mut stopped, tasks, clock } = self;
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
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
                    let connection = serve(stream, router.clone(), limits.clone(), stopped.clone(), tasks.clone());
                    tasks.spawn("connection", async move {
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

async fn serve(stream: TcpStream, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>, tasks: Tasks) {
    let begun = tokio::time::timeout(limits.read_timeout, stream.readable());
    let begun = tokio::select! {
        biased;
        () = told(&mut stopped) => return,
        begun = begun => begun,
    };
    if !matches!(begun, Ok(Ok(()))) || stream.set_nodelay(true).is_err() {
        return;
    }
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
