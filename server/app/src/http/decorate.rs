//! What every answer carries, whatever the request was: ids, versions, CORS. Answers OPTIONS itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tracing::Instrument;

use super::state::App;

const INFLUXDB_VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const INFLUXDB_BUILD: HeaderName = HeaderName::from_static("x-influxdb-build");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CLUSTER_UUID: HeaderName = HeaderName::from_static("cluster-uuid");

/// A client's own request id is echoed up to this length.
const ID_LIMIT: usize = 128;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, POST, PUT");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept, Accept-Encoding, Authorization, Content-Encoding, Content-Length, Content-Type, X-CSRF-Token, \
     X-HTTP-Method-Override",
);
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Date, X-Influxdb-Version, X-Influxdb-Build, X-Influxdb-Error, Request-Id, Retry-After");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The outermost layer.
pub async fn decorate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(&app, request.headers());
    let method = request.method().clone();
    // Only the path: the query string carries passwords.
    let path = request.uri().path().to_owned();
    let began = app.clock.monotonic();
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let span = tracing::info_span!("request", %method, path, id = id.to_str().unwrap_or(""));
        next.run(request).instrument(span).await
    };
    let took = app.clock.monotonic().saturating_sub(began);
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, micros = took.as_micros(), "answered");
    app.metrics.answered(&method, &path, status, took);

    let headers = response.headers_mut();
    headers.insert(INFLUXDB_VERSION, app.influxdb_version.clone());
    headers.insert(INFLUXDB_BUILD, HeaderValue::from_static("OSS"));
    headers.insert(CLUSTER_UUID, app.cluster_uuid.clone());
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_REQUEST_ID, id);
    cors(&app, &method, headers);
    response
}

fn cors(app: &App, method: &Method, headers: &mut HeaderMap) {
    let Some(origin) = &app.cors_origin else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if method == Method::OPTIONS {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
}

/// The client's own id, or a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&X_REQUEST_ID).or_else(|| headers.get(&REQUEST_ID));
    match given.filter(|id| !id.is_empty() && id.len() <= ID_LIMIT) {
        Some(id) => id.clone(),
        None => {
            let id = uuid((app.entropy.next_u64(), app.entropy.next_u64()));
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("?"))
        }
    }
}

/// 128 bits written as a UUID of version 4.
pub fn uuid((high, low): (u64, u64)) -> String {
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_a_uuid() {
        assert_eq!(uuid((0, 0)), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid((u64::MAX, u64::MAX)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid((0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef)), "01234567-89ab-4def-8123-456789abcdef");
    }
}
