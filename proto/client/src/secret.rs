//! A token's secret, which never shows itself.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};

/// The longest secret, in bytes: what fits into a header with room to spare.
const LIMIT: usize = 4 << 10;

/// The secret of a token. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Why a text can't be a secret. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It has no characters.
    #[error("the token is empty: give the text that the server handed out")]
    Empty,
    /// It is too long.
    #[error("the token has {0} bytes: at most {LIMIT} are allowed")]
    TooLong(usize),
    /// It can't stand in a header.
    #[error("the token has a space, a line end or a character beyond ASCII at byte {0}: is it cut out rightly?")]
    Character(usize),
}

impl Secret {
    /// Takes a secret: visible ASCII characters only.
    pub fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = text.into();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > LIMIT {
            return Err(SecretError::TooLong(text.len()));
        }
        match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(offset) => Err(SecretError::Character(offset)),
            None => Ok(Self(text.into_boxed_str())),
        }
    }

    /// The secret itself, to be stored or shown once where its owner asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of the header `authorization`, marked so that nobody logs it.
    pub(crate) fn bearer(&self) -> MetadataValue<Ascii> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0));
        let mut value = value.expect("visible ASCII may stand in a header");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl std::str::FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("ochre_abc").unwrap();
        assert_eq!(format!("{secret:?} {:?}", secret.bearer()), "Secret(…) Sensitive");
        assert_eq!(secret.reveal(), "ochre_abc");
        assert_eq!(secret.bearer().to_str().unwrap(), "Bearer ochre_abc");
    }

    #[test]
    fn what_no_header_can_carry_is_refused_without_repeating_it() {
        assert_eq!(Secret::new(""), Err(SecretError::Empty));
        assert_eq!(Secret::new("x".repeat(4_097)), Err(SecretError::TooLong(4_097)));
        for text in ["abc\n", "abc d", "abcü", "abc\u{7f}"] {
            assert_eq!(Secret::new(text), Err(SecretError::Character(3)), "{text:?}");
            assert!(!SecretError::Character(3).to_string().contains("abc"));
        }
    }
}
