//! Whatever the arrangement of chunks, answers are those of a plain ordered map.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use ochre_store::snapshot::Stage;
use ochre_types::ByteSize;
use proptest::prelude::*;

use super::double::{Batch, Chunk, Double, Partitioning, Row, ask, engine};

const DAY: i64 = 86_400_000_000_000;
const TIMES: [i64; 9] = [0, 1, 2, 10, DAY - 1, DAY, DAY + 1, i64::MIN, i64::MAX];

type Key = (Option<&'static str>, Option<&'static str>, i64);

/// The table as a map: later batches win field by field, and in a batch later rows.
fn model(chunks: &[Chunk]) -> Vec<Row> {
    let mut batches: Vec<&Batch> = chunks.iter().flat_map(|chunk| &chunk.batches).collect();
    batches.sort_by_key(|batch| batch.stamp);
    let mut table: BTreeMap<Key, Row> = BTreeMap::new();
    for row in batches.into_iter().flat_map(|batch| &batch.rows) {
        let key = (row.host, row.region, row.time);
        let cells = table.entry(key).or_insert_with(|| Row {
            host: row.host,
            region: row.region,
            time: row.time,
            ..Row::default()
        });
        cells.usage = row.usage.or(cells.usage);
        cells.hits = row.hits.or(cells.hits);
        cells.note = row.note.or(cells.note);
        cells.ok = row.ok.or(cells.ok);
    }
    table.into_values().collect()
}

fn text<T: std::fmt::Debug>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:?}").replace('"', ""))
}

fn line(row: &Row) -> String {
    let Row { host, region, time, usage, hits, note, ok } = row;
    [text(*host), text(*region), time.to_string(), text(*usage), text(*hits), text(*note), text(*ok)].join("|")
}

struct Filter {
    sql: &'static str,
    passes: fn(&Row) -> bool,
}

const FILTERS: [Filter; 16] = [
    Filter { sql: "true", passes: |_| true },
    Filter { sql: "time >= '1970-01-02T00:00:00Z'", passes: |r| r.time >= DAY },
    Filter {
        sql: "time < '1970-01-01T00:00:00.000000002Z' AND time >= '1970-01-01'",
        passes: |r| (0..2).contains(&r.time),
    },
    Filter {
        sql: "time BETWEEN '1970-01-01T00:00:00.000000001Z' AND '1970-01-01T00:00:00.000000002Z'",
        passes: |r| (1..=2).contains(&r.time),
    },
    Filter { sql: "host = 'a'", passes: |r| r.host == Some("a") },
    Filter { sql: "host IS NULL", passes: |r| r.host.is_none() },
    Filter { sql: "host <> 'a'", passes: |r| r.host.is_some_and(|h| h != "a") },
    Filter {
        sql: "host IN ('a', 'b') AND region = 'eu'",
        passes: |r| matches!(r.host, Some("a" | "b")) && r.region == Some("eu"),
    },
    Filter { sql: "region >= 'us'", passes: |r| r.region.is_some_and(|v| v >= "us") },
    Filter { sql: "usage > 1.5", passes: |r| r.usage.is_some_and(|v| v > 1.5) },
    Filter { sql: "hits = 1", passes: |r| r.hits == Some(1) },
    Filter { sql: "hits IS NULL", passes: |r| r.hits.is_none() },
    Filter { sql: "note = 'x' OR host = 'b'", passes: |r| r.note == Some("x") || r.host == Some("b") },
    Filter { sql: "ok AND time < '1970-01-02'", passes: |r| r.ok == Some(true) && r.time < DAY },
    Filter {
        sql: "(host = 'a' AND time > '1970-01-01') OR (host = 'b' AND time <= '1970-01-01')",
        passes: |r| (r.host == Some("a") && r.time > 0) || (r.host == Some("b") && r.time <= 0),
    },
    Filter {
        sql: "NOT (host = 'a') AND note IS NOT NULL",
        passes: |r| r.host.is_some_and(|h| h != "a") && r.note.is_some(),
    },
];

