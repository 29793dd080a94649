//! Tokens: made, listed, ended.

use ochre_types::token::{Action, TokenName};
use ochre_wire::token::{NewToken, Token};
use ochre_wire::{Invalid, v1};
use tonic::Status;

use super::refusal::token_refused;
use super::{Call, invalid, state};
use crate::auth::{Identity, Secret};
use crate::grpc::status::status;

impl Call {
    fn require_management(&self) -> Result<(), Status> {
        self.identity.require_everywhere(Action::Manage).map_err(|failure| status(&failure))
    }
}

/// Makes a token. The secret is in the answer; the node keeps its hash.
pub async fn create(call: &Call, request: v1::CreateTokenRequest) -> Result<v1::CreateTokenResponse, Status> {
    call.require_management()?;
    let NewToken { name, grants } = NewToken::try_from(request).map_err(|error| invalid(&error))?;
    if Identity::RESERVED_NAMES.contains(&name.as_str()) {
        let message =
            format!("{name:?} stands for those without a token of their own: choose another", name = name.as_str());
        return Err(invalid(&Invalid::new("name", message)));
    }
    let secret = Secret::random(&*call.app.entropy);
    let made = call.node.create_token(name.clone(), secret.hash(), grants).await;
    made.map_err(|error| token_refused(&error, &name))?;
    tracing::info!(token = %name, by = call.identity.name(), "token made");
    Ok(v1::CreateTokenResponse { token: secret.reveal().to_owned() })
}

/// All tokens by name.
pub fn list(call: &Call) -> Result<v1::ListTokensResponse, Status> {
    call.require_management()?;
    let tokens = call.node.tokens().into_iter().map(|(name, entry)| {
        v1::TokenInfo::from(&Token { name, grants: entry.grants, created: state::instant(entry.created_millis) })
    });
    Ok(v1::ListTokensResponse { tokens: tokens.collect() })
}

/// Ends a token.
pub async fn revoke(call: &Call, request: &v1::RevokeTokenRequest) -> Result<v1::RevokeTokenResponse, Status> {
    call.require_management()?;
    let name = TokenName::new(&request.name).map_err(|error| invalid(&Invalid::new("name", error)))?;
    call.node.revoke_token(&name).await.map_err(|error| token_refused(&error, &name))?;
    tracing::info!(token = %name, by = call.identity.name(), "token ended");
    Ok(v1::RevokeTokenResponse {})
}
