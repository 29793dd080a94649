//! What operators are promised of partitions: seen, moved along on demand, closed for writes.

use std::process::Output;

use ochre_client::{Connection, Options};
use serde_json::{Value, json};

use super::server::{Server, Start, dir, ochre};

const RULES: &str = "{\"database\": \"mine\", \"partition\": [{\"tables\": \"*\", \"by\": [{\"tag\": \"host\"}]}]}";
const WRITE: &str = "/api/v3/write_lp?precision=nanosecond&db=mine";

/// Runs `ochre partition …` on the database.
fn partition(server: &Server, args: &[&str]) -> Output {
    let url = server.url("");
    let mut all = vec!["partition", args[0], "--host", &url, "--database", "mine"];
    all.extend(&args[1..]);
    ochre(&all)
}

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (i32, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", said(output).2);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Open, frozen and persisted chunks of a partition.
fn stages(server: &Server, table: &str, key: &str) -> (u64, u64, u64) {
    let found = json_of(&partition(server, &["list", "--table", table, "--output", "json"]));
    let found = found.as_array().unwrap().iter().find(|partition| partition["key"] == key).unwrap().clone();
    let count = |name: &str| found[name].as_u64().unwrap();
    (count("open_chunks"), count("frozen_chunks"), count("persisted_chunks"))
}

async fn server_with_rows(dir: &std::path::Path) -> Server {
    let server = Start::in_dir(dir).start();
    let management = Connection::new(Options::new(server.url(""))).unwrap().management();
    management.create_database(&"mine".parse().unwrap()).await.unwrap();
    let source = ochre_client::RulesSource::Document(RULES.to_owned());
    management.apply_rules(source, ochre_client::Apply::default()).await.unwrap();
    let lines = "cpu,host=a v=1 1\ncpu,host=b v=1 2\nmem,host=a v=1 3\n";
    assert_eq!(server.post(WRITE, lines).await.status, 204);
    server
}

#[tokio::test]
async fn partitions_are_moved_along_one_by_one() {
    let dir = dir();
    let server = server_with_rows(dir.path()).await;
    let text = partition(&server, &["list"]);
    let (code, listed, _) = said(&text);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().take(6).collect()).collect();
    let expected = [
        vec!["table", "key", "open", "frozen", "persisted", "rows"],
        vec!["cpu", "a", "1", "0", "0", "1"],
        vec!["cpu", "b", "1", "0", "0", "1"],
        vec!["mem", "a", "1", "0", "0", "1"],
    ];
    assert_eq!((code, rows), (0, expected.iter().map(|row| row.to_vec()).collect()));

    let frozen = partition(&server, &["freeze", "--table", "c*", "--key", "a"]);
    assert_eq!(said(&frozen), (0, "1 chunks are frozen\n", ""));
    assert_eq!((stages(&server, "cpu", "a"), stages(&server, "cpu", "b")), ((0, 1, 0), (1, 0, 0)));
    assert_eq!(stages(&server, "mem", "a"), (1, 0, 0));
    let persisted = partition(&server, &["persist", "--table", "cpu"]);
    assert_eq!(said(&persisted), (0, "2 chunks were persisted\n", ""));
    assert_eq!((stages(&server, "cpu", "a"), stages(&server, "cpu", "b")), ((0, 0, 1), (0, 0, 1)));
    assert_eq!(stages(&server, "mem", "a"), (1, 0, 0));

    let shown = json_of(&partition(&server, &["show", "--table", "cpu", "--key", "a", "--output", "json"]));
    let chunk = &shown["chunks"][0];
    assert_eq!((&chunk["stage"], &chunk["level"], &chunk["rows"]), (&json!("persisted"), &json!(0), &json!(1)));
    assert_eq!(chunk["time_min"], "1970-01-01T00:00:00.000000001Z");
    assert_eq!(chunk["sorted_by"], json!(["host"]));
    assert!(chunk["object"].as_str().unwrap().ends_with(".parquet"), "{chunk}");
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 2 }]));

    let none = partition(&server, &["show", "--table", "cpu", "--key", "c"]);
    assert_eq!(said(&none), (1, "", "ochre: table \"cpu\" of database mine has no partition \"c\"\n"));
    let wrong = partition(&server, &["list", "--table", "/(/"]);
    assert_eq!((said(&wrong).0, said(&wrong).1), (1, ""));
    let other = ochre(&["partition", "list", "--host", &server.url(""), "--database", "other"]);
    assert_eq!(said(&other), (1, "", "ochre: database not found: \"other\"\n"));
}

