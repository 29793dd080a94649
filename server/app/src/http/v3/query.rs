//! `/api/v3/query_sql`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use ochre_query::format::UnknownFormat;
use ochre_query::{Format, Params, QueryResult};
use ochre_types::DatabaseName;
use ochre_types::token::Action;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::errors;
use crate::auth::Identity;
use crate::http::failure::Failure;
use crate::http::node::query_failure;
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::{admission, body, deletes};

/// What is asked.
#[derive(Deserialize)]
struct Ask {
    db: String,
    q: String,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    params: Option<Map<String, Value>>,
}

/// `GET /api/v3/query_sql?db&q&format&params`.
pub async fn query_get(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let ask = ask_of(&Parameters::of(&parts.uri));
    respond(&app, &identity, ask, &parts.headers).await
}

/// `POST /api/v3/query_sql` with a JSON object or a form.
pub async fn query_post(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let ask = match body::read(&app, app.body_limit, &parts.headers, body).await {
        Ok(received) => posted(&parts.headers, &Parameters::of(&parts.uri), &received.bytes),
        Err(failure) => Err(failure),
    };
    respond(&app, &identity, ask, &parts.headers).await
}

fn posted(headers: &HeaderMap, url: &Parameters, body: &[u8]) -> Result<Ask, Failure> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let mut parameters = url.clone();
        parameters.add(body);
        return ask_of(&parameters);
    }
    serde_json::from_slice(body).map_err(|error| {
        Failure::invalid(format!("the body is not such as {{\"db\": \"mine\", \"q\": \"SELECT 1\"}}: {error}"))
    })
}

fn ask_of(parameters: &Parameters) -> Result<Ask, Failure> {
    let needed = |name: &str| {
        let value = parameters.get(name).map(str::to_owned);
        value.ok_or_else(|| Failure::invalid(format!("the parameter {name} is missing: both db and q are needed")))
    };
    let params = match parameters.get("params") {
        None => None,
        Some(text) => Some(serde_json::from_str(text).map_err(|error| {
            Failure::invalid(format!("the parameter params is not a JSON object such as {{\"host\": \"a\"}}: {error}"))
        })?),
    };
    Ok(Ask { db: needed("db")?, q: needed("q")?, format: parameters.get("format").map(str::to_owned), params })
}

async fn respond(app: &Arc<App>, identity: &Identity, ask: Result<Ask, Failure>, headers: &HeaderMap) -> Response {
    let place = match admission::admit(app) {
        Ok(place) => place,
        Err(failure) => return errors::response(&failure),
    };
    let asked = async {
        let ask = ask?;
        let format = format_of(ask.format.as_deref(), headers)?;
        let database = DatabaseName::new(&ask.db)?;
        if let Some(deleted) = deletes::sql(app, identity, &database, &ask.q).await {
            return answer(deleted?, format).await;
        }
        identity.require(Action::Read, &database)?;
        let params =
            Params::new(ask.params.unwrap_or_default()).map_err(|error| Failure::invalid(error.to_string()))?;
        let backend = app.backend(identity)?;
        let result = backend.query(&database, &ask.q, &params).await?;
        answer(result, format).await
    };
    match asked.await {
        Ok(response) => place.until_sent(response),
        Err(failure) => errors::response(&failure),
    }
}

/// The format asked for by name, or else by Accept.
pub fn format_of(name: Option<&str>, headers: &HeaderMap) -> Result<Format, Failure> {
    if let Some(name) = name {
        return name.parse().map_err(|error: UnknownFormat| Failure::invalid(error.to_string()));
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    accept.split(',').find_map(media_type).ok_or_else(|| {
        Failure::invalid(format!(
            "none of the types in Accept ({accept}) can be answered: accept application/json, application/jsonl, \
             text/csv, text/plain, application/vnd.apache.parquet or application/vnd.apache.arrow.stream"
        ))
    })
}

fn media_type(range: &str) -> Option<Format> {
    match range.split(';').next().unwrap_or("").trim() {
        "*/*" | "application/*" | "application/json" | "text/html" | "" => Some(Format::Json),
        "application/jsonl" | "application/x-ndjson" => Some(Format::JsonLines),
        "text/csv" => Some(Format::Csv),
        "text/plain" => Some(Format::Pretty),
        "application/vnd.apache.parquet" => Some(Format::Parquet),
        "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
        _ => None,
    }
}

/// The rows of `result`, sent as they come. Waits for the first piece, so that a query that fails at once still gets
/// a status of its own; one that fails later ends the answer in the middle, which clients notice.
pub async fn answer(result: QueryResult, format: Format) -> Result<Response, Failure> {
    let mut pieces = format.encode(result);
    let first = match pieces.next().await {
        Some(Ok(first)) => Some(first),
        Some(Err(error)) => return Err(query_failure(error)),
        None => None,
    };
    let rest = pieces.map(|piece| {
        piece.map_err(|error| {
            tracing::warn!(%error, "a query failed while its answer was being sent: the answer ends in the middle");
            std::io::Error::other(error.to_string())
        })
    });
    let whole = futures::stream::iter(first.map(Ok)).chain(rest);
    let content_type = HeaderValue::from_static(format.content_type());
    Ok(([(CONTENT_TYPE, content_type)], Body::from_stream(whole)).into_response())
}
