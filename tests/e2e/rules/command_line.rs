//! `ochre rules` and `ochre token`, to the letter.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::super::server::{ochre, ochre_with_input};
use super::{Server, Start, dir};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (i32, &str, &str) {
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs a command against a server.
fn run(server: &Server, args: &[&str]) -> Output {
    let url = server.url("");
    ochre(&[args, &["--host", &url]].concat())
}

struct Files(tempfile::TempDir);

impl Files {
    #[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const FIRST: &str = "database: mine # ours\npartition:\n  - tables: cpu\n    by: [{tag: host}]\n";
const SECOND: &str = "{\"database\": \"mine\", \"limits\": {\"tables\": 5}, \"columns\": {\"usage\": \"float\"}}";

#[test]
fn rules_are_applied_shown_and_taken_back() {
    let (data, files) = (dir(), Files(dir()));
    let server = Start::in_dir(data.path()).start();
    let (first, second) = (files.write("first.yaml", FIRST), files.write("second.json", SECOND));
    let ok = |args: &[&str], expected: &str| assert_eq!(said(&run(&server, args)), (0, expected, ""), "{args:?}");
    let no = |args: &[&str], expected: &str| assert_eq!(said(&run(&server, args)), (1, "", expected), "{args:?}");

    no(&["rules", "apply", &first], "ochre: database not found: \"mine\"\n");
    ok(&["database", "create", "mine"], "created database mine\n");
    let none = "database mine: no rules were ever applied, the server's defaults hold (generation 0)\n";
    ok(&["rules", "history", "--database", "mine"], none);
    let changes = "+ partition[0].tables     cpu\n+ partition[0].by[0].tag  host\n";
    ok(&["rules", "diff", &first], &format!("database mine: would be generation 1\n{changes}"));
    ok(&["rules", "apply", "--dry-run", &first], &format!("database mine: would be generation 1\n{changes}"));
    ok(&["rules", "apply", &first], &format!("database mine: generation 1\n{changes}"));
    ok(&["rules", "apply", &first], "database mine: nothing changes, generation 1 stays\n");
    ok(&["rules", "show", "--database", "mine"], FIRST);

    let expected =
        "the rules in force are of generation 1, and generation 0 was expected: look at the change, and apply again";
    no(&["rules", "apply", "--expect-generation", "0", &second], &format!("ochre: {expected}\n"));
    let changes = "- partition[0].tables     cpu\n- partition[0].by[0].tag  host\n+ columns.usage           float\n~ limits.tables           \
                   10000 -> 5\n";
    let args = ["rules", "apply", "--expect-generation", "1", "--fence", "7", &second];
    ok(&args, &format!("database mine: generation 2\n{changes}"));
    let fenced = "fence 6 is below 7, which was presented before: another coordinator is in charge now";
    no(&["rules", "apply", "--fence", "6", "--dry-run", &first], &format!("ochre: {fenced}\n"));
    ok(&["rules", "show", "--database", "mine", "--generation", "1"], FIRST);

    let rolled = run(&server, &["rules", "rollback", "--database", "mine", "--to", "1", "--output", "json"]);
    let answer: Value = serde_json::from_slice(&rolled.stdout).unwrap();
    assert_eq!(
        (&answer["generation"], &answer["changes"][3]["path"]),
        (&json!(3), &json!("limits.tables")),
        "{answer}"
    );
    let missing = "the rules of database mine of generation 9 are not kept: the oldest that are have generation 1";
    no(&["rules", "rollback", "--database", "mine", "--to", "9"], &format!("ochre: {missing}\n"));

    let history = run(&server, &["rules", "history", "--database", "mine"]);
    let rows: Vec<Vec<&str>> = text(&history.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["generation", "applied", "by", "fence"]);
    let shown: Vec<_> = rows[1..].iter().map(|row| (row[0], row[2], row[3])).collect();
    assert_eq!(shown, [("3", "-", "-"), ("2", "-", "7"), ("1", "-", "-")]);
    let json_history = run(&server, &["rules", "history", "--database", "mine", "--output", "json"]);
    let kept: Value = serde_json::from_slice(&json_history.stdout).unwrap();
    assert_eq!(
        (&kept[1]["document"], &kept[1]["fence"], &kept[1]["applied_by"]),
        (&json!(SECOND), &json!(7), &Value::Null)
    );

    let effective = run(&server, &["rules", "show", "--database", "mine", "--effective"]);
    assert!(text(&effective.stdout).starts_with("database: mine\npartition:\n"), "{}", text(&effective.stdout));
    let nowhere = run(&server, &["rules", "show", "--database", "nowhere"]);
    assert_eq!(said(&nowhere), (1, "", "ochre: database not found: \"nowhere\"\n"));
}

#[test]
fn mistakes_are_named_by_their_place() {
    let (data, files) = (dir(), Files(dir()));
    let server = Start::in_dir(data.path()).start();
    let file = files.write("bad.yaml", "database: mine\nbufer: {}\nlimits:\n  tables: 0\n");
    let checked = ochre(&["rules", "check", &file]);
    let places: Vec<String> = text(&checked.stdout).lines().map(|line| line.replace(&file, "F")).collect();
    assert!(places[0].starts_with("F:2:1: bufer: unknown field: did you mean buffer?"), "{places:?}");
    assert!(places[1].starts_with("F:4:11: limits.tables: "), "{places:?}");
    assert_eq!(places.len(), 2);
    let (code, stderr) = (checked.status.code(), text(&checked.stderr).replace(&file, "F"));
    assert_eq!((code, &*stderr), (Some(1), "ochre: F has 2 mistakes\n"));

    let applied = run(&server, &["rules", "apply", &file]);
    let stderr = text(&applied.stderr).replace(&file, "F");
    assert_eq!(said(&applied).0, 1);
    assert_eq!(stderr, format!("{}\n{}\nochre: F has 2 mistakes: nothing was changed\n", places[0], places[1]));

    let piped = ochre_with_input(&["rules", "check", "--output", "json", "-"], "database: mine\nsend: []\n");
    let report: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!((&report["file"], &report["database"]), (&json!("<stdin>"), &Value::Null));
    assert_eq!((&report["problems"][0]["path"], &report["problems"][0]["line"]), (&json!("send"), &json!(2)));
    let right = ochre_with_input(&["rules", "check", "-"], "database: \"*\"\n");
    assert_eq!(said(&right), (0, "<stdin>: no mistakes; for new databases\n", ""));
    assert_eq!(ochre(&["rules", "check"]).status.code(), Some(2));
    assert_eq!(ochre(&["rules", "check", "/nowhere/at/all"]).status.code(), Some(1));
}

#[test]
fn lines_are_explained_and_samples_simulated() {
    let (data, files) = (dir(), Files(dir()));
    let server = Start::in_dir(data.path()).start();
    let document = files.write("rules.yaml", FIRST);
    assert_eq!(run(&server, &["database", "create", "mine"]).status.code(), Some(0));
    assert_eq!(run(&server, &["rules", "apply", &document]).status.code(), Some(0));
    let lines = ["--line", "cpu,host=a v=1 1", "--line", "mem v=1 1", "--line", "bad"];
    let explained = run(&server, &[&["rules", "explain", "--database", "mine"], &lines[..]].concat());
    let expected = "line 1: cpu\n  partition  a  by partition[0] (line 3)\n    a  {\"tag\":\"host\"}\n  kept       yes  by default\n\
                    line 2: mem\n  partition  1970-01-01  by default\n    1970-01-01  {\"time\":\"%Y-%m-%d\"}\n  kept       yes  \
                    by default\nline 3\n  refused    missing fields\n";
    assert_eq!(said(&explained), (0, expected, ""));
    let nothing = run(&server, &["query", "--database", "mine", "SHOW TABLES"]);
    assert!(!text(&nothing.stdout).contains("cpu"), "explaining writes nothing");

    let sample = files.write("sample.lp", "cpu,host=a v=1 1\ncpu,host=a v=1 2\ncpu,host=b v=1 1\nbad\n");
    let simulated = ochre(&["rules", "simulate", &document, "--input", &sample, "--output", "json"]);
    let report: Value = serde_json::from_slice(&simulated.stdout).unwrap();
    assert_eq!((&report["rows"], &report["refused"]), (&json!(3), &json!(1)));
    let keys: Vec<_> =
        report["partitions"].as_array().unwrap().iter().map(|load| (&load["key"], &load["rows"])).collect();
    assert_eq!(keys, [(&json!("a"), &json!(2)), (&json!("b"), &json!(1))]);
    let simulated = ochre_with_input(&["rules", "simulate", &document, "--input", "-"], "cpu,host=a v=1 1\n");
    assert!(text(&simulated.stdout).ends_with("\n1 rows in 1 partitions, 0 lines refused\n"), "{simulated:?}");
    let schema = ochre(&["rules", "schema"]);
    let fields = text(&schema.stdout).lines().filter(|line| line.starts_with("buffer.")).count();
    assert_eq!((schema.status.code(), fields), (Some(0), 4));
}

#[test]
fn tokens_are_made_used_and_ended() {
    let data = dir();
    let server = Start::in_dir(data.path()).with_tokens().start();
    let (url, operator) = (server.url(""), server.operator_token());
    let file = data.path().join("admin.token");
    let as_operator = |args: &[&str]| run(&server, &[args, &["--token-file", file.to_str().unwrap()]].concat());
    assert_eq!(said(&as_operator(&["database", "create", "mine"])), (0, "created database mine\n", ""));
    let made = as_operator(&["token", "create", "reader", "--scope", "read:mine", "--scope", "write:other"]);
    let secret = text(&made.stdout).trim_end().to_owned();
    assert!(made.status.code() == Some(0) && secret.starts_with("ochre_") && secret.len() == 49, "{made:?}");
    assert_eq!((text(&made.stdout).lines().count(), text(&made.stderr)), (1, ""));
    let as_reader = |args: &[&str]| ochre(&[args, &["--host", &url, "--token", &secret]].concat());

    assert_eq!(said(&as_reader(&["database", "list"])), (0, "mine\n", ""));
    assert_eq!(as_reader(&["rules", "show", "--database", "mine"]).status.code(), Some(0));
    let denied = as_reader(&["database", "create", "--if-not-exists", "mine"]);
    let why = "ochre: the token \"reader\" may not manage the database \"mine\": it needs the scope manage:mine\n";
    assert_eq!(said(&denied), (1, "", why));
    let why = "ochre: the token \"reader\" may not manage all databases: it needs the scope manage:*\n";
    assert_eq!(said(&as_reader(&["token", "list"])), (1, "", why));

    let listed = as_operator(&["token", "list"]);
    let rows: Vec<Vec<&str>> = text(&listed.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows.len(), rows[1][0], &rows[1][2..]), (2, "reader", &["read:mine", "write:other"][..]));
    let again = as_operator(&["token", "create", "reader", "--scope", "read:*"]);
    assert_eq!(
        said(&again),
        (1, "", "ochre: token reader is there already: choose another name, or revoke it first\n")
    );
    assert_eq!(as_operator(&["token", "create", "bad", "--scope", "delete:*"]).status.code(), Some(2));
    assert_eq!(as_operator(&["token", "create", "none"]).status.code(), Some(2));
    assert_eq!(said(&as_operator(&["token", "revoke", "reader"])), (0, "revoked token reader\n", ""));
    assert_eq!(said(&as_operator(&["token", "revoke", "reader"])), (1, "", "ochre: token reader is not known\n"));
    assert_eq!(as_reader(&["database", "list"]).status.code(), Some(1));
    let logs = server.logs();
    assert!(!logs.contains(&secret) && !logs.contains(&operator), "no secret in a log");
}
