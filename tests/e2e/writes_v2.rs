//! What writers by InfluxDB 2 are promised.

use serde_json::json;

use super::server::{Start, client, dir};

#[tokio::test]
async fn a_bucket_is_a_database_and_credentials_are_ignored() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let request = client().post(server.url("/api/v2/write?org=any&bucket=mine/autogen&precision=s"));
    let answer = server.send(request.header("authorization", "Token secret").body("cpu v=1 1\n")).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(server.post("/api/v2/write?bucket=mine/Week", "cpu v=2 2\n").await.status, 204);
    assert_eq!(
        server.sql("mine", "SELECT v, time FROM cpu").await,
        json!([{ "v": 1.0, "time": "1970-01-01T00:00:01" }])
    );
    assert_eq!(server.sql("mine/week", "SELECT v FROM cpu").await, json!([{ "v": 2.0 }]));
    assert!(!server.logs().contains("secret"));
}

#[tokio::test]
async fn bad_lines_are_422_and_the_good_ones_are_kept() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let answer = server.post("/api/v2/write?bucket=mine", "cpu v=1 1\nnonsense\n").await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.text(),
        r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: unable to parse 'nonsense': missing fields dropped=0"}"#
    );
    assert_eq!(answer.header("x-platform-error-code"), "unprocessable entity");
    assert_eq!(server.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 1.0 }]));
    let all = server.post("/api/v2/write?bucket=mine", "nonsense\n").await;
    assert_eq!(
        (all.status, all.text()),
        (400, r#"{"code":"invalid","message":"unable to parse 'nonsense': missing fields"}"#)
    );
}

#[tokio::test]
async fn a_missing_bucket_is_404_and_an_empty_write_204() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--no-auto-create"]).start();
    let unnamed = server.post("/api/v2/write?org=o", "cpu v=1 1\n").await;
    assert_eq!((unnamed.status, unnamed.text()), (404, r#"{"code":"not found","message":"bucket not found"}"#));
    let missing = server.post("/api/v2/write?bucket=mine", "cpu v=1 1\n").await;
    assert_eq!(
        (missing.status, missing.text()),
        (404, r#"{"code":"not found","message":"bucket \"mine\" not found"}"#)
    );
    assert_eq!(server.post("/api/v2/write?bucket=mine", "").await.status, 204);
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let writes = (0..50)
        .map(|i| server.send(client.post(server.url("/api/v2/write?bucket=mine")).body(format!("cpu v={i} {i}\n"))));
    for answer in futures::future::join_all(writes).await {
        assert_eq!(answer.status, 204);
    }
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 50 }]));
}
