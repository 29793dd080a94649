//! SQL text, and Parquet with other bytes, through the query engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_query::Params;

use super::Campaign;
use crate::crash::in_process::{Home, Running, database, line};

/// The longest time that one query gets.
const LONGEST_QUERY: Duration = Duration::from_secs(2);
/// Few, so that joins that nobody meant end soon.
const ROWS_OF_A_SET: usize = 25;
/// The batches that are read of an answer.
const MOST_BATCHES: usize = 8;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A home with a few rows of table `t`.
async fn home_with_rows() -> (Home, Running) {
    let home = Home::new();
    let running = home.open().await.unwrap();
    running.write(&(0..3).flat_map(|batch| (0..4).map(move |row| line(batch, row))).collect::<String>()).await;
    (home, running)
}

/// Asks and reads a bounded part of the answer: whatever is answered is fine, as long as something is.
async fn ask(running: &Running, sql: &str) -> Result<usize, String> {
    let reading = async {
        let answer =
            running.node.query(&database(), sql, &Params::default()).await.map_err(|error| error.to_string())?;
        let batches: Vec<_> = answer
            .stream
            .take(MOST_BATCHES)
            .try_collect()
            .await
            .map_err(|error: ochre_query::QueryError| error.to_string())?;
        Ok(batches.iter().map(arrow_array::RecordBatch::num_rows).sum())
    };
    tokio::time::timeout(LONGEST_QUERY, reading).await.unwrap_or_else(|_| Err("it took too long".to_owned()))
}

/// The first rows of each golden data set, so that golden queries find their tables.
async fn write_golden_rows(running: &Running) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql/data");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let head: Vec<&str> = text.lines().take(ROWS_OF_A_SET).collect();
        running.write(&head.join("\n")).await;
    }
}

/// The queries of the golden files.
fn golden_queries() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "slt")).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let queries = texts.flat_map(|text| {
        let is_query = |line: &&str| ["SELECT ", "WITH ", "EXPLAIN "].iter().any(|word| line.starts_with(word));
        text.lines().filter(is_query).map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>()
    });
    queries.collect()
}

const SQL_WORDS: &[&str] = &[
    " FROM t ",
    "SELECT ",
    "(SELECT ",
    ")",
    "(",
    "((((((((",
    " AND ",
    " OR ",
    "NOT ",
    "- ",
    "''",
    "'",
    "\"",
    "--",
    "/*",
    "*/",
    ";",
    "::TEXT",
    "CAST(value AS BIGINT)",
    " OVER ()",
    " OVER (PARTITION BY row ORDER BY time)",
    " GROUP BY 1",
    " ORDER BY 1",
    "LIMIT 1",
    " UNION ALL ",
    " JOIN t ON true",
    "NULL",
    "TRUE",
    "1e999",
    "9223372036854775808",
    "INTERVAL '1 day'",
    "INTERVAL '99999999 years'",
    "value",
    "time",
    "row",
    "batch",
    "*",
    "CASE WHEN ",
    " END",
    " IN (",
    "EXISTS ",
    "$1",
    "$a",
    "ARRAY[1]",
    "[1]",
    "{a: 1}",
    "x -> x",
    "date_bin(INTERVAL '0 seconds', time)",
    "EXPLAIN ",
    "INSERT INTO t ",
    "é",
    "\0",
    "count(*)",
    "sum(value)",
    "WITH RECURSIVE ",
];

#[test]
fn sql() {
    let runtime = runtime();
    let (_home, running) = runtime.block_on(home_with_rows());
    runtime.block_on(write_golden_rows(&running));
    // An abort takes the process along: this file then has the statement.
    let current = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-sql-current");
    let (mut answered, mut refused) = (0u64, 0u64);
    let campaign = Campaign { target: "sql", millis: 5_000, seeds: golden_queries(), words: SQL_WORDS };
    campaign.run(|bytes| {
        let sql = String::from_utf8_lossy(bytes);
        std::fs::write(&current, bytes).unwrap();
        match runtime.block_on(ask(&running, &sql)) {
            Ok(_) => answered += 1,
            Err(error) => {
                // The engine contains a panic; over whole data it is a bug all the same.
                assert!(!error.contains("it panicked"), "{error}");
                refused += 1;
            }
        }
    });
    std::fs::remove_file(&current).unwrap();
    println!("{answered} answered, {refused} refused");
    assert!(answered > 100, "most starting points are good queries");
    runtime.block_on(running.crash());
}

#[test]
fn parquet() {
    let runtime = runtime();
    let (home, path, seed) = runtime.block_on(async {
        let (home, running) = home_with_rows().await;
        running.node.close().await.unwrap();
        let all: Vec<_> = home.objects.list(None).try_collect().await.unwrap();
        let path = all.into_iter().map(|meta| meta.location).find(|path| path.as_ref().ends_with(".parquet")).unwrap();
        let bytes = home.objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        (home, path, bytes)
    });
    let (mut answered, mut refused) = (0u64, 0u64);
    let campaign = Campaign { target: "parquet", millis: 3_000, seeds: vec![seed], words: &["PAR1"] };
    campaign.run(|bytes| {
        let answer = runtime.block_on(async {
            let copy = home.copy();
            copy.objects.put(&path, bytes.to_vec().into()).await.unwrap();
            // A node of its own, as footers are remembered by the object's name.
            let running = copy.open().await.unwrap();
            let answer = ask(&running, "SELECT * FROM t WHERE value > 1 ORDER BY time").await;
            running.crash().await;
            answer
        });
        match answer {
            Ok(_) => answered += 1,
            Err(error) => {
                assert!(!error.is_empty());
                refused += 1;
            }
        }
    });
    println!("{answered} answered, {refused} refused");
    assert!(refused > 0, "some of this must be noticed");
}
