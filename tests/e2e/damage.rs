//! What operators are promised when bytes in the store change.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::server::{Server, Start, dir, ochre};

/// Runs a command and returns its exit code, what it printed and what it complained about.
fn run(server: &Server, args: &[&str]) -> (i32, String, String) {
    let url = server.url("");
    let words = if args[0] == "damage" { 2 } else { 1 };
    let mut all = args[..words].to_vec();
    all.extend(["--host", url.as_str()]);
    all.extend(&args[words..]);
    let output = ochre(&all);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn damage(server: &Server) -> Value {
    let (code, text, complaint) = run(server, &["damage", "list", "--output", "json"]);
    assert_eq!(code, 0, "{complaint}");
    serde_json::from_str(&text).unwrap()
}

/// The Parquet files below a directory, by path.
fn parquet(dir: &Path) -> Vec<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "a test looks at what is stored")]
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(parquet(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[allow(clippy::disallowed_methods, reason = "a test does the damage")]
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[40] ^= 8;
    std::fs::write(file, bytes).unwrap();
}

const DAY: u64 = 86_400_000_000_000;

#[tokio::test]
async fn a_damaged_object_is_found_named_and_set_aside() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    let lines = format!("cpu,host=a v=1 {}\ncpu,host=a v=2 {}\n", DAY + 1, 2 * DAY + 1);
    assert_eq!(server.post("/write?db=mine", lines).await.status, 204);
    assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
    let files = parquet(dir.path());
    assert_eq!(files.len(), 2, "one a day: {files:?}");
    flip(&files[0]);
    let name = files[0].file_name().unwrap().to_str().unwrap();

    let server = server.again().start();
    let all = json!({ "db": "mine", "q": "SELECT v FROM cpu ORDER BY time" });
    let ask = super::server::client().post(server.url("/api/v3/query_sql")).json(&all);
    let answer = server.send(ask).await;
    assert_eq!(answer.status, 500);
    for part in [name, "table cpu", "1 rows", "1970-01-02T00:00:00.000000001Z", "ochre scrub --set-aside"] {
        assert!(answer.text().contains(part), "{part} is not in {}", answer.text());
    }
    let later = "SELECT v FROM cpu WHERE time >= '1970-01-03'";
    assert_eq!(server.sql("mine", later).await, json!([{ "v": 2.0 }]), "it needs the other one only");
    assert_eq!(server.get("/health").await.status, 200, "degraded and healthy");
    assert_eq!(server.logs().matches("damage was found").count(), 1);
    let metrics = server.get("/metrics").await.text().to_owned();
    assert!(metrics.contains("ochre_damage_total{kind=\"object\"} 1"), "{metrics}");
    assert!(metrics.contains("ochre_damaged 1"), "{metrics}");

    let (code, text, complaint) = run(&server, &["scrub", "--database", "mine"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(text.contains(name) && text.contains("2 objects and "), "{text}");
    assert!(text.contains("1 objects damaged"), "{text}");
    let (code, text, complaint) = run(&server, &["scrub", "--set-aside"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(text.contains("1 objects damaged, 1 set aside"), "{text}");
    assert_eq!(server.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 2.0 }]));
    let count = "SELECT count(*) AS n FROM cpu";
    assert_eq!(server.sql("mine", count).await, json!([{ "n": 1 }]));

    let listed = damage(&server);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["kind"], &listed[0]["table"]), (&json!("object"), &json!("cpu")));
    assert!(listed[0]["missing"].as_str().unwrap().starts_with("1 rows of partition \"1970-01-02\", "), "{listed}");
    let rows = server.sql("mine", "SELECT kind, database, missing FROM system.damage").await;
    assert_eq!(rows, json!([{ "kind": "object", "database": "mine", "missing": listed[0]["missing"] }]));

    let mut server = server;
    let again = server.again();
    assert_eq!(server.stop().code(), Some(0));
    let inspected = ochre(&["inspect", dir.path().to_str().unwrap()]);
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert_eq!(inspected.status.code(), Some(1));
    assert!(text.contains("MISSING: mine: 1 damaged chunks with 1 rows are set aside"), "{text}");

    let server = again.start();
    let chunk = name.trim_end_matches(".parquet");
    let restore = ["scrub", "--database", "mine", "--restore", chunk];
    let (code, _, complaint) = run(&server, &restore);
    assert_eq!(code, 1);
    assert!(complaint.contains("stays set aside"), "{complaint}");
    flip(&files[0]);
    let (code, text, complaint) = run(&server, &restore);
    assert_eq!((code, text), (0, format!("chunk {chunk} is back: 1 rows\n")), "{complaint}");
    assert_eq!(server.sql("mine", count).await, json!([{ "n": 2 }]));
    assert_eq!(damage(&server), json!([]));
}

