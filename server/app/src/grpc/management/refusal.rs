//! What a node's refusals are to a client of management: code, message and details.
//!
//! | refusal | code | details |
//! |---|---|---|
//! | mistakes in a document | `INVALID_ARGUMENT` | `BadRequest`: each mistake |
//! | unknown database or token | `NOT_FOUND` | `ResourceInfo` |
//! | a token of that name is there | `ALREADY_EXISTS` | `ResourceInfo` |
//! | another generation is in force | `ABORTED` | |
//! | a generation that is not kept | `OUT_OF_RANGE` | |
//! | fence too low; data stands against it; rules of a newer release | `FAILED_PRECONDITION` | `PreconditionFailure` |
//! | too many tokens | `RESOURCE_EXHAUSTED` | `QuotaFailure` |
//! | not served, stopping, catalog not reachable | `UNAVAILABLE` | `RetryInfo` |

use std::time::Duration;

use ochre_database::TokenError;
use ochre_database::explain::ExplainError;
use ochre_database::rules::RulesError;
use ochre_types::rules::{Problem, Problems, Target};
use ochre_types::token::TokenName;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::grpc::status::{MESSAGE_BYTES, cut, invalid};

/// The most bytes of all mistakes that one answer names. Details travel in a header, in base64, and some clients take
/// no more than 8 KiB of headers.
const PROBLEMS_BYTES: usize = 3_500;
/// The most bytes of one mistake's path or text.
const PROBLEM_BYTES: usize = 400;
/// When a call that the catalog did not take may be made again.
const SOON: Duration = Duration::from_secs(5);
/// When to look again at what somebody has to repair.
const LATER: Duration = Duration::from_secs(60);

/// Every mistake of a document, as far as there is room; the rest is counted.
pub fn problems(found: &Problems) -> Status {
    let count = found.0.len();
    let (named, more) = named(found);
    let mut details = ErrorDetails::new();
    for (path, text) in named {
        details.add_bad_request_violation(path, text);
    }
    if more > 0 {
        let text = format!("and {more} more: `ochre rules check` names them all");
        details.add_bad_request_violation("", text);
    }
    let message =
        if count == 1 { "the document has a mistake".to_owned() } else { format!("the document has {count} mistakes") };
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Path and text of the mistakes that there is room for, and how many there are beside them.
fn named(found: &Problems) -> (Vec<(&str, String)>, usize) {
    let mut left = PROBLEMS_BYTES;
    let mut named = Vec::new();
    for problem in &found.0 {
        let (path, text) = (cut(&problem.path, PROBLEM_BYTES), described(problem));
        match left.checked_sub(path.len() + text.len()) {
            Some(rest) => left = rest,
            None => break,
        }
        named.push((path, text));
    }
    let more = found.0.len() - named.len();
    (named, more)
}

/// What is wrong, and on which line.
fn described(problem: &Problem) -> String {
    let message = cut(&problem.message, PROBLEM_BYTES);
    match (problem.line, problem.column) {
        (Some(line), Some(column)) if problem.path.is_empty() => format!("{message} (line {line}, column {column})"),
        (Some(line), _) => format!("{message} (line {line})"),
        (None, _) => message.to_owned(),
    }
}

/// Why rules were not applied or shown.
pub fn rules_refused(error: &RulesError, target: &Target) -> Status {
    let message = error.to_string();
    let target = target.to_string();
    let mut details = ErrorDetails::new();
    let code = match error {
        RulesError::Invalid(found) => return problems(found),
        RulesError::UnknownDatabase(_) => {
            details.set_resource_info("database", target, "", &message);
            Code::NotFound
        }
        RulesError::GenerationIs { .. } => Code::Aborted,
        RulesError::NotKept { .. } => Code::OutOfRange,
        RulesError::Fenced { .. } => {
            details.add_precondition_failure_violation("FENCE", "fence", &message);
            Code::FailedPrecondition
        }
        RulesError::Contradicted(found) => return contradicted(found),
        RulesError::Unreadable { .. } => {
            let text = cut(&message, PROBLEM_BYTES);
            details.add_precondition_failure_violation("RELEASE", format!("database:{target}"), text);
            Code::FailedPrecondition
        }
        RulesError::NotServed { .. } => {
            details.set_retry_info(Some(LATER));
            Code::Unavailable
        }
        RulesError::Stopping | RulesError::Catalog(_) => {
            details.set_retry_info(Some(SOON));
            Code::Unavailable
        }
    };
    Status::with_error_details(code, cut(&message, MESSAGE_BYTES), details)
}

/// What the data that is there has against rules.
fn contradicted(found: &Problems) -> Status {
    let (named, more) = named(found);
    let mut details = ErrorDetails::new();
    for (path, text) in named {
        details.add_precondition_failure_violation("DATA", path, text);
    }
    if more > 0 {
        details.add_precondition_failure_violation("DATA", "", format!("and {more} more"));
    }
    Status::with_error_details(Code::FailedPrecondition, "the data that is there stands against the rules", details)
}

/// Why lines were not explained.
pub fn explain_refused(error: &ExplainError, target: &Target) -> Status {
    match error {
        ExplainError::Database(error) => rules_refused(error, target),
        ExplainError::TooManyLines => invalid("lines", error.to_string()),
    }
}

/// Why a token was not made or ended.
pub fn token_refused(error: &TokenError, name: &TokenName) -> Status {
    let message = error.to_string();
    let mut details = ErrorDetails::new();
    let code = match error {
        TokenError::Exists(_) => {
            details.set_resource_info("token", name.as_str(), "", &message);
            Code::AlreadyExists
        }
        TokenError::Unknown(_) => {
            details.set_resource_info("token", name.as_str(), "", &message);
            Code::NotFound
        }
        TokenError::NoScopes(_) => return invalid("scopes", message),
        TokenError::TooMany => {
            details.add_quota_failure_violation("tokens", &message);
            Code::ResourceExhausted
        }
        TokenError::SecretInUse(_) | TokenError::Catalog(_) => {
            details.set_retry_info(Some(SOON));
            Code::Unavailable
        }
    };
    Status::with_error_details(code, cut(&message, MESSAGE_BYTES), details)
}
