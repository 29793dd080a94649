//! What a failure is to a client of gRPC: a code, a message, and details of `google.rpc`. The one mapping there is.
//!
//! | failure | code | details |
//! |---|---|---|
//! | no known token | `UNAUTHENTICATED` | |
//! | a token that does not allow it | `PERMISSION_DENIED` | |
//! | wrong request, encoding | `INVALID_ARGUMENT` | `BadRequest`, where there is a field |
//! | unknown database | `NOT_FOUND` | `ResourceInfo`, where there is a name |
//! | already there | `ALREADY_EXISTS` | the same |
//! | a message that is too large | `RESOURCE_EXHAUSTED` | `QuotaFailure`: trying again does not help |
//! | a limit of the database stands against it | `FAILED_PRECONDITION` | `PreconditionFailure` |
//! | not something that this server does | `UNIMPLEMENTED` | |
//! | took too long | `DEADLINE_EXCEEDED` | |
//! | memory or places are used up | `RESOURCE_EXHAUSTED` | `RetryInfo` |
//! | otherwise not now | `UNAVAILABLE` | `RetryInfo` |
//! | fault of the server | `INTERNAL` | |

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::failure::{Failure, Kind};

/// The most bytes of a status's message: it travels in a header, and headers are bounded at the client.
pub const MESSAGE_BYTES: usize = 2_000;
/// The most bytes of a description within the details, which travel in a header too.
const DETAIL_BYTES: usize = 500;

/// What a failure is about, where the caller knows.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// Nothing in particular.
    Call,
    /// A database, by its name.
    Database(&'a str),
    /// A field of the request, by its path.
    Field(&'a str),
}

/// The status of a failure.
pub fn status(failure: &Failure) -> Status {
    status_about(failure, About::Call)
}

/// The status of a failure that is about something.
pub fn status_about(failure: &Failure, about: About<'_>) -> Status {
    let message = cut(&failure.message, MESSAGE_BYTES);
    let detail = cut(&failure.message, DETAIL_BYTES);
    let mut details = ErrorDetails::new();
    let code = match failure.kind {
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::Invalid | Kind::MediaType => {
            if let About::Field(field) = about {
                details.add_bad_request_violation(field, detail);
            }
            Code::InvalidArgument
        }
        Kind::UnknownDatabase => {
            name(&mut details, about, detail);
            Code::NotFound
        }
        Kind::Conflict => {
            name(&mut details, about, detail);
            Code::AlreadyExists
        }
        Kind::TooLarge => {
            details.add_quota_failure_violation(subject(about), detail);
            Code::ResourceExhausted
        }
        Kind::Unprocessable => {
            details.add_precondition_failure_violation("LIMIT", subject(about), detail);
            Code::FailedPrecondition
        }
        Kind::NotImplemented => Code::Unimplemented,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::Unavailable => {
            details.set_retry_info(failure.retry_after);
            if failure.is_exhausted { Code::ResourceExhausted } else { Code::Unavailable }
        }
        Kind::Internal => Code::Internal,
    };
    Status::with_error_details(code, message, details)
}

/// `INVALID_ARGUMENT` over one field of the request.
pub fn invalid(field: &str, message: impl Into<String>) -> Status {
    status_about(&Failure::invalid(message), About::Field(field))
}

fn name(details: &mut ErrorDetails, about: About<'_>, description: &str) {
    if let About::Database(name) = about {
        details.set_resource_info("database", cut(name, DETAIL_BYTES), "", description);
    }
}

fn subject(about: About<'_>) -> String {
    match about {
        About::Call => "request".to_owned(),
        About::Database(name) => format!("database:{}", cut(name, DETAIL_BYTES)),
        About::Field(field) => field.to_owned(),
    }
}

/// The beginning of `text` that fits into `bytes`, ending between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        for (kind, code) in [
            (Kind::Unauthenticated, Code::Unauthenticated),
            (Kind::Forbidden, Code::PermissionDenied),
            (Kind::Invalid, Code::InvalidArgument),
            (Kind::MediaType, Code::InvalidArgument),
            (Kind::UnknownDatabase, Code::NotFound),
            (Kind::Conflict, Code::AlreadyExists),
            (Kind::TooLarge, Code::ResourceExhausted),
            (Kind::Unprocessable, Code::FailedPrecondition),
            (Kind::NotImplemented, Code::Unimplemented),
            (Kind::Timeout, Code::DeadlineExceeded),
            (Kind::Unavailable, Code::Unavailable),
            (Kind::Internal, Code::Internal),
        ] {
            let status = status(&Failure::new(kind, "said so"));
            assert_eq!((status.code(), status.message()), (code, "said so"), "{kind:?}");
        }
    }

    #[test]
    fn details_say_what_it_is_about() {
        let field = invalid("sql_query", "is missing").get_error_details();
        let violations = &field.bad_request().unwrap().field_violations;
        assert_eq!((violations[0].field.as_str(), violations[0].description.as_str()), ("sql_query", "is missing"));

        let unknown = Failure::new(Kind::UnknownDatabase, "not there");
        let details = status_about(&unknown, About::Database("mine")).get_error_details();
        let resource = details.resource_info().unwrap();
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("database", "mine"));
        assert!(status(&unknown).get_error_details().resource_info().is_none());

        let limit = Failure::new(Kind::Unprocessable, "too many partitions");
        let details = status_about(&limit, About::Database("mine")).get_error_details();
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("LIMIT", "database:mine"));

        let large = status(&Failure::new(Kind::TooLarge, "large")).get_error_details();
        assert_eq!(large.quota_failure().unwrap().violations[0].subject, "request");
        assert!(large.retry_info().is_none());
    }

    #[test]
    fn what_may_succeed_later_says_when() {
        let failure = Failure::unavailable("full", Some(Duration::from_millis(2_500)));
        let details = status(&failure).get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(2_500)));
        let exhausted = status(&Failure::exhausted("no memory"));
        assert_eq!(exhausted.code(), Code::ResourceExhausted);
        assert_eq!(exhausted.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = format!("{}ä{}", "x".repeat(MESSAGE_BYTES - 1), "y".repeat(5_000));
        let status = invalid("f", message);
        assert_eq!(status.message(), "x".repeat(MESSAGE_BYTES - 1));
        let described = status.get_error_details();
        assert_eq!(described.bad_request().unwrap().field_violations[0].description.len(), DETAIL_BYTES);
    }
}
