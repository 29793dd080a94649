//! From HTTP answers to [`Error`].

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::Error;
use crate::grpc_error::innermost;

/// The error that an answer of the server means, which is no success.
pub fn from_answer(status: StatusCode, headers: &HeaderMap, body: &str) -> Error {
    let message = format!("the server answered {status}: {}", said(body, status));
    match status {
        StatusCode::BAD_REQUEST => Error::Invalid { message, violations: Vec::new() },
        StatusCode::UNAUTHORIZED => Error::Unauthenticated { message },
        StatusCode::FORBIDDEN => Error::Denied { message },
        StatusCode::NOT_FOUND => Error::NotFound { message },
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Error::Unsupported { message },
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Error::Timeout { message },
        StatusCode::CONFLICT => Error::AlreadyExists { message },
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge { message },
        StatusCode::UNPROCESSABLE_ENTITY => Error::Precondition { message, violations: Vec::new() },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => {
            Error::Unavailable { message, retry_after: retry_after(headers) }
        }
        status if status.is_client_error() => Error::Invalid { message, violations: Vec::new() },
        _ => Error::Internal { message },
    }
}

/// The error of a request that got no answer.
pub fn from_failure(error: &reqwest::Error, url: &str) -> Error {
    let reason = innermost(error);
    if error.is_connect() {
        return Error::Connect { url: url.to_owned(), reason };
    }
    if error.is_timeout() {
        return Error::Timeout { message: format!("{url} has not answered in time") };
    }
    if error.is_builder() {
        return Error::Usage(format!("a request to {url} can't be made: {reason}"));
    }
    Error::Unavailable { message: format!("the connection to {url} broke: {reason}"), retry_after: None }
}

/// The message in an error's body.
pub fn said(body: &str, status: StatusCode) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let field = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
    let message = field("error").or_else(|| field("message")).unwrap_or_else(|| body.trim().to_owned());
    if message.is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { message }
}

/// When to try again, if the server said so in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_class() {
        let error = |status| from_answer(status, &HeaderMap::new(), r#"{"error":"no"}"#);
        let no = |status: StatusCode| format!("the server answered {status}: no");
        let violations = Vec::new;
        for (status, expected) in [
            (400, Error::Invalid { message: no(StatusCode::BAD_REQUEST), violations: violations() }),
            (401, Error::Unauthenticated { message: no(StatusCode::UNAUTHORIZED) }),
            (403, Error::Denied { message: no(StatusCode::FORBIDDEN) }),
            (404, Error::NotFound { message: no(StatusCode::NOT_FOUND) }),
            (405, Error::Unsupported { message: no(StatusCode::METHOD_NOT_ALLOWED) }),
            (408, Error::Timeout { message: no(StatusCode::REQUEST_TIMEOUT) }),
            (409, Error::AlreadyExists { message: no(StatusCode::CONFLICT) }),
            (413, Error::TooLarge { message: no(StatusCode::PAYLOAD_TOO_LARGE) }),
            (415, Error::Invalid { message: no(StatusCode::UNSUPPORTED_MEDIA_TYPE), violations: violations() }),
            (422, Error::Precondition { message: no(StatusCode::UNPROCESSABLE_ENTITY), violations: violations() }),
            (500, Error::Internal { message: no(StatusCode::INTERNAL_SERVER_ERROR) }),
            (503, Error::Unavailable { message: no(StatusCode::SERVICE_UNAVAILABLE), retry_after: None }),
        ] {
            assert_eq!(error(StatusCode::from_u16(status).unwrap()), expected);
        }
    }

    #[test]
    fn the_words_and_the_pause_of_the_server_are_found() {
        let status = StatusCode::BAD_REQUEST;
        for (body, expected) in [
            (r#"{"error":"a"}"#, "a"),
            (r#"{"code":"invalid","message":"b"}"#, "b"),
            ("plain\n", "plain"),
            ("", "Bad Request"),
        ] {
            assert_eq!(said(body, status), expected);
        }
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, "Fri, 01 Jan 2027 00:00:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
