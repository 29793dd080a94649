//! One call with one answer, as all typed clients over gRPC make it.

use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::clock::Deadline;
use crate::error::Error;
use crate::grpc_error::from_status;
use crate::retry::{Repeat, until_done};

/// Makes a call with `client`, and again where that is harmless; `timeout` is for all attempts together.
pub(crate) async fn call<C: Clone, Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
    client: &C,
    (url, timeout): (&str, Duration),
    repeat: Repeat,
    message: Q,
    send: impl Fn(C, Request<Q>) -> F,
) -> Result<A, Error> {
    let attempt = |left: Duration| {
        let mut request = Request::new(message.clone());
        request.set_timeout(left);
        let sent = tokio::time::timeout(left, send(client.clone(), request));
        async move {
            match sent.await {
                Ok(answer) => answer.map(Response::into_inner).map_err(|status| from_status(&status, url)),
                Err(_) => Err(Error::Timeout { message: format!("{url} has not answered in time") }),
            }
        }
    };
    until_done(Deadline::after(timeout), repeat, attempt).await
}
