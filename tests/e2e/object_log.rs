//! A log in the object store: no disk holds anything, and the next server has everything.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod repair;

use std::path::Path;

use serde_json::{Value, json};

use super::server::{Server, Start, client, dir, now, ochre, pause};

/// A server whose own directory is thrown away, with its log and objects in `store`.
fn start(own: &Path, store: &Path) -> Start {
    let url = url::Url::from_file_path(store).unwrap().to_string();
    Start::in_dir(own).args(&["--log", "object-store", "--object-store", &url])
}

async fn count(server: &Server) -> Value {
    server.sql("mine", "SELECT count(*) AS n FROM cpu").await
}

#[tokio::test]
async fn an_empty_machine_restarts_with_everything() {
    let store = dir();
    let mut acknowledged = 0;
    for round in 0..3 {
        let own = dir();
        let mut server = start(own.path(), store.path()).start();
        if round > 0 {
            assert_eq!(count(&server).await, json!([{ "n": acknowledged }]), "{}", server.logs());
            assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu WHERE v < 0").await, json!([{ "n": 0 }]));
        }
        for i in 0..5 {
            let time = round * 10 + i + 1;
            let answer = server.post("/write?db=mine", format!("cpu,host=h{i} v={i} {time}\n")).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
            acknowledged += 1;
        }
        assert!(!own.path().join("log").exists(), "there is a log on the disk");
        match round {
            // What is in no Parquet is in the log alone.
            0 => server.kill(),
            _ => assert_eq!(server.stop().code(), Some(0), "{}", server.logs()),
        }
        assert!(!server.logs().contains("ERROR"), "{}", server.logs());
    }
    let own = dir();
    let server = start(own.path(), store.path()).start();
    assert_eq!(count(&server).await, json!([{ "n": acknowledged }]));
}

#[tokio::test]
async fn the_log_is_looked_at_where_it_is() {
    let (store, own) = (dir(), dir());
    let mut server = start(own.path(), store.path()).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\ncpu v=2 2\n").await.status, 204);
    server.kill();
    let url = url::Url::from_file_path(store.path()).unwrap().to_string();
    let looked = ochre(&["inspect", "--output", "json", &url]);
    let report: Value = serde_json::from_slice(&looked.stdout).unwrap_or_else(|error| panic!("{error}: {looked:?}"));
    assert_eq!(report["log"]["id"], report["log_id"]);
    assert_eq!(report["log"]["damage"], json!([]));
    let only = &report["databases"][0]["in_log_only"];
    assert_eq!((&only["rows"], &only["durable_rows"]), (&json!(2), &json!(2)), "{report}");
}

#[tokio::test]
async fn who_is_taken_over_acknowledges_nothing_more_and_stops() {
    let store = dir();
    let (own, other) = (dir(), dir());
    let mut first = start(own.path(), store.path()).start();
    assert_eq!(first.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    let second = start(other.path(), store.path()).start();
    let begun = now();
    loop {
        let write = client().post(first.url("/write?db=mine")).body("cpu v=2 2\n").send().await;
        let Ok(answer) = write else { break };
        assert_ne!(answer.status().as_u16(), 204, "acknowledged after the take-over");
        assert!(begun.elapsed().as_secs() < 30, "it did not stop");
        pause(std::time::Duration::from_millis(50));
    }
    assert_eq!(first.wait().code(), Some(1));
    assert!(first.logs().contains("another server has taken the log over") || first.logs().contains("fenced by epoch"));
    assert_eq!(second.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 1.0 }]));
    assert_eq!(second.post("/write?db=mine", "cpu v=3 3\n").await.status, 204);
}
