//! `POST /api/v2/delete`: rows by time and by equality of tags.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use ochre_types::matching::{Predicate, RowMatch, TablePattern};
use ochre_types::token::Action;
use ochre_types::{DatabaseName, TableName};
use serde::Deserialize;
use serde_json::json;

use super::ERROR_CODE;
use crate::auth::Identity;
use crate::http::failure::{Failure, Kind};
use crate::http::params::Parameters;
use crate::http::state::App;
use crate::http::{admission, body, deletes, names};

/// Bytes of a request's body.
const BODY: usize = 1 << 20;

/// What is to be deleted. Both times are included.
#[derive(Deserialize)]
struct Wanted {
    start: String,
    stop: String,
    #[serde(default)]
    predicate: Option<String>,
}

/// Why it can't be.
#[derive(Debug)]
enum Refusal {
    Failure(Failure),
    /// InfluxDB's own interface does not do it either.
    NotImplemented(String),
}

impl<F: Into<Failure>> From<F> for Refusal {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

/// `POST /api/v2/delete?org&bucket` with `{"start": …, "stop": …, "predicate": …}`.
pub async fn delete(State(app): State<Arc<App>>, identity: Identity, request: Request) -> Response {
    match try_delete(&app, &identity, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Refusal::Failure(failure)) => super::response(&failure),
        Err(Refusal::NotImplemented(message)) => not_implemented(&message),
    }
}

fn not_implemented(message: &str) -> Response {
    const CODE: &str = "not implemented";
    let body = json!({ "code": CODE, "message": message }).to_string();
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    (StatusCode::NOT_IMPLEMENTED, [content_type, (ERROR_CODE, HeaderValue::from_static(CODE))], body).into_response()
}

async fn try_delete(app: &Arc<App>, identity: &Identity, request: Request) -> Result<(), Refusal> {
    let _place = admission::admit(app)?;
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let bucket = parameters.get("bucket").or_else(|| parameters.get("bucketID"));
    let bucket = bucket.ok_or_else(|| Failure::invalid("bucket or bucketID is needed"))?;
    let database: DatabaseName = names::from_bucket(bucket).map_err(Failure::from)?;
    identity.require(Action::Write, &database)?;
    let received = body::read(app, BODY, &parts.headers, body).await?;
    let wanted: Wanted = serde_json::from_slice(&received.bytes).map_err(|error| {
        Failure::invalid(format!(
            "the body is not such as {{\"start\": \"2026-01-01T00:00:00Z\", \"stop\": \"2026-01-02T00:00:00Z\", \
             \"predicate\": \"_measurement=\\\"cpu\\\" AND host=\\\"a\\\"\"}}: {error}"
        ))
    })?;
    let time = (time("start", &wanted.start)?, time("stop", &wanted.stop)?);
    let rows = predicate(wanted.predicate.as_deref().unwrap_or(""))?;
    let node = app.backend(identity)?.node()?;
    let database = deletes::database(&node, &database).map_err(|failure| match failure.kind {
        Kind::UnknownDatabase => Failure { message: format!("bucket {bucket:?} not found"), ..failure },
        _ => failure,
    })?;
    database.delete_rows(rows, time).await.map_err(deletes::failure)?;
    Ok(())
}

fn time(name: &str, text: &str) -> Result<i64, Failure> {
    let wrong = |why: String| {
        Failure::invalid(format!(
            "invalid RFC3339Nano for field {name}, please format your time with RFC3339Nano format, example: 2009-01-02T23:00:00Z ({why})"
        ))
    };
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| wrong(error.to_string()))?;
    // Clients write the first and the last of all times as years that nanoseconds don't reach.
    Ok(time.timestamp_nanos_opt().unwrap_or(if time.timestamp() < 0 { i64::MIN } else { i64::MAX }))
}

/// `_measurement="m" AND tag="v" …`; of all tables if there is no measurement.
fn predicate(text: &str) -> Result<RowMatch, Refusal> {
    let mut rest = text.trim();
    let mut tables = Vec::new();
    let mut tests = Vec::new();
    while !rest.is_empty() {
        let (name, after) = word(rest, text)?;
        let after = operator(after.trim_start(), text)?;
        let (value, after) = word(after.trim_start(), text)?;
        match name.as_str() {
            "_field" => return Err(Refusal::NotImplemented("delete by field is not supported".to_owned())),
            "_measurement" => {
                let table = TableName::new(&value).map_err(Failure::from)?;
                let pattern = TablePattern::exactly(&table).map_err(|error| Failure::invalid(error.to_string()))?;
                tables.push((table, pattern));
            }
            _ => tests.push(format!("{} = {}", quoted(&name, '"'), quoted(&value, '\''))),
        }
        rest = and(after.trim_start(), text)?;
    }
    let predicate: Option<Predicate> = match tests.is_empty() {
        true => None,
        false => Some(tests.join(" AND ").parse().map_err(|error| Failure::invalid(format!("{error}")))?),
    };
    match tables.as_slice() {
        [] => Ok(RowMatch { tables: vec![TablePattern::all()], predicate }),
        [first, others @ ..] if others.iter().all(|(table, _)| *table == first.0) => {
            Ok(RowMatch { tables: vec![first.1.clone()], predicate })
        }
        // A row is in one table only.
        _ => Ok(RowMatch { tables: vec![TablePattern::all()], predicate: Some(nothing()?) }),
    }
}

