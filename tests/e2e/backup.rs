//! `ochre backup`: what was acknowledged comes back, row for row.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod rounds;

use std::path::Path;

use serde_json::{Value, json};

use super::attach::{delete_host, lines, persist, url};
use super::server::{Server, Start, dir, ochre};

const ALL: &str = "SELECT host, v, time FROM cpu ORDER BY time";

/// Runs a command that must succeed, and returns what it printed.
fn run(args: &[&str]) -> String {
    let output = ochre(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail, and returns why it did.
fn fails(args: &[&str]) -> String {
    let output = ochre(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Makes a backup through the server; returns its id.
fn create(server: &Server, to: &Path) -> String {
    let said = run(&["backup", "create", "--to", &url(to), "--host", &server.url("")]);
    let line = said.lines().find_map(|line| line.strip_prefix("backup ")).unwrap();
    line.split(':').next().unwrap().to_owned()
}

fn restore(from: &Path, id: &str, objects: &Path) {
    let (from, to) = (url(from), url(objects));
    run(&["backup", "restore", "--from", &from, "--backup", id, "--object-store", &to, "--node-id", "a"]);
}

fn serve(data_dir: &Path, objects: &Path) -> Server {
    Start::in_dir(data_dir).args(&["--object-store", &url(objects)]).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_comes_back_as_it_was() {
    let (data, target, objects, again) = (dir(), dir(), dir(), dir());
    let server = Start::in_dir(data.path()).start();
    let host = server.url("");
    assert_eq!(server.post("/write?db=d", lines(0, 40)).await.status, 204);
    delete_host(&server, "h2").await;
    let first_rows = server.sql("d", ALL).await;
    let first = create(&server, target.path());
    assert_eq!(server.post("/write?db=d", lines(40, 5)).await.status, 204);
    assert_eq!(server.post("/write?db=other", "x v=1i 1").await.status, 204);
    let second_rows = server.sql("d", ALL).await;
    let second = create(&server, target.path());

    let from = url(target.path());
    let listed: Value = serde_json::from_str(&run(&["backup", "list", "--from", &from, "--output", "json"])).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["id"], &listed[1]["id"]), (2, &json!(first), &json!(second)));
    assert_eq!((&listed[1]["complete"], &listed[1]["node"]), (&json!(true), &json!("a")));
    let names: Vec<&Value> = listed[1]["databases"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    assert_eq!(names, [&json!("d"), &json!("other")]);
    run(&["backup", "verify", "--from", &from]);

    // To prefixes of their own.
    restore(target.path(), &first, objects.path());
    let restored = serve(again.path(), objects.path());
    assert_eq!(restored.sql("d", ALL).await, first_rows, "also what was deleted is deleted");
    assert_eq!(restored.get("/api/v3/query_sql?db=other&q=SELECT%201&format=json").await.status, 404);
    assert_eq!(restored.post("/write?db=d", lines(100, 3)).await.status, 204);
    let count = restored.sql("d", "SELECT count(*) AS n FROM cpu WHERE v >= 100").await;
    assert_eq!(count, json!([{ "n": 3 }]));
    let refused =
        fails(&["backup", "restore", "--from", &from, "--object-store", &url(objects.path()), "--node-id", "a"]);
    assert!(refused.contains("is not empty"), "{refused}");

    // Into a running server.
    let into = ["backup", "restore", "--from", &from, "--database", "d", "--as", "copy", "--host", &host];
    run(&into);
    assert_eq!(server.sql("copy", ALL).await, second_rows);
    assert_eq!(server.sql("d", ALL).await, second_rows);
    assert_eq!(server.post("/write?db=copy", lines(41, 1).replace("v=41i", "v=99i")).await.status, 204);
    let newer = server.sql("copy", "SELECT v FROM cpu WHERE v = 99").await;
    assert_eq!(newer, json!([{ "v": 99 }]), "what is written now wins");
    let refused = fails(&into);
    assert!(refused.contains("is there already"), "{refused}");
    let again = server.again();
    drop(server);
    let server = again.start();
    let count = server.sql("copy", "SELECT count(*) AS n FROM cpu").await;
    assert_eq!(count[0]["n"], second_rows.as_array().unwrap().len(), "it outlives a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_without_a_server_and_of_others_choosing() {
    let (data, target) = (dir(), dir());
    let mut server = Start::in_dir(data.path()).start();
    assert_eq!(server.post("/write?db=d", lines(0, 20)).await.status, 204);
    persist(&server);
    let own = data.path().join("objects");
    let refused = fails(&["backup", "create", "--to", &url(&own), "--host", &server.url("")]);
    assert!(refused.contains("the server's own object store"), "{refused}");
    let refused =
        fails(&["backup", "create", "--to", &url(target.path()), "--database", "no", "--host", &server.url("")]);
    assert!(refused.contains("there is no database no"), "{refused}");
    assert_eq!(server.post("/write?db=d", lines(20, 5)).await.status, 204);
    server.kill();
    let (from, store) = (url(target.path()), url(&own));
    for _ in 0..3 {
        run(&["backup", "create", "--to", &from, "--object-store", &store, "--node-id", "a"]);
    }
    let listed = run(&["backup", "list", "--from", &from]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.lines().all(|line| !line.ends_with("yes")), "none has what only the log had: {listed}");
    let said = run(&["backup", "prune", "--from", &from, "--keep", "1"]);
    assert!(said.contains("nothing was removed"), "{said}");
    assert_eq!(run(&["backup", "list", "--from", &from]), listed);
    run(&["backup", "prune", "--from", &from, "--keep", "1", "--apply"]);
    assert_eq!(run(&["backup", "list", "--from", &from]).lines().count(), 2);

    let (objects, again) = (dir(), dir());
    let to = url(objects.path());
    let none = fails(&[
        "backup",
        "restore",
        "--from",
        &from,
        "--at",
        "2001-01-01T00:00:00Z",
        "--object-store",
        &to,
        "--node-id",
        "a",
    ]);
    assert!(none.contains("there is no backup here that was begun by then"), "{none}");
    run(&[
        "backup",
        "restore",
        "--from",
        &from,
        "--at",
        "2200-01-01T00:00:00Z",
        "--object-store",
        &to,
        "--node-id",
        "a",
    ]);
    let restored = serve(again.path(), objects.path());
    assert_eq!(restored.sql("d", "SELECT count(*) AS n FROM cpu").await, json!([{ "n": 20 }]));

    // What is damaged is named.
    let mut parquet = Vec::new();
    let mut folders = vec![target.path().join("file")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { parquet.push(entry) }
        }
    }
    let mut bytes = std::fs::read(&parquet[0]).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&parquet[0], bytes).unwrap();
    let damage = fails(&["backup", "verify", "--from", &from]);
    assert!(
        damage.contains("DAMAGE") && damage.contains(parquet[0].file_name().unwrap().to_str().unwrap()),
        "{damage}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_server_starts_on_a_restore_that_is_not_finished() {
    let (data, objects) = (dir(), dir());
    let note = objects.path().join("a/restore");
    std::fs::create_dir_all(&note).unwrap();
    std::fs::write(note.join("unfinished"), "ochre-restore 1\nbackup 20260101T000000000Z-00000001\n").unwrap();
    for command in ["serve", "attach"] {
        let start = Start::in_dir(data.path()).subcommand(command).args(&["--object-store", &url(objects.path())]);
        let (status, said) = start.try_start().unwrap_err();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains("restored from backup 20260101T000000000Z-00000001, which is not finished"), "{said}");
    }
}
