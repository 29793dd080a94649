//! What each field of the rules does, as clients see it.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use ochre_client::Roles;

use super::Database;

/// A limit that is waited for in vain before something counts as held back.
const HELD_BACK: Duration = Duration::from_millis(500);

/// Rules of partitions, all seen through the keys of one row.
pub mod partitions {
    use super::Database;

    /// By a tag.
    pub const TAG: &str = "partition: [{tables: cpu, by: [{tag: zone}]}]";
    /// For some tables only.
    pub const TABLES: &str = "partition: [{tables: \"c*\", by: []}]";
    /// By two parts.
    pub const BY: &str = "partition: [{tables: cpu, by: [{table: {}}, {time: \"%Y\"}]}]";
    /// By the table.
    pub const TABLE: &str = "partition: [{tables: cpu, by: [{table: {}}]}]";
    /// By a bucket.
    pub const BUCKET: &str = "partition: [{tables: cpu, by: [{bucket: {tag: host, count: 16}}]}]";
    /// By the only bucket.
    pub const ONE_BUCKET: &str = "partition: [{tables: cpu, by: [{bucket: {tag: host, count: 1}}]}]";
    /// By a piece of a tag.
    pub const REGEX: &str = "partition: [{tables: cpu, by: [{regex: {tag: host, pattern: \"^([a-z]+)\"}}]}]";
    /// By another piece of it.
    pub const PATTERN: &str = "partition: [{tables: cpu, by: [{regex: {tag: host, pattern: \"^[a-z]+-([0-9]+)\"}}]}]";
    /// By the hour.
    pub const TIME: &str = "partition: [{tables: cpu, by: [{time: \"%Y-%m-%dT%H\"}]}]";

    /// The row lies under this key.
    pub async fn expect(database: &Database<'_>, key: &str) {
        database.store("cpu,host=web-17,zone=a v=1 1").await;
        assert_eq!(database.keys("cpu").await, [key]);
    }

    /// Tables that the pattern does not match have a partition a day.
    pub async fn by_table(database: &Database<'_>) {
        database.store("cpu v=1 1\nmem v=1 1").await;
        assert_eq!(
            (database.keys("cpu").await, database.keys("mem").await),
            (vec![String::new()], vec!["1970-01-01".into()])
        );
    }
}

/// Pins of columns.
pub mod columns {
    use super::Database;

    /// A field of the name of a tag is refused.
    pub async fn pinned_as_tag(database: &Database<'_>) {
        let (status, body) = database.write("cpu host=\"a\" 1").await;
        assert!(
            status == 400 && body.contains("expected iox::column_type::tag, got iox::column_type::field::string"),
            "{status} {body}"
        );
        database.store("cpu,host=a v=1 1").await;
    }

    /// An integer is refused, though it is the first value.
    pub async fn pinned_as_float(database: &Database<'_>) {
        let (status, body) = database.write("cpu usage=1i 1").await;
        assert!(
            status == 400
                && body.contains("expected iox::column_type::field::float, got iox::column_type::field::integer"),
            "{status} {body}"
        );
        database.store("cpu usage=1 1").await;
        assert_eq!(database.sql("SELECT usage FROM cpu").await, serde_json::json!([{ "usage": 1.0 }]));
    }
}

/// When chunks change their stage.
pub mod chunks {
    use super::Database;

    const STAGES: &str = "SELECT DISTINCT stage AS v FROM system.chunks WHERE \"table\" = 'cpu' ORDER BY v";

    /// An open chunk is frozen by its age, and stays in memory.
    pub async fn frozen_by_age(database: &Database<'_>) {
        database.store("cpu v=1 1").await;
        database.until(STAGES, &["frozen"]).await;
    }

    /// A frozen chunk is persisted by its age.
    pub async fn persisted_by_age(database: &Database<'_>) {
        database.store("cpu v=1 1").await;
        database.until(STAGES, &["persisted"]).await;
    }

    /// A chunk that is full goes its way at once; one that is not stays open for minutes.
    pub async fn full(database: &Database<'_>) {
        let lines = |count: u32| -> String { (0..count).map(|i| format!("cpu,host=h{i} v={i} {i}\n")).collect() };
        database.store(lines(1_000)).await;
        database.until(STAGES, &["persisted"]).await;
        database.apply("buffer: {}").await;
        database.store("cpu v=1 1000000000000").await;
        database.until(STAGES, &["open", "persisted"]).await;
    }

