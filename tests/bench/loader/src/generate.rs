//! Rows in the shape of TSBS's `cpu-only` case: a row a host and interval, in the order of time, with ten tags that
//! belong to the host and ten fields that wander between 0 and 100.
//!
//! Options: `--hosts N` `--seconds N` `--interval N` (seconds) `--seed N` `--floats 1` (instead of integers).

use std::io::{BufWriter, Write};

use crate::options::Options;

/// 2024-01-01T00:00:00Z in seconds since 1970.
const START: u64 = 1_704_067_200;
const BUFFER: usize = 1 << 20;

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];
const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];
const SYSTEMS: [&str; 3] = ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"];
const ARCHITECTURES: [&str; 2] = ["x64", "x86"];
const TEAMS: [&str; 4] = ["SF", "NYC", "LON", "CHI"];
const STAGES: [&str; 3] = ["production", "staging", "test"];

/// SplitMix64: small, fast, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, which is left out.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 to 1, which is left out.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// One host: its part of each line up to the fields, and where its fields stand.
struct Host {
    key: String,
    fields: [f64; FIELDS.len()],
}

impl Host {
    fn new(number: u64, chance: &mut Chance) -> Self {
        let region = chance.of(&REGIONS);
        let zone = chance.of(&["a", "b", "c"]);
        let rack = chance.below(100);
        let (os, arch, team) = (chance.of(&SYSTEMS), chance.of(&ARCHITECTURES), chance.of(&TEAMS));
        let (service, version, stage) = (chance.below(20), chance.below(2), chance.of(&STAGES));
        let key = format!(
            "cpu,hostname=host_{number},region={region},datacenter={region}{zone},rack={rack},os={os},arch={arch},\
             team={team},service={service},service_version={version},service_environment={stage} "
        );
        Self { key, fields: std::array::from_fn(|_| chance.unit() * 100.0) }
    }

    /// Moves each field by about one, normally distributed, and writes the line.
    fn line(&mut self, time: u64, floats: bool, chance: &mut Chance, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(self.key.as_bytes())?;
        for (at, (name, value)) in FIELDS.iter().zip(&mut self.fields).enumerate() {
            let step = (0..4).map(|_| chance.unit()).sum::<f64>() - 2.0;
            *value = (*value + step * 1.7).clamp(0.0, 100.0);
            let comma = if at == 0 { "" } else { "," };
            if floats {
                write!(out, "{comma}{name}={value:.4}")?;
            } else {
                write!(out, "{comma}{name}={}i", *value as u64)?;
            }
        }
        writeln!(out, " {}000000000", time)
    }
}

/// Writes the rows to standard output.
pub fn run(options: &Options) -> Result<(), String> {
    let (hosts, seconds) = (options.number("hosts", 100)?, options.number("seconds", 13 * 3600)?);
    let (interval, floats) = (options.number("interval", 10)?.max(1), options.number("floats", 0)? != 0);
    let mut chance = Chance(options.number("seed", 123)?);
    let mut hosts: Vec<Host> = (0..hosts).map(|number| Host::new(number, &mut chance)).collect();
    let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
    let mut write = || {
        for time in (START..START + seconds).step_by(interval as usize) {
            for host in &mut hosts {
                host.line(time, floats, &mut chance, &mut out)?;
            }
        }
        out.flush()
    };
    write().map_err(|error| format!("writing to standard output: {error}"))
}
