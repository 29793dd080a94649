//! What operators are promised when servers start, stop, and are in each other's way.

use serde_json::json;

use super::server::{Start, client, dir};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_stop_and_after_a_crash() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    assert_eq!(server.node, "a");
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    let again = server.again();
    assert_eq!(server.stop().code(), Some(0), "{}", server.logs());
    let count = "SELECT count(*) AS n FROM cpu";

    let mut server = again.start();
    assert_eq!(server.sql("mine", count).await, json!([{ "n": 1 }]));
    assert_eq!(server.sql("mine", "SELECT stage FROM system.chunks").await, json!([{ "stage": "persisted" }]));
    assert_eq!(server.post("/write?db=mine", "cpu v=2 2\n").await.status, 204);
    let again = server.again();
    server.kill();

    let server = again.start();
    assert_eq!(server.sql("mine", count).await, json!([{ "n": 2 }]));
}

#[tokio::test]
async fn a_data_directory_has_one_process() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let (status, stderr) = Start::in_dir(dir.path()).try_start().unwrap_err();
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("is in use by another process") && stderr.contains(dir.path().to_str().unwrap()),
        "{stderr}"
    );
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn requests_in_flight_end_before_the_server_does() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    let mut slow = tokio::net::TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /write?db=mine HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ncpu").await.unwrap();
    // The request must have begun before the stop: its head is read in order with this later connection's answer.
    assert_eq!(server.get("/health").await.status, 200);
    server.signal(rustix::process::Signal::TERM);
    while client().get(server.url("/health")).send().await.is_ok() {}
    slow.write_all(b" v=2 2").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
    let server = server.again().start();
    assert_eq!(server.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 2.0 }]));
}

#[tokio::test]
async fn a_server_without_disk_works_in_memory() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--log", "memory", "--object-store", "memory"]).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    assert_eq!(server.sql("mine", "SELECT v FROM cpu").await, json!([{ "v": 1.0 }]));
}

#[tokio::test]
async fn settings_come_from_flags_environment_and_file() {
    let dir = dir();
    let file = dir.path().join("ochre.toml");
    #[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
    std::fs::write(&file, "[databases]\nno-auto-create = true\n[logging]\nformat = \"json\"\n").unwrap();
    let data = dir.path().join("data");
    let server = Start::in_dir(&data)
        .args(&["--config", file.to_str().unwrap()])
        .env("OCHRE_INFLUXDB_VERSION", "1.8.99-test")
        .start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 404);
    assert_eq!(server.get("/ping").await.header("x-influxdb-version"), "1.8.99-test");
    for line in server.logs().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
