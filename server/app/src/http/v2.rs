//! InfluxDB 2: `/api/v2/write`, which many clients of InfluxDB 3 use as well, and `/api/v2/delete`.

mod delete;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use ochre_ingest::line_protocol::{Flavour, Precision};
use serde_json::json;

use super::backend::Written;
use super::failure::{Failure, Kind};
use super::params::Parameters;
use super::state::App;
use super::write::{Target, counted, write as write_lines};
use super::{admission, names, v1};
use crate::auth::Identity;

pub use delete::delete;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-platform-error-code");

/// `POST /api/v2/write?org&bucket&precision`.
pub async fn write(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    match try_write(&app, &identity, request).await {
        Ok(response) => response,
        Err(failure) => response(&failure),
    }
}

async fn try_write(app: &App, identity: &Identity, request: Request) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let (parts, body) = request.into_parts();
    let target = target(app, &Parameters::of(&parts.uri))?;
    let written = match write_lines(app, identity, &target, &parts.headers, body).await {
        Ok(Some(written)) => written,
        // InfluxDB 2 replicating to here checks its credentials with an empty write.
        Ok(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Err(failure) if failure.kind == Kind::UnknownDatabase => {
            return Err(Failure { message: format!("bucket {:?} not found", target.database.as_str()), ..failure });
        }
        Err(failure) => return Err(failure),
    };
    let answer =
        if written.rejected_total == 0 { StatusCode::NO_CONTENT.into_response() } else { response(&partial(&written)) };
    Ok(counted(&written, answer))
}

/// Some lines stored and others not is 422; nothing but lines that can't be read is 400.
fn partial(written: &Written) -> Failure {
    let message = v1::partial_message(written);
    if v1::has_no_points(written) {
        Failure::invalid(message)
    } else {
        Failure::new(Kind::Unprocessable, format!("failure writing points to database: {message}"))
    }
}

fn target(app: &App, parameters: &Parameters) -> Result<Target, Failure> {
    let bucket = parameters.get("bucket").or_else(|| parameters.get("bucketID"));
    let bucket = bucket.ok_or_else(|| Failure::new(Kind::UnknownDatabase, "bucket not found"))?;
    let precision = match parameters.get("precision").unwrap_or("ns") {
        "ns" | "n" => Precision::Nanosecond,
        "us" | "u" => Precision::Microsecond,
        "ms" => Precision::Millisecond,
        "s" => Precision::Second,
        _ => return Err(Failure::invalid("invalid precision; valid precision units are ns, us, ms, and s")),
    };
    Ok(Target {
        database: names::from_bucket(bucket)?,
        precision,
        flavour: Flavour::V2,
        accept_partial: !app.refuse_partial_writes,
    })
}

/// A failure as an answer of this API.
pub fn response(failure: &Failure) -> Response {
    let code = code(failure.kind);
    let body = json!({ "code": code, "message": failure.message }).to_string();
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let mut response =
        (failure.kind.status(), [content_type, (ERROR_CODE, HeaderValue::from_static(code))], body).into_response();
    if let Some(seconds) = failure.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthenticated => "unauthorized",
        Kind::Forbidden => "forbidden",
        Kind::Invalid | Kind::MediaType => "invalid",
        Kind::UnknownDatabase => "not found",
        Kind::Conflict => "conflict",
        Kind::TooLarge => "request too large",
        Kind::Unprocessable => "unprocessable entity",
        Kind::NotImplemented => "method not allowed",
        Kind::Timeout => "request timeout",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal error",
    }
}

#[cfg(test)]
mod tests;
