//! From gRPC statuses with google.rpc details to [`Error`].

use std::error::Error as _;

use arrow_flight::error::FlightError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::{Error, Violation};

/// The error that a status means; `url` names the server where there was no connection to it.
pub(crate) fn from_status(status: &Status, url: &str) -> Error {
    if let Some(connect) = cause::<tonic::ConnectError>(status) {
        return Error::Connect { url: url.to_owned(), reason: innermost(connect) };
    }
    if cause::<tonic::TimeoutExpired>(status).is_some() {
        return Error::Timeout { message: format!("{url} has not answered in time") };
    }
    let details = status.get_error_details();
    let message = message(status);
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::InvalidArgument => {
            let fields = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
            let violation =
                |path: &String, message: &String| Violation { path: path.clone(), message: message.clone() };
            let violations = fields.iter().map(|field| violation(&field.field, &field.description)).collect();
            Error::Invalid { message, violations }
        }
        Code::FailedPrecondition => {
            let failure = details.precondition_failure();
            let failures = failure.map(|failure| failure.violations.as_slice()).unwrap_or_default();
            let violation =
                |path: &String, message: &String| Violation { path: path.clone(), message: message.clone() };
            let violations = failures.iter().map(|failure| violation(&failure.subject, &failure.description)).collect();
            Error::Precondition { message, violations }
        }
        // A generation that is not kept any more is the only thing that is out of range.
        Code::NotFound | Code::OutOfRange => Error::NotFound { message },
        Code::AlreadyExists => Error::AlreadyExists { message },
        Code::Aborted => Error::Conflict { message },
        Code::Unauthenticated => Error::Unauthenticated { message },
        Code::PermissionDenied => Error::Denied { message },
        Code::Unavailable => Error::Unavailable { message, retry_after },
        // What lasts only for a while comes with the time to wait.
        Code::ResourceExhausted if retry_after.is_some() => Error::Unavailable { message, retry_after },
        Code::ResourceExhausted => Error::TooLarge { message },
        // Who cancels has waited long enough.
        Code::DeadlineExceeded | Code::Cancelled => Error::Timeout { message },
        Code::Unimplemented => Error::Unsupported { message },
        // Without an answer of the server: the connection broke while it was waited for.
        Code::Unknown if status.source().is_some() => Error::Unavailable { message, retry_after },
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Error::Internal { message },
    }
}

/// The error that a failure of Flight means.
pub(crate) fn from_flight(error: FlightError, url: &str) -> Error {
    match error {
        FlightError::Tonic(status) => from_status(&status, url),
        FlightError::Arrow(error) => Error::Internal { message: format!("decoding Arrow data of {url}: {error}") },
        FlightError::ExternalError(error) => Error::Source(error.to_string()),
        FlightError::NotYetImplemented(text) | FlightError::ProtocolError(text) | FlightError::DecodeError(text) => {
            Error::Internal { message: format!("{url} does not speak Flight as expected: {text}") }
        }
    }
}

/// The cause of this kind that a status has on this side of the wire, if it has one.
fn cause<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The last cause of an error, which says most: `Connection refused (os error 111)`.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn message(status: &Status) -> String {
    match (status.message(), status.source()) {
        ("", Some(source)) => innermost(source),
        ("", None) => format!("the server answered {} without a reason", status.code()),
        (message, _) => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    const URL: &str = "http://h:1";

    fn error(code: Code, details: ErrorDetails) -> Error {
        from_status(&Status::with_error_details(code, "no", details), URL)
    }

    #[test]
    fn every_code_has_its_class() {
        let message = || "no".to_owned();
        let none = Vec::new;
        for (code, expected) in [
            (Code::InvalidArgument, Error::Invalid { message: message(), violations: none() }),
            (Code::FailedPrecondition, Error::Precondition { message: message(), violations: none() }),
            (Code::NotFound, Error::NotFound { message: message() }),
            (Code::OutOfRange, Error::NotFound { message: message() }),
            (Code::AlreadyExists, Error::AlreadyExists { message: message() }),
            (Code::Aborted, Error::Conflict { message: message() }),
            (Code::Unauthenticated, Error::Unauthenticated { message: message() }),
            (Code::PermissionDenied, Error::Denied { message: message() }),
            (Code::Unavailable, Error::Unavailable { message: message(), retry_after: None }),
            (Code::ResourceExhausted, Error::TooLarge { message: message() }),
            (Code::DeadlineExceeded, Error::Timeout { message: message() }),
            (Code::Cancelled, Error::Timeout { message: message() }),
            (Code::Unimplemented, Error::Unsupported { message: message() }),
            (Code::Unknown, Error::Internal { message: message() }),
            (Code::Internal, Error::Internal { message: message() }),
            (Code::DataLoss, Error::Internal { message: message() }),
        ] {
            assert_eq!(error(code, ErrorDetails::new()), expected);
            let may_pass = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled].contains(&code);
            assert_eq!(expected.is_retryable(), may_pass, "{code:?}");
            assert_eq!(expected.is_usage(), code == Code::InvalidArgument, "{code:?}");
        }
    }

    #[test]
    fn details_are_kept() {
        let violation = |path: &str| Violation { path: path.to_owned(), message: "bad".to_owned() };
        let mut details = ErrorDetails::with_bad_request_violation("a.b", "bad");
        details.add_bad_request_violation("c[0]", "bad");
        assert_eq!(
            error(Code::InvalidArgument, details),
            Error::Invalid { message: "no".to_owned(), violations: vec![violation("a.b"), violation("c[0]")] }
        );
        assert_eq!(
            error(Code::FailedPrecondition, ErrorDetails::with_precondition_failure_violation("FENCE", "fence", "bad")),
            Error::Precondition { message: "no".to_owned(), violations: vec![violation("fence")] }
        );
        let retry_after = Some(Duration::from_millis(1_500));
        let busy = Error::Unavailable { message: "no".to_owned(), retry_after };
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            assert_eq!(error(code, ErrorDetails::with_retry_info(retry_after)), busy);
        }
    }

    #[test]
    fn a_status_without_words_gets_some() {
        let status = Status::new(Code::Internal, "");
        let expected = "the server answered Internal error without a reason";
        assert_eq!(from_status(&status, URL), Error::Internal { message: expected.to_owned() });
    }

    #[test]
    fn what_is_no_connection_names_the_server() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let error = from_status(&status, URL);
        assert_eq!(error, Error::Connect { url: URL.to_owned(), reason: "refused".to_owned() });
        assert_eq!(error.to_string(), "connecting to http://h:1: refused: is the server running?");
    }
}
