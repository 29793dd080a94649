//! What is wrong with a message.

use std::fmt::Display;

/// A field of a message that is no value of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Invalid {
    /// The dotted path of the field within the message, such as `scopes[1].database`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Invalid {
    /// Something wrong with the field at `path`.
    pub fn new(path: impl Into<String>, message: impl Display) -> Self {
        Self { path: path.into(), message: message.to_string() }
    }

    /// The same, seen from a message that has this one at `outer`.
    #[must_use]
    pub fn within(self, outer: impl Display) -> Self {
        Self { path: format!("{outer}.{}", self.path), ..self }
    }
}
