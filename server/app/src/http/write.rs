//! What the three write APIs have in common: from a body to what became of its lines.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use ochre_ingest::line_protocol::{Flavour, Options, Precision};
use ochre_types::DatabaseName;
use ochre_types::token::Action;

use super::backend::Written;
use super::body;
use super::failure::Failure;
use super::state::App;
use crate::auth::Identity;

/// How many lines of a write were stored. Of our own; clients of InfluxDB ignore it.
pub const LINES_WRITTEN: HeaderName = HeaderName::from_static("x-ochre-lines-written");
/// How many lines of a write were refused.
pub const LINES_REJECTED: HeaderName = HeaderName::from_static("x-ochre-lines-rejected");

/// How a write is to be read.
pub struct Target {
    /// Where the rows go.
    pub database: DatabaseName,
    /// The unit of its timestamps.
    pub precision: Precision,
    /// Whose rules hold for its lines.
    pub flavour: Flavour,
    /// Whether the good lines are kept if others are bad.
    pub accept_partial: bool,
}

/// Reads the body and stores its lines. `None` if the body has no bytes at all.
pub async fn write(
    app: &App,
    identity: &Identity,
    target: &Target,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Written>, Failure> {
    identity.require(Action::Write, &target.database)?;
    let backend = app.backend(identity)?;
    let limit = app.body_limit.min(backend.body_limit(&target.database).as_usize());
    let received = body::read(app, limit, headers, body).await?;
    if received.bytes.is_empty() {
        return Ok(None);
    }
    let options = Options {
        precision: target.precision,
        default_time: app.clock.wall_nanos(),
        flavour: target.flavour,
        accept_partial: target.accept_partial,
        max_reported: app.reported_lines,
        ..Options::default()
    };
    app.metrics.body_bytes.inc_by(received.bytes.len() as u64);
    let written = backend.write(&target.database, received.bytes, &options).await?;
    drop(received.lease);
    app.metrics.lines_written.inc_by(written.lines as u64);
    app.metrics.lines_rejected.inc_by(written.rejected_total as u64);
    if written.rejected_total > 0 {
        tracing::debug!(database = %target.database, refused = written.rejected_total, "lines were refused");
    }
    Ok(Some(written))
}

/// Adds how many lines were stored and refused.
pub fn counted(written: &Written, mut response: Response) -> Response {
    response.headers_mut().insert(LINES_WRITTEN, HeaderValue::from(written.lines));
    response.headers_mut().insert(LINES_REJECTED, HeaderValue::from(written.rejected_total));
    response
}

/// The precisions of the APIs of InfluxDB 1 and 2.
pub fn classic_precision(text: &str) -> Option<Precision> {
    match text {
        "" | "n" | "ns" => Some(Precision::Nanosecond),
        "u" | "us" | "µ" => Some(Precision::Microsecond),
        "ms" => Some(Precision::Millisecond),
        "s" => Some(Precision::Second),
        "m" => Some(Precision::Minute),
        "h" => Some(Precision::Hour),
        _ => None,
    }
}