async fn check(store: &Arc<InMemory>, partitions: usize, source: &Arc<Double>, rows: &[Row], filter: &Filter) {
    let engine = engine(store, partitions, ByteSize::mib(64));
    let expected: Vec<&Row> = rows.iter().filter(|row| (filter.passes)(row)).collect();
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let sql = |what: &str| format!("SELECT {what} FROM cpu WHERE {}", filter.sql);
    let answer = |what: String| async move { ask(&engine_of(store, partitions), source, &what).await.unwrap() };

    let all = ask(&engine, source, &sql("host, region, time, usage, hits, note, ok")).await.unwrap();
    let lines = |rows: &[&Row]| sorted(rows.iter().map(|row| line(row)).collect());
    assert_eq!(sorted(all), lines(&expected), "{}", filter.sql);

    assert_eq!(answer(sql("count(*)")).await, [expected.len().to_string()], "count(*) of {}", filter.sql);
    let fields = sorted(expected.iter().map(|row| format!("{}|{}", text(row.note), text(row.hits))).collect());
    assert_eq!(sorted(answer(sql("note, hits")).await), fields, "fields alone, {}", filter.sql);
    let hits: i64 = expected.iter().filter_map(|row| row.hits).count() as i64;
    let times = (expected.iter().map(|r| r.time).min(), expected.iter().map(|r| r.time).max());
    let aggregates = format!("{hits}|{}|{}", text(times.0), text(times.1));
    assert_eq!(answer(sql("count(hits), min(time), max(time)")).await, [aggregates], "{}", filter.sql);

    let mut newest = expected.clone();
    newest.sort_by_key(|row| (std::cmp::Reverse(row.time), row.host, row.region));
    let newest: Vec<String> = newest.iter().take(3).map(|row| line(row)).collect();
    let top = sql("host, region, time, usage, hits, note, ok")
        + " ORDER BY time DESC, host ASC NULLS FIRST, region ASC NULLS FIRST LIMIT 3";
    assert_eq!(answer(top).await, newest, "newest of {}", filter.sql);

    let some = answer(sql("host, region, time, usage, hits, note, ok") + " LIMIT 2").await;
    assert_eq!(some.len(), expected.len().min(2), "limit of {}", filter.sql);
    let known = lines(&expected);
    assert!(some.iter().all(|line| known.contains(line)), "limit of {}", filter.sql);
}

fn engine_of(store: &Arc<InMemory>, partitions: usize) -> crate::Engine {
    engine(store, partitions, ByteSize::mib(64))
}

