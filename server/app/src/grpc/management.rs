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

pub use state::instant;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use ochre_types::token::Action;
use ochre_wire::v1::management_server::{Management, ManagementServer};
use ochre_wire::{name, v1};
use tonic::{Request, Response, Status};

use super::call::{Call, REQUEST_LIMIT, invalid};
use super::status::{About, status_about};
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// The service, for the router.
pub fn service(app: Arc<App>) -> ManagementServer<NodeManagement> {
    ManagementServer::new(NodeManagement { app }).max_decoding_message_size(REQUEST_LIMIT)
}

/// Management of the node.
pub struct NodeManagement {
    app: Arc<App>,
}

#[tonic::async_trait]
impl Management for NodeManagement {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        if let Some((identity, attached)) = Call::attached(&self.app, &request)? {
            let objects = self.app.objects.get().map(|meter| &**meter);
            return Ok(Response::new(state::attached(attached.status(), objects, &identity)));
        }
        let (call, v1::GetStatusRequest {}) = Call::begin(&self.app, request)?;
        Ok(Response::new(state::answer(
            call.node.status(),
            self.app.objects.get().map(|meter| &**meter),
            &call.identity,
        )))
    }

    async fn create_database(
        &self,
        request: Request<v1::CreateDatabaseRequest>,
    ) -> Result<Response<v1::CreateDatabaseResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        let name = name::database("name", &request.name).map_err(|error| invalid(&error))?;
        let about = About::Database(name.as_str());
        let made = async {
            call.identity.require(Action::Manage, &name)?;
            match call.backend.create_database(&name, None).await? {
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
        let (call, v1::ListDatabasesRequest {}) = Call::begin(&self.app, request)?;
        let databases = call.node.databases().into_iter().filter(|database| call.identity.sees(&database.name));
        let databases = databases.map(|database| v1::DatabaseInfo::from(&state::listed(database))).collect();
        Ok(Response::new(v1::ListDatabasesResponse { databases }))
    }

    async fn apply_rules(
        &self,
        request: Request<v1::ApplyRulesRequest>,
    ) -> Result<Response<v1::ApplyRulesResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        rules::apply(&call, request).await.map(Response::new)
    }

    async fn get_rules(&self, request: Request<v1::GetRulesRequest>) -> Result<Response<v1::GetRulesResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        rules::get(&call, &request).map(Response::new)
    }

    async fn list_rules_history(
        &self,
        request: Request<v1::ListRulesHistoryRequest>,
    ) -> Result<Response<v1::ListRulesHistoryResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        rules::history(&call, &request).map(Response::new)
    }

    async fn rollback_rules(
        &self,
        request: Request<v1::RollbackRulesRequest>,
    ) -> Result<Response<v1::ApplyRulesResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        rules::rollback(&call, &request).await.map(Response::new)
    }

    async fn explain_rules(
        &self,
        request: Request<v1::ExplainRulesRequest>,
    ) -> Result<Response<v1::ExplainRulesResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        rules::explain(&call, request).await.map(Response::new)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        tokens::create(&call, request).await.map(Response::new)
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (call, v1::ListTokensRequest {}) = Call::begin(&self.app, request)?;
        tokens::list(&call).map(Response::new)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (call, request) = Call::begin(&self.app, request)?;
        tokens::revoke(&call, &request).await.map(Response::new)
    }
}
