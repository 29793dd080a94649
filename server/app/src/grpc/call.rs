//! One call of the services of operators: who makes it, and what it is about.

use std::sync::Arc;

use ochre_database::attach::Attached;
use ochre_database::{Database, Node};
use ochre_types::DatabaseName;
use ochre_types::token::Action;
use ochre_wire::{Invalid, name};
use tonic::{Request, Status};

use super::status::{About, invalid as invalid_field, status, status_about};
use crate::auth::Identity;
use crate::http::backend::Backend;
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// The most bytes of a request: a document has at most 256 KiB, and lines to be explained are few.
pub const REQUEST_LIMIT: usize = 4 << 20;

/// One call.
pub struct Call {
    /// The server.
    pub app: Arc<App>,
    /// Who asks.
    pub identity: Identity,
    /// The node as the interfaces see it.
    pub backend: Arc<dyn Backend>,
    /// The node itself.
    pub node: Arc<Node>,
}

impl Call {
    /// The call that a request makes, and its message.
    pub fn begin<T>(app: &Arc<App>, request: Request<T>) -> Result<(Self, T), Status> {
        let failed = |failure: Failure| status(&failure);
        let identity = Identity::of(request.extensions()).map_err(failed)?;
        let backend = app.backend(&identity).map_err(failed)?;
        let node = backend.node().map_err(failed)?;
        Ok((Self { app: app.clone(), identity, backend, node }, request.into_inner()))
    }

    /// Who asks a server that only reads another's objects, and what it has seen of them; `None` if the server is none.
    pub fn attached<T>(app: &Arc<App>, request: &Request<T>) -> Result<Option<(Identity, Arc<Attached>)>, Status> {
        let failed = |failure: Failure| status(&failure);
        let identity = Identity::of(request.extensions()).map_err(failed)?;
        let attached = app.backend(&identity).map_err(failed)?.attached();
        Ok(attached.map(|attached| (identity, attached)))
    }

    /// The name of a database, if the caller may do that to it. Whether it is there is not asked.
    pub fn named(&self, action: Action, database: &str) -> Result<DatabaseName, Status> {
        let name = name::database("database", database).map_err(|error| invalid(&error))?;
        self.identity.require(action, &name).map_err(|failure| status(&failure))?;
        Ok(name)
    }

    /// A database that is served, if the caller may do that to it.
    pub fn database(&self, action: Action, database: &str) -> Result<Arc<Database>, Status> {
        let name = self.named(action, database)?;
        if let Some(found) = self.node.database(&name) {
            return Ok(found);
        }
        let failure = match self.node.reason_not_served(&name) {
            Some(reason) => Failure::unavailable(format!("database {name} is not served: {reason}"), None),
            None => Failure::new(Kind::UnknownDatabase, format!("database not found: {:?}", name.as_str())),
        };
        Err(status_about(&failure, About::Database(name.as_str())))
    }

    /// Fails unless the caller may do that to every database, those to come included.
    pub fn require_everywhere(&self, action: Action) -> Result<(), Status> {
        self.identity.require_everywhere(action).map_err(|failure| status(&failure))
    }

    /// The name of the caller's token; empty where none is asked for.
    pub fn by(&self) -> String {
        self.identity.token_name().unwrap_or_default().to_owned()
    }
}

/// The status of a field that is no value of its type.
pub fn invalid(invalid: &Invalid) -> Status {
    invalid_field(&invalid.path, format!("{}: {}", invalid.path, invalid.message))
}
