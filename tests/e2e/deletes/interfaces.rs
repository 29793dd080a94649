//! The ways to delete: SQL, InfluxDB 1 and 2, the command line.

use serde_json::json;

use super::super::server::{Start, client, dir};
use super::*;

const LINES: &str = "cpu,host=a v=1 1\ncpu,host=a v=2 2000000000\ncpu,host=b v=3 1\nmem,host=a v=4 1\n";

#[tokio::test]
async fn sql_deletes_and_answers_with_the_receipt() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, LINES).await.status, 204);
    let answer = server.sql("mine", "DELETE FROM cpu WHERE host = 'a' AND time < '1970-01-01T00:00:01Z'").await;
    let receipt = &answer[0];
    assert_eq!(receipt["deleted"], json!("rows of cpu where host = 'a' AND time < '1970-01-01T00:00:01Z'"), "{answer}");
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": 2.0 }, { "host": "b", "v": 3.0 }]));
    let known = server.sql("mine", "SELECT id, deleted FROM system.deletes").await;
    assert_eq!(known, json!([{ "id": receipt["id"], "deleted": receipt["deleted"] }]));
    for (sql, status, part) in [
        ("DELETE FROM cpu WHERE v > 1", 400, "compares tags and time with constants"),
        ("DELETE FROM cpu WHERE v = 'x'", 400, "column \\\"v\\\" of table \\\"cpu\\\" is a float"),
        ("DELETE FROM disk", 404, "table not found"),
        ("EXPLAIN DELETE FROM cpu", 405, "not allowed here"),
        ("DROP TABLE cpu", 405, "not allowed here"),
    ] {
        let ask = json!({ "db": "mine", "q": sql });
        let answer = server.post("/api/v3/query_sql", ask.to_string()).await;
        assert_eq!(answer.status, status, "{sql}: {}", answer.text());
        assert!(answer.text().contains(part), "{sql}: {}", answer.text());
    }
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 2 }]));
}

#[tokio::test]
async fn sql_deletes_for_those_who_may_write_only() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let operator = server.operator_token();
    let token = |name: &str, scope: &str| {
        let made = run(&server, &["token", "create", name, "--scope", scope, "--output", "json", "--token", &operator]);
        json_of(&made)["token"].as_str().unwrap().to_owned()
    };
    let (reader, writer) = (token("reader", "read:mine"), token("writer", "write:mine"));
    let post = |path: &str, body: String, token: &str| {
        server.send(client().post(server.url(path)).body(body).header("authorization", format!("Bearer {token}")))
    };
    assert_eq!(post(WRITE, LINES.to_owned(), &writer).await.status, 204);
    let ask = json!({ "db": "mine", "q": "DELETE FROM cpu" }).to_string();
    let refused = post("/api/v3/query_sql", ask.clone(), &reader).await;
    assert!(refused.status == 403 && refused.text().contains("write:mine"), "{}", refused.text());
    assert_eq!(post("/api/v3/query_sql", ask, &writer).await.status, 200);
    let v2 = json!({ "start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z" }).to_string();
    assert_eq!(post("/api/v2/delete?bucket=mine", v2.clone(), &reader).await.status, 403);
    assert_eq!(post("/api/v2/delete?bucket=mine", v2, &writer).await.status, 204);
    let v1 = post("/query?db=mine&q=DELETE%20FROM%20mem", String::new(), &reader).await;
    assert_eq!(v1.status, 403, "{}", v1.text());
    let v1 = post("/query?db=mine&q=DROP%20MEASUREMENT%20mem", String::new(), &writer).await;
    assert!(v1.status == 403 && v1.text().contains("requires manage on mine"), "{}", v1.text());
}

