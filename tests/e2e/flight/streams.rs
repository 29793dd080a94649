//! Streams: compression, giving up in the middle, and the places that calls hold.

use std::time::Duration;

use arrow_flight::Ticket;
use futures::StreamExt;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use super::session::{Session, ticket};
use crate::e2e::server::{Start, dir, now};

/// More than any buffer on the way takes.
const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000)";

#[tokio::test]
async fn both_ways_can_be_compressed() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let lines: String = (0..10_000).map(|i| format!("cpu,host=a v={i} {i}\n")).collect();
    assert_eq!(server.post("/write?db=mine", lines).await.status, 204);
    let mut session = Session::to(&server).await;
    session.client =
        session.client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let sql = "SELECT * FROM cpu";
    let ask = || session.request(Ticket { ticket: ticket("mine", sql).into() });
    // Libraries announce gzip whether or not anybody wants it.
    let response = session.client.clone().do_get(ask()).await.unwrap();
    assert_eq!(response.metadata().get("grpc-encoding"), None);
    let mut request = ask();
    request.metadata_mut().insert("ochre-accept-gzip", "true".parse().unwrap());
    let response = session.client.clone().do_get(request).await.unwrap();
    assert_eq!(response.metadata().get("grpc-encoding").unwrap(), "gzip");
    let rows = session.sql("mine", sql).await.unwrap();
    assert_eq!(rows.whole().num_rows(), 10_000);
    let acknowledged = session.store(&["mine", "copy"], rows.batches).await;
    assert_eq!(acknowledged.iter().map(|one| one["rows"].as_i64().unwrap()).sum::<i64>(), 10_000);
    let plain = Session::to(&server).await.sql("mine", "SELECT * FROM copy").await.unwrap();
    assert_eq!(plain.whole().num_rows(), 10_000);
}

#[tokio::test]
async fn a_call_holds_its_place_until_it_is_given_up() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).args(&["--max-requests", "1"]).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    let session = Session::to(&server).await;
    let mut endless = session.stream(ticket("mine", ENDLESS)).await.unwrap();
    for _ in 0..3 {
        endless.next().await.unwrap().unwrap();
    }
    let refused = session.sql("mine", "SELECT 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("--max-requests"));
    assert_eq!(refused.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    drop(endless);
    let begun = now();
    while session.sql("mine", "SELECT 1").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the place is still taken");
        crate::e2e::server::pause(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_query_back() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post("/write?db=mine", "cpu v=1 1\n").await.status, 204);
    let session = Session::to(&server).await;
    let mut endless = session.stream(ticket("mine", ENDLESS)).await.unwrap();
    endless.next().await.unwrap().unwrap();
    // The server would have made gigabytes by now if nothing held it back.
    crate::e2e::server::pause(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 400 << 10, "{kib} KiB");
    assert!(endless.next().await.unwrap().is_ok());
}
