//! `ochre.v1.Management`: what operators say to the server. The contract is `proto/wire/ochre/v1/management.proto`.
//!
//! ```text
//!   message -> domain types (ochre-wire) -> may the caller do that? -> the node -> message
//!                 \-> BadRequest                 \-> PERMISSION_DENIED   \-> refusal: code and details
//! ```
//!
//! # Invariants
//! 1. A caller learns nothing of a database that it may not read, write or manage, not even whether it is there: what
//!    it may do is asked before the node is.
//! 2. A secret is in the answer that makes it, and nowhere else.
//! 3. A request with fields that this release does not know is refused, not half obeyed: see [`unknown`].
//! 4. An error fits into the headers of every client: what there is no room for is counted.

mod refusal;
mod rules;
mod state;
mod tokens;
pub mod unknown;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ochre_database::Node;
use ochre_types::token::Action;
use ochre_wire::v1::management_server::{Management, ManagementServer};
use ochre_wire::{Invalid, name, v1};
use tonic::{Request, Response, Status};

use super::status::{self, About, status_about};
use crate::auth::Identity;
use crate::http::backend::Backend;
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// The most bytes of a request: a document has at most 256 KiB, and lines to be explained are few.
const REQUEST_LIMIT: usize = 4 << 20;

/// The service, for the router.
pub fn service(app: Arc<App>) -> ManagementServer<NodeManagement> {
    ManagementServer::new(NodeManagement { app }).max_decoding_message_size(REQUEST_LIMIT)
}

/// Management of the node.
pub struct NodeManagement {
    app: Arc<App>,
}

/// One call: who makes it, and what it is about.
struct Call {
    app: Arc<App>,
    identity: Identity,
    backend: Arc<dyn Backend>,
    node: Arc<Node>,
}

impl NodeManagement {
    fn begin<T>(&self, request: Request<T>) -> Result<(Call, T), Status> {
        let failed = |failure: Failure| status::status(&failure);
        let identity = Identity::of(request.extensions()).map_err(failed)?;
        let backend = self.app.backend(&identity).map_err(failed)?;
        let node = backend.node().map_err(failed)?;
        Ok((Call { app: self.app.clone(), identity, backend, node }, request.into_inner()))
    }
}

/// The status of a field that is no value of its type.
fn invalid(invalid: &Invalid) -> Status {
    status::invalid(&invalid.path, format!("{}: {}", invalid.path, invalid.message))
}

#[tonic::async_trait]
impl Management for NodeManagement {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (call, v1::GetStatusRequest {}) = self.begin(request)?;
        Ok(Response::new(state::answer(call.node.status(), &call.identity)))
    }

    async fn create_database(
        &self,
        request: Request<v1::CreateDatabaseRequest>,
    ) -> Result<Response<v1::CreateDatabaseResponse>, Status> {
        let (call, request) = self.begin(request)?;
        let name = name::database("name", &request.name).map_err(|error| invalid(&error))?;
        let about = About::Database(name.as_str());
        let made = async {
            call.identity.require(Action::Manage, &name)?;
            match call.backend.create_database(&name).await? {
                true => Ok(()),
                false => Err(Failure::new(Kind::Conflict, format!("the database {:?} exists already", name.as_str()))),
            }
        };
        made.await.map_err(|failure| status_about(&failure, about))?;
        Ok(Response::new(v1::CreateDatabaseResponse {}))
    }

    async fn list_databases(
        &self,
        request: Request<v1::ListDatabasesRequest>,
    ) -> Result<Response<v1::ListDatabasesResponse>, Status> {
        let (call, v1::ListDatabasesRequest {}) = self.begin(request)?;
        let databases = call.node.databases().into_iter().filter(|database| call.identity.sees(&database.name));
        let databases = databases.map(|database| v1::DatabaseInfo::from(&state::listed(database))).collect();
        Ok(Response::new(v1::ListDatabasesResponse { databases }))
    }

    async fn apply_rules(
        &self,
        request: Request<v1::ApplyRulesRequest>,
    ) -> Result<Response<v1::ApplyRulesResponse>, Status> {
        let (call, request) = self.begin(request)?;
        rules::apply(&call, request).await.map(Response::new)
    }

    async fn get_rules(&self, request: Request<v1::GetRulesRequest>) -> Result<Response<v1::GetRulesResponse>, Status> {
        let (call, request) = self.begin(request)?;
        rules::get(&call, &request).map(Response::new)
    }

    async fn list_rules_history(
        &self,
        request: Request<v1::ListRulesHistoryRequest>,
    ) -> Result<Response<v1::ListRulesHistoryResponse>, Status> {
        let (call, request) = self.begin(request)?;
        rules::history(&call, &request).map(Response::new)
    }

    async fn rollback_rules(
        &self,
        request: Request<v1::RollbackRulesRequest>,
    ) -> Result<Response<v1::ApplyRulesResponse>, Status> {
        let (call, request) = self.begin(request)?;
        rules::rollback(&call, &request).await.map(Response::new)
    }

    async fn explain_rules(
        &self,
        request: Request<v1::ExplainRulesRequest>,
    ) -> Result<Response<v1::ExplainRulesResponse>, Status> {
        let (call, request) = self.begin(request)?;
        rules::explain(&call, request).await.map(Response::new)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let (call, request) = self.begin(request)?;
        tokens::create(&call, request).await.map(Response::new)
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (call, v1::ListTokensRequest {}) = self.begin(request)?;
        tokens::list(&call).map(Response::new)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (call, request) = self.begin(request)?;
        tokens::revoke(&call, &request).await.map(Response::new)
    }
}
