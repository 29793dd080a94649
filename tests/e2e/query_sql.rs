//! What askers in SQL are promised.

use serde_json::json;

use super::server::{Server, Start, client, dir};

const LINES: &str = "cpu,host=a usage=1.5 1735689600000000000\n\
                     cpu,host=b usage=2,note=\"x, y\" 1735689600500000000\n\
                     cpu idle=3i 1735689601000000000\n";

async fn filled(dir: &tempfile::TempDir) -> Server {
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post("/write?db=mine", LINES).await.status, 204);
    server
}

fn path(sql: &str, rest: &str) -> String {
    let sql: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
    format!("/api/v3/query_sql?db=mine&q={sql}{rest}")
}

#[tokio::test]
async fn rows_come_in_every_format() {
    let dir = dir();
    let server = filled(&dir).await;
    let sql = "SELECT host, idle, note, time, usage FROM cpu ORDER BY time";
    let json = "[{\"host\":\"a\",\"time\":\"2025-01-01T00:00:00\",\"usage\":1.5},\
                {\"host\":\"b\",\"note\":\"x, y\",\"time\":\"2025-01-01T00:00:00.500\",\"usage\":2.0},\
                {\"idle\":3,\"time\":\"2025-01-01T00:00:01\"}]";
    let answer = server.get(&path(sql, "")).await;
    assert_eq!((answer.status, answer.header("content-type"), answer.text()), (200, "application/json", json));
    let lines = server.get(&path(sql, "&format=jsonl")).await;
    assert_eq!(lines.header("content-type"), "application/jsonl");
    assert_eq!(format!("[{}]", lines.text().trim_end().replace('\n', ",")), json);
    let csv = server.get(&path(sql, "&format=csv")).await;
    assert_eq!(
        csv.text(),
        "host,idle,note,time,usage\na,,,2025-01-01T00:00:00,1.5\nb,,\"x, y\",2025-01-01T00:00:00.500,2.0\n,3,,2025-01-01T00:00:01,\n"
    );
    let pretty = server.get(&path("SELECT host FROM cpu WHERE host = 'a'", "&format=pretty")).await;
    assert_eq!(pretty.text().trim_end(), "+------+\n| host |\n+------+\n| a    |\n+------+");
    let parquet = server.get(&path(sql, "&format=parquet")).await;
    assert_eq!((&parquet.body[..4], &parquet.body[parquet.body.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let arrow = server.get(&path(sql, "&format=arrow")).await;
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.stream");
    let none = server.get(&path("SELECT host FROM cpu WHERE host = 'z'", "")).await;
    assert_eq!((none.status, none.text()), (200, "[]"));
}

#[tokio::test]
async fn accept_chooses_where_no_format_is_named() {
    let dir = dir();
    let server = filled(&dir).await;
    for (accept, content_type) in [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/jsonl", "application/jsonl"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
    ] {
        let request = client().get(server.url(&path("SELECT 1 AS x", ""))).header("accept", accept);
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{accept}");
    }
    let request = client().get(server.url(&path("SELECT 1", ""))).header("accept", "image/png");
    assert_eq!(server.send(request).await.status, 400);
}

#[tokio::test]
async fn parameters_are_bound_in_get_and_post() {
    let dir = dir();
    let server = filled(&dir).await;
    let sql = "SELECT usage FROM cpu WHERE host = $host AND usage > $least";
    let get = server.get(&path(sql, "&params=%7B%22host%22%3A%22b%22%2C%22least%22%3A1%7D")).await;
    assert_eq!(get.text(), "[{\"usage\":2.0}]");
    let ask = json!({ "db": "mine", "q": sql, "params": { "host": "a' OR '1'='1", "least": 1.0 } });
    assert_eq!(server.post("/api/v3/query_sql", ask.to_string()).await.text(), "[]");
}

#[tokio::test]
async fn failures_have_a_status_and_a_reason() {
    let dir = dir();
    let server = filled(&dir).await;
    for (sql, status) in [
        ("SELEC 1", 400),
        ("SELECT nothing FROM cpu", 400),
        ("SELECT * FROM nowhere", 400),
        ("SELECT 1; SELECT 2", 400),
        ("DROP TABLE cpu", 405),
        ("COPY cpu TO '/tmp/x.csv'", 405),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", 405),
        ("SET datafusion.execution.batch_size = 1", 405),
    ] {
        let answer = server.get(&path(sql, "")).await;
        assert_eq!(answer.status, status, "{sql}: {}", answer.text());
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    let unknown = server.get("/api/v3/query_sql?db=other&q=SELECT+1").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert_eq!(server.get("/api/v3/query_sql?db=mine").await.status, 400);
}

#[tokio::test]
async fn a_large_answer_is_streamed() {
    let dir = dir();
    let server = filled(&dir).await;
    let lines: String = (0..100_000).map(|i| format!("big,i={} v={i} {i}\n", i % 100)).collect();
    assert_eq!(server.post("/write?db=mine", lines).await.status, 204);
    let answer = server.get(&path("SELECT * FROM big", "&format=jsonl")).await;
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, "chunked"));
    assert_eq!(answer.text().lines().count(), 100_000);
}

#[tokio::test]
async fn the_schema_and_the_node_can_be_asked_for() {
    let dir = dir();
    let server = filled(&dir).await;
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'iox' AND table_name = 'cpu' ORDER BY column_name";
    let names: Vec<String> = (server.sql("mine", columns).await.as_array().unwrap().iter())
        .map(|row| row["column_name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["host", "idle", "note", "time", "usage"]);
    assert_eq!(server.sql("mine", "SELECT database FROM system.databases").await, json!([{ "database": "mine" }]));
    assert_eq!(
        server.sql("mine", "SELECT stage, rows FROM system.chunks").await,
        json!([{ "stage": "open", "rows": 3 }])
    );
}
