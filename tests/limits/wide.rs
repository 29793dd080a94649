//! Ten thousand columns, sparse rows, thousands of tables, and years in one request.

use std::fmt::Write;

use serde_json::json;

use super::of_full;
use super::series::write;
use super::watch::Watch;
use crate::e2e::server::{Start, dir};

/// The memory of the server.
const BUDGET_MIB: u64 = 256;
/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_columns_where_the_limit_is_raised_and_not_otherwise() {
    let columns = of_full(10_000).max(1_000);
    let lines: String = (0..20)
        .map(|row| {
            let fields: Vec<String> = (0..columns).map(|column| format!("f{column}={column}.5")).collect();
            format!("wide,host=h{row} {} {row}\n", fields.join(","))
        })
        .collect();
    let data = dir();
    let server =
        Start::in_dir(data.path()).memory("256MiB").args(&["--max-columns", &(columns - 1).to_string()]).start();
    let refused = server.post("/write?db=d", lines.clone()).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    drop(server);

    let data = dir();
    let server = Start::in_dir(data.path()).memory("256MiB").args(&["--max-columns", "10001"]).start();
    let watch = Watch::of(&server);
    for _ in 0..10 {
        write(&server, &lines).await;
    }
    let answer = server.sql("d", &format!("SELECT count(*) AS n, max(f{}) AS f FROM wide", columns - 1)).await;
    assert_eq!(answer, json!([{ "n": 20, "f": f64::from(u32::try_from(columns - 1).unwrap()) + 0.5 }]));
    let answer = server.sql("d", "SELECT * FROM wide WHERE host = 'h7'").await;
    assert_eq!(answer.as_array().unwrap()[0].as_object().unwrap().len(), columns + 2);
    watch.check("ten thousand columns", BUDGET_MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_request_that_becomes_large_is_refused_as_a_whole() {
    let data = dir();
    let server = Start::in_dir(data.path()).memory("256MiB").start();
    let watch = Watch::of(&server);
    // Each row has another column: columns are dense, so four megabytes become gigabytes.
    let lines: String = (0..100_000).map(|row| format!("sparse,host=h f{}=1 {row}\n", row % 4_000)).collect();
    let refused = server.post("/write?db=d", lines).await;
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(refused.text().contains("send fewer rows in one request"), "{}", refused.text());
    write(&server, "sparse,host=h f1=1 1\n").await;
    assert_eq!(server.sql("d", "SELECT count(*) AS n FROM sparse").await, json!([{ "n": 1 }]));
    watch.check("sparse rows", BUDGET_MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_years_in_one_request() {
    let days = i64::try_from(of_full(18_260)).unwrap().min(1_826);
    let hosts = 20;
    let mut lines = String::new();
    for day in 0..days {
        for host in 0..hosts {
            writeln!(lines, "past,host=host-{host} value={day}i {}", 1_600_000_000_000_000_000 + day * DAY).unwrap();
        }
    }
    let data = dir();
    let server = Start::in_dir(data.path()).memory("256MiB").start();
    let watch = Watch::of(&server);
    write(&server, &lines).await;
    let all = json!([{ "n": days * hosts, "days": days }]);
    let sql = "SELECT count(*) AS n, count(DISTINCT value) AS days FROM past";
    assert_eq!(server.sql("d", sql).await, all);
    watch.check("five years in one request", BUDGET_MIB);
    drop(server);

    let data = dir();
    let few = (days - 1).to_string();
    let server = Start::in_dir(data.path()).memory("256MiB").args(&["--max-partitions-per-write", &few]).start();
    let refused = server.post("/write?db=d", lines).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_of_tables_with_one_row_each() {
    const LIMIT: usize = 10_000;
    let bytes = of_full(64 << 20);
    let mut lines = String::new();
    let mut tables = 0;
    while lines.len() < bytes {
        writeln!(lines, "table-{tables:07},host=h value=1i 1600000000000000000").unwrap();
        tables += 1;
    }
    let data = dir();
    let args = ["--max-partitions-per-write", "20000"];
    let server = Start::in_dir(data.path()).memory("512MiB").args(&args).start();
    let watch = Watch::of(&server);
    let answer = server.post("/write?db=d", lines).await;
    assert_eq!(answer.status, if tables > LIMIT { 400 } else { 204 }, "{}", answer.text());
    let stored = tables.min(LIMIT);
    let count = server.sql("d", "SELECT count(*) AS n FROM system.tables").await;
    assert_eq!(count, json!([{ "n": stored }]), "of {tables}");
    assert_eq!(server.sql("d", "SELECT value FROM \"table-0000007\"").await, json!([{ "value": 1 }]));
    watch.check("tables with one row each", 512);
}