#[tokio::test]
async fn a_closed_partition_takes_nothing_until_it_is_opened() {
    let dir = dir();
    let mut server = server_with_rows(dir.path()).await;
    let switch = |server: &Server, state| {
        let output = partition(server, &["read-only", "--table", "cpu", "--key", "a", state]);
        assert_eq!(said(&output).0, 0, "{output:?}");
        said(&output).1.to_owned()
    };
    assert_eq!(switch(&server, "on"), "partition \"a\" of table \"cpu\" is read-only\n");
    assert_eq!(switch(&server, "on"), "partition \"a\" of table \"cpu\" is read-only already\n");

    let refused = |body: &str| {
        let reason = "the partition \\\"a\\\" of table \\\"cpu\\\" is read-only and takes no rows";
        body.contains(reason) && body.contains("\"line_number\":1")
    };
    let lines = "cpu,host=a v=2 4\ncpu,host=b v=2 5\nmem,host=a v=2 6\n";
    let answer = server.post(WRITE, lines).await;
    assert!(answer.status == 400 && refused(answer.text()), "{}", answer.text());
    let rows = "SELECT host, count(*) AS n FROM cpu GROUP BY host ORDER BY host";
    let expected = json!([{ "host": "a", "n": 1 }, { "host": "b", "n": 2 }]);
    assert_eq!(server.sql("mine", rows).await, expected);
    let v1 = server.post("/write?db=mine", "cpu,host=a v=2 4\ncpu,host=b v=2 5\n").await;
    let reason = "{\"error\":\"partial write: the partition \\\"a\\\" of table \\\"cpu\\\" is read-only and takes no rows \
                  dropped=1\"}\n";
    assert_eq!((v1.status, v1.text()), (400, reason));

    // It outlives the process, and other rules.
    server.kill();
    let server = server.again().start();
    let management = Connection::new(Options::new(server.url(""))).unwrap().management();
    let source = ochre_client::RulesSource::Document(RULES.replace("\"*\"", "\"c*\""));
    management.apply_rules(source, ochre_client::Apply::default()).await.unwrap();
    assert_eq!(server.post(WRITE, lines).await.status, 400);
    assert_eq!(server.sql("mine", rows).await, expected);
    let listed = json_of(&partition(&server, &["list", "--table", "cpu", "--output", "json"]));
    let closed: Vec<_> = listed.as_array().unwrap().iter().map(|it| (&it["key"], &it["read_only"])).collect();
    assert_eq!(closed, [(&json!("a"), &json!(true)), (&json!("b"), &json!(false))]);

    assert_eq!(switch(&server, "off"), "partition \"a\" of table \"cpu\" is open for writes\n");
    assert_eq!(server.post(WRITE, lines).await.status, 204);
    assert_eq!(server.sql("mine", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 4 }]));
    let none = partition(&server, &["read-only", "--table", "disk", "--key", "a", "on"]);
    assert_eq!(said(&none), (1, "", "ochre: table \"disk\" of database mine has no partition \"a\"\n"));
}

/// A writer that hammers a partition while it is closed: once that is said to be done, the rows stay as they are.
#[tokio::test]
async fn nothing_gets_in_after_a_partition_was_said_to_be_closed() {
    let dir = dir();
    let server = server_with_rows(dir.path()).await;
    let storage = Connection::new(Options::new(server.url(""))).unwrap().storage();
    let (database, table) = ("mine".parse().unwrap(), "cpu".parse().unwrap());
    for round in 0..10_u64 {
        let writes = futures::future::join_all((0..8_u64).map(|writer| {
            let line = format!("cpu,host=a v=1 {}\n", 1_000 + round * 8 + writer);
            let server = &server;
            async move { server.post(WRITE, line).await.status }
        }));
        let close = async {
            storage.set_partitions_read_only(&database, &table, "a", true).await.unwrap();
            server.sql("mine", "SELECT count(*) AS n FROM cpu WHERE host = 'a'").await
        };
        let (statuses, seen) = futures::future::join(writes, close).await;
        let after = server.sql("mine", "SELECT count(*) AS n FROM cpu WHERE host = 'a'").await;
        assert_eq!(seen, after, "round {round}: {statuses:?}");
        assert!(statuses.iter().all(|status| [204, 400].contains(status)), "{statuses:?}");
        storage.set_partitions_read_only(&database, &table, "a", false).await.unwrap();
    }
}
