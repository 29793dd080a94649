//! `ochre rules simulate`.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use ochre_database::simulate::{Simulation, simulate};
use ochre_env::{Clock, SystemClock};
use ochre_ingest::line_protocol::{Flavour, Options};
use ochre_types::ByteSize;
use ochre_types::rules::Rules;
use serde_json::{Value, json};

use super::given::Given;
use crate::cli::table::table;
use crate::cli::write::Unit;
use crate::cli::{Output, Stop};

/// The largest sample, which is read as a whole.
const LARGEST_SAMPLE: ByteSize = ByteSize::mib(256);
/// Partitions that are printed, the largest ones; the rest is counted.
const PRINTED: usize = 20;
/// Refused lines that are printed; the rest is counted.
const REFUSED: usize = 5;

/// Say how the lines of a sample would spread over partitions under a document, without a server.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The sample: a file of line protocol, or - for standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The unit of its timestamps: auto (by their magnitude), ns, us, ms or s.
    #[arg(long, value_enum, default_value = "ns", value_name = "UNIT")]
    precision: Unit,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The document, or - for standard input.
    file: PathBuf,
}

impl Simulate {
    /// Runs the command. What the rules would refuse or what spreads badly is told, and no failure.
    pub fn run(&self) -> Result<(), Stop> {
        if self.input.as_os_str() == "-" && self.file.as_os_str() == "-" {
            return Err(Stop::Usage("the document and the sample can't both be standard input".to_owned()));
        }
        let given = Given::read(&self.file)?;
        let document = match given.parse() {
            Ok(document) => document,
            Err(problems) => {
                problems.0.iter().for_each(|problem| eprintln!("{}", given.place(problem)));
                return Err(Stop::Failed(anyhow!(given.mistakes(problems.0.len()))));
            }
        };
        let options = Options {
            precision: self.precision.of_lines(),
            default_time: SystemClock::new().wall_nanos(),
            flavour: Flavour::V3,
            ..Options::default()
        };
        let simulation = simulate(&document.rules, &self.sample()?, &options);
        let warnings = warnings(&simulation, &document.rules);
        match self.output {
            Output::Json => println!("{}", json_of(&simulation, &warnings)),
            Output::Text => {
                print!("{}", text(&simulation));
                warnings.iter().for_each(|warning| eprintln!("ochre: warning: {warning}"));
            }
        }
        Ok(())
    }

    fn sample(&self) -> anyhow::Result<Vec<u8>> {
        let limit = LARGEST_SAMPLE.0 + 1;
        let mut lines = Vec::new();
        let read = match self.input.as_os_str() == "-" {
            true => std::io::stdin().lock().take(limit).read_to_end(&mut lines),
            false => std::fs::File::open(&self.input).and_then(|file| file.take(limit).read_to_end(&mut lines)),
        };
        read.with_context(|| format!("reading the sample {}", self.input.display()))?;
        if lines.len() as u64 == limit {
            return Err(anyhow!("the sample has more than {LARGEST_SAMPLE}: take fewer lines"));
        }
        Ok(lines)
    }
}

/// What an operator should know before applying these rules.
fn warnings(simulation: &Simulation, rules: &Rules) -> Vec<String> {
    let (partitions, limit) = (simulation.partitions.len(), rules.limits.partitions_per_write);
    let mut warnings = Vec::new();
    if let Some(reason) = simulation.refuses_all {
        warnings.push(format!("{reason}: every write would be refused"));
    }
    if partitions > limit {
        warnings.push(format!(
            "the sample touches {partitions} partitions, and limits.partitions_per_write is {limit}: one write of all of \
             it would be refused"
        ));
    }
    if simulation.is_thin() {
        warnings.push(format!(
            "{partitions} partitions with {} rows each on average: choose fewer or coarser parts, unless the sample is \
             thinner than the data will be",
            simulation.rows() / (partitions as u64)
        ));
    }
    if simulation.rejected_total > 0 {
        warnings.push(format!("{} lines would be refused", simulation.rejected_total));
    }
    warnings
}

