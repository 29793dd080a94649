//! `POST /write`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ochre_ingest::line_protocol::Flavour;

use super::errors;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::write::{Target, classic_precision, counted, write as write_lines};
use crate::http::{admission, names};

/// `POST /write?db&rp&precision&consistency`.
pub async fn write(State(app): State<Arc<App>>, request: Request) -> Response {
    match try_write(&app, request).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_write(app: &App, request: Request) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let target = target(app, &parameters)?;
    let written = match write_lines(app, &target, &parts.headers, body).await {
        Ok(Some(written)) => written,
        Ok(None) => return Ok(StatusCode::OK.into_response()),
        Err(failure) => return Err(unknown(app, &parameters, failure)),
    };
    let response = if written.rejected_total == 0 {
        StatusCode::NO_CONTENT.into_response()
    } else {
        errors::error(StatusCode::BAD_REQUEST, &errors::partial_message(&written))
    };
    Ok(counted(&written, response))
}

fn target(app: &App, parameters: &Parameters) -> Result<Target, Failure> {
    let db = parameters.get("db").ok_or_else(|| Failure::invalid("database is required"))?;
    let database = names::from_policy(db, parameters.get("rp").unwrap_or(""))?;
    let given = parameters.get("precision").unwrap_or("");
    let precision = classic_precision(given)
        .ok_or_else(|| Failure::invalid(format!("invalid precision {given:?} (use n, u, ms, s, m or h)")))?;
    match parameters.get("consistency").unwrap_or("").to_ascii_lowercase().as_str() {
        "" | "any" | "one" | "quorum" | "all" => {}
        other => {
            return Err(Failure::invalid(format!("invalid consistency level {other:?} (use any, one, quorum or all)")));
        }
    }
    Ok(Target { database, precision, flavour: Flavour::V1, accept_partial: !app.refuse_partial_writes })
}

/// Telegraf creates what it reads to be missing: the database, or its policy.
fn unknown(app: &App, parameters: &Parameters, failure: Failure) -> Failure {
    if failure.kind != Kind::UnknownDatabase {
        return failure;
    }
    let (db, rp) = (parameters.get("db").unwrap_or(""), parameters.get("rp").unwrap_or(""));
    let databases = app.backend().map(|backend| backend.databases()).unwrap_or_default();
    let message = if databases.iter().any(|database| database.as_str() == db) {
        format!("retention policy not found: {rp:?}")
    } else {
        format!("database not found: {db:?}")
    };
    Failure { message, ..failure }
}
