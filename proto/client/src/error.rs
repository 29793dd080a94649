//! What can go wrong, in classes that a program can act on.

use std::time::Duration;

/// One thing that is wrong with a request, or stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The dotted path of the field, such as `partition[0].by[1].bucket.count`; of a precondition: what it is about.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Why a call failed. Messages from the server are passed on as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call can't be made like this: the address, a file, a header. Nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// What was sent is wrong.
    #[error("{}", listed(message, violations))]
    Invalid {
        /// What the server says of the whole.
        message: String,
        /// Every mistake; empty if the server named none.
        violations: Vec<Violation>,
    },
    /// What was asked for does not exist, or is not kept any more.
    #[error("{message}")]
    NotFound {
        /// What the server says.
        message: String,
    },
    /// What should be made is there already.
    #[error("{message}")]
    AlreadyExists {
        /// What the server says.
        message: String,
    },
    /// Somebody else was faster: read again, and decide anew.
    #[error("{message}")]
    Conflict {
        /// What the server says.
        message: String,
    },
    /// Something stands against it, and will until it is changed.
    #[error("{}", listed(message, violations))]
    Precondition {
        /// What the server says.
        message: String,
        /// What stands against it; empty if the server named nothing.
        violations: Vec<Violation>,
    },
    /// No token was given, or none that the server knows.
    #[error("{message}")]
    Unauthenticated {
        /// What the server says.
        message: String,
    },
    /// The token may not do this.
    #[error("{message}")]
    Denied {
        /// What the server says.
        message: String,
    },
    /// The request, or what it asks for, is larger than the server allows.
    #[error("{message}")]
    TooLarge {
        /// What the server says.
        message: String,
    },
    /// The server can't do it now: it starts, stops, or has too much to do.
    #[error("{message}")]
    Unavailable {
        /// What the server says.
        message: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The deadline passed. The call may have been carried out.
    #[error("{message}")]
    Timeout {
        /// What was waited for.
        message: String,
    },
    /// The server does not know this call.
    #[error("{message}")]
    Unsupported {
        /// What the server says.
        message: String,
    },
    /// The server failed, or answered what makes no sense.
    #[error("{message}")]
    Internal {
        /// What the server says.
        message: String,
    },
    /// No connection came about. Nothing was sent.
    #[error("connecting to {url}: {reason}: is the server running?")]
    Connect {
        /// The server's address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The source of what was to be sent failed.
    #[error("reading what to send: {0}")]
    Source(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything. Whether it may be repeated is another
    /// question: after [`Error::Timeout`] and [`Error::Unavailable`] it may have been carried out.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. } | Self::Connect { .. })
    }

    /// Whether the fault lies with what the caller said, not with the server or the state of things.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Invalid { .. })
    }
}

fn listed(message: &str, violations: &[Violation]) -> String {
    let mut text = message.to_owned();
    for violation in violations {
        // What is wrong with the whole is often one thing, and said twice.
        if !violation.message.is_empty() && message.starts_with(&violation.message) {
            continue;
        }
        let line = match violation.path.is_empty() {
            true => violation.message.clone(),
            false => format!("{}: {}", violation.path, violation.message),
        };
        // A server that names one mistake often says it in the message as well.
        if !text.contains(&line) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_a_line() {
        let violation = |path: &str, message: &str| Violation { path: path.to_owned(), message: message.to_owned() };
        let violations = vec![violation("limits.columns", "-1 columns"), violation("", "no document")];
        let error = Error::Invalid { message: "2 mistakes".to_owned(), violations: violations.clone() };
        assert_eq!(error.to_string(), "2 mistakes\nlimits.columns: -1 columns\nno document");
        let error = Error::Precondition { message: String::new(), violations };
        assert_eq!(error.to_string(), "limits.columns: -1 columns\nno document");
        let error = Error::Invalid { message: "name: empty".to_owned(), violations: vec![violation("name", "empty")] };
        assert_eq!(error.to_string(), "name: empty", "said once");
        let error = Error::Precondition {
            message: "fence 6 is below 7: stop".to_owned(),
            violations: vec![violation("fence", "fence 6 is below 7")],
        };
        assert_eq!(error.to_string(), "fence 6 is below 7: stop");
    }
}
