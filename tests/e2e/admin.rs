//! What operators and their tools are promised: databases, health, metrics.

use serde_json::json;

use super::server::{Start, client, dir};

#[tokio::test]
async fn databases_are_made_and_listed() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let path = "/api/v3/configure/database";
    assert_eq!(server.get(path).await.text(), "[]");
    assert_eq!(server.post(path, r#"{"db":"b"}"#).await.status, 200);
    let again = server.post(path, r#"{"db":"b"}"#).await;
    assert_eq!((again.status, again.text()), (409, r#"{"error":"the database \"b\" exists already"}"#));
    assert_eq!(server.post("/query?q=CREATE+DATABASE+a", "").await.status, 200);
    assert_eq!(server.get(path).await.text(), r#"[{"iox::database":"a"},{"iox::database":"b"}]"#);
    assert_eq!(server.get(&format!("{path}?format=csv")).await.text(), "iox::database\na\nb\n");
    assert_eq!(
        server.get("/query?q=SHOW+DATABASES").await.text(),
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\"values\":[[\"a\"],[\"b\"]]}]}]}\n"
    );
    let deleted = server.send(client().delete(server.url(path))).await;
    assert_eq!(deleted.status, 400, "which one is not said: {}", deleted.text());
    let put = server.send(client().put(server.url(path))).await;
    assert_eq!((put.status, put.header("allow")), (405, "GET,HEAD,POST,DELETE"));
}

#[tokio::test]
async fn health_and_versions_are_told() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let health = server.get("/health").await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(health.status, 200);
    assert_eq!(
        health.json(),
        json!({
            "name": "influxdb", "message": "ready for queries and writes", "status": "pass", "checks": [],
            "version": version, "commit": health.json()["commit"],
        })
    );
    assert_eq!(server.get("/ready").await.json()["status"], "ready");
    let ping = server.get("/ping").await;
    assert_eq!((ping.status, ping.text(), ping.header("x-influxdb-version")), (204, "", "1.8.10-ochre"));
    assert_eq!(server.get("/ping?verbose=true").await.json()["version"], "1.8.10-ochre");
    assert_eq!(server.get("/nowhere").await.status, 404);
    let options = server.send(client().request(reqwest::Method::OPTIONS, server.url("/write"))).await;
    // No page of a browser may write where nobody is asked who they are.
    assert_eq!((options.status, options.header("access-control-allow-origin")), (204, ""));
}

#[tokio::test]
async fn metrics_tell_of_log_and_databases() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    let metrics = server.get("/metrics").await;
    let value = |name: &str| -> f64 {
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in\n{}", metrics.text())).parse().unwrap()
    };
    assert!(value("ochre_log_appended_bytes_total") > 0.0);
    assert!(value("ochre_buffer_limit_bytes") > 0.0);
    assert_eq!(value("ochre_healthy"), 1.0);
    assert_eq!(value("ochre_http_lines_written_total"), 1.0);
    assert_eq!(value("ochre_database_written_rows_total{database=\"mine\"}"), 1.0);
    assert_eq!(value("ochre_database_buffered_rows{database=\"mine\"}"), 1.0);
    assert!(metrics.text().ends_with("# EOF\n"));
}
