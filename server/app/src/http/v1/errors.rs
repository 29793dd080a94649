//! Failures in the words of InfluxDB 1. Telegraf looks for some of these phrases.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use ochre_ingest::line_protocol::Rejected;
use serde_json::json;

use crate::http::backend::Written;
use crate::http::failure::{Failure, Kind};

const INFLUXDB_ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");

/// What InfluxDB 1 asks for credentials with.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"InfluxDB\"");

/// The longest text in `X-Influxdb-Error`.
const HEADER_LIMIT: usize = 1024;

/// A failure as an answer of this API.
pub fn response(failure: &Failure) -> Response {
    if failure.kind == Kind::Unauthenticated {
        let mut response = error(failure.kind.status(), "authorization failed");
        response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        return response;
    }
    let mut response = error(failure.kind.status(), &failure.message);
    if let Some(seconds) = failure.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `{"error":"…"}` and the header that repeats it.
pub fn error(status: StatusCode, message: &str) -> Response {
    let body = format!("{}\n", json!({ "error": message }));
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    response.headers_mut().insert(INFLUXDB_ERROR, header_text(message));
    response
}

/// The message as a header can carry it: on one line, in ASCII, shortened.
fn header_text(message: &str) -> HeaderValue {
    let plain = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
    let one_line = message.replace('\n', " ");
    let text: String = one_line.chars().take(HEADER_LIMIT).map(plain).collect();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("?"))
}

/// What InfluxDB 1 says of a write with bad lines: all of them bad, or some with the others stored.
pub fn partial_message(written: &Written) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for reason in written.rejected.iter().map(Rejected::message) {
        // What is wrong with many lines alike, as with those that are too old, is said once.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let mut text = reasons.join("\n");
    let unnamed = written.rejected_total.saturating_sub(written.rejected.len());
    if unnamed > 0 {
        text.push_str(&format!("\nand {unnamed} more lines"));
    }
    if has_no_points(written) {
        return text;
    }
    format!("partial write: {text} dropped={}", dropped(written))
}

/// Whether no line could be read at all. A line that can be read is a point, even if it does not fit its table.
pub fn has_no_points(written: &Written) -> bool {
    written.lines == 0 && dropped(written) == 0
}

fn dropped(written: &Written) -> usize {
    written.rejected.iter().filter(|rejected| !rejected.error.is_syntax()).count()
}
