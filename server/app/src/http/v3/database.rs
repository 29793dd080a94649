//! `/api/v3/configure/database`: list and create.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::StatusCode;
use http::request::Parts;
use ochre_query::QueryResult;
use ochre_types::DatabaseName;
use ochre_types::size::parse_duration;
use ochre_types::token::Action;
use serde::Deserialize;

use super::errors;
use super::query::{answer, format_of};
use crate::auth::Identity;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::{admission, body};

/// `GET /api/v3/configure/database?format&show_deleted`.
pub async fn list(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match try_list(&app, &identity, &parts).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_list(app: &Arc<App>, identity: &Identity, parts: &Parts) -> Result<Response, Failure> {
    let parameters = Parameters::of(&parts.uri);
    let format = format_of(parameters.get("format"), &parts.headers)?;
    let databases = app.backend(identity)?.databases().into_iter();
    let names: Vec<String> = databases.filter(|name| identity.sees(name)).map(|name| name.to_string()).collect();
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    let deleted = BooleanArray::from(vec![false; names.len()]);
    columns.push(("iox::database", Arc::new(StringArray::from(names))));
    if parameters.flag("show_deleted", false)? {
        columns.push(("deleted", Arc::new(deleted)));
    }
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let schema = batch.schema();
    let stream = futures::stream::iter([Ok(batch)]).boxed();
    answer(QueryResult { schema, stream }, format).await
}

#[derive(Deserialize)]
struct Create {
    db: String,
    #[serde(default)]
    retention_period: Option<String>,
}

/// `POST /api/v3/configure/database` with `{"db": …, "retention_period": "30d"}`.
pub async fn create(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    match try_create(&app, &identity, request).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_create(app: &App, identity: &Identity, request: Request) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let backend = app.backend(identity)?;
    let (parts, body) = request.into_parts();
    let received = body::read(app, app.body_limit, &parts.headers, body).await?;
    let wanted: Create = serde_json::from_slice(&received.bytes)
        .map_err(|error| Failure::invalid(format!("the body is not such as {{\"db\": \"mine\"}}: {error}")))?;
    let retention = wanted.retention_period.as_deref().map(parse_duration).transpose();
    let retention = retention.map_err(|error| Failure::invalid(format!("retention_period: {error}")))?;
    let database = DatabaseName::new(&wanted.db)?;
    identity.require(Action::Manage, &database)?;
    if backend.create_database(&database, retention).await? {
        Ok(StatusCode::OK.into_response())
    } else {
        Err(Failure::new(Kind::Conflict, format!("the database {:?} exists already", database.as_str())))
    }
}
