//! One client that does everything, one thing after the other, so that it always knows what must be there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tempfile::TempDir;

use super::gauge::{Gauges, integer};
use super::model::{Model, Sums};
use crate::e2e::server::{Server, Start, dir, now, ochre_with_input};
use crate::fuzz::random::Random;

const DATABASE: &str = "soak";
const HOSTS: u32 = 50;
/// Rows of a batch; one a tick.
const BATCH: u32 = 500;
const TICK: Duration = Duration::from_millis(250);
const SMALL_CHUNKS: [&str; 6] = ["--freeze-rows", "5000", "--freeze-after", "1s", "--persist-after", "2s"];

/// The driver, and its server.
pub struct Driver {
    dir: TempDir,
    server: Server,
    model: Model,
    gauges: Gauges,
    random: Random,
    /// How far back questions go: half of what is kept.
    window: Duration,
    next_value: i64,
    last_batch: Vec<(i64, u32)>,
    done: BTreeMap<&'static str, u64>,
    begun: Instant,
}

fn nanos() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_nanos()).expect("it is earlier than 2262")
}

impl Driver {
    /// Starts a server for a run of this length, with rules by which everything happens often.
    pub async fn start(length: Duration) -> Self {
        let dir = dir();
        let server = Start::in_dir(dir.path()).args(&SMALL_CHUNKS).start();
        let kept = (length / 6).clamp(Duration::from_secs(20), Duration::from_secs(180));
        let rules = format!(
            "database: {DATABASE}\n\
             partition:\n  - {{tables: \"*\", by: [{{time: \"%Y-%m-%dT%H:%M\"}}]}}\n\
             lifecycle:\n  retain: [{{tables: cpu, after: {}s}}]\n  grace: 6s\n\
             \x20 compact: {{max_files: 4, quiet_after: 3s}}\n\
             limits: {{query_time: 5s}}\n",
            kept.as_secs()
        );
        let host = server.url("");
        let mut driver = Self {
            dir,
            server,
            model: Model::default(),
            gauges: Gauges::default(),
            random: Random::new(7),
            window: kept / 2,
            next_value: 0,
            last_batch: Vec::new(),
            done: BTreeMap::new(),
            begun: now(),
        };
        driver.write().await;
        let applied = ochre_with_input(&["rules", "apply", "--host", &host, "-"], &rules);
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        driver
    }

    /// Works for this long.
    pub async fn run(&mut self, length: Duration) {
        let mut tick: u64 = 0;
        while self.begun.elapsed() < length {
            let next = self.begun + TICK * u32::try_from(tick + 1).expect("nobody soaks for so long");
            self.write().await;
            match tick % 40 {
                3 | 23 => self.write_extras().await,
                9 | 29 => self.delete().await,
                15 => self.drop_table().await,
                12 | 32 => self.check().await,
                19 | 39 => {
                    let at = self.begun.elapsed();
                    self.gauges.look(at, &self.server, DATABASE, self.dir.path()).await;
                }
                _ => {}
            }
            tick += 1;
            tokio::time::sleep_until(next.into()).await;
        }
        self.check().await;
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// A batch of now; and a few rows of another table.
    async fn write(&mut self) {
        let start = nanos();
        let mut lines = String::new();
        self.last_batch.clear();
        for row in 0..BATCH {
            let (time, host) = (start + i64::from(row), row % HOSTS);
            self.next_value += 1;
            let _ = writeln!(lines, "cpu,host=h{host} value={}i {time}", self.next_value);
            self.model.put(time, host, self.next_value);
            self.last_batch.push((time, host));
        }
        let _ = writeln!(lines, "scratch,host=x n=1i {start}");
        self.send(lines).await;
        self.count("batches");
    }

    /// The second field of rows that are there.
    async fn write_extras(&mut self) {
        let mut lines = String::new();
        for (time, host) in std::mem::take(&mut self.last_batch) {
            self.next_value += 1;
            let _ = writeln!(lines, "cpu,host=h{host} extra={}i {time}", self.next_value);
            self.model.add(time, host, self.next_value);
        }
        self.send(lines).await;
        self.count("partial batches");
    }

    async fn send(&self, lines: String) {
        let answer = self.server.post(&format!("/write?db={DATABASE}"), lines).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Deletes a part of one host's rows.
    async fn delete(&mut self) {
        let host = u32::try_from(self.random.below(u64::from(HOSTS))).expect("there are few hosts");
        let end = nanos();
        let span = self.window.as_nanos() as u64;
        let start = end - i64::try_from(self.random.below(span)).expect("a window is short");
        let body = json!({
            "start": rfc3339(start), "stop": rfc3339(end),
            "predicate": format!("_measurement=\"cpu\" AND host=\"h{host}\""),
        });
        let answer = self.server.post(&format!("/api/v2/delete?bucket={DATABASE}"), body.to_string()).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        self.model.delete(host, start, end);
        self.count("deletes");
        self.check().await;
    }

    /// Drops the small table: the next write begins it anew.
    async fn drop_table(&mut self) {
        let answer = self
            .server
            .send(
                reqwest::Client::new()
                    .post(self.server.url("/query"))
                    .query(&[("db", DATABASE), ("q", "DROP MEASUREMENT scratch")]),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.write().await;
        let rows = self.server.sql(DATABASE, "SELECT count(*) AS n FROM scratch").await;
        assert_eq!(rows, json!([{"n": 1}]), "what was dropped is gone, and what came later is there");
        self.count("drops");
    }

    /// Asks for what is certainly kept, and compares.
    async fn check(&mut self) {
        let start = nanos() - i64::try_from(self.window.as_nanos()).expect("a window is short");
        let sql = format!(
            "SELECT host, count(*) AS n, sum(value) AS v, sum(extra) AS e FROM cpu \
             WHERE time >= to_timestamp_nanos({start}) GROUP BY host"
        );
        let answer = self.server.sql(DATABASE, &sql).await;
        let mut found: BTreeMap<u32, Sums> = BTreeMap::new();
        for row in answer.as_array().expect("rows are a list") {
            let host = row["host"].as_str().and_then(|host| host[1..].parse().ok()).expect("hosts are numbered");
            found.insert(host, (integer(&row["n"]), integer(&row["v"]), integer(&row["e"])));
        }
        assert_eq!(found, self.model.sums(start), "after {:?}, {:?}", self.begun.elapsed(), self.done);
        self.model.forget_before(start);
        self.count("checks");
    }

    /// What was measured.
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// What happened, for people.
    pub fn report(&self) -> String {
        format!("{:?} in {:?}\n{}", self.done, self.begun.elapsed(), self.gauges.report())
    }

    /// A graceful stop, and nothing in the log that a human must see.
    pub async fn end(mut self) {
        let again = self.server.again();
        assert_eq!(self.server.stop().code(), Some(0), "{}", self.server.logs());
        let logs = self.server.logs();
        assert!(!logs.contains(" ERROR "), "{logs}");
        self.server = again.start();
        self.check().await;
    }
}

fn rfc3339(nanos: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}