    /// The tag of the rule leads, though it has more values.
    pub async fn sorted(database: &Database<'_>) {
        database.store("cpu,host=a,zone=x v=1 1\ncpu,host=a,zone=y v=1 1\ncpu,host=a,zone=z v=1 1").await;
        database.until("SELECT sort_order AS v FROM system.tables WHERE \"table\" = 'cpu'", &["zone,host"]).await;
    }
}

/// What becomes of rows.
pub mod rows {
    use super::{Arc, Database, Roles, TryStreamExt};

    /// The document changes the database that it names, and no other.
    pub async fn only_this_database(database: &Database<'_>) {
        assert!(database.write("a v=1 1\nb v=1 1").await.1.contains("too many tables"));
        let other = Database::new(database.server, &format!("{}-other", database.name)).await;
        other.store("a v=1 1\nb v=1 1").await;
        let rules = other.connection.management().rules(&other.target(), None).await.unwrap();
        assert_eq!(rules.generation, 0);
    }

    /// A batch is acknowledged before it is durable; by default after.
    pub async fn acknowledged_early(database: &Database<'_>) {
        assert_eq!(durable(database).await, [false]);
        database.apply("log: {ack: durable}").await;
        assert_eq!(durable(database).await, [true]);
    }

    async fn durable(database: &Database<'_>) -> Vec<bool> {
        use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampNanosecondArray};
        let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("v", values), ("time", times)]).unwrap();
        let rows = futures::stream::iter([Ok::<_, std::io::Error>(rows)]);
        let flight = database.connection.flight();
        let answers = flight.put(&database.name, &"cpu".parse().unwrap(), rows, &Roles::default()).await.unwrap();
        let answers: Vec<_> = answers.try_collect().await.unwrap();
        assert!(answers.iter().all(|answer| answer.rows == 1));
        answers.iter().map(|answer| answer.durable).collect()
    }

    /// Senders are told to keep their rows, until the rules are others.
    pub async fn refused_for_now(database: &Database<'_>) {
        let answer = database.answer("cpu v=1 1").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "60"), "{}", answer.text());
        database.apply("log: {ack: durable}").await;
        database.store("cpu v=1 1").await;
    }

    /// Rows of other tables are refused line by line.
    pub async fn kept_by_table(database: &Database<'_>) {
        not_kept(database, "cpu v=1 1\nmem v=1 1").await;
        assert_eq!(database.keys("mem").await, Vec::<String>::new());
    }

    /// Rows with other tags are refused line by line.
    pub async fn kept_by_tag(database: &Database<'_>) {
        not_kept(database, "cpu,region=eu v=1 1\ncpu,region=us v=1 1").await;
    }

    async fn not_kept(database: &Database<'_>, lines: &str) {
        let (status, body) = database.write(lines).await;
        assert!(status == 400 && body.contains("does not match store.match"), "{status} {body}");
        assert_eq!(database.sql("SELECT count(*) AS n FROM cpu").await, serde_json::json!([{ "n": 1 }]));
    }
}

/// How old rows may be, and how far ahead.
pub mod ages {
    use ochre_env::{Clock, SystemClock};

    use super::Database;

    const DAY: i64 = 86_400_000_000_000;

    fn now() -> i64 {
        SystemClock::new().wall_nanos()
    }

    /// The first of two lines is refused for `why`, the other one stored.
    async fn first_is_refused(database: &Database<'_>, lines: [String; 2], why: &str) {
        let (status, body) = database.write(lines.join("\n")).await;
        assert!(status == 400 && body.contains(why) && body.contains("\"line_number\":1"), "{status} {body}");
        assert!(!body.contains("\"line_number\":2"), "{body}");
        let table = lines[1].split(' ').next().unwrap();
        let count = format!("SELECT count(*) AS n FROM {table}");
        assert_eq!(database.sql(&count).await, serde_json::json!([{ "n": 1 }]));
        let v1 = database.server.post(&format!("/write?db={}", database.name), lines[0].clone()).await;
        assert!(v1.status == 400 && v1.text().contains(why) && v1.text().contains("dropped=1"), "{}", v1.text());
    }

    /// Old rows are refused line by line, in the words that clients look for.
    pub async fn too_old(database: &Database<'_>) {
        let lines = [format!("cpu v=1 {}", now() - 31 * DAY), format!("cpu v=1 {}", now() - 29 * DAY)];
        first_is_refused(database, lines, "points beyond retention policy").await;
    }

    /// Rows of other tables may be as old as they like.
    pub async fn kept_for_ever(database: &Database<'_>) {
        let lines = [format!("mem v=1 {}", now() - 31 * DAY), format!("cpu v=1 {}", now() - 31 * DAY)];
        first_is_refused(database, lines, "points beyond retention policy").await;
    }