fn nothing() -> Result<Predicate, Failure> {
    "FALSE".parse().map_err(|error| Failure::invalid(format!("{error}")))
}

fn bad(text: &str, what: &str) -> Failure {
    Failure::invalid(format!(
        "the predicate {text:?} is not supported: {what}; write tag=\"value\" and _measurement=\"name\", joined by AND"
    ))
}

/// A word, quoted or not, and what follows it.
fn word<'t>(rest: &'t str, text: &str) -> Result<(String, &'t str), Failure> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/')))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(bad(text, "a name or a value is missing"));
        }
        return Ok((rest[..end].to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => return Ok((value, &rest[at + c.len_utf8()..])),
            c => value.push(c),
        }
    }
    Err(bad(text, "a quote does not end"))
}

fn operator<'t>(rest: &'t str, text: &str) -> Result<&'t str, Failure> {
    match rest.strip_prefix('=') {
        Some(rest) if !rest.starts_with(['~', '=']) => Ok(rest),
        _ => Err(bad(text, "the only comparison is =")),
    }
}

fn and<'t>(rest: &'t str, text: &str) -> Result<&'t str, Failure> {
    if rest.is_empty() {
        return Ok(rest);
    }
    let (word, after) = rest.split_at_checked(3).unwrap_or((rest, ""));
    if word.eq_ignore_ascii_case("and") && after.starts_with(char::is_whitespace) && !after.trim().is_empty() {
        return Ok(after.trim_start());
    }
    Err(bad(text, "comparisons are joined by AND only"))
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::from(quote);
    for c in text.chars() {
        out.extend((c == quote).then_some(quote));
        out.push(c);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>) {
        let rows = predicate(text).unwrap();
        (rows.tables[0].to_string(), rows.predicate.map(|predicate| predicate.to_string()))
    }

    #[test]
    fn equalities_joined_by_and_are_a_predicate() {
        let and = |text: &str| Some(text.to_owned());
        assert_eq!(read(""), ("*".into(), None));
        assert_eq!(read(r#"_measurement="cpu""#), ("cpu".into(), None));
        assert_eq!(read(r#" _measurement = "a*b" AND host='it"s' "#), (r"a\*b".into(), and("host = 'it\"s'")));
        assert_eq!(
            read(r#"host=web-1 and "my tag"="a\"b'c""#),
            ("*".into(), and(r#"host = 'web-1' AND "my tag" = 'a"b''c'"#))
        );
        assert_eq!(read(r#"_measurement="a" AND _measurement="a""#), ("a".into(), None));
        assert_eq!(read(r#"_measurement="a" AND _measurement="b""#), ("*".into(), and("FALSE")));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            r#"host="a" OR host="b""#,
            r#"host!="a""#,
            r#"host=~/a/"#,
            r#"host="a" AND"#,
            r#"host="a"#,
            "host",
            "host=",
            "=a",
            r#"(host="a")"#,
            r#"host="a" rack="b""#,
        ] {
            assert!(
                matches!(predicate(text), Err(Refusal::Failure(failure)) if failure.kind == Kind::Invalid),
                "{text}"
            );
        }
        let field = predicate(r#"_field="usage""#).unwrap_err();
        assert!(matches!(field, Refusal::NotImplemented(message) if message == "delete by field is not supported"));
    }

    #[test]
    fn times_beyond_nanoseconds_are_the_first_and_the_last() {
        assert_eq!(time("start", "1970-01-01T00:00:00.000000001Z").unwrap(), 1);
        assert_eq!(time("start", "0001-01-01T00:00:00Z").unwrap(), i64::MIN);
        assert_eq!(time("stop", "9999-01-01T00:00:00Z").unwrap(), i64::MAX);
        assert!(time("stop", "yesterday").unwrap_err().message.starts_with("invalid RFC3339Nano for field stop"));
    }
}
