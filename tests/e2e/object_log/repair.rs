//! `ochre log repair`, of a log on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::e2e::server::{Start, dir, ochre};

fn segments(log: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    segments
}

fn repair(log: &Path, more: &[&str]) -> Value {
    let args = [&["log", "repair", "--output", "json", log.to_str().unwrap()], more].concat();
    let output = ochre(&args);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn damage_is_shown_first_then_moved_aside_and_not_found_again() {
    let dir = dir();
    let log = dir.path().join("log");
    let mut server = Start::in_dir(dir.path()).start();
    for i in 1..=3 {
        assert_eq!(server.post("/write?db=mine", format!("cpu v={i},t=\"find me {i}\" {i}\n")).await.status, 204);
    }
    let refused = ochre(&["log", "repair", "--apply", log.to_str().unwrap()]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("in use"), "{refused:?}");
    server.kill();
    assert_eq!(repair(&log, &[])["damage"], json!([]));

    let path = segments(&log).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|part| part == b"find me 2").expect("the row is in the log");
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let looked = repair(&log, &[]);
    let sequences = &looked["damage"][0]["sequences"];
    assert_eq!((&looked["applied"], &sequences[0]["database"]), (&json!(false), &json!("mine")));
    assert_eq!(sequences[0]["first"], sequences[0]["last"]);
    assert_eq!(fs::read(&path).unwrap(), bytes, "looking changed something");
    let applied = repair(&log, &["--apply"]);
    assert_eq!(applied["damage"], looked["damage"]);
    let kept = log.join(applied["segments"][0]["kept_as"].as_str().unwrap());
    assert_eq!(fs::read(kept).unwrap(), bytes);
    assert_eq!(repair(&log, &[])["damage"], json!([]));

    let server = server.again().start();
    assert_eq!(server.sql("mine", "SELECT v FROM cpu ORDER BY v").await, json!([{ "v": 1.0 }, { "v": 3.0 }]));
    assert!(!server.logs().contains("ERROR"), "{}", server.logs());
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM system.damage").await, json!([{ "n": 0 }]));
}
