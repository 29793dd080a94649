//! Millions of distinct series, and queries that want many times the memory of queries over them.

use serde_json::json;

use super::of_full;
use super::watch::Watch;
use crate::e2e::server::{Server, Start, dir};

/// The memory of the server.
const BUDGET_MIB: u64 = 256;
/// Distinct series in full.
const SERIES: usize = 10_000_000;
/// Series of a request.
const OF_REQUEST: usize = 20_000;
/// How often a refused request is sent again.
const TRIES: usize = 600;

/// Sends lines until they are taken; only a refusal that says when to come back is no failure. Returns the refusals.
pub async fn write(server: &Server, lines: &str) -> usize {
    for tries in 0..TRIES {
        let answer = server.post("/write?db=d", lines.to_owned()).await;
        match answer.status {
            204 => return tries,
            503 => assert!(!answer.header("retry-after").is_empty(), "{}", answer.text()),
            status => panic!("{status}: {}", answer.text()),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the server took nothing for a minute:\n{}", server.logs());
}

fn lines(series: std::ops::Range<usize>) -> String {
    use std::fmt::Write;
    let mut lines = String::new();
    for number in series {
        let time = 1_700_000_000_000_000_000 + number * 1_000;
        writeln!(lines, "cpu,host=host-{number:09},region=r{} value={number}i {time}", number % 7).unwrap();
    }
    lines
}

/// The answer, or why there is none: only for want of memory or time.
async fn ask(server: &Server, sql: &str) -> Result<serde_json::Value, String> {
    let ask = json!({ "db": "d", "q": sql, "format": "json" });
    let answer = server.post("/api/v3/query_sql", ask.to_string()).await;
    match answer.status {
        200 if answer.text().starts_with('[') && answer.text().ends_with(']') => Ok(answer.json()),
        // A query that fails after its first rows ends its answer in the middle.
        200 => Err("cut off".to_owned()),
        503 => {
            let text = answer.text();
            assert!(text.contains("memory") || text.contains("disk"), "{sql}: {text}");
            Err(text.to_owned())
        }
        status => panic!("{sql}: {status}: {}", answer.text()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn millions_of_series_and_queries_over_all_of_them() {
    let count = of_full(SERIES);
    let data = dir();
    let server = Start::in_dir(data.path()).memory("256MiB").start();
    let watch = Watch::of(&server);
    let mut refused = 0;
    for first in (0..count).step_by(OF_REQUEST) {
        refused += write(&server, &lines(first..(first + OF_REQUEST).min(count))).await;
    }
    println!("{refused} requests were refused and sent again");
    watch.check("writing series", BUDGET_MIB);

    let exact = json!([{ "n": count, "low": 0, "high": count - 1 }]);
    let simple = "SELECT count(*) AS n, min(value) AS low, max(value) AS high FROM cpu";
    let groups = "SELECT count(*) AS n FROM (SELECT host, max(value) FROM cpu GROUP BY host)";
    let sorted = "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY region, value DESC, host) AS n FROM cpu)";
    let cross = "SELECT count(*) AS n FROM (SELECT a.host, b.host AS other FROM cpu a, cpu b WHERE a.value > b.value \
                 AND a.value < 3000 AND b.value < 3000 ORDER BY a.host, b.host)";
    let strings = "SELECT region, length(string_agg(host, ',')) AS n FROM cpu GROUP BY region ORDER BY region";
    assert_eq!(ask(&server, simple).await.expect("a scan needs no memory for its rows"), exact);
    for (sql, expected) in
        [(groups, Some(count)), (sorted, Some(count)), (cross, Some(3_000 * 2_999 / 2)), (strings, None)]
    {
        match (ask(&server, sql).await, expected) {
            (Ok(answer), Some(n)) => assert_eq!(answer, json!([{ "n": n }]), "{sql}"),
            (Ok(answer), None) => println!("{sql}: {answer}"),
            (Err(reason), _) => println!("{sql}: refused: {reason}"),
        }
    }
    let many = (0..4).map(|_| ask(&server, sorted));
    for answer in futures::future::join_all(many).await.into_iter().flatten() {
        assert_eq!(answer, json!([{ "n": count }]));
    }
    assert_eq!(ask(&server, simple).await.expect("it answers right afterwards"), exact);
    watch.check("queries over all series", BUDGET_MIB);
    let spill = std::fs::read_dir(data.path().join("spill")).unwrap().flatten();
    let files = spill.flat_map(|folder| std::fs::read_dir(folder.path())).flatten().count();
    assert_eq!(files, 0, "what was spilled is gone with its query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_queries_may_spill_is_limited_and_leftovers_go_at_the_start() {
    let data = dir();
    let left = data.path().join("spill").join("datafusion-left");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("file"), "left by a crash").unwrap();
    let start = Start::in_dir(data.path()).memory("128MiB").args(&["--spill-limit", "1MiB"]);
    let server = start.start();
    assert!(!left.exists(), "a query of an earlier process needs nothing any more");
    let watch = Watch::of(&server);
    let count = 400_000;
    for first in (0..count).step_by(OF_REQUEST) {
        write(&server, &lines(first..first + OF_REQUEST)).await;
    }
    let sql = "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY region, value DESC, host) AS n FROM cpu)";
    let refused = ask(&server, sql).await.expect_err("a sort of everything needs more than 25 MiB and 1 MiB of disk");
    println!("{refused}");
    let all = json!([{ "n": count }]);
    assert_eq!(ask(&server, "SELECT count(*) AS n FROM cpu").await.unwrap(), all);
    watch.check("a small spill limit", 128);
}
