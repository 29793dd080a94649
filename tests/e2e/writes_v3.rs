//! What writers by InfluxDB 3 are promised.

use serde_json::json;

use super::server::{Start, dir};

#[tokio::test]
async fn the_precision_is_found_by_magnitude_unless_told() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let lines = "cpu,i=s v=1 1735689600\ncpu,i=ms v=1 1735689600000\ncpu,i=us v=1 1735689600000000\ncpu,i=ns v=1 1735689600000000000\n";
    let answer = server.post("/api/v3/write_lp?db=mine", lines).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(answer.header("cluster-uuid").len(), 36);
    let times = "SELECT DISTINCT time FROM cpu";
    assert_eq!(server.sql("mine", times).await, json!([{ "time": "2025-01-01T00:00:00" }]));
    assert_eq!(server.post("/api/v3/write_lp?db=told&precision=nanosecond", "cpu v=1 1735689600\n").await.status, 204);
    assert_eq!(server.sql("told", times).await, json!([{ "time": "1970-01-01T00:00:01.735689600" }]));
}

#[tokio::test]
async fn bad_lines_are_listed_and_the_good_ones_kept_unless_told() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let lines = "cpu v=1 1\nnonsense\ncpu v=1i 2\n";
    let refused = server.post("/api/v3/write_lp?db=mine&accept_partial=false", lines).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.text(),
        r#"{"error":"line protocol parsing error","data":{"original_line":"nonsense","line_number":2,"error_message":"missing fields"}}"#
    );
    let partial = server.post("/api/v3/write_lp?db=mine", lines).await;
    assert_eq!(partial.status, 400);
    assert_eq!(
        partial.json(),
        json!({
            "error": "partial write of line protocol occurred",
            "data": [
                { "original_line": "nonsense", "line_number": 2, "error_message": "missing fields" },
                {
                    "original_line": "cpu v=1i 2",
                    "line_number": 3,
                    "error_message": "invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::integer",
                },
            ],
        })
    );
    assert_eq!(server.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 1.0 }]));
}

#[tokio::test]
async fn limits_are_422_and_leave_no_trace() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--max-columns", "2", "--max-tables", "1"]).start();
    assert_eq!(server.post("/api/v3/write_lp?db=mine", "cpu,host=a v=1 1\n").await.status, 204);
    let answer = server.post("/api/v3/write_lp?db=mine", "cpu,host=a w=1 1\nmem v=1 1\ncpu,host=a v=2 2\n").await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        server.sql("mine", "SELECT * FROM cpu ORDER BY time LIMIT 1").await.to_string().matches("\"w\"").count(),
        0
    );
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 2 }]));
}

#[tokio::test]
async fn emptiness_and_missing_databases() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--no-auto-create"]).start();
    let empty = server.post("/api/v3/write_lp?db=mine", "").await;
    assert_eq!(
        (empty.status, empty.text()),
        (400, r#"{"error":"the write has no lines: send at least one line of line protocol"}"#)
    );
    let missing = server.post("/api/v3/write_lp?db=mine", "cpu v=1 1\n").await;
    assert_eq!((missing.status, missing.text()), (404, r#"{"error":"database not found: \"mine\""}"#));
}
