//! An HTTP proxy before a store, which fails as networks and services do.
//!
//! ```text
//!   request -> fault drawn? -- refuse: 500, 503 SlowDown ----------------------------> answer
//!                 |            drop before: the connection ends, nothing was done
//!                 +--> store --- drop after: done, and the answer is lost
//!                                slow: done, and answered after the client has given up
//!                                cut: the answer's body ends too early
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 without doing anything.
    Error,
    /// 503, as S3 asks to slow down.
    SlowDown,
    /// Done, and answered so late that the client has given up.
    Slow,
    /// The connection ends before the store has seen the request.
    DropBefore,
    /// The connection ends after the store has done it.
    DropAfter,
    /// The answer's body ends in the middle.
    Cut,
}

/// How long the first half of an answer that is cut has to get away.
const FLUSH: Duration = Duration::from_millis(20);

/// How a request failed on purpose.
#[derive(Debug, thiserror::Error)]
#[error("dropped on purpose")]
struct Dropped;

type Body = UnsyncBoxBody<Bytes, Dropped>;

/// A running proxy. It ends when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    store: SocketAddr,
    /// How late slow answers are.
    late: Duration,
    /// Faults, and how many requests in a hundred get one.
    plan: Mutex<(Vec<Fault>, u32)>,
    random: Mutex<SmallRng>,
    requests: AtomicU64,
    faults: AtomicU64,
}

impl Proxy {
    /// One before the store at `store`, without faults at first.
    pub async fn start(store: SocketAddr, late: Duration, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            store,
            late,
            plan: Mutex::default(),
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let serving = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, serving }
    }

    /// Lets `percent` of all requests fail from now on, in one of these ways each.
    pub fn fail(&self, faults: &[Fault], percent: u32) {
        *self.state.plan.lock() = (faults.to_vec(), percent);
    }

    /// Requests, and those that failed on purpose.
    pub fn counts(&self) -> (u64, u64) {
        (self.state.requests.load(Ordering::Relaxed), self.state.faults.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| pass(state.clone(), request));
            // A connection that was dropped on purpose ends with an error.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl State {
    fn draw(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let plan = self.plan.lock();
        let mut random = self.random.lock();
        if plan.0.is_empty() || random.random_range(0..100) >= plan.1 {
            return None;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        Some(plan.0[random.random_range(0..plan.0.len())])
    }
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let is_head = request.method() == Method::HEAD;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let fault = state.draw();
    match fault {
        Some(Fault::Error) => return Ok(refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Some(Fault::SlowDown) => return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        Some(Fault::DropBefore) => return Err(Dropped),
        _ => {}
    }
    let (status, headers, answer) = forward(&state, Request::from_parts(parts, body)).await.ok_or(Dropped)?;
    match fault {
        Some(Fault::DropAfter) => return Err(Dropped),
        Some(Fault::Slow) => tokio::time::sleep(state.late).await,
        _ => {}
    }
    let mut response = Response::new(whole(Bytes::new()));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    if fault == Some(Fault::Cut) && answer.len() > 1 {
        let half = answer.slice(..answer.len() / 2);
        let end = stream::once(async {
            // Else what comes before is not sent any more.
            tokio::time::sleep(FLUSH).await;
            Err(Dropped)
        });
        let frames = stream::iter([Ok(Frame::data(half))]).chain(end);
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
    } else if !is_head {
        *response.body_mut() = whole(answer);
    }
    Ok(response)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn refuse(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    let mut response = Response::new(whole(text.into()));
    *response.status_mut() = status;
    response
}

/// Hands a request on as it is: its signature covers host and path.
async fn forward(state: &State, request: Request<Bytes>) -> Option<(StatusCode, HeaderMap, Bytes)> {
    let stream = TcpStream::connect(state.store).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driving = tokio::spawn(connection);
    let answer = async {
        let (parts, body) = sender.send_request(request.map(Full::new)).await.ok()?.into_parts();
        Some((parts.status, parts.headers, body.collect().await.ok()?.to_bytes()))
    };
    let answer = answer.await;
    driving.abort();
    let (status, mut headers, body) = answer?;
    // The length is told anew; except of a body that is not sent.
    headers.remove(http::header::TRANSFER_ENCODING);
    headers.remove(http::header::CONNECTION);
    Some((status, headers, body))
}

#[tokio::test]
async fn each_fault_is_what_it_is_called() {
    let Some(store) = super::servers::Store::start(super::servers::Kind::Versitygw).await else { return };
    let proxy = Proxy::start(store.address, Duration::from_millis(1), 1).await;
    let once = ochre_store::object::Policy { attempts: 1, ..Default::default() };
    let through = store.open_at(proxy.address, "proxied", once).await.store;
    let beside = store.open("proxied").await.store;
    let create = async |name: &str| {
        let path = object_store::path::Path::from(name);
        through.put_opts(&path, name.to_owned().into(), object_store::PutMode::Create.into()).await.map(drop)
    };
    let is_there = async |name: &str| beside.get_opts(&name.into(), Default::default()).await.is_ok();
    create("none").await.unwrap();
    for (fault, fails, done) in [
        (Fault::Error, true, false),
        (Fault::SlowDown, true, false),
        (Fault::DropBefore, true, false),
        (Fault::DropAfter, true, true),
        (Fault::Slow, false, true),
    ] {
        proxy.fail(&[fault], 100);
        let name = format!("{fault:?}");
        assert_eq!(create(&name).await.is_err(), fails, "{fault:?}");
        assert_eq!(is_there(&name).await, done, "{fault:?}");
    }
    proxy.fail(&[Fault::Cut], 100);
    let cut = through.get_opts(&"none".into(), Default::default()).await.unwrap().bytes().await;
    assert!(cut.is_err(), "{cut:?}");
    proxy.fail(&[], 0);
    let found = through.get_opts(&"none".into(), Default::default()).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "none");
    assert_eq!(proxy.counts().1, 6);
}
