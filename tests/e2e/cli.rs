//! What people and scripts at the command line are promised.

use std::process::Output;

use serde_json::{Value, json};

use super::server::{Server, Start, dir, ochre, ochre_with_input};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Runs a command against `server`.
fn run(server: &Server, args: &[&str]) -> Output {
    let url = server.url("");
    let words = if args[0] == "database" { 2 } else { 1 };
    let mut all = args[..words].to_vec();
    all.extend(["--host", url.as_str()]);
    all.extend(&args[words..]);
    ochre(&all)
}

fn write_stdin(server: &Server, args: &[&str], lines: &str) -> Output {
    let url = server.url("");
    let mut all = vec!["write", "--host", url.as_str(), "--database", "mine"];
    all.extend(args);
    all.push("-");
    ochre_with_input(&all, lines)
}

#[test]
fn lines_are_written_and_asked_for() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let lines: String = (0..5_000).map(|i| format!("cpu,host=h{} v={i},s=\"a\nb\" {i}\n", i % 7)).collect();
    let wrote = write_stdin(&server, &["--batch-size", "16KiB"], &lines);
    assert_eq!((code(&wrote), text(&wrote.stdout)), (0, "wrote 5000 lines, 0 refused\n"), "{}", text(&wrote.stderr));
    let count = "SELECT count(*) AS n, min(s) AS s FROM cpu";
    let asked = run(&server, &["query", "--database", "mine", "--format", "json", count]);
    assert_eq!((code(&asked), text(&asked.stdout)), (0, "[{\"n\":5000,\"s\":\"a\\nb\"}]\n"));
    let pretty = run(&server, &["query", "--database", "mine", "SELECT 1 AS x"]);
    assert_eq!(text(&pretty.stdout), "+---+\n| x |\n+---+\n| 1 |\n+---+\n");
    let bound = run(
        &server,
        &["query", "--database", "mine", "--format", "csv", "--param", "i=3", "SELECT v FROM cpu WHERE v = $i"],
    );
    assert_eq!(text(&bound.stdout), "v\n3.0\n");
    let file = dir.path().join("out.parquet");
    let parquet =
        run(&server, &["query", "--database", "mine", "--format", "parquet", "--file", file.to_str().unwrap(), count]);
    assert_eq!((code(&parquet), text(&parquet.stdout)), (0, ""));
    assert_eq!(&std::fs::read(&file).unwrap()[..4], b"PAR1");
}

#[test]
fn refused_lines_are_named_by_their_number_in_the_file() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let mut lines: String = (0..1_000).map(|i| format!("cpu v={i} {i}\n")).collect();
    lines.push_str("nonsense\n");
    let wrote = write_stdin(&server, &["--batch-size", "1KiB"], &lines);
    assert_eq!((code(&wrote), text(&wrote.stdout)), (1, "wrote 1000 lines, 1 refused\n"));
    assert!(text(&wrote.stderr).contains("line 1001: missing fields: nonsense\n"), "{}", text(&wrote.stderr));
    let wrote = write_stdin(&server, &["--output", "json", "--no-gzip"], "nonsense\n");
    let said: Value = serde_json::from_slice(&wrote.stdout).unwrap();
    assert_eq!(
        said,
        json!({ "written": 0, "rejected": 1, "lines": [{ "original_line": "nonsense", "line_number": 1, "error_message": "missing fields" }] })
    );
}

#[test]
fn databases_and_status() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(text(&run(&server, &["database", "create", "mine"]).stdout), "created database mine\n");
    let again = run(&server, &["database", "create", "mine"]);
    assert_eq!(code(&again), 1);
    assert!(text(&again.stderr).contains("exists already"));
    assert_eq!(code(&run(&server, &["database", "create", "--if-not-exists", "mine"])), 0);
    assert_eq!(text(&run(&server, &["database", "list"]).stdout), "mine\n");
    assert_eq!(text(&run(&server, &["database", "list", "--output", "json"]).stdout), "[\"mine\"]\n");
    let status = run(&server, &["status"]);
    assert_eq!(code(&status), 0);
    assert!(text(&status.stdout).contains("databases:\n"), "{}", text(&status.stdout));
    let json: Value = serde_json::from_slice(&run(&server, &["status", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        (&json["node"], &json["health"], &json["databases"][0]["name"]),
        (&json!("a"), &json!("ok"), &json!("mine"))
    );
}

#[test]
fn exit_codes_can_be_trusted() {
    let nobody = ["query", "--host", "http://127.0.0.1:9", "--database", "x", "SELECT 1"];
    let unreachable = ochre(&nobody);
    assert_eq!(code(&unreachable), 1);
    assert!(text(&unreachable.stderr).contains("is the server running?"), "{}", text(&unreachable.stderr));
    assert_eq!(code(&ochre(&["query", "--host", "nonsense", "--database", "x", "SELECT 1"])), 2);
    assert_eq!(code(&ochre(&["query", "--no-such-flag"])), 2);
    assert_eq!(code(&ochre(&[])), 2);
    assert_eq!(code(&ochre(&["--version"])), 0);
    assert_eq!(code(&ochre(&["serve", "--memory", "lots"])), 2);
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(code(&run(&server, &["query", "--database", "nowhere", "SELECT 1"])), 1);
}

#[test]
fn the_configuration_is_shown_with_its_sources() {
    let shown = ochre(&["config", "show", "--output", "json", "--node-id", "b"]);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    let settings: Vec<Value> = serde_json::from_slice(&shown.stdout).unwrap();
    let node = settings.iter().find(|setting| setting["key"] == "node.id").unwrap();
    assert_eq!(
        (&node["value"], &node["source"], &node["env"]),
        (&json!("b"), &json!("flag --node-id"), &json!("OCHRE_NODE_ID"))
    );
    let text_form = ochre(&["config", "show"]);
    assert!(text(&text_form.stdout).lines().any(|line| line.starts_with("http.listen") && line.ends_with("default")));
    assert_eq!(code(&ochre(&["config", "show", "--freeze-rows", "many"])), 2);
}

#[test]
fn inspect_counts_what_is_in_parquet_and_what_only_in_the_log() {
    let dir = dir();
    let data = dir.path().to_str().unwrap().to_owned();
    let mut server = Start::in_dir(dir.path()).start();
    assert_eq!(code(&write_stdin(&server, &[], "cpu v=1 1\ncpu v=2 2\n")), 0);
    assert_eq!(server.stop().code(), Some(0));
    let mut server = server.again().start();
    assert_eq!(code(&write_stdin(&server, &[], "cpu v=3 3\ncpu v=4 4\ncpu v=5 5\n")), 0);
    server.kill();
    let inspected = ochre(&["inspect", &data, "--output", "json"]);
    assert_eq!(code(&inspected), 0, "{}", text(&inspected.stderr));
    let report: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&report["node"], &report["owner"]["epoch"]), (&json!("a"), &json!(2)));
    let database = &report["databases"][0];
    assert_eq!(
        (&database["name"], &database["catalog"]["rows"], &database["catalog"]["chunks"]),
        (&json!("mine"), &json!(2), &json!(1))
    );
    assert_eq!(database["in_log_only"]["rows"], 3);
    let table = ochre(&["inspect", &data]);
    assert!(text(&table.stdout).starts_with("node a: epoch 2, "), "{}", text(&table.stdout));
    assert_eq!(code(&ochre(&["inspect", "/nowhere/at/all"])), 1);
}
