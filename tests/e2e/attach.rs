//! `ochre attach` and `ochre adopt`: another server's node, read or taken over.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod adopt;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::server::{Server, Start, dir, now, ochre};

/// The URL of a folder.
pub fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Rows of table `cpu`, each with a value of its own.
pub fn lines(from: usize, count: usize) -> String {
    (from..from + count).map(|row| format!("cpu,host=h{} v={row}i {}\n", row % 7, row * 1_000_000_000 + 1)).collect()
}

/// Puts everything of a database into objects.
pub fn persist(server: &Server) {
    let output = ochre(&["partition", "persist", "--database", "d", "--host", &server.url("")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Deletes the rows of a host.
pub async fn delete_host(server: &Server, host: &str) {
    let body = serde_json::json!({
        "start": "1970-01-01T00:00:00Z",
        "stop": "2100-01-01T00:00:00Z",
        "predicate": format!("_measurement=\"cpu\" AND host=\"{host}\""),
    });
    let answer = server.post("/api/v2/delete?org=o&bucket=d", body.to_string()).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// Every file below a folder, with its length.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.metadata().unwrap() {
                meta if meta.is_dir() => folders.push(entry.path()),
                meta => drop(found.insert(entry.path(), meta.len())),
            }
        }
    }
    found
}

fn attach(objects: &Path, data_dir: &Path) -> Start {
    Start::in_dir(data_dir).subcommand("attach").args(&["--object-store", &url(objects), "--refresh", "100ms"])
}

async fn count(server: &Server) -> usize {
    server.sql("d", "SELECT count(*) AS n FROM cpu").await[0]["n"].as_u64().unwrap() as usize
}

async fn comes_to(server: &Server, rows: usize) {
    let begun = now();
    while count(server).await != rows {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attached_node_is_read_and_follows_and_nothing_is_written() {
    let (owner_dir, reader_dir, objects) = (dir(), dir(), dir());
    let mut owner = Start::in_dir(owner_dir.path()).args(&["--object-store", &url(objects.path())]).start();
    assert_eq!(owner.post("/write?db=d", lines(0, 50)).await.status, 204);
    persist(&owner);
    assert_eq!(owner.post("/write?db=d", lines(50, 10)).await.status, 204);

    let mut reader = attach(objects.path(), reader_dir.path()).start();
    assert_eq!(reader.node, "a");
    assert_eq!(count(&reader).await, 50, "what only the owner's log has is not seen");
    let all = "SELECT host, v, time FROM cpu ORDER BY time";
    persist(&owner);
    comes_to(&reader, 60).await;
    assert_eq!(reader.sql("d", all).await, owner.sql("d", all).await);

    // Deletes act as in the owner.
    let host = owner.url("");
    delete_host(&owner, "h3").await;
    persist(&owner);
    let left = count(&owner).await;
    assert!(left < 60);
    comes_to(&reader, left).await;

    // A database that is made later, and one that is not there.
    assert_eq!(owner.post("/write?db=later", "x v=1i 1").await.status, 204);
    let output = ochre(&["partition", "persist", "--database", "later", "--host", &host]);
    assert_eq!(output.status.code(), Some(0));
    let begun = now();
    while reader.get("/api/v3/query_sql?db=later&q=SELECT%20v%20FROM%20x&format=json").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", reader.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reader.get("/api/v3/query_sql?db=none&q=SELECT%201&format=json").await.status, 404);

    // Nothing is written by anybody from here on: not by the reader either.
    assert_eq!(owner.stop().code(), Some(0), "{}", owner.logs());
    let before = files(objects.path());
    let refused = reader.post("/write?db=d", lines(0, 1)).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("write to the server that runs node a"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "60");
    assert_ne!(reader.post("/api/v3/configure/database", r#"{"db":"new"}"#).await.status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(count(&reader).await, left, "it serves without the owner");
    assert_eq!(files(objects.path()), before);

    let status = ochre(&["status", "--output", "json", "--host", &reader.url("")]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["node"], &status["epoch"], &status["health"]), (&json!("a"), &json!(1), &json!("ok")));
    assert!(status["attached"]["revision"].as_u64().unwrap() > 0, "{status}");
    let metrics = reader.get("/metrics").await;
    assert!(metrics.text().contains("ochre_attached_age_seconds 0"), "{}", metrics.text());
    let refused = ochre(&["rules", "show", "--database", "d", "--host", &reader.url("")]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("runs node a"), "{refused:?}");
    assert_eq!(reader.stop().code(), Some(0), "{}", reader.logs());

    let error = attach(objects.path(), reader_dir.path()).args(&["--http-x"]).try_start().unwrap_err();
    assert_eq!(error.0.code(), Some(2));
    let empty = dir();
    let (status, log) = attach(empty.path(), reader_dir.path()).try_start().unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("there is no such node in this object store"), "{log}");
}
