//! What holds for all paths.

use std::io::Write;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;

use super::failure::Failure;
use super::testing::Server;
use crate::auth::Access;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn send(server: &Server, path: &str, encoding: &str, body: impl Into<Body>) -> u16 {
    let request = Request::post(path).header("content-encoding", encoding).body(body.into()).unwrap();
    server.send(request).await.status
}

#[tokio::test]
async fn gzip_is_inflated_and_bounded() {
    let server = Server::with(|config| config.limits.body = "1KiB".parse().unwrap());
    let lines = "cpu usage=1 1\n".repeat(73);
    assert_eq!(lines.len(), 1022);
    for path in ["/write?db=x", "/api/v2/write?bucket=x", "/api/v3/write_lp?db=x"] {
        assert_eq!(send(&server, path, "gzip", gzip(lines.as_bytes())).await, 204);
        assert_eq!(server.double.writes.lock().pop().unwrap().1, lines.as_bytes());
        assert_eq!(send(&server, path, "identity", lines.clone()).await, 204);
        let larger = lines.clone() + "  \n";
        assert_eq!(send(&server, path, "gzip", gzip(larger.as_bytes())).await, 413, "{path}");
        assert_eq!(send(&server, path, "", larger).await, 413, "{path}");
        assert_eq!(send(&server, path, "gzip", "cpu usage=1 1\n").await, 400);
        assert_eq!(send(&server, path, "br", "x").await, 415);
    }
    *server.double.body_limit.lock() = Some(1021);
    assert_eq!(send(&server, "/write?db=x", "gzip", gzip(lines.as_bytes())).await, 413, "the rule of the database");
    assert_eq!(send(&server, "/write?db=x", "", lines).await, 413, "the rule of the database");
    let bomb = gzip(&vec![b' '; 16 << 20]);
    let server = Server::with(|config| config.limits.body = "1MiB".parse().unwrap());
    assert_eq!(send(&server, "/write?db=x", "gzip", bomb).await, 413);
}

#[tokio::test]
async fn the_memory_of_bodies_is_bounded() {
    let server = Server::new();
    let mut held = server.app.bodies.lease();
    let mut size = 1 << 20;
    while held.grow_to(size).is_ok() {
        size += 1 << 20;
    }
    let body = "cpu usage=1 1\n".repeat(200_000);
    let answer = server.post("/write?db=x", body.clone()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    drop(held);
    assert_eq!(server.post("/write?db=x", body).await.status, 204);
}

#[tokio::test]
async fn health_ready_and_ping() {
    let server = Server::new();
    let health = server.get("/health").await;
    let body: serde_json::Value = serde_json::from_str(&health.body).unwrap();
    assert_eq!((health.status, &body["status"], &body["name"]), (200, &"pass".into(), &"influxdb".into()));
    assert_eq!(body["message"], "ready for queries and writes");
    assert_eq!(body["checks"], serde_json::json!([]));
    assert_eq!(server.get_with("/health", "accept", "text/plain").await.body, "OK");
    let ready: serde_json::Value = serde_json::from_str(&server.get("/ready").await.body).unwrap();
    assert_eq!(ready["status"], "ready");
    assert!(ready["started"].as_str().unwrap().ends_with('Z'));
    let ping = server.get("/ping").await;
    assert_eq!((ping.status, ping.body.as_str(), ping.header("x-influxdb-version")), (204, "", "1.8.10-ochre"));
    let verbose = server.get("/ping?verbose=true").await;
    assert_eq!(verbose.status, 200);
    assert!(verbose.body.contains(r#""version":"1.8.10-ochre""#));
    let head = server.send(Request::head("/ping").body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, 204);

    server.fail(Failure::unavailable("the disk is full", None));
    let failing = server.get("/health").await;
    assert_eq!((failing.status, failing.header("retry-after")), (503, "1"));
    assert!(failing.body.contains(r#""status":"fail""#) && failing.body.contains("the disk is full"));
    let starting = Server::starting(|_| {});
    assert_eq!(starting.get("/health").await.status, 503);
    assert_eq!(starting.get("/ready").await.status, 503);
    assert_eq!(starting.get("/ping").await.status, 204);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told() {
    let server = Server::new();
    let unknown = server.get("/nowhere").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, r#"{"error":"the path /nowhere is not known here"}"#));
    let v2 = server.get("/api/v2/buckets").await;
    assert_eq!(v2.body, r#"{"code":"not found","message":"the path /api/v2/buckets is not known here"}"#);
    let wrong = server.get("/write").await;
    assert_eq!((wrong.status, wrong.body.as_str()), (405, r#"{"error":"the method GET is not allowed for /write"}"#));
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test]
async fn browsers_may_ask_first() {
    let server = Server::guarded(Access::Tokens { operators: Vec::new() }, |_| {});
    for path in ["/write", "/api/v3/query_sql", "/nowhere"] {
        let answer =
            server.send(Request::options(path).header("origin", "http://a").body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "*"));
        assert_eq!(answer.header("access-control-max-age"), "86400");
        assert!(answer.header("access-control-allow-methods").contains("POST"));
    }
    let origin = async |server: Server| server.get("/ping").await.header("access-control-allow-origin").to_owned();
    // Where no token is needed, any page that somebody opens could write.
    assert_eq!(origin(Server::new()).await, "");
    assert_eq!(origin(Server::with(|config| config.http.cors_origin = "http://a".to_owned())).await, "http://a");
    let guarded = |origin: &str| {
        let origin = origin.to_owned();
        Server::guarded(Access::Tokens { operators: Vec::new() }, |config| config.http.cors_origin = origin)
    };
    assert_eq!(origin(guarded("")).await, "");
    assert_eq!(origin(guarded("http://a")).await, "http://a");
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let server = Server::new();
    server.post("/write?db=x", "cpu usage=1 1\nmem\n").await;
    server.get("/nowhere/at/all").await;
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        "ochre_http_requests_total{method=\"POST\",path=\"/write\",status=\"400\"} 1",
        "ochre_http_requests_total{method=\"GET\",path=\"other\",status=\"404\"} 1",
        "ochre_http_lines_written_total 1",
        "ochre_http_lines_rejected_total 1",
        "ochre_http_write_body_bytes_total 18",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} in\n{}", metrics.body);
    }
    assert!(metrics.body.ends_with("# EOF\n"));
}
