//! Status codes, headers and bodies to the letter: writes as InfluxDB 2 answers them.

use crate::http::failure::{Failure, Kind};
use crate::http::testing::Server;

const GOOD: &str = "cpu,host=a usage=1 1\n";

#[tokio::test]
async fn a_good_write_and_an_empty_one_are_204() {
    let server = Server::new();
    for (query, body) in [
        ("bucket=b&org=any", GOOD),
        ("bucket=b/autogen&precision=s", GOOD),
        ("bucket=b%2FWeek", GOOD),
        ("bucket=b", ""),
    ] {
        let answer = server.post(&format!("/api/v2/write?{query}"), body).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{query}");
    }
    let writes = server.double.writes.lock();
    let names: Vec<&str> = writes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["b", "b", "b/week"]);
}

#[tokio::test]
async fn errors_have_code_and_message() {
    let server = Server::new();
    let missing = server.post("/api/v2/write?org=o", GOOD).await;
    assert_eq!((missing.status, missing.body.as_str()), (404, r#"{"code":"not found","message":"bucket not found"}"#));
    assert_eq!(missing.header("x-platform-error-code"), "not found");
    assert_eq!(missing.header("content-type"), "application/json; charset=utf-8");
    let precision = server.post("/api/v2/write?bucket=b&precision=m", GOOD).await;
    assert_eq!(
        (precision.status, precision.body.as_str()),
        (400, r#"{"code":"invalid","message":"invalid precision; valid precision units are ns, us, ms, and s"}"#)
    );
}

#[tokio::test]
async fn good_lines_are_kept_with_422_and_nothing_but_bad_ones_is_400() {
    let server = Server::new();
    let some = server.post("/api/v2/write?bucket=b", "cpu usage=1 1\nmem\n").await;
    assert_eq!(some.status, 422);
    assert_eq!(
        some.body,
        r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: unable to parse 'mem': missing fields dropped=0"}"#
    );
    let all = server.post("/api/v2/write?bucket=b", "mem\n").await;
    assert_eq!(
        (all.status, all.body.as_str()),
        (400, r#"{"code":"invalid","message":"unable to parse 'mem': missing fields"}"#)
    );
}

#[tokio::test]
async fn failures_keep_their_status() {
    for (kind, status, code) in [
        (Kind::UnknownDatabase, 404, "not found"),
        (Kind::TooLarge, 413, "request too large"),
        (Kind::Unprocessable, 422, "unprocessable entity"),
        (Kind::Unavailable, 503, "unavailable"),
        (Kind::Internal, 500, "internal error"),
    ] {
        let server = Server::new();
        server.fail(Failure::new(kind, "x"));
        let answer = server.post("/api/v2/write?bucket=b", GOOD).await;
        assert_eq!((answer.status, answer.header("x-platform-error-code")), (status, code));
        assert_eq!(answer.header("retry-after").is_empty(), kind != Kind::Unavailable);
    }
}
