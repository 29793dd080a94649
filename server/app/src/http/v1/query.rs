//! `GET|POST /query`: the few statements that clients send before they write.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use ochre_types::DatabaseName;
use ochre_types::token::Action;

use super::errors;
use super::results::{Form, Message, Series, StatementResult};
use super::statements::{Statement, parse};
use crate::auth::Identity;
use crate::http::backend::Backend;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::{admission, body};

/// Statements of one query.
const STATEMENTS: usize = 1_000;

/// `GET|POST /query?q&db&pretty&chunked&async`.
pub async fn query(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match try_query(&app, &identity, &parts, body).await {
        Ok(response) => response,
        Err(failure) => errors::response(&failure),
    }
}

async fn try_query(app: &App, identity: &Identity, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let _place = admission::admit(app)?;
    let backend = app.backend(identity)?;
    let mut parameters = Parameters::of(&parts.uri);
    if is_form(&parts.headers) {
        let received = body::read(app, app.body_limit, &parts.headers, body).await?;
        parameters.add(&received.bytes);
    }
    let text = parameters.get("q").ok_or_else(|| Failure::invalid("missing required parameter \"q\""))?;
    let statements = parse(text).map_err(|error| Failure::invalid(format!("error parsing query: {error}")))?;
    if statements.len() > STATEMENTS {
        return Err(Failure::invalid(format!(
            "error parsing query: more than {STATEMENTS} statements: send them in parts"
        )));
    }
    for statement in &statements {
        authorize(identity, statement)?;
    }
    let results = run(&*backend, identity, &statements, &parts.method).await?;
    if parameters.flag("async", false)? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let form = form(&parameters, &parts.headers)?;
    Ok(([(CONTENT_TYPE, form.content_type())], form.write(&results)).into_response())
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

fn form(parameters: &Parameters, headers: &HeaderMap) -> Result<Form, Failure> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.starts_with("application/csv") || accept.starts_with("text/csv") {
        return Ok(Form::Csv);
    }
    Ok(Form::Json { pretty: parameters.flag("pretty", false)?, chunked: parameters.flag("chunked", false)? })
}

/// All statements are allowed, or none is run.
fn authorize(identity: &Identity, statement: &Statement) -> Result<(), Failure> {
    let Statement::CreateDatabase { name, .. } = statement else { return Ok(()) };
    // What is no name is told when the statement is run.
    let Ok(database) = DatabaseName::new(name) else { return Ok(()) };
    identity.require(Action::Manage, &database).map_err(|failure| {
        let (user, statement) = (identity.name(), statement.normalised());
        let message = format!(
            "error authorizing query: {user} not authorized to execute statement '{statement}', requires manage on \
             {name}"
        );
        Failure { message, ..failure }
    })
}

/// Runs the statements in order; after one has failed, the others are not run. What may succeed later fails the whole
/// request, so that the client tries again.
async fn run(
    backend: &dyn Backend,
    identity: &Identity,
    statements: &[Statement],
    method: &Method,
) -> Result<Vec<StatementResult>, Failure> {
    let mut results = Vec::with_capacity(statements.len());
    let mut failed = false;
    for (statement_id, statement) in statements.iter().enumerate() {
        let result = if failed {
            StatementResult { error: Some("not executed".to_owned()), ..Default::default() }
        } else {
            match execute(backend, identity, statement, method).await {
                Ok(result) => result,
                Err(failure) if failure.kind == Kind::Unavailable => return Err(failure),
                Err(failure) => StatementResult { error: Some(failure.message), ..Default::default() },
            }
        };
        failed |= result.error.is_some();
        results.push(StatementResult { statement_id, ..result });
    }
    Ok(results)
}

async fn execute(
    backend: &dyn Backend,
    identity: &Identity,
    statement: &Statement,
    method: &Method,
) -> Result<StatementResult, Failure> {
    match statement {
        Statement::CreateDatabase { name, with } => {
            backend.create_database(&DatabaseName::new(name)?).await?;
            let mut messages = Vec::new();
            if method != Method::POST {
                let text = statement.normalised();
                messages.push(warning(format!(
                    "deprecated use of '{text}' in a read only context, please use a POST request instead"
                )));
            }
            if *with {
                messages.push(warning(
                    "the options after WITH are not enforced in this version: rows are kept until they are deleted"
                        .to_owned(),
                ));
            }
            Ok(StatementResult { messages, ..Default::default() })
        }
        Statement::ShowDatabases => {
            let databases = backend.databases().into_iter();
            let values = databases.filter(|name| identity.sees(name)).map(|name| vec![name.to_string()]).collect();
            let series = Series { name: "databases".to_owned(), columns: vec!["name".to_owned()], values };
            Ok(StatementResult { series: vec![series], ..Default::default() })
        }
        Statement::Other(words) => Err(Failure::new(
            Kind::NotImplemented,
            format!(
                "{words} is not supported at /query in this version, only CREATE DATABASE and SHOW DATABASES: ask in SQL \
                 at /api/v3/query_sql"
            ),
        )),
    }
}

fn warning(text: String) -> Message {
    Message { level: "warning", text }
}
