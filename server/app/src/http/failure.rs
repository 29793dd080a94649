//! Why a request was not done, before it is put into one API's words.

use std::time::Duration;

use http::StatusCode;
use ochre_types::NameError;

/// The classes of failure that clients tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It shows no token, or none that is known here.
    Unauthenticated,
    /// Its token does not allow it.
    Forbidden,
    /// The request is wrong and will stay so.
    Invalid,
    /// It names a database that is not there.
    UnknownDatabase,
    /// It would make what is already there.
    Conflict,
    /// Its body is larger than allowed.
    TooLarge,
    /// A limit of the database stands against it.
    Unprocessable,
    /// It asks for what this server can't do.
    NotImplemented,
    /// Its body has an encoding or type that is not understood.
    MediaType,
    /// The client did not send it in time.
    Timeout,
    /// Not now: the same request may succeed later.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl Kind {
    /// The HTTP status, the same in every API.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::UnknownDatabase => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotImplemented => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// When nothing better is known, clients try again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its class.
    pub kind: Kind,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// For [`Kind::Unavailable`]: when to try again.
    pub retry_after: Option<Duration>,
    /// For [`Kind::Unavailable`]: whether memory or places are used up, rather than the node away. gRPC tells it apart.
    pub is_exhausted: bool,
}

impl Failure {
    /// A failure that trying again does not cure.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retry_after = (kind == Kind::Unavailable).then_some(RETRY_AFTER);
        Self { kind, message: message.into(), retry_after, is_exhausted: false }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Not now; `retry_after` if it is known when.
    pub fn unavailable(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { retry_after: Some(retry_after.unwrap_or(RETRY_AFTER)), ..Self::new(Kind::Unavailable, message) }
    }

    /// Not now, because memory or places are used up.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self { is_exhausted: true, ..Self::new(Kind::Unavailable, message) }
    }

    /// The value of `Retry-After`: whole seconds, rounded up, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.retry_after?;
        Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_later_is_503_with_whole_seconds() {
        for (wait, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (10_000, 10)] {
            let failure = Failure::unavailable("full", Some(Duration::from_millis(wait)));
            assert_eq!(failure.kind.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(failure.retry_after_seconds(), Some(seconds), "{wait} ms");
        }
        assert_eq!(Failure::unavailable("full", None).retry_after_seconds(), Some(1));
        assert_eq!(Failure::invalid("no").retry_after_seconds(), None);
    }
}
