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
use crate::http::{admission, body, names};

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
    // A name that is none is told by the statement that needs it.
    let rp = parameters.get("rp").unwrap_or("");
    let database = parameters.get("db").and_then(|db| names::from_policy(db, rp).ok());
    for statement in &statements {
        authorize(identity, statement, database.as_ref())?;
    }
    let asked = Asked { identity, method: &parts.method, database: database.as_ref() };
    let results = run(&*backend, &asked, &statements).await?;
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

/// Who asks, how, and about which database, unless a statement says.
struct Asked<'a> {
    identity: &'a Identity,
    method: &'a Method,
    database: Option<&'a DatabaseName>,
}

/// All statements are allowed, or none is run.
fn authorize(identity: &Identity, statement: &Statement, of_request: Option<&DatabaseName>) -> Result<(), Failure> {
    let needs = match statement {
        // What is no name is told when the statement is run.
        Statement::CreateDatabase { name, .. } => DatabaseName::new(name).ok().map(|name| (Action::Manage, name)),
        Statement::Delete(deletion) => deletion.needs(of_request),
        Statement::ShowDatabases | Statement::Other(_) => None,
    };
    let Some((action, database)) = needs else { return Ok(()) };
    identity.require(action, &database).map_err(|failure| {
        let (user, statement) = (identity.name(), statement.normalised());
        let message = format!(
            "error authorizing query: {user} not authorized to execute statement '{statement}', requires {action} on \
             {database}"
        );
        Failure { message, ..failure }
    })
}

/// Runs the statements in order; after one has failed, the others are not run. What may succeed later fails the whole
/// request, so that the client tries again.
async fn run(
    backend: &dyn Backend,
    asked: &Asked<'_>,
    statements: &[Statement],
) -> Result<Vec<StatementResult>, Failure> {
    let mut results = Vec::with_capacity(statements.len());
    let mut failed = false;
    for (statement_id, statement) in statements.iter().enumerate() {
        let result = if failed {
            StatementResult { error: Some("not executed".to_owned()), ..Default::default() }
        } else {
            match execute(backend, asked, statement).await {
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

async fn execute(backend: &dyn Backend, asked: &Asked<'_>, statement: &Statement) -> Result<StatementResult, Failure> {
    match statement {
        Statement::CreateDatabase { name, duration, ignored } => {
            backend.create_database(&DatabaseName::new(name)?, *duration).await?;
            let mut messages = read_only_context(asked, statement);
            if *ignored {
                let text = "of the options after WITH only DURATION has a meaning here: the others are passed over";
                messages.push(warning(text.to_owned()));
            }
            Ok(StatementResult { messages, ..Default::default() })
        }
        Statement::ShowDatabases => {
            let databases = backend.databases().into_iter();
            let values =
                databases.filter(|name| asked.identity.sees(name)).map(|name| vec![name.to_string()]).collect();
            let series = Series { name: "databases".to_owned(), columns: vec!["name".to_owned()], values };
            Ok(StatementResult { series: vec![series], ..Default::default() })
        }
        Statement::Delete(deletion) => {
            deletion.run(&*backend.node()?, asked.database).await?;
            Ok(StatementResult { messages: read_only_context(asked, statement), ..Default::default() })
        }
        Statement::Other(words) => Err(Failure::new(
            Kind::NotImplemented,
            format!(
                "{words} is not supported at /query in this version, only CREATE and SHOW of databases, and DROP and \
                 DELETE: ask in SQL at /api/v3/query_sql"
            ),
        )),
    }
}

/// InfluxDB's word to whoever changes something with GET.
fn read_only_context(asked: &Asked<'_>, statement: &Statement) -> Vec<Message> {
    if asked.method == Method::POST {
        return Vec::new();
    }
    let text = statement.normalised();
    vec![warning(format!("deprecated use of '{text}' in a read only context, please use a POST request instead"))]
}

fn warning(text: String) -> Message {
    Message { level: "warning", text }
}
