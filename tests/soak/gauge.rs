//! How large a server is.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::e2e::server::Server;

/// Growth from the second to the last quarter that is none: a share, and a number of its own for each gauge.
const SHARE: f64 = 1.25;

/// One look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    at: Duration,
    /// Resident memory in MiB.
    memory: f64,
    chunks: f64,
    /// Objects of the store.
    objects: f64,
    /// MiB of the log.
    log: f64,
}

/// All looks.
#[derive(Debug, Default)]
pub struct Gauges {
    looks: Vec<Look>,
}

impl Gauges {
    /// Looks once.
    pub async fn look(&mut self, at: Duration, server: &Server, database: &str, data_dir: &Path) {
        let chunks = server.sql(database, "SELECT count(*) AS n FROM system.chunks").await;
        let look = Look {
            at,
            memory: resident_mib(server.pid()),
            chunks: chunks[0]["n"].as_f64().unwrap(),
            objects: files(&data_dir.join("objects")).0,
            log: files(&data_dir.join("log")).1 / f64::from(1 << 20),
        };
        self.looks.push(look);
    }

    /// The highest of each quarter, for people.
    pub fn report(&self) -> String {
        let row = |name: &str, of: fn(&Look) -> f64| {
            let quarters: Vec<String> = (0..4).map(|quarter| format!("{:>9.1}", self.most(quarter, of))).collect();
            format!("{name:<12}{}\n", quarters.concat())
        };
        let head = "highest of each quarter\n".to_owned();
        head + &row("memory MiB", |look| look.memory)
            + &row("chunks", |look| look.chunks)
            + &row("objects", |look| look.objects)
            + &row("log MiB", |look| look.log)
    }

    /// That nothing has grown since the second quarter.
    pub fn assert_flat(&self) {
        let check = |name: &str, of: fn(&Look) -> f64, slack: f64| {
            let (before, after) = (self.most(1, of), self.most(3, of));
            assert!(after <= before * SHARE + slack, "{name} grows: {before} -> {after}\n{}", self.report());
        };
        check("memory", |look| look.memory, 32.0);
        check("chunks", |look| look.chunks, 24.0);
        check("objects", |look| look.objects, 200.0);
        check("the log", |look| look.log, 16.0);
    }

    fn most(&self, quarter: usize, of: fn(&Look) -> f64) -> f64 {
        let end = self.looks.last().map_or(Duration::ZERO, |look| look.at);
        let within = |look: &&Look| (look.at.as_secs_f64() / end.as_secs_f64() * 4.0).min(3.9) as usize == quarter;
        self.looks.iter().filter(within).map(of).fold(0.0, f64::max)
    }
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs on Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has resident memory");
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1_024.0
}

/// How many files are below a folder, and their bytes. Files may vanish meanwhile.
fn files(folder: &Path) -> (f64, f64) {
    let (mut count, mut bytes) = (0.0, 0.0);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                let (files, inner) = files(&entry.path());
                (count, bytes) = (count + files, bytes + inner);
            }
            Ok(metadata) => (count, bytes) = (count + 1.0, bytes + metadata.len() as f64),
            Err(_) => {}
        }
    }
    (count, bytes)
}

/// A value of an answer as a number.
pub fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}
