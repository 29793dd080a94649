//! The words in which a request is refused before it reaches its handler: those of the API that it belongs to.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};

use crate::grpc::status::status;
use crate::http::failure::{Failure, Kind};
use crate::http::{v1, v2, v3};

/// No token came with the request.
pub fn no_token() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "this server asks for a token and none was sent: send the header Authorization: Bearer <token>",
    )
}

/// The token that came is none of ours.
pub fn unknown_token() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "the token that was sent is not known here: was it revoked, or is it of another server?",
    )
}

/// The APIs, which differ in how they tell of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// InfluxDB 1.
    V1,
    /// InfluxDB 2.
    V2,
    /// InfluxDB 3, and all that has no words of its own.
    V3,
    /// gRPC, Flight among it.
    Grpc,
}

impl Api {
    /// The API that a request belongs to.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        match uri.path() {
            "/write" | "/query" => Self::V1,
            path if path.starts_with("/api/v2/") => Self::V2,
            _ if content_type.starts_with("application/grpc") => Self::Grpc,
            _ => Self::V3,
        }
    }

    /// A failure as an answer of this API.
    pub fn response(self, failure: &Failure) -> Response {
        match self {
            Self::V1 => v1::failure_response(failure),
            Self::V2 => v2::response(failure),
            Self::V3 => v3::failure_response(failure),
            Self::Grpc => status(failure).into_http::<Body>(),
        }
    }
}
