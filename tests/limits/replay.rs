//! A log that is many times as large as the memory.

use rustix::process::Signal;
use serde_json::json;

use super::of_full;
use super::series::write;
use super::watch::Watch;
use crate::e2e::server::{Start, dir};

/// Bytes of the log in full: ten times the memory of the server that reads it.
const LOG: usize = 1_280 << 20;
/// Bytes of a row, about.
const ROW: usize = 1_000;
/// Rows of a request.
const OF_REQUEST: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_many_times_the_memory_is_replayed_within_it() {
    let (data, rows) = (dir(), of_full(LOG) / ROW);
    let text = "x".repeat(ROW - 60);
    // Nothing is persisted meanwhile: all is in the log when it ends.
    let never =
        ["--freeze-size", "100GiB", "--freeze-rows", "1000000000", "--freeze-after", "1d", "--persist-after", "1d"];
    let mut server = Start::in_dir(data.path()).memory("8GiB").args(&never).start();
    for first in (0..rows).step_by(OF_REQUEST) {
        let lines =
            (first..(first + OF_REQUEST).min(rows)).map(|row| format!("logs,host=h{row} message=\"{text}\" {row}\n"));
        write(&server, &lines.collect::<String>()).await;
    }
    server.signal(Signal::KILL);
    server.wait();
    let log: u64 =
        std::fs::read_dir(data.path().join("log")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();

    let server = Start::in_dir(data.path()).memory("128MiB").start();
    let watch = Watch::of(&server);
    let count = server.sql("d", "SELECT count(*) AS n, min(length(message)) AS least FROM logs").await;
    assert_eq!(count, json!([{ "n": rows, "least": text.len() }]));
    println!("a log of {} MiB", log >> 20);
    assert!(log > rows as u64 * ROW as u64 / 2, "{log} bytes of log");
    let peak = peak(&server).await;
    println!("resident peak: {} MiB; held by chunks: {peak} bytes", watch.most() >> 20);
    watch.check("after the replay", 128);
    assert!(high_water(server.pid()) <= 128 * 11 / 10 + 64, "{} MiB in all", high_water(server.pid()));
}

/// The most that chunks held.
async fn peak(server: &crate::e2e::server::Server) -> u64 {
    let metrics = server.get("/metrics").await;
    let line = metrics.text().lines().find_map(|line| line.strip_prefix("ochre_buffer_peak_bytes ")).map(str::to_owned);
    line.expect("it is among the metrics").parse().unwrap()
}

/// The most that the process ever took with pages of files, among them its own code, in MiB.
fn high_water(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() >> 10
}