fn text(simulation: &Simulation) -> String {
    let tables = simulation.tables.iter().map(|load| {
        let counts = [load.partitions, load.rows, load.bytes].map(|count| count.to_string());
        [vec![load.table.to_string()], counts.to_vec(), vec![format!("{:.2}", load.skew)]].concat()
    });
    let mut largest: Vec<_> = simulation.partitions.iter().collect();
    // The order of tables and keys decides between equals.
    largest.sort_by_key(|load| std::cmp::Reverse(load.rows));
    let partitions = largest
        .iter()
        .take(PRINTED)
        .map(|load| vec![load.table.to_string(), load.key.to_string(), load.rows.to_string(), load.bytes.to_string()]);
    let mut text = table(&["table", "partitions", "rows", "bytes", "skew"], &tables.collect::<Vec<_>>());
    text.push('\n');
    text.push_str(&table(&["table", "partition", "rows", "bytes"], &partitions.collect::<Vec<_>>()));
    if largest.len() > PRINTED {
        text.push_str(&format!("and {} smaller partitions\n", largest.len() - PRINTED));
    }
    text.push_str(&format!(
        "\n{} rows in {} partitions, {} lines refused\n",
        simulation.lines,
        simulation.partitions.len(),
        simulation.rejected_total
    ));
    for rejected in simulation.rejected.iter().take(REFUSED) {
        text.push_str(&format!("line {}: {}: {}\n", rejected.line_number, rejected.message(), rejected.text));
    }
    text
}

fn json_of(simulation: &Simulation, warnings: &[String]) -> Value {
    let tables = simulation.tables.iter().map(|load| {
        json!({
            "table": load.table.as_str(), "partitions": load.partitions, "rows": load.rows, "bytes": load.bytes,
            "skew": load.skew,
        })
    });
    let partitions = simulation.partitions.iter().map(|load| {
        json!({ "table": load.table.as_str(), "key": load.key.as_str(), "rows": load.rows, "bytes": load.bytes })
    });
    let refused = simulation.rejected.iter().map(
        |line| json!({ "line_number": line.line_number, "original_line": line.text, "error_message": line.message() }),
    );
    json!({
        "rows": simulation.lines,
        "refused": simulation.rejected_total,
        "lines": refused.collect::<Vec<_>>(),
        "tables": tables.collect::<Vec<_>>(),
        "partitions": partitions.collect::<Vec<_>>(),
        "warnings": warnings,
    })
}

#[cfg(test)]
mod tests {
    use ochre_types::rules::Document;

    use super::*;

    fn simulated(document: &str, lines: &str) -> (Simulation, Rules) {
        let rules = Document::parse(document, &Rules::default()).unwrap().rules;
        (simulate(&rules, lines.as_bytes(), &Options { flavour: Flavour::V3, ..Options::default() }), rules)
    }

    #[test]
    fn the_largest_partitions_come_first_and_the_rest_is_counted() {
        let document =
            "{database: d, partition: [{tables: cpu, by: [{tag: host}]}], limits: {partitions_per_write: 21}}";
        let mut lines: String = (0..22).map(|host| format!("cpu,host=h{host:02} v=1 {host}\n")).collect();
        lines.push_str("cpu,host=h07 v=2 100\nbad\n");
        let (simulation, rules) = simulated(document, &lines);
        let text = text(&simulation);
        let first: Vec<&str> = text.lines().take(5).collect();
        assert_eq!(first[0], "table  partitions  rows  bytes  skew");
        assert!(first[1].starts_with("cpu    22          23    ") && first[1].ends_with("  1.91"), "{text}");
        assert_eq!(first[3], "table  partition  rows  bytes");
        assert!(first[4].starts_with("cpu    h07        2     "), "{text}");
        let end =
            "and 2 smaller partitions\n\n23 rows in 22 partitions, 1 lines refused\nline 24: missing fields: bad\n";
        assert!(text.ends_with(end), "{text}");
        let expected = "the sample touches 22 partitions, and limits.partitions_per_write is 21: one write of all of it \
                        would be refused";
        assert_eq!(warnings(&simulation, &rules), [expected, "1 lines would be refused"]);
    }

    #[test]
    fn a_file_a_row_is_warned_of() {
        let lines: String = (0..1_000).map(|i| format!("cpu,id=x{i} v=1 {i}\n")).collect();
        let (simulation, rules) = simulated("{database: d, partition: [{tables: cpu, by: [{tag: id}]}]}", &lines);
        let expected = "1000 partitions with 1 rows each on average: choose fewer or coarser parts, unless the sample is \
                        thinner than the data will be";
        assert_eq!(warnings(&simulation, &rules), [expected]);
        let (simulation, rules) = simulated("{database: d, lifecycle: {mutable: false}}", &lines);
        assert_eq!(warnings(&simulation, &rules), ["lifecycle.mutable is false: every write would be refused"]);
    }
}
