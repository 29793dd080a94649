//! Status codes, headers and bodies to the letter: writes, queries and databases as InfluxDB 3 answers them.

use std::time::Duration;

use ochre_ingest::line_protocol::{Flavour, Precision};

use crate::http::failure::{Failure, Kind};
use crate::http::testing::Server;

const GOOD: &str = "cpu,host=a usage=1 1\n";

#[tokio::test]
async fn a_good_write_is_204() {
    let server = Server::new();
    for (query, precision) in [
        ("db=x", Precision::Auto),
        ("db=x&precision=second&no_sync=true", Precision::Second),
        ("db=x&precision=us", Precision::Microsecond),
        ("db=x&precision=n", Precision::Nanosecond),
    ] {
        let answer = server.post(&format!("/api/v3/write_lp?{query}"), GOOD).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.header("cluster-uuid").len(), 36);
        let options = server.double.writes.lock().pop().unwrap().2;
        assert_eq!((options.precision, options.flavour, options.accept_partial), (precision, Flavour::V3, true));
    }
}

#[tokio::test]
async fn bad_lines_are_listed_with_their_numbers() {
    let server = Server::new();
    let some = server.post("/api/v3/write_lp?db=x", "cpu usage=1 1\n\nmem\n").await;
    assert_eq!(some.status, 400);
    assert_eq!(
        some.body,
        r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"mem","line_number":3,"error_message":"missing fields"}]}"#
    );
    assert_eq!((some.header("x-ochre-lines-written"), some.header("x-ochre-lines-rejected")), ("1", "1"));
    let first = server.post("/api/v3/write_lp?db=x&accept_partial=false", "cpu usage=1 1\nmem\nmem\n").await;
    assert_eq!(first.status, 400);
    assert_eq!(
        first.body,
        r#"{"error":"line protocol parsing error","data":{"original_line":"mem","line_number":2,"error_message":"missing fields"}}"#
    );
}

#[tokio::test]
async fn a_line_over_a_limit_is_422() {
    let server = Server::new();
    server.double.limits.lock().columns = 1;
    let answer = server.post("/api/v3/write_lp?db=x", "cpu usage=1 1\ncpu other=1 1\n").await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.body.starts_with(
            r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"cpu other=1 1""#
        )
    );
}

#[tokio::test]
async fn parameters_and_emptiness_are_checked() {
    let server = Server::new();
    for (query, body, error) in [
        ("", GOOD, "the parameter db is missing: name the database, such as ?db=mine"),
        (
            "?db=x&precision=h",
            GOOD,
            "the parameter precision is \"h\": write auto, second, millisecond, microsecond or nanosecond",
        ),
        ("?db=x&accept_partial=perhaps", GOOD, "the parameter accept_partial is \"perhaps\": write true or false"),
        ("?db=x", "", "the write has no lines: send at least one line of line protocol"),
        ("?db=x", "# nothing\n", "the write has no lines: send at least one line of line protocol"),
    ] {
        let answer = server.post(&format!("/api/v3/write_lp{query}"), body).await;
        assert_eq!((answer.status, answer.body), (400, serde_json::json!({ "error": error }).to_string()));
    }
    server.fail(Failure::new(Kind::UnknownDatabase, "?"));
    let answer = server.post("/api/v3/write_lp?db=x", GOOD).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"error":"database not found: \"x\""}"#));
}

#[tokio::test]
async fn databases_are_made_once_and_listed() {
    let server = Server::new();
    let path = "/api/v3/configure/database";
    let made = server.post(path, r#"{"db":"mine"}"#).await;
    assert_eq!((made.status, made.body.as_str()), (200, ""));
    let again = server.post(path, r#"{"db":"mine"}"#).await;
    assert_eq!((again.status, again.body.as_str()), (409, r#"{"error":"the database \"mine\" exists already"}"#));
    assert_eq!(server.get(path).await.body, r#"[{"iox::database":"mine"}]"#);
    let csv = server.get(&format!("{path}?format=csv&show_deleted=true")).await;
    assert_eq!(csv.body, "iox::database,deleted\nmine,false\n");
    assert_eq!(*server.double.retention.lock(), None);
    assert_eq!(server.post(path, r#"{"db":"y","retention_period":"soon"}"#).await.status, 400);
    assert_eq!(server.post(path, r#"{"db":"kept","retention_period":"30d"}"#).await.status, 200);
    assert_eq!(*server.double.retention.lock(), Some(Duration::from_secs(30 * 24 * 3_600)));
    assert_eq!(server.post(path, "db=y").await.status, 400);
    assert_eq!(server.post(path, r#"{"db":""}"#).await.status, 400);
}

#[tokio::test]
async fn queries_reach_the_database_in_every_form() {
    let server = Server::new();
    server.get("/api/v3/query_sql?db=x&q=SELECT+1").await;
    server.post("/api/v3/query_sql", r#"{"db":"y","q":"SELECT 2","params":{"a":1}}"#).await;
    assert_eq!(
        *server.double.queries.lock(),
        [("x".to_owned(), "SELECT 1".to_owned()), ("y".to_owned(), "SELECT 2".to_owned())]
    );
    for (query, part) in [
        ("q=SELECT+1", "the parameter db is missing"),
        ("db=x", "the parameter q is missing"),
        ("db=x&q=SELECT+1&format=xml", "xml"),
        ("db=x&q=SELECT+1&params=[1]", "not a JSON object"),
        ("db=x&q=SELECT+1&params={\"a\":[1]}", "\\\"a\\\" is an array"),
    ] {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let answer = server.get(&format!("/api/v3/query_sql?{query}")).await;
        assert!(answer.status == 400 && answer.body.contains(part), "{query}: {}", answer.body);
    }
    let accept = server.get_with("/api/v3/query_sql?db=x&q=SELECT+1", "accept", "image/png").await;
    assert_eq!(accept.status, 400);
    assert!(accept.body.contains("image/png"));
}
