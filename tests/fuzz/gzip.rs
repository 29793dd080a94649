//! Bodies that claim to be gzip, to a real server.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Campaign;
use crate::e2e::server::{Start, dir};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_bodies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let client = reqwest::Client::new();
    let seeds =
        vec![gzip(b"cpu,host=a v=1 1\n"), gzip(&[b' '; 5_000]), [gzip(b"cpu v=1 "), gzip(b"1\ncpu v=2 2")].concat()];
    let campaign = Campaign { target: "gzip", millis: 2_000, seeds, words: &["\u{1f}", "cpu v=1"] };
    campaign.run(|bytes| {
        let request =
            client.post(server.url("/api/v3/write_lp?db=d")).header("content-encoding", "gzip").body(bytes.to_vec());
        let status = runtime.block_on(async { request.send().await.unwrap().status().as_u16() });
        assert!([204, 400, 413].contains(&status), "answered with {status}: {}", server.logs());
    });
    assert_eq!(runtime.block_on(server.get("/health")).status, 200);
}
