//! Requests with fields that this release does not know are refused: a newer program must learn that the server is older,
//! and not that half of what it asked for was done.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use crate::grpc::call::REQUEST_LIMIT;
use crate::grpc::status;
use crate::http::failure::{Failure, Kind};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Reads the one message of a call, looks for fields that are not known, and hands it on as it was.
pub async fn refuse(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = match to_bytes(body, REQUEST_LIMIT + PREFIX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("reading the request: {error}: a request has at most {REQUEST_LIMIT} bytes");
            return status::status(&Failure::new(Kind::TooLarge, message)).into_http();
        }
    };
    // A compressed message is refused further in.
    let message = bytes.get(PREFIX..).filter(|_| bytes[0] == 0).unwrap_or_default();
    let unknown = ochre_wire::unknown_fields(parts.uri.path(), message);
    if unknown.is_empty() {
        return next.run(Request::from_parts(parts, Body::from(bytes))).await;
    }
    refused(&unknown).into_http()
}

fn refused(unknown: &[String]) -> Status {
    let message = format!(
        "this release does not know the fields {}: start a newer release, or leave them out; nothing was done",
        unknown.join(", ")
    );
    status::invalid(&unknown[0], message)
}
