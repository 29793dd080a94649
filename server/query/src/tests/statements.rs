//! Which statements are answered, and how others are refused.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use ochre_store::snapshot::Stage;
use ochre_types::ByteSize;
use serde_json::json;

use super::double::{Batch, Chunk, Double, Partitioning, Row, WIDE, ask, ask_with, ask_within, engine};
use crate::{Params, QueryError, QueryErrorKind, QueryLimits};

async fn double() -> (crate::Engine, Arc<Double>) {
    let rows = vec![
        Row { host: Some("a"), time: 1, usage: Some(1.5), ..Row::default() },
        Row { host: Some("b"), time: 2, hits: Some(3), ..Row::default() },
    ];
    let batches = vec![Batch { stamp: 1, rows }];
    let chunks = [Chunk { stage: Stage::Open, partitioning: Partitioning::Day, batches }];
    let store = Arc::new(InMemory::new());
    let source = Double::new(&store, "s", &chunks).await.with_copy("Mem Free");
    (engine(&store, 2, ByteSize::mib(64)), source)
}

#[tokio::test]
async fn statements_that_do_not_read_are_refused_by_name() {
    let (engine, source) = double().await;
    let refused = [
        ("CREATE TABLE t (a INT)", "CREATE TABLE"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL"),
        ("CREATE DATABASE d", "CREATE DATABASE"),
        ("DROP TABLE cpu", "DROP TABLE"),
        ("INSERT INTO cpu SELECT * FROM cpu", "INSERT"),
        ("DELETE FROM cpu", "DELETE"),
        ("UPDATE cpu SET usage = 1", "UPDATE"),
        ("COPY cpu TO '/tmp/x.parquet'", "COPY"),
        ("SET datafusion.execution.batch_size = 1", "SET"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "EXECUTE"),
        ("BEGIN", "BEGIN"),
        ("TRUNCATE TABLE cpu", "TRUNCATE"),
        ("EXPLAIN INSERT INTO cpu SELECT * FROM cpu", "INSERT"),
        ("EXPLAIN ANALYZE COPY cpu TO '/tmp/x'", "COPY"),
    ];
    for (sql, kind) in refused {
        match ask(&engine, &source, sql).await {
            Err(error @ QueryError::Refused(_)) => {
                assert_eq!(error.kind(), QueryErrorKind::Refused);
                let text = format!("{kind} is not allowed here: a query can only read, with SELECT, EXPLAIN or SHOW");
                assert_eq!(error.to_string(), text, "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn files_are_no_tables() {
    let (engine, source) = double().await;
    for name in ["'/etc/passwd'", "\"/etc/passwd\"", "\"file:///etc/passwd\"", "'https://example.com/x.parquet'"] {
        let error = ask(&engine, &source, &format!("SELECT * FROM {name}")).await.unwrap_err();
        assert!(matches!(error.kind(), QueryErrorKind::UnknownTable | QueryErrorKind::Sql), "{name}: {error:?}");
    }
    for function in ["read_csv", "read_parquet", "parquet_metadata", "read_json"] {
        let error = ask(&engine, &source, &format!("SELECT * FROM {function}('/etc/passwd')")).await.unwrap_err();
        assert!(matches!(error.kind(), QueryErrorKind::UnknownTable | QueryErrorKind::Sql), "{function}: {error:?}");
    }
}

#[tokio::test]
async fn one_statement_at_a_time() {
    let (engine, source) = double().await;
    let error = ask(&engine, &source, "SELECT 1; SELECT 2").await.unwrap_err();
    assert_eq!(error.to_string(), "a query has one statement, and here are 2: send them one by one");
    assert!(matches!(ask(&engine, &source, "  ").await, Err(QueryError::Statements(0))));
    assert!(matches!(ask(&engine, &source, ";;").await, Err(QueryError::Statements(0))));
    assert_eq!(ask(&engine, &source, "SELECT 1;").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn errors_say_whose_fault_it_is() {
    let (engine, source) = double().await;
    let kinds = [
        ("SELECT * FROM nothing", QueryErrorKind::UnknownTable),
        ("SELECT * FROM CPU", QueryErrorKind::UnknownTable),
        ("SELECT * FROM system.nothing", QueryErrorKind::UnknownTable),
        ("SELECT * FROM other.iox.cpu", QueryErrorKind::UnknownDatabase),
        ("SELECT nothing FROM cpu", QueryErrorKind::Sql),
        ("SELECT _stamp FROM cpu", QueryErrorKind::Sql),
        ("SELECT nothing()", QueryErrorKind::Sql),
        ("SELEC 1", QueryErrorKind::Sql),
        ("SELECT 'open", QueryErrorKind::Sql),
        ("SELECT 1 / (hits - 3) FROM cpu", QueryErrorKind::Execution),
    ];
    for (sql, kind) in kinds {
        let error = ask(&engine, &source, sql).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
    }
    let error = ask(&engine, &source, "SELECT * FROM nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "table \"nothing\" is not known: SHOW TABLES lists those that are");
}

#[tokio::test]
async fn deep_and_long_statements_are_answered_or_refused() {
    let (engine, source) = double().await;
    let sum = |terms: usize| format!("SELECT 1{}", " + 1".repeat(terms));
    let or = |terms: usize| format!("SELECT count(*) FROM cpu WHERE hits = 0{}", " OR hits = 3".repeat(terms));
    let nested = |levels: usize| format!("SELECT * FROM {}cpu{}", "(SELECT * FROM ".repeat(levels), ")".repeat(levels));
    assert_eq!(ask(&engine, &source, &sum(500)).await.unwrap(), ["501"]);
    assert_eq!(ask(&engine, &source, &or(240)).await.unwrap(), ["1"]);
    let too_complex = [
        sum(2_000),
        sum(20_000),
        or(20_000),
        nested(500),
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}1", "- ".repeat(5_000)),
        format!("SELECT {}true", "NOT ".repeat(5_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000)),
        format!("SELECT 1 FROM cpu{}", ", cpu".repeat(5_000)),
        format!(
            "WITH t0 AS (SELECT 1 AS x){} SELECT count(*) FROM t40",
            (1..41).map(|n| format!(", t{n} AS (SELECT a.x FROM t{0} a, t{0} b)", n - 1)).collect::<String>()
        ),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2_000), " END".repeat(2_000)),
    ];
    for sql in too_complex {
        let error = ask(&engine, &source, &sql).await.unwrap_err();
        assert_eq!(error.kind(), QueryErrorKind::Sql, "{}: {error}", &sql[..60]);
    }
    let one = format!("{}hits{}{}", "(1 * ".repeat(20), ")".repeat(20), " + hits".repeat(400));
    let wide = format!("SELECT max({one}) FROM cpu{}", format!(" UNION ALL SELECT ({one}) FROM cpu").repeat(8));
    assert_eq!(ask(&engine, &source, &wide).await.unwrap().len(), 17);
    let list = format!("SELECT count(*) FROM cpu WHERE hits IN (3{})", ", 4".repeat(20_000));
    assert_eq!(ask(&engine, &source, &list).await.unwrap(), ["1"]);
    let joins = format!(
        "SELECT count(*) FROM cpu t{}",
        (0..60).map(|n| format!(" UNION ALL SELECT count(*) FROM cpu u{n}")).collect::<String>()
    );
    assert_eq!(ask(&engine, &source, &joins).await.unwrap().len(), 61);
}

#[tokio::test]
async fn names_keep_their_case() {
    let (engine, source) = double().await;
    assert_eq!(
        ask(&engine, &source, "SELECT COUNT(*) FROM \"Mem Free\" AS M WHERE M.host = 'a'").await.unwrap(),
        ["1"]
    );
    assert_eq!(
        ask(&engine, &source, "SELECT x.Usage FROM (SELECT usage AS Usage FROM iox.cpu) x WHERE x.Usage > 1")
            .await
            .unwrap(),
        ["1.5"]
    );
    assert!(ask(&engine, &source, "SELECT USAGE FROM cpu").await.is_err());
}

#[tokio::test]
async fn the_information_schema_is_there() {
    let (engine, source) = double().await;
    let tables =
        "SELECT DISTINCT TABLE_SCHEMA from information_schema.TABLES where TABLE_TYPE != 'VIEW' ORDER BY TABLE_SCHEMA";
    assert_eq!(ask(&engine, &source, tables).await.unwrap(), ["iox"]);
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'iox' AND table_name = 'cpu' ORDER BY ordinal_position";
    let expected = [
        "hits|Int64",
        "host|Dictionary(Int32, Utf8)",
        "note|Utf8",
        "ok|Boolean",
        "region|Dictionary(Int32, Utf8)",
        "time|Timestamp(ns)",
        "usage|Float64",
    ];
    assert_eq!(ask(&engine, &source, columns).await.unwrap(), expected);
    let shown = ask(&engine, &source, "SHOW TABLES").await.unwrap();
    assert!(shown.contains(&"public|iox|cpu|BASE TABLE".to_owned()), "{shown:?}");
    assert_eq!(ask(&engine, &source, "SHOW COLUMNS FROM cpu").await.unwrap().len(), 7);
    assert_eq!(ask(&engine, &source, "SHOW COLUMNS FROM \"Mem Free\"").await.unwrap().len(), 7);
    assert_eq!(ask(&engine, &source, "SELECT name FROM system.tables").await.unwrap(), ["Mem Free", "cpu"]);
    assert_eq!(ask(&engine, &source, "SELECT count(*) FROM system.tables WHERE name = 'cpu'").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn parameters_are_named() {
    let (engine, source) = double().await;
    let params = |values: serde_json::Value| match values {
        serde_json::Value::Object(map) => Params::new(map),
        _ => unreachable!("tests give objects"),
    };
    let sql = "SELECT usage FROM cpu WHERE host = $host AND time >= $from AND usage < $top";
    let given = params(json!({"host": "a", "$from": "1970-01-01T00:00:00Z", "top": 2})).unwrap();
    assert_eq!(ask_with(&engine, &source, sql, &given).await.unwrap(), ["1.5"]);
    let injection = params(json!({"host": "a' OR true --", "from": "1970-01-01", "top": 2.5})).unwrap();
    assert!(ask_with(&engine, &source, sql, &injection).await.unwrap().is_empty());
    let missing = ask_with(&engine, &source, sql, &params(json!({"host": "a"})).unwrap()).await.unwrap_err();
    assert_eq!(missing.kind(), QueryErrorKind::Sql, "{missing}");
    assert_eq!(
        params(json!({"list": [1, 2]})).unwrap_err().to_string(),
        "parameter \"list\" is an array or an object: give text, a number, true, false or null"
    );
}

#[tokio::test]
async fn usual_functions_are_there() {
    let (engine, source) = double().await;
    let one = |sql: &'static str| ask(&engine, &source, sql);
    assert_eq!(one("SELECT round(avg(usage), 1), upper(min(host)), abs(-2) FROM cpu").await.unwrap(), ["1.5|A|2"]);
    assert_eq!(one("SELECT now() > '2026-01-01T00:00:00Z'").await.unwrap(), ["true"]);
    assert_eq!(
        one("SELECT host FROM cpu WHERE time < now() - INTERVAL '1 hour' ORDER BY host").await.unwrap(),
        ["a", "b"]
    );
    assert_eq!(one("SELECT regexp_like(host, '^a') FROM cpu ORDER BY host").await.unwrap(), ["true", "false"]);
    assert_eq!(one("SELECT first_value(host ORDER BY time DESC) FROM cpu").await.unwrap(), ["b"]);
    assert_eq!(
        one("SELECT host, lag(host) OVER (ORDER BY time) FROM cpu ORDER BY time").await.unwrap(),
        ["a|-", "b|a"]
    );
    assert_eq!(one("SELECT value FROM generate_series(1, 3)").await.unwrap(), ["1", "2", "3"]);
}

#[tokio::test]
async fn memory_is_bounded() {
    let row = |n: i64| Row { host: Some("a"), time: n, note: Some("some text that takes space"), ..Row::default() };
    let batches = vec![Batch { stamp: 1, rows: (0..20_000).rev().map(row).collect() }];
    let chunks = [Chunk { stage: Stage::Open, partitioning: Partitioning::Day, batches }];
    let store = Arc::new(InMemory::new());
    let source = Double::new(&store, "m", &chunks).await;
    let small = engine(&store, 1, ByteSize(100_000));
    let error = ask(&small, &source, "SELECT * FROM cpu").await.unwrap_err();
    assert_eq!(error.kind(), QueryErrorKind::ResourcesExhausted, "{error}");

    // The same by the query's own limit, where all queries together have enough.
    let ample = engine(&store, 1, ByteSize::mib(64));
    let limits = QueryLimits { memory: ByteSize(100_000), ..WIDE };
    let error = ask_within(&ample, &source, "SELECT * FROM cpu", &Params::default(), limits).await.unwrap_err();
    assert_eq!(error.kind(), QueryErrorKind::ResourcesExhausted, "{error}");
    assert!(error.to_string().contains("limits.query_memory allows one query 100000B"), "{error}");
    assert_eq!(ask(&ample, &source, "SELECT count(*) FROM cpu").await.unwrap(), ["20000"]);
}

#[tokio::test]
async fn time_is_bounded() {
    let (engine, source) = double().await;
    let limits = QueryLimits { time: Duration::from_millis(50), ..WIDE };
    let sql = "SELECT count(*) FROM generate_series(1, 10000000000000)";
    let error = ask_within(&engine, &source, sql, &Params::default(), limits).await.unwrap_err();
    assert_eq!(error.kind(), QueryErrorKind::TimedOut, "{error}");
    assert_eq!(error.to_string(), "the query ran for more than 50ms: narrow it by time, or raise limits.query_time");
}
