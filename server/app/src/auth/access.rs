//! Who gets in at all.

use ochre_types::token::TokenHash;

/// Whether the server asks for tokens.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody may do everything: `--without-auth`.
    Everybody,
    /// A token is needed.
    Tokens {
        /// Those of the token file, which may do everything.
        operators: Vec<TokenHash>,
    },
}

impl Access {
    /// Whether tokens are needed.
    pub fn asks_for_tokens(&self) -> bool {
        matches!(self, Self::Tokens { .. })
    }
}
