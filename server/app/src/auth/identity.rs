//! Who a request comes from.

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::Extensions;
use http::request::Parts;
use ochre_types::DatabaseName;
use ochre_types::token::{Action, Grants};

use super::refusal::{Api, no_token};
use crate::http::failure::{Failure, Kind};

/// Who a request comes from. Handlers take it as an argument, gRPC services from the request's extensions.
#[derive(Debug, Clone)]
pub struct Identity(Who);

#[derive(Debug, Clone)]
enum Who {
    /// The server asks nobody.
    Anybody,
    /// Whoever has a token of the token file.
    Operator,
    /// Whoever has a token of the node's catalog.
    Token { name: String, grants: Grants },
}

impl Identity {
    /// Whoever asks a server without tokens.
    pub(super) fn anybody() -> Self {
        Self(Who::Anybody)
    }

    /// Whoever has a token of the token file.
    pub(super) fn operator() -> Self {
        Self(Who::Operator)
    }

    /// Whoever has the token of that name.
    pub(super) fn token(name: String, grants: Grants) -> Self {
        Self(Who::Token { name, grants })
    }

    /// The identity that the layer put into a request's extensions; without one nothing is allowed.
    pub fn of(extensions: &Extensions) -> Result<Self, Failure> {
        extensions.get().cloned().ok_or_else(no_token)
    }

    /// The token's name, `operator` for those of the token file, `anybody` where no token is needed.
    pub fn name(&self) -> &str {
        match &self.0 {
            Who::Anybody => "anybody",
            Who::Operator => "operator",
            Who::Token { name, .. } => name,
        }
    }

    /// Names that stand for those without a token of the node's catalog, so that no such token may have one.
    pub const RESERVED_NAMES: [&str; 2] = ["anybody", "operator"];

    /// The same where tokens are asked for; `None` where they are not.
    pub fn token_name(&self) -> Option<&str> {
        match &self.0 {
            Who::Anybody => None,
            Who::Operator | Who::Token { .. } => Some(self.name()),
        }
    }

    /// Whether it may do that to a database.
    pub fn may(&self, action: Action, database: &DatabaseName) -> bool {
        match &self.0 {
            Who::Anybody | Who::Operator => true,
            Who::Token { grants, .. } => grants.allows(action, database),
        }
    }

    /// Whether it may know that a database is there: if it may read, write or manage it.
    pub fn sees(&self, database: &DatabaseName) -> bool {
        Action::ALL.into_iter().any(|action| self.may(action, database))
    }

    /// Fails with what is missing unless it may do that to a database.
    pub fn require(&self, action: Action, database: &DatabaseName) -> Result<(), Failure> {
        if self.may(action, database) {
            return Ok(());
        }
        let (may_not, scope) = words(action);
        let (name, database) = (self.name(), database.as_str());
        let message = format!(
            "the token {name:?} may not {may_not} the database {database:?}: it needs the scope {scope}:{database}"
        );
        Err(Failure::new(Kind::Forbidden, message))
    }

    /// Fails with what is missing unless it may do that to every database, those to come included.
    pub fn require_everywhere(&self, action: Action) -> Result<(), Failure> {
        match &self.0 {
            Who::Token { name, grants } if !grants.allows_everywhere(action) => {
                let (may_not, scope) = words(action);
                let message =
                    format!("the token {name:?} may not {may_not} all databases: it needs the scope {scope}:*");
                Err(Failure::new(Kind::Forbidden, message))
            }
            _ => Ok(()),
        }
    }
}

fn words(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Read => ("read", "read"),
        Action::Write => ("write to", "write"),
        Action::Manage => ("manage", "manage"),
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        Self::of(&parts.extensions).map_err(|failure| Api::of(&parts.uri, &parts.headers).response(&failure))
    }
}
