//! What writers by InfluxDB 1 are promised; among them the rules that decide whether they lose data.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::server::{Start, client, dir};

#[tokio::test]
async fn success_is_204_with_an_empty_body_and_the_rows_are_there() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let answer = server.post("/write?db=mine", "cpu,host=a usage=1.5,n=2i,up=t,s=\"x\" 1000000000\n").await;
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (204, "", ""));
    assert_eq!(answer.header("x-influxdb-version"), "1.8.10-ochre");
    assert_eq!(
        server.sql("mine", "SELECT * FROM cpu").await,
        json!([{ "host": "a", "n": 2, "s": "x", "time": "1970-01-01T00:00:01", "up": true, "usage": 1.5 }])
    );
}

#[tokio::test]
async fn without_a_precision_timestamps_are_nanoseconds() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    for (precision, timestamp) in
        [("", "1"), ("&precision=ms", "1"), ("&precision=s", "1"), ("&precision=m", "1"), ("&precision=h", "1")]
    {
        assert_eq!(
            server.post(&format!("/write?db=mine{precision}"), format!("cpu v=1 {timestamp}")).await.status,
            204
        );
    }
    assert_eq!(
        server.sql("mine", "SELECT time FROM cpu ORDER BY time").await,
        json!([
            { "time": "1970-01-01T00:00:00.000000001" },
            { "time": "1970-01-01T00:00:00.001" },
            { "time": "1970-01-01T00:00:01" },
            { "time": "1970-01-01T00:01:00" },
            { "time": "1970-01-01T01:00:00" },
        ])
    );
}

#[tokio::test]
async fn lines_without_a_timestamp_share_one_time_cut_to_the_precision() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let lines = "cpu,host=a v=1\ncpu,host=a v=2\ncpu,host=b v=3\n";
    assert_eq!(server.post("/write?db=mine&precision=m", lines).await.status, 204);
    let rows = server.sql("mine", "SELECT host, v FROM cpu ORDER BY host").await;
    assert_eq!(rows, json!([{ "host": "a", "v": 2.0 }, { "host": "b", "v": 3.0 }]));
    let whole = "SELECT count(DISTINCT time) AS times, count(*) FILTER (WHERE time = date_trunc('minute', time)) AS whole FROM cpu";
    assert_eq!(server.sql("mine", whole).await, json!([{ "times": 1, "whole": 2 }]));
}

#[tokio::test]
async fn fields_of_one_point_merge_and_the_last_value_wins() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    server.post("/write?db=mine", "cpu,host=a x=1,y=1 7\ncpu,host=a x=2 7\n").await;
    server.post("/write?db=mine", "cpu,host=a z=3 7\n").await;
    server.post("/write?db=mine", "cpu,host=a y=4 7\n").await;
    assert_eq!(server.sql("mine", "SELECT x, y, z FROM cpu").await, json!([{ "x": 2.0, "y": 4.0, "z": 3.0 }]));
    // A batch that is sent again changes nothing.
    server.post("/write?db=mine", "cpu,host=a y=4 7\n").await;
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn good_lines_are_stored_though_others_are_bad() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let answer = server.post("/write?db=mine", "cpu v=1 1\nnonsense\ncpu v=2i 2\ncpu v=3 3\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "{\"error\":\"partial write: unable to parse 'nonsense': missing fields\\nfield type conflict: input field \
         \\\"v\\\" on measurement \\\"cpu\\\" is type integer, already exists as type float dropped=1\"}\n"
    );
    assert!(answer.header("x-influxdb-error").starts_with("partial write: "));
    assert_eq!(server.sql("mine", "SELECT v FROM cpu ORDER BY time").await, json!([{ "v": 1.0 }, { "v": 3.0 }]));
    let none = server.post("/write?db=mine", "cpu v=1i 9\n").await;
    assert_eq!(
        none.text(),
        "{\"error\":\"partial write: field type conflict: input field \\\"v\\\" on measurement \\\"cpu\\\" is type \
         integer, already exists as type float dropped=1\"}\n"
    );
    let unparsed = server.post("/write?db=mine", "nonsense").await;
    assert_eq!(
        (unparsed.status, unparsed.text()),
        (400, "{\"error\":\"unable to parse 'nonsense': missing fields\"}\n")
    );
}

#[tokio::test]
async fn partial_writes_can_be_refused_as_a_whole() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--refuse-partial-writes"]).start();
    let answer = server.post("/write?db=mine", "cpu v=1 1\nnonsense\n").await;
    assert_eq!((answer.status, answer.text()), (400, "{\"error\":\"unable to parse 'nonsense': missing fields\"}\n"));
    assert_eq!(server.post("/write?db=mine", "mem v=1 1\n").await.status, 204);
    assert_eq!(server.sql("mine", "SHOW TABLES").await.to_string().matches("cpu").count(), 0, "no trace is left");
}

#[tokio::test]
async fn telegraf_makes_a_missing_database_and_tries_again() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--no-auto-create"]).start();
    let missing = server.post("/write?db=telegraf", "cpu v=1 1\n").await;
    assert_eq!((missing.status, missing.text()), (404, "{\"error\":\"database not found: \\\"telegraf\\\"\"}\n"));
    let made = server.post("/query?q=CREATE+DATABASE+%22telegraf%22", "").await;
    assert_eq!((made.status, made.text()), (200, "{\"results\":[{\"statement_id\":0}]}\n"));
    assert_eq!(server.post("/write?db=telegraf", "cpu v=1 1\n").await.status, 204);
    let policy = server.post("/write?db=telegraf&rp=week", "cpu v=1 1\n").await;
    assert_eq!((policy.status, policy.text()), (404, "{\"error\":\"retention policy not found: \\\"week\\\"\"}\n"));
}

#[tokio::test]
async fn gzip_counts_after_inflation_too() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--max-body", "64KiB"]).start();
    let send = |path: &'static str, body: Vec<u8>| {
        server.send(client().post(server.url(path)).header("content-encoding", "gzip").body(body))
    };
    let members = [gzip(b"cpu v=1 1\n"), gzip(b"cpu v=2 2\n")].concat();
    assert_eq!(send("/write?db=mine", members).await.status, 204);
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 2 }]));
    let bomb = send("/write?db=mine", gzip(&b"cpu v=3 3\n".repeat(10_000))).await;
    assert_eq!(bomb.status, 413);
    assert!(bomb.text().contains("larger than 64KiB"), "{}", bomb.text());
    assert_eq!(
        server.sql("mine", "SELECT count(*) AS n FROM cpu").await,
        json!([{ "n": 2 }]),
        "nothing of it is stored"
    );
    assert_eq!(send("/write?db=mine", b"no gzip".to_vec()).await.status, 400);
}

#[tokio::test]
async fn too_many_requests_at_a_time_are_503_with_retry_after() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--max-requests", "1"]).start();
    let mut slow = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = "POST /write?db=mine HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ncpu";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = server.post("/write?db=mine", "cpu v=1 1").await;
    for _ in 0..1_000 {
        if answer.status == 503 {
            break;
        }
        answer = server.post("/write?db=mine", "cpu v=1 1").await;
    }
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(server.get("/health").await.status, 200, "health needs no place");
    slow.write_all(b" v=2 2").await.unwrap();
    while server.post("/write?db=mine", "cpu v=3 3").await.status == 503 {}
    let rows = server.sql("mine", "SELECT count(*) AS n FROM cpu WHERE v > 1").await;
    assert_eq!(rows, json!([{ "n": 2 }]), "the slow write was served, and so were those after it");
}
