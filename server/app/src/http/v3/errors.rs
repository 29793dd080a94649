//! Failures in the form of InfluxDB 3: `{"error": …}`, for writes with `data`.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use ochre_ingest::line_protocol::Rejected;
use serde::Serialize;

use crate::http::backend::Written;
use crate::http::failure::Failure;

#[derive(Serialize)]
struct Body<'a, D> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

#[derive(Serialize)]
struct BadLine<'a> {
    original_line: &'a str,
    line_number: usize,
    error_message: String,
}

impl<'a> From<&'a Rejected> for BadLine<'a> {
    fn from(rejected: &'a Rejected) -> Self {
        Self { original_line: &rejected.text, line_number: rejected.line_number, error_message: rejected.message() }
    }
}

/// A failure as an answer of this API.
pub fn response(failure: &Failure) -> Response {
    let body = Body { error: &failure.message, data: None::<()> };
    let mut response = json(failure.kind.status(), &body);
    if let Some(seconds) = failure.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What became of a write with bad lines: 422 if a limit refused one of them, else 400.
pub fn partial(written: &Written, accept_partial: bool) -> Response {
    let limited = written.rejected.iter().any(|rejected| rejected.error.is_limit());
    let status = if limited { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
    if accept_partial {
        let data: Vec<BadLine<'_>> = written.rejected.iter().map(BadLine::from).collect();
        json(status, &Body { error: "partial write of line protocol occurred", data: Some(data) })
    } else {
        let data = written.rejected.first().map(BadLine::from);
        json(status, &Body { error: "line protocol parsing error", data })
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
