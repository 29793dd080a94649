//! What was deleted is in no object any more, once its chunk was compacted and the grace is over.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::super::server::{Start, dir, now, pause};
use super::*;

const CANARY: &str = "canary-7f3a91c0";
/// Rows go at once where they are deleted; the grace is as short as queries are.
const RULES: &str = "{database: mine, limits: {query_time: 1s}, lifecycle: {grace: 2s, undrop_within: 1s}}";

/// The files below the objects' folder that hold the canary, but for the log's.
fn holders(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holders(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn parquet(folder: &Path) -> usize {
    holders(folder).iter().filter(|path| path.ends_with(".parquet")).count()
}

/// Waits until something is as it should be.
fn until(what: &str, is: impl Fn() -> bool) {
    let begun = now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        pause(Duration::from_millis(100));
    }
}

async fn server(dir: &Path) -> Server {
    let server = Start::in_dir(dir).start();
    out(&run(&server, &["database", "create", "mine"]));
    let file = dir.join("rules.yaml");
    std::fs::write(&file, RULES).unwrap();
    out(&run(&server, &["rules", "apply", file.to_str().unwrap()]));
    // Each value by itself, so that dictionary pages hold it as it is.
    let lines = format!("cpu,host={CANARY} v=1,text=\"{CANARY}\" 1\ncpu,host=b v=2 1\n");
    assert_eq!(server.post(WRITE, lines).await.status, 204);
    out(&run(&server, &["partition", "persist", "--database", "mine"]));
    server
}

#[tokio::test]
async fn deleted_rows_leave_the_object_store() {
    let dir = dir();
    let server = server(dir.path()).await;
    let objects = dir.path().join("objects");
    assert_eq!(parquet(&objects), 1, "{:?}", holders(&objects));
    let predicate = format!("host = '{CANARY}'");
    out(&run(&server, &["delete", "--database", "mine", "--table", "cpu", "--where", &predicate]));
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "b", "v": 2.0 }]));
    let listed = || json_of(&run(&server, &["delete", "list", "--database", "mine", "--output", "json"]))[0].clone();
    assert!(listed()["objects_left"].as_u64().unwrap() >= 1 && listed()["gone"].is_null(), "{}", listed());
    out(&run(&server, &["partition", "compact", "--database", "mine"]));
    until("the object with the rows stays", || parquet(&objects) == 0);
    until("the receipt does not say that they are gone", || listed()["gone"].is_string());
    assert_eq!(listed()["objects_left"], 0);
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "b", "v": 2.0 }]));
    assert_eq!(server.post(WRITE, format!("cpu,host={CANARY} v=3 1\n")).await.status, 204);
    let then = json!([{ "host": "b", "v": 2.0 }, { "host": CANARY, "v": 3.0 }]);
    assert_eq!(server.sql("mine", ROWS).await, then, "what is written after is there");
}

#[tokio::test]
async fn a_dropped_table_leaves_the_object_store_once_it_can_not_be_brought_back() {
    let dir = dir();
    let server = server(dir.path()).await;
    let objects = dir.path().join("objects");
    out(&run(&server, &["table", "drop", "cpu", "--database", "mine"]));
    pause(Duration::from_millis(1_500));
    let late = run(&server, &["table", "undrop", "cpu", "--database", "mine"]);
    assert!(refused(&late).1.contains("it could be brought back until"), "{late:?}");
    until("the object stays", || parquet(&objects) == 0);
}
