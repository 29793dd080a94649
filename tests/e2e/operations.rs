//! What operators are promised of long work: it is seen, waited for and kept, and shown to whom it concerns.

use std::process::Output;

use serde_json::{Value, json};

use super::server::{Server, Start, dir, ochre};

fn run(server: &Server, args: &[&str]) -> Output {
    let url = server.url("");
    let mut all = args[..2].to_vec();
    all.extend(["--host", &url]);
    all.extend(&args[2..]);
    ochre(&all)
}

fn text(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(text(output)).unwrap()
}

#[tokio::test]
async fn work_is_begun_seen_and_kept() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    assert_eq!(server.post("/write?db=other", "cpu v=1 1\n").await.status, 204);
    let begun = run(&server, &["partition", "persist", "--database", "mine", "--no-wait"]);
    let id = text(&begun).trim_end();
    assert_eq!(text(&run(&server, &["operations", "wait", id])), "1 chunks were persisted\n");

    let shown = json_of(&run(&server, &["operations", "show", id, "--output", "json"]));
    let field = |name: &str| shown[name].clone();
    assert_eq!(
        (field("kind"), field("database"), field("target")),
        (json!("persist"), json!("mine"), json!("all partitions"))
    );
    assert_eq!((field("state"), field("done"), field("total")), (json!("done"), json!(1), json!(1)));
    assert_eq!((field("unit"), field("findings"), field("begun_by")), (json!("chunks"), json!([]), Value::Null));
    assert!(field("started").as_str() <= field("ended").as_str(), "{shown}");

    let other = json_of(&run(&server, &["partition", "freeze", "--database", "other", "--output", "json"]));
    let listed = json_of(&run(&server, &["operations", "list", "--output", "json"]));
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [other["id"].as_str().unwrap(), id]);
    let of_mine = json_of(&run(&server, &["operations", "list", "--database", "mine", "--output", "json"]));
    assert_eq!(of_mine, json!([shown]));
    assert_eq!(json_of(&run(&server, &["operations", "list", "--running", "--output", "json"])), json!([]));
    let rows = server.sql("mine", "SELECT id, kind, state, done FROM system.operations").await;
    assert_eq!(rows, json!([{ "id": id, "kind": "persist", "state": "done", "done": 1 }]));

    // What has ended can't be cancelled any more; that is no mistake.
    assert_eq!(
        text(&run(&server, &["operations", "cancel", id])),
        "persist all partitions: done\n1 chunks were persisted\n"
    );
    let unknown = run(&server, &["operations", "show", "0000000000000001-1"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.starts_with("ochre: there is no operation \"0000000000000001-1\""), "{said}");
}
