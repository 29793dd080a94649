//! `POST /write`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ochre_ingest::line_protocol::Flavour;

use super::errors;
use crate::auth::Identity;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::write::{Target, classic_precision, counted, write as write_lines};
use crate::http::{admission, names};

/// `POST /write?db&rp&precision&consistency`.
pub async fn write(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    match try_write(&app, &identity, request).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_write(app: &App, identity: &Identity, request: Request) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let target = target(app, &parameters)?;
    let written = match write_lines(app, identity, &target, &parts.headers, body).await {
        Ok(Some(written)) => written,
        Ok(None) => return Ok(StatusCode::OK.into_response()),
        Err(failure) => return Err(in_words_of_v1(app, identity, &parameters, &target, failure)),
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

fn in_words_of_v1(
    app: &App,
    identity: &Identity,
    parameters: &Parameters,
    target: &Target,
    failure: Failure,
) -> Failure {
    let message = match failure.kind {
        Kind::UnknownDatabase => unknown(app, identity, parameters),
        Kind::Forbidden => {
            let (user, database) = (identity.name(), target.database.as_str());
            format!("{user:?} user is not authorized to write to database {database:?}")
        }
        _ => return failure,
    };
    Failure { message, ..failure }
}

/// Telegraf creates what it reads to be missing: the database, or its policy.
fn unknown(app: &App, identity: &Identity, parameters: &Parameters) -> String {
    let (db, rp) = (parameters.get("db").unwrap_or(""), parameters.get("rp").unwrap_or(""));
    let databases = app.backend(identity).map(|backend| backend.databases()).unwrap_or_default();
    if databases.iter().any(|database| database.as_str() == db && identity.sees(database)) {
        format!("retention policy not found: {rp:?}")
    } else {
        format!("database not found: {db:?}")
    }
}
