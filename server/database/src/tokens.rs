//! The tokens of a node: kept in its catalog, found by their hash.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_store::catalog::{NodeEdit, NodeState, TokenEntry};
use ochre_types::token::{Grants, TokenHash, TokenName};
use parking_lot::RwLock;

use crate::node::Node;

/// The tokens that a node may have.
pub const MAX_TOKENS: usize = 10_000;

/// Why a token was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is one of this name.
    #[error("token {0} is there already: choose another name, or revoke it first")]
    Exists(TokenName),
    /// There is none of this name.
    #[error("token {0} is not known")]
    Unknown(TokenName),
    /// It would be good for nothing.
    #[error("token {0} would allow nothing: give it at least one scope, such as read:metrics")]
    NoScopes(TokenName),
    /// There are too many.
    #[error("there are {MAX_TOKENS} tokens, and no more are allowed: revoke those that are not used")]
    TooMany,
    /// Another token has this secret.
    #[error("the secret of token {0} is another token's: draw a new one")]
    SecretInUse(TokenName),
    /// The catalog did not take the change, or did not say so.
    #[error("the catalog did not take the change: {0}; try again")]
    Catalog(String),
}

type ByHash = BTreeMap<TokenHash, (TokenName, Grants)>;

/// The tokens of one state of the node's catalog, by hash. Made anew when the catalog has changed.
#[derive(Debug, Default)]
pub(crate) struct TokenIndex(RwLock<Option<(Arc<NodeState>, Arc<ByHash>)>>);

impl TokenIndex {
    fn of(&self, state: &Arc<NodeState>) -> Arc<ByHash> {
        if let Some((held, index)) = &*self.0.read()
            && Arc::ptr_eq(held, state)
        {
            return index.clone();
        }
        let tokens = state.tokens.iter();
        let index = Arc::new(tokens.map(|(name, entry)| (entry.hash, (name.clone(), entry.grants.clone()))).collect());
        *self.0.write() = Some((state.clone(), Arc::clone(&index)));
        index
    }
}

impl Node {
    /// Keeps a new token, of which only the hash is known here. On success it is valid at once.
    pub async fn create_token(&self, name: TokenName, hash: TokenHash, grants: Grants) -> Result<(), TokenError> {
        let _one_at_a_time = self.applying.lock().await;
        let state = self.catalog.state();
        if state.tokens.contains_key(&name) {
            return Err(TokenError::Exists(name));
        }
        if grants.0.is_empty() {
            return Err(TokenError::NoScopes(name));
        }
        if state.tokens.len() >= MAX_TOKENS {
            return Err(TokenError::TooMany);
        }
        if self.token_index.of(&state).contains_key(&hash) {
            return Err(TokenError::SecretInUse(name));
        }
        let created_millis = self.shared.env.clock.wall_millis();
        let edit = NodeEdit::SetToken { name, entry: TokenEntry { hash, grants, created_millis } };
        self.catalog.commit(vec![edit]).await.map_err(|error| TokenError::Catalog(error.to_string()))?;
        Ok(())
    }

    /// Ends a token. On success nobody gets in with it any more.
    pub async fn revoke_token(&self, name: &TokenName) -> Result<(), TokenError> {
        let _one_at_a_time = self.applying.lock().await;
        if !self.catalog.state().tokens.contains_key(name) {
            return Err(TokenError::Unknown(name.clone()));
        }
        let edit = NodeEdit::RemoveToken(name.clone());
        self.catalog.commit(vec![edit]).await.map_err(|error| TokenError::Catalog(error.to_string()))?;
        Ok(())
    }

    /// The tokens by name.
    pub fn tokens(&self) -> BTreeMap<TokenName, TokenEntry> {
        self.catalog.state().tokens.clone()
    }

    /// The token with this hash.
    pub fn token(&self, hash: &TokenHash) -> Option<(TokenName, Grants)> {
        self.token_index.of(&self.catalog.state()).get(hash).cloned()
    }
}
