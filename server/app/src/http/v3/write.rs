//! `POST /api/v3/write_lp`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ochre_ingest::line_protocol::{Flavour, Precision};
use ochre_types::DatabaseName;

use super::errors;
use crate::auth::Identity;
use crate::http::admission;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::write::{Target, counted, write as write_lines};

/// `POST /api/v3/write_lp?db&precision&accept_partial&no_sync`. `no_sync` is understood and not needed: the
/// database's `ack` rule decides when a write is acknowledged.
pub async fn write(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    match try_write(&app, &identity, request).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_write(app: &App, identity: &Identity, request: Request) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let (parts, body) = request.into_parts();
    let target = target(&Parameters::of(&parts.uri))?;
    let written = match write_lines(app, identity, &target, &parts.headers, body).await {
        Ok(Some(written)) => written,
        Ok(None) => return Err(empty()),
        Err(failure) if failure.kind == Kind::UnknownDatabase => {
            return Err(Failure { message: format!("database not found: {:?}", target.database.as_str()), ..failure });
        }
        Err(failure) => return Err(failure),
    };
    let response = if written.rejected_total > 0 {
        errors::partial(&written, target.accept_partial)
    } else if written.lines == 0 {
        return Err(empty());
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    Ok(counted(&written, response))
}

fn empty() -> Failure {
    Failure::invalid("the write has no lines: send at least one line of line protocol")
}

fn target(parameters: &Parameters) -> Result<Target, Failure> {
    let db = parameters.get("db");
    let db = db.ok_or_else(|| Failure::invalid("the parameter db is missing: name the database, such as ?db=mine"))?;
    parameters.flag("no_sync", false)?;
    Ok(Target {
        database: DatabaseName::new(db)?,
        precision: precision(parameters.get("precision").unwrap_or("auto"))?,
        flavour: Flavour::V3,
        accept_partial: parameters.flag("accept_partial", true)?,
    })
}

fn precision(text: &str) -> Result<Precision, Failure> {
    match text {
        "auto" => Ok(Precision::Auto),
        "second" | "s" => Ok(Precision::Second),
        "millisecond" | "ms" => Ok(Precision::Millisecond),
        "microsecond" | "us" | "u" => Ok(Precision::Microsecond),
        "nanosecond" | "ns" | "n" => Ok(Precision::Nanosecond),
        other => Err(Failure::invalid(format!(
            "the parameter precision is {other:?}: write auto, second, millisecond, microsecond or nanosecond"
        ))),
    }
}