#[tokio::test]
async fn wrong_orders_are_refused() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    for (args, part) in [
        (&["scrub", "--database", "none"][..], "database not found"),
        (&["scrub", "--database", "none", "--restore", "x"], "is not the id of a chunk"),
        (&["scrub", "--restore", "0000000000000001-1"], "--database"),
        (&["scrub", "--database", "d", "--restore", "0000000000000001-1", "--set-aside"], "cannot be used with"),
    ] {
        let (code, _, complaint) = run(&server, args);
        assert_ne!(code, 0, "{args:?}");
        assert!(complaint.contains(part), "{args:?}: {complaint}");
    }
    let (code, text, complaint) = run(&server, &["scrub"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(text.starts_with("0 objects and "), "{text}");
}

#[tokio::test]
async fn a_catalog_that_lost_a_revision_is_made_anew_from_the_objects() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    for day in [1, 2] {
        assert_eq!(server.post("/write?db=mine", format!("cpu,host=a v={day} {}\n", day * DAY)).await.status, 204);
        let again = server.again();
        assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
        server = again.start();
    }
    let again = server.again();
    server.kill();
    drop(server);
    let place = dir.path().to_str().unwrap();
    let repair = |more: &[&str]| {
        let output = ochre(&[&["catalog", "repair", "--database", "mine"], more, &[place]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(output.stderr));
        text(output.stdout)
    };
    assert!(repair(&[]).contains("has lost nothing"));

    let added = spoil_what_added_the_second_chunk(dir.path());
    #[allow(clippy::disallowed_methods, reason = "a test loses the log")]
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let mut server = again.start();
    let ask = json!({ "db": "mine", "q": "SELECT v FROM cpu" });
    let answer = server.send(super::server::client().post(server.url("/api/v3/query_sql")).json(&ask)).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains(&added), "{}", answer.text());
    assert_eq!(server.get("/health").await.status, 200);
    let listed = damage(&server);
    assert!(listed[0]["place"].as_str().unwrap().contains(&added), "{listed}");
    let again = server.again();
    assert_eq!(server.stop().code(), Some(0));

    let looked = repair(&[]);
    for part in ["1 revisions are lost", &added, "1 chunks are named by none", "1 chunks with 1 rows", "--apply"] {
        assert!(looked.contains(part), "{part} is not in {looked}");
    }
    assert_eq!(repair(&[]), looked, "looking changes nothing");
    assert!(repair(&["--apply"]).contains("repaired: the catalog is read from revision "));
    let server = again.start();
    let all = server.sql("mine", "SELECT host, v FROM cpu ORDER BY v").await;
    assert_eq!(all, json!([{ "host": "a", "v": 1.0 }, { "host": "a", "v": 2.0 }]));
    let (code, text, complaint) = run(&server, &["scrub", "--database", "mine"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(text.contains("2 objects and "), "{text}");
    assert!(text.contains(&added), "the lost revision is still there: {text}");
}

/// Spoils both copies of the revision that added the second chunk, and returns its file's name.
#[allow(clippy::disallowed_methods, reason = "a test does the damage")]
fn spoil_what_added_the_second_chunk(dir: &Path) -> String {
    let chunks = parquet(dir);
    assert_eq!(chunks.len(), 2, "{chunks:?}");
    let second = chunks[1].to_str().unwrap().rsplit_once("/data/").unwrap();
    let (folder, object) = (Path::new(second.0).join("catalog"), format!("data/{}", second.1));
    let mut revisions: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    revisions.sort();
    let names = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(object.len()).any(|window| window == object.as_bytes())
    };
    let file = revisions.iter().find(|file| names(file)).unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let half = bytes.len() / 2;
    bytes[60] ^= 1;
    bytes[half + 60] ^= 1;
    std::fs::write(file, bytes).unwrap();
    file.file_name().unwrap().to_str().unwrap().to_owned()
}