#[tokio::test]
async fn influxdb_2_deletes_by_equality_and_time() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, LINES).await.status, 204);
    let delete = async |predicate: &str, stop: &str| {
        let body = json!({ "start": "1970-01-01T00:00:00Z", "stop": stop, "predicate": predicate });
        let answer = server.post("/api/v2/delete?org=any&bucket=mine/autogen", body.to_string()).await;
        (answer.status, answer.text().to_owned())
    };
    let late = "2100-01-01T00:00:00Z";
    assert_eq!(delete(r#"_measurement="cpu" AND host="a""#, "1970-01-01T00:00:02Z").await, (204, String::new()));
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "b", "v": 3.0 }]), "the last time is deleted, too");
    assert_eq!(server.sql("mine", "SELECT v FROM mem").await, json!([{ "v": 4.0 }]));
    assert_eq!(
        delete(r#"_field="v""#, late).await,
        (501, r#"{"code":"not implemented","message":"delete by field is not supported"}"#.to_owned())
    );
    let (status, text) = delete(r#"host="a" OR host="b""#, late).await;
    assert!(status == 400 && text.contains("joined by AND only"), "{text}");
    let (status, text) = delete("", "yesterday").await;
    assert!(status == 400 && text.contains("invalid RFC3339Nano for field stop"), "{text}");
    assert_eq!(delete("", late).await.0, 204);
    assert_eq!(server.sql("mine", "SELECT v FROM mem").await, json!([]));
    let missing = server.post("/api/v2/delete?bucket=other", json!({ "start": late, "stop": late }).to_string()).await;
    assert_eq!((missing.status, missing.header("x-platform-error-code")), (404, "not found"));
}

#[tokio::test]
async fn influxdb_1_drops_and_deletes() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, LINES).await.status, 204);
    let query = async |q: &str| {
        let escaped: String = q.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = server.post(&format!("/query?db=mine&q={escaped}"), "").await;
        assert_eq!(answer.status, 200, "{q}: {}", answer.text());
        answer.json()["results"][0].clone()
    };
    let done = json!({ "statement_id": 0 });
    assert_eq!(query(r#"DELETE FROM "cpu" WHERE "host" = 'a' AND time < '1970-01-01T00:00:01Z'"#).await, done);
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": 2.0 }, { "host": "b", "v": 3.0 }]));
    assert_eq!(query("DROP SERIES FROM cpu WHERE host = 'b'").await, done);
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": 2.0 }]));
    let error = query("DELETE FROM cpu WHERE time < now()").await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("compares tags and time with constants"), "{error}");
    assert_eq!(query("DROP MEASUREMENT mem").await, done);
    assert_eq!(query("DROP MEASUREMENT mem").await, done, "one that is not there is no error");
    assert_eq!(server.sql("mine", "SELECT \"table\" FROM system.tables").await, json!([{ "table": "cpu" }]));
    assert_eq!(query("DROP DATABASE mine").await, done);
    assert_eq!(query("DROP DATABASE mine").await, done);
    assert_eq!(query("SHOW DATABASES").await["series"][0]["values"], json!(null));
    assert_eq!(query("CREATE DATABASE mine").await, done);
    assert_eq!(server.post(WRITE, "cpu,host=a v=\"text\" 1\n").await.status, 204, "its columns are forgotten");
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": "text" }]));
}

#[test]
fn the_command_line_deletes_and_lists() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    super::super::server::ochre_with_input(&["write", "--host", &server.url(""), "--database", "mine", "-"], LINES);
    let delete = |more: &[&str]| {
        let mut args = vec!["delete", "--database", "mine"];
        args.extend(more);
        run(&server, &args)
    };
    let stop = ["--start", "1970-01-01T00:00:00Z", "--stop", "1970-01-01T00:00:02Z", "--output", "json"];
    let receipt = json_of(&delete(&[&["--table", "c*", "--where", "host = 'a'"][..], &stop].concat()));
    assert_eq!(
        receipt["what"],
        "rows of c* where time >= '1970-01-01T00:00:00Z' and time <= '1970-01-01T00:00:01.999999999Z' and (host = 'a')"
    );
    assert_eq!((&receipt["objects_left"], &receipt["gone"]), (&json!(0), &json!(null)));
    let count = |sql: &str| out(&run(&server, &["query", "--database", "mine", sql, "--format", "csv"])).to_owned();
    assert_eq!(count("SELECT count(*) AS n FROM cpu"), "n\n2\n", "the row at the stop is there");
    let text = delete(&["--table", "mem"]);
    assert!(out(&text).starts_with("deleted all rows of mem of mine\n  receipt   "), "{}", out(&text));
    let listed = json_of(&run(&server, &["delete", "list", "--database", "mine", "--output", "json"]));
    let what: Vec<_> = listed.as_array().unwrap().iter().map(|receipt| receipt["what"].as_str().unwrap()).collect();
    assert_eq!(what[0], "all rows of mem", "the newest first");
    assert_eq!((what.len(), &listed[1]["id"]), (2, &receipt["id"]));
    assert_eq!(refused(&delete(&["--where", "host = 'a'"])).0, 2, "a table is needed");
    let (code, said) = refused_of(&delete(&["--table", "cpu", "--where", "host ="]));
    assert!(code == 1 && said.contains("predicate"), "{said}");
    let none = delete(&["--table", "cpu", "--start", "1970-01-02T00:00:00Z", "--stop", "1970-01-01T00:00:00Z"]);
    assert!(refused(&none).1.contains("there is no time between start and stop"), "{none:?}");
}

fn refused_of(output: &Output) -> (i32, String) {
    let (code, said) = refused(output);
    (code, said.to_owned())
}