    /// Rows that lie too far back are refused.
    pub async fn far_back(database: &Database<'_>) {
        first_is_refused(database, [format!("cpu v=1 {}", now() - 2 * DAY), "cpu v=1".to_owned()], "limits.past").await;
    }

    /// Rows that lie too far ahead are refused.
    pub async fn far_ahead(database: &Database<'_>) {
        let lines = [format!("cpu v=1 {}", now() + 2 * DAY), "cpu v=1 1".to_owned()];
        first_is_refused(database, lines, "limits.future").await;
    }
}

/// What is too much.
pub mod limits {
    use super::{Database, HELD_BACK, TryStreamExt};

    /// Rows enough for queries that take long.
    const ROWS: usize = 1_000;

    async fn refused(database: &Database<'_>, lines: &str, why: &str) {
        let (status, body) = database.write(lines).await;
        assert!((400..500).contains(&status) && body.contains(why), "{status} {body}");
    }

    /// Columns beyond the limit refuse their lines.
    pub async fn columns(database: &Database<'_>) {
        refused(database, "cpu a=1,b=2 1\ncpu c=3,d=4,e=5 1", "too many columns").await;
        assert_eq!(database.sql("SELECT a, b FROM cpu").await, serde_json::json!([{ "a": 1.0, "b": 2.0 }]));
    }

    /// Tables beyond the limit refuse their lines.
    pub async fn tables(database: &Database<'_>) {
        refused(database, "cpu v=1 1\nmem v=1 1", "too many tables").await;
    }

    /// Writes that are too wide are refused as a whole.
    pub async fn partitions(database: &Database<'_>) {
        refused(database, "cpu v=1 1\ncpu v=1 86400000000000", "limits.partitions_per_write").await;
        database.store("cpu v=1 1").await;
        assert_eq!(database.keys("cpu").await, ["1970-01-01"]);
    }

    /// Long lines are refused, and no others.
    pub async fn line(database: &Database<'_>) {
        refused(database, &format!("cpu v=1 1\ncpu s=\"{}\" 1", "x".repeat(40)), "line too long").await;
    }

    /// Long bodies are refused.
    pub async fn body(database: &Database<'_>) {
        let lines = format!("# {}\n", "x".repeat(1_100));
        assert_eq!(database.write(lines).await.0, 413);
        database.store("cpu v=1 1").await;
    }

    async fn fill(database: &Database<'_>) {
        let text = "x".repeat(2_000);
        let lines = (0..ROWS).map(|row| format!("cpu s=\"{row}-{text}\",v={row} {row}\n"));
        database.store(lines.collect::<String>()).await;
    }

    /// A query that needs more fails; with the default it does not.
    pub async fn query_memory(database: &Database<'_>) {
        fill(database).await;
        let join = "SELECT count(*) AS n FROM cpu a JOIN cpu b ON a.s = b.s";
        let (status, body) = database.ask(join).await;
        assert!(status == 503 && body.contains("limits.query_memory"), "{status} {body}");
        database.apply("limits: {}").await;
        assert_eq!(database.ask(join).await, (200, "[{\"n\":1000}]".to_owned()));
    }

    /// A query that takes longer ends.
    pub async fn query_time(database: &Database<'_>) {
        database.apply("limits: {query_time: 5m}").await;
        fill(database).await;
        let long = "SELECT count(*) AS n FROM cpu a, cpu b WHERE a.v + b.v > 5";
        database.apply("limits: {query_time: 1ms}").await;
        let (status, body) = database.ask(long).await;
        assert!(status == 408 && body.contains("limits.query_time"), "{status} {body}");
        database.apply("limits: {}").await;
        assert_eq!(database.ask("SELECT count(*) AS n FROM cpu").await, (200, "[{\"n\":1000}]".to_owned()));
    }

    /// A second query waits until the first one is done.
    pub async fn concurrent_queries(database: &Database<'_>) {
        fill(database).await;
        let flight = database.connection.flight();
        // Two gigabytes, which nobody takes: it does not end by itself.
        let endless = "SELECT a.s FROM cpu a, cpu b";
        let first = flight.query(&database.name, endless, Default::default()).await.unwrap();
        let mut second = Box::pin(async {
            let answer = flight.query(&database.name, "SELECT 1 AS x", Default::default()).await.unwrap();
            answer.try_collect::<Vec<_>>().await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>()
        });
        tokio::time::timeout(HELD_BACK, &mut second).await.unwrap_err();
        drop(first);
        assert_eq!(second.await, 1);
    }
}
