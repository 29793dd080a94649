//! The client against small servers in the same process.

mod flight;
mod lines;
mod management;
mod tls;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Status};

use crate::{Connection, Options, Secret};

/// How long a test may take as a whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is to do, and what it saw.
#[derive(Default)]
struct Script {
    /// Statuses that the next calls fail with.
    failures: Mutex<VecDeque<Status>>,
    /// The calls, each with the token that it showed.
    calls: Mutex<Vec<String>>,
}

impl Script {
    fn fail(&self, statuses: impl IntoIterator<Item = Status>) {
        self.failures.lock().unwrap().extend(statuses);
    }

    /// What was called since the last time.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Notes a call, and lets it fail if that is its turn.
    fn admit<Q>(&self, name: &str, request: Request<Q>) -> Result<Q, Status> {
        let token = request.metadata().get("authorization").map_or("-", |value| value.to_str().unwrap());
        self.calls.lock().unwrap().push(format!("{name} {token}"));
        match self.failures.lock().unwrap().pop_front() {
            Some(status) => Err(status),
            None => Ok(request.into_inner()),
        }
    }
}

/// Runs `test` with a connection to a server of these services.
async fn with_server<F: Future>(router: Router, test: impl FnOnce(Connection) -> F) -> F::Output {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let connection = Connection::new(Options { token: Some(secret()), ..Options::new(url) }).unwrap();
    let test = tokio::time::timeout(PATIENCE, test(connection));
    tokio::select! {
        biased;
        outcome = test => outcome.expect("the test ends in time"),
        served = router.serve_with_incoming(incoming) => panic!("the server ended: {served:?}"),
    }
}

fn secret() -> Secret {
    Secret::new("ochre_secret").unwrap()
}
