//! `ochre adopt`.

use super::super::server::{Start, dir, ochre};
use super::{count, lines, persist, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_adopted_with_its_log_or_knowingly_without() {
    let (first_dir, second_dir, objects) = (dir(), dir(), dir());
    let store = url(objects.path());
    let mut first = Start::in_dir(first_dir.path()).args(&["--object-store", &store]).start();
    assert_eq!(first.post("/write?db=d", lines(0, 30)).await.status, 204);
    persist(&first);
    assert_eq!(first.post("/write?db=d", lines(30, 12)).await.status, 204);
    first.kill();

    let check = |data_dir: &std::path::Path| {
        let data_dir = data_dir.to_str().unwrap().to_owned();
        let args = ["adopt", "--check", "--node-id", "a", "--object-store", &store, "--data-dir", &data_dir];
        let output = ochre(&args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let before = super::files(objects.path());
    let (code, said) = check(first_dir.path());
    assert!(code == Some(0) && said.contains("is here: nothing that it has is missing"), "{said}");
    let (code, said) = check(second_dir.path());
    assert!(code == Some(0) && said.contains("LOST LOG") && said.contains("there is none here"), "{said}");
    let row = said.lines().find(|line| line.starts_with("d ")).unwrap();
    assert!(row.contains("30") && row.contains("frame 2"), "{row}");
    assert_eq!(super::files(objects.path()), before, "looking changes nothing");

    let adopt = |data_dir| Start::in_dir(data_dir).subcommand("adopt").args(&["--object-store", &store]);
    let (status, said) = adopt(second_dir.path()).try_start().unwrap_err();
    assert!(status.code() == Some(1) && said.contains("--accept-lost-log"), "{said}");
    assert_eq!(super::files(objects.path()), before);

    // The rows that only the old log has are counted.
    let inspect = ["inspect", "--object-store", &store, "--output", "json", first_dir.path().to_str().unwrap()];
    let report: serde_json::Value = serde_json::from_slice(&ochre(&inspect).stdout).unwrap();
    let only = &report["databases"][0]["in_log_only"];
    assert_eq!((&only["rows"], &only["first"], &only["last"]), (&12.into(), &3.into(), &3.into()), "{only}");
    assert!(only["accepted_first"].is_string() && only["accepted_first"] == only["accepted_last"], "{only}");

    let mut second = adopt(second_dir.path()).args(&["--accept-lost-log"]).start();
    assert_eq!(count(&second).await, 30);
    assert!(second.logs().contains("LOST LOG"), "{}", second.logs());
    assert_eq!(second.stop().code(), Some(0));
    let (status, said) = adopt(first_dir.path()).try_start().unwrap_err();
    assert!(status.code() == Some(1) && said.contains("the one here is"), "it is another log now: {said}");

    let none = dir();
    let args =
        ["adopt", "--check", "--node-id", "b", "--object-store", &store, "--data-dir", none.path().to_str().unwrap()];
    let output = ochre(&args);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no node b"), "{output:?}");
}
