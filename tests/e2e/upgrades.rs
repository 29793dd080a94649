//! What earlier versions left on disk is read: a folder of `tests/fixtures` for each generation of formats.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::server::{Server, Start, dir};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// Asks every question of `answers.txt` again: `-- <database>: <sql>`, then the rows.
async fn check(server: &Server, answers: &str, when: &str) {
    let mut asked = 0;
    for block in answers.split("-- ").filter(|block| !block.trim().is_empty()) {
        let (question, rows) = block.split_once('\n').unwrap();
        let (database, sql) = question.split_once(": ").unwrap();
        let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(server.sql(database, sql).await, Value::Array(rows), "{when}: {question}");
        asked += 1;
    }
    assert!(asked >= 4, "a fixture asks something");
}

#[tokio::test]
async fn every_generation_of_formats_is_read() {
    let mut generations = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap().map(Result::unwrap) {
        generations += 1;
        let dir = dir();
        copy(&entry.path().join("data"), dir.path());
        let answers = std::fs::read_to_string(entry.path().join("answers.txt")).unwrap();
        let name = entry.file_name().into_string().unwrap();
        let server = Start::in_dir(dir.path()).start();
        check(&server, &answers, &format!("{name}, after the upgrade")).await;
        // What this version writes beside it is read as well.
        let mut server = server;
        let again = server.again();
        assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
        assert!(!server.logs().contains("ERROR"), "{name}: {}", server.logs());
        let server = again.with_tokens().start();
        let token = std::fs::read_to_string(entry.path().join("token")).unwrap();
        let ask = reqwest::Client::new()
            .get(server.url("/api/v3/query_sql"))
            .query(&[("db", "metrics"), ("q", "SELECT count(*) AS n FROM cpu"), ("format", "json")])
            .bearer_auth(token.trim());
        let answer = server.send(ask).await;
        assert_eq!((answer.status, answer.text()), (200, r#"[{"n":7}]"#), "{name}: its token");
    }
    assert!(generations > 0, "there are fixtures");
}
