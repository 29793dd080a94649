//! `DELETE /api/v3/configure/database` and `/api/v3/configure/table`: drops, which can be taken back for a while.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use ochre_types::token::Action;
use ochre_types::{DatabaseName, TableName};

use super::errors;
use crate::auth::Identity;
use crate::http::failure::Failure;
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::{admission, deletes};

/// `DELETE /api/v3/configure/database?db&hard_delete_at`.
pub async fn drop_database(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let dropped = async {
        let _place = admission::admit(&app)?;
        let (database, _) = target(&parts)?;
        identity.require(Action::Manage, &database)?;
        let node = app.backend(&identity)?.node()?;
        node.drop_database(&database).await.map_err(deletes::failure)
    };
    answer(dropped.await.map(|_| ()))
}

/// `DELETE /api/v3/configure/table?db&table&hard_delete_at`.
pub async fn drop_table(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let dropped = async {
        let _place = admission::admit(&app)?;
        let (database, parameters) = target(&parts)?;
        let table = parameters.get("table").ok_or_else(|| missing("table"))?;
        let table = TableName::new(table)?;
        identity.require(Action::Manage, &database)?;
        let node = app.backend(&identity)?.node()?;
        deletes::database(&node, &database)?.drop_table(&table).await.map_err(deletes::failure)
    };
    answer(dropped.await.map(|_| ()))
}

fn answer(dropped: Result<(), Failure>) -> Response {
    match dropped {
        Ok(()) => StatusCode::OK.into_response(),
        Err(failure) => errors::response(&failure),
    }
}

fn missing(name: &str) -> Failure {
    Failure::invalid(format!("the parameter {name} is missing"))
}

fn target(parts: &Parts) -> Result<(DatabaseName, Parameters), Failure> {
    let parameters = Parameters::of(&parts.uri);
    let database = DatabaseName::new(parameters.get("db").ok_or_else(|| missing("db"))?)?;
    match parameters.get("hard_delete_at") {
        None | Some("default") => Ok((database, parameters)),
        Some(other) => Err(Failure::invalid(format!(
            "hard_delete_at={other} is not supported: leave it out; how long what was dropped can be brought back is \
             said by lifecycle.undrop_within in the database's rules"
        ))),
    }
}