fn row() -> impl Strategy<Value = Row> {
    let host = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
    let region = prop::sample::select(vec![None, Some("eu"), Some("us")]);
    let time = prop::sample::select(TIMES.to_vec());
    let usage = prop::sample::select(vec![None, Some(1.0), Some(2.5)]);
    let hits = prop::sample::select(vec![None, Some(1i64), Some(2)]);
    let note = prop::sample::select(vec![None, Some("x"), Some("")]);
    let ok = prop::sample::select(vec![None, None, Some(true), Some(false)]);
    (host, region, time, usage, hits, note, ok).prop_map(|(host, region, time, usage, hits, note, ok)| {
        // A row has at least one field.
        let hits = if usage.is_none() && note.is_none() && ok.is_none() { hits.or(Some(3)) } else { hits };
        Row { host, region, time, usage, hits, note, ok }
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let stage = prop::sample::select(vec![Stage::Open, Stage::Frozen, Stage::Persisted, Stage::Persisted]);
    let partitioning = prop::sample::select(vec![
        Partitioning::Day,
        Partitioning::Day,
        Partitioning::HostAndDay,
        Partitioning::Unreadable,
    ]);
    let batches = prop::collection::vec((1u64..1_000, prop::collection::vec(row(), 1..8)), 1..4);
    (stage, partitioning, batches).prop_map(|(stage, partitioning, batches)| {
        let batches = batches.into_iter().map(|(stamp, rows)| Batch { stamp, rows }).collect();
        Chunk { stage, partitioning, batches }
    })
}

/// No two batches share a stamp.
fn with_own_stamps(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut next = 0;
    for batch in chunks.iter_mut().flat_map(|chunk| &mut chunk.batches) {
        next += 1;
        batch.stamp = batch.stamp * 1_000 + next;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_a_map(
        chunks in prop::collection::vec(chunk(), 0..5).prop_map(with_own_stamps),
        first in 0usize..FILTERS.len(),
        partitions in 1usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(InMemory::new());
            let source = Double::new(&store, "p", &chunks).await;
            let rows = model(&chunks);
            for filter in [&FILTERS[first], &FILTERS[(first + 5) % FILTERS.len()]] {
                check(&store, partitions, &source, &rows, filter).await;
            }
        });
    }
}

fn base() -> Row {
    Row { host: Some("a"), region: Some("eu"), time: 5, ..Row::default() }
}

fn arrangements(batches: Vec<Batch>) -> Vec<Vec<Chunk>> {
    let stages = [Stage::Open, Stage::Frozen, Stage::Persisted];
    let apart = |stages: &[Stage]| {
        let chunk = |(batch, stage): (&Batch, &Stage)| Chunk {
            stage: *stage,
            partitioning: Partitioning::Day,
            batches: vec![batch.clone()],
        };
        batches.iter().zip(stages.iter().cycle()).map(chunk).collect::<Vec<_>>()
    };
    let together = |stage| vec![Chunk { stage, partitioning: Partitioning::Day, batches: batches.clone() }];
    let mut all: Vec<Vec<Chunk>> = stages.into_iter().map(together).collect();
    all.extend(stages.into_iter().map(|stage| apart(&[stage])));
    all.push(apart(&stages));
    all.push(apart(&[Stage::Persisted, Stage::Open]));
    all
}

#[tokio::test]
async fn a_field_filter_does_not_bring_back_an_older_version() {
    let batches = vec![
        Batch { stamp: 1, rows: vec![Row { hits: Some(1), note: Some("x"), ..base() }] },
        Batch { stamp: 2, rows: vec![Row { hits: Some(2), ..base() }] },
    ];
    for (number, chunks) in arrangements(batches).into_iter().enumerate() {
        let store = Arc::new(InMemory::new());
        let source = Double::new(&store, "f", &chunks).await;
        let engine = engine_of(&store, 2);
        let rows = |sql: &'static str| ask(&engine, &source, sql);
        assert!(rows("SELECT * FROM cpu WHERE hits = 1").await.unwrap().is_empty(), "arrangement {number}");
        assert_eq!(rows("SELECT hits, note FROM cpu WHERE hits = 2").await.unwrap(), ["2|x"], "arrangement {number}");
        assert_eq!(rows("SELECT hits FROM cpu WHERE note = 'x'").await.unwrap(), ["2"], "arrangement {number}");
        assert_eq!(rows("SELECT count(*) FROM cpu").await.unwrap(), ["1"], "arrangement {number}");
        assert_eq!(rows("SELECT note FROM cpu").await.unwrap(), ["x"], "arrangement {number}");
    }
}

#[tokio::test]
async fn a_key_with_more_versions_than_are_held_is_one_row() {
    let versions = 10_000u64;
    let write = |number: u64| {
        let note = (number == 1).then_some("first");
        Batch { stamp: number, rows: vec![Row { hits: Some(number as i64), note, ..base() }] }
    };
    let other = Batch { stamp: versions + 1, rows: vec![Row { time: 6, ok: Some(true), ..base() }] };
    // Each chunk has versions between those of the other, so that all of them meet in the merge.
    let batches = |odd: u64| (1..=versions).filter(|n| n % 2 == odd).map(write).collect::<Vec<_>>();
    let partitioning = Partitioning::Day;
    let mut late = batches(0);
    late.push(other);
    let keep_versions = |mut batches: Vec<Batch>| {
        // Alternating fields keep every second version from being superseded within its chunk.
        batches.iter_mut().for_each(|batch| {
            if batch.stamp % 3 == 0 {
                batch.rows[0].usage = Some(batch.stamp as f64);
            }
        });
        batches
    };
    let chunks = vec![
        Chunk { stage: Stage::Open, partitioning, batches: keep_versions(batches(1)) },
        Chunk { stage: Stage::Persisted, partitioning, batches: keep_versions(late) },
    ];
    let store = Arc::new(InMemory::new());
    let source = Double::new(&store, "v", &chunks).await;
    let rows =
        ask(&engine_of(&store, 1), &source, "SELECT hits, note, usage, ok FROM cpu ORDER BY time").await.unwrap();
    assert_eq!(rows, ["10000|first|9999.0|-", "-|-|-|true"]);
}

#[tokio::test]
async fn joins_of_a_table_with_itself_see_one_snapshot() {
    let batches = vec![
        Batch {
            stamp: 1,
            rows: vec![Row { hits: Some(1), ..base() }, Row { host: Some("b"), hits: Some(5), ..base() }],
        },
        Batch { stamp: 2, rows: vec![Row { hits: Some(2), ..base() }] },
    ];
    for chunks in arrangements(batches) {
        let store = Arc::new(InMemory::new());
        let source = Double::new(&store, "j", &chunks).await;
        let sql = "SELECT a.host, b.hits FROM cpu a JOIN cpu b ON a.host = b.host AND a.time = b.time \
                   WHERE a.time > '1970-01-01' ORDER BY a.host";
        assert_eq!(ask(&engine_of(&store, 2), &source, sql).await.unwrap(), ["a|2", "b|5"]);
        let sql = "SELECT region, date_bin(INTERVAL '1 day', time) AS day, sum(hits) FROM cpu GROUP BY region, day";
        assert_eq!(ask(&engine_of(&store, 2), &source, sql).await.unwrap(), ["eu|0|7"]);
    }
}
