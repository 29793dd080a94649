//! `/health`, `/ready`, `/ping` and the node's status. They answer while the server starts and stops, and need no
//! place among the requests in flight.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ochre_store::object::Failing;
use ochre_types::DatabaseName;
use ochre_types::token::Action;
use serde_json::{Value, json};

use super::failure::Failure;
use super::object_report;
use super::params::Parameters;
use super::state::App;
use super::v3;
use crate::auth::Identity;

/// The version of this software.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const RETRY: HeaderValue = HeaderValue::from_static("1");

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(media_type))
}

/// `GET /health`: 200 and `pass`, or 503 and `fail` with the reason. As text where that is asked for.
pub async fn health(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let failing = app.objects.get().and_then(|meter| meter.failing());
    let (status, word, message) = match app.health() {
        Ok(()) => (StatusCode::OK, "pass", "ready for queries and writes".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, "fail", reason),
    };
    let mut response = if accepts(&headers, "text/plain") {
        let text = if status == StatusCode::OK { "OK".to_owned() } else { message };
        (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
    } else {
        let body = json!({
            "name": "influxdb",
            "message": message,
            "status": word,
            "checks": failing.iter().map(object_store_check).collect::<Vec<_>>(),
            "version": VERSION,
            "commit": option_env!("OCHRE_COMMIT").unwrap_or("unknown"),
        });
        answer(status, &body)
    };
    if status != StatusCode::OK {
        response.headers_mut().insert(RETRY_AFTER, RETRY);
    }
    response
}

/// A store that fails is no failure of the node as long as writes are taken: it is told beside.
fn object_store_check(failing: &Failing) -> Value {
    json!({ "name": "object-store", "status": "fail", "message": object_report::public(failing) })
}

/// `GET /ready`: 200 once the node serves requests.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.ready() {
        Ok(()) => {
            let started = DateTime::from_timestamp_nanos(app.started).to_rfc3339_opts(SecondsFormat::AutoSi, true);
            let up = ochre_types::size::format_duration(app.up());
            answer(StatusCode::OK, &json!({ "status": "ready", "started": started, "up": up }))
        }
        Err(failure) => v3::failure_response(&failure),
    }
}

/// `GET|HEAD /ping`: 204, or the versions where they are asked for.
pub async fn ping(State(app): State<Arc<App>>, request: Request) -> Response {
    let verbose = Parameters::of(request.uri()).get("verbose").is_some_and(|value| !matches!(value, "false" | "0"));
    if request.method() == Method::HEAD || !(verbose || accepts(request.headers(), "application/json")) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let body = json!({
        "version": app.influxdb_version.to_str().unwrap_or(""),
        "product_name": "Ochre",
        "product_version": VERSION,
    });
    answer(StatusCode::OK, &body)
}

/// `GET /ochre/v1/status`: the state of the node, for `ochre status`, with the databases that the token may read.
pub async fn status(State(app): State<Arc<App>>, identity: Identity) -> Response {
    let status: Result<Value, Failure> = app.backend(&identity).map(|backend| backend.status());
    match status {
        Ok(mut status) => {
            if let Some(meter) = app.objects.get() {
                status["object_store"] = object_report::json(meter);
            }
            if let Some(databases) = status.get_mut("databases").and_then(Value::as_array_mut) {
                databases.retain(|database| may_read(&identity, database));
            }
            answer(StatusCode::OK, &status)
        }
        Err(failure) => v3::failure_response(&failure),
    }
}

fn may_read(identity: &Identity, database: &Value) -> bool {
    let name = database.get("name").and_then(Value::as_str).and_then(|name| DatabaseName::new(name).ok());
    name.is_some_and(|name| identity.may(Action::Read, &name))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
