//! The real binary with its objects on a real S3 server.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::servers::{Kind, SECRET, Store, USER};
use crate::e2e::server::{Server, Start, dir, now, ochre};

const PERSISTED: usize = 300;
const IN_LOG_ONLY: usize = 40;
const SOON: Duration = Duration::from_secs(30);

fn lines(table: &str, rows: usize) -> String {
    (0..rows).map(|row| format!("{table} v={row}i {}\n", 1_740_787_200_000_000_000 + row as u64)).collect()
}

fn on(store: &Store, data_dir: &Path, credentials: &Path) -> Start {
    Start::in_dir(data_dir).args(&[
        "--object-store",
        &store.url("fleet/one"),
        "--object-store-endpoint",
        &store.endpoint(),
        "--object-store-credentials-file",
        credentials.to_str().unwrap(),
        "--freeze-rows",
        "300",
        "--log-level",
        "debug",
    ])
}

async fn count(server: &Server, table: &str) -> u64 {
    let counted = server.sql("d", &format!("SELECT count(*) AS n FROM {table}")).await;
    counted[0]["n"].as_u64().unwrap()
}

async fn persisted(server: &Server) {
    let begun = now();
    let stages = "SELECT stage FROM system.chunks WHERE \"table\" = 'old'";
    while server.sql("d", stages).await != json!([{ "stage": "persisted" }]) {
        assert!(begun.elapsed() < SOON, "{}", server.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_server_on_s3_restarts_with_its_log_and_is_taken_over() {
    let Some(store) = Store::start(Kind::Versitygw).await else { return };
    let (first_dir, moved_dir, second_dir, secrets) = (dir(), dir(), dir(), dir());
    let credentials = secrets.path().join("credentials");
    store.credentials_file(&credentials);
    let mut first = on(&store, first_dir.path(), &credentials).start();
    assert_eq!(first.post("/write?db=d", lines("old", PERSISTED)).await.status, 204);
    persisted(&first).await;
    assert_eq!(first.post("/write?db=d", lines("new", IN_LOG_ONLY)).await.status, 204);
    first.kill();

    // Another machine: the log was kept, everything else is in the store.
    copy(&first_dir.path().join("log"), &moved_dir.path().join("log"));
    let mut moved = on(&store, moved_dir.path(), &credentials).start();
    assert_eq!((count(&moved, "old").await, count(&moved, "new").await), (300, 40));
    let metrics = moved.get("/metrics").await;
    let sent = metrics.text().lines().find(|line| line.starts_with("ochre_object_store_requests_total{kind=\"put\"}"));
    assert!(sent.is_some_and(|line| !line.ends_with(" 0")), "{}", metrics.text());
    let status = moved.get("/ochre/v1/status").await.json();
    assert_eq!(
        (&status["object_store"]["failing_since"], &status["object_store"]["retries"]),
        (&json!(null), &json!(0))
    );

    let mut second = on(&store, second_dir.path(), &credentials).start();
    let ended = moved.wait();
    let why = moved.logs();
    assert_eq!(ended.code(), Some(1), "{why}");
    assert!(why.contains("fenced by epoch 3"), "{why}");
    assert_eq!(count(&second, "old").await, 300, "what is persisted is the successor's");
    assert_eq!(second.post("/write?db=d", lines("new", 1)).await.status, 204);
    assert!(second.stop().success(), "{}", second.logs());
    for server in [&first, &moved, &second] {
        assert!(!server.logs().contains(SECRET), "a secret is in the log:\n{}", server.logs());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Starts a server that must end at once, and returns what it said.
fn refused(start: Start) -> String {
    let (status, said) = start.try_start().map(drop).unwrap_err();
    assert!(!status.success());
    assert!(!said.contains(SECRET), "a secret is repeated: {said}");
    said
}

#[tokio::test]
async fn mistakes_are_answered_at_the_start_with_what_to_do_and_without_secrets() {
    let Some(store) = Store::start(Kind::Versitygw).await else { return };
    let (data, secrets) = (dir(), dir());
    let credentials = secrets.path().join("credentials");
    store.credentials_file(&credentials);
    let (file, endpoint) = (credentials.to_str().unwrap(), store.endpoint());
    let start = |url: &str, endpoint: &str, file: &str| {
        let args =
            ["--object-store", url, "--object-store-endpoint", endpoint, "--object-store-credentials-file", file];
        Start::in_dir(data.path()).args(&args)
    };
    let said = refused(start("s3://no-such-bucket/x", &endpoint, file));
    assert!(said.contains("does the bucket or container exist"), "{said}");
    let said = refused(start(&store.url("x"), "http://127.0.0.1:1", file));
    assert!(said.contains("check its address and credentials") && said.contains("tried 5 times"), "{said}");
    let said = refused(start(&store.url("x"), "http://192.0.2.1:9000", file));
    assert!(said.contains("--object-store-allow-http"), "{said}");
    let said = refused(start(&format!("s3://user:{SECRET}@bucket/x"), &endpoint, file));
    assert!(said.contains("credentials come from the environment"), "{said}");
    let said = refused(start(&store.url("x"), &endpoint, "/nowhere/credentials"));
    assert!(said.contains("reading the file of credentials /nowhere/credentials"), "{said}");
    std::fs::write(&credentials, format!("aws_access_key_id = {USER}\naws_secret_access_key = {SECRET}-wrong\n"))
        .unwrap();
    let said = refused(start(&store.url("x"), &endpoint, file));
    assert!(said.contains("may these credentials create, read, list and delete"), "{said}");
    std::fs::write(&credentials, format!("{SECRET}\n")).unwrap();
    let said = refused(start(&store.url("x"), &endpoint, file));
    assert!(said.contains("line 1: write `name = value`"), "{said}");
    let shown = ochre(&["config", "show", "--object-store", &format!("s3://user:{SECRET}@bucket/x")]);
    let shown = format!("{}{}", String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.contains("bucket/x") && !shown.contains(SECRET), "{shown}");
}
