//! What rules would do with a sample of lines: rows and bytes by partition, before anything is applied. Pure: needs no
//! server.

use std::sync::Arc;

use ochre_batch::{Batch, KnownColumns, TableRows, codec};
use ochre_ingest::line_protocol::{self, Options, Rejected};
use ochre_types::TableName;
use ochre_types::partition::PartitionKey;
use ochre_types::rules::{Rules, StoreRule};

use crate::accept::split_batch;
use crate::alarm::is_thin;
use crate::rules::RulesInForce;
use crate::schema::{PinnedSchema, Schema};

/// What rules would do with a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// The partitions by table and key.
    pub partitions: Vec<PartitionLoad>,
    /// The tables by name.
    pub tables: Vec<TableLoad>,
    /// Lines that came to rows.
    pub lines: usize,
    /// The first lines that would be refused, as in a write.
    pub rejected: Vec<Rejected>,
    /// How many would be refused in all.
    pub rejected_total: usize,
    /// Why every write would be refused, if the rules say so.
    pub refuses_all: Option<&'static str>,
}

impl Simulation {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Whether the partitions would raise the alarm against one file a row.
    pub fn is_thin(&self) -> bool {
        is_thin(self.partitions.len() as u64, self.rows())
    }
}

/// What one partition would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLoad {
    /// Its table.
    pub table: TableName,
    /// Its key.
    pub key: PartitionKey,
    /// Its rows, counting repeated keys.
    pub rows: u64,
    /// The bytes of its rows as one frame of the log has them, before compression; Parquet takes less.
    pub bytes: u64,
}

/// How the rows of one table would spread.
#[derive(Debug, Clone, PartialEq)]
pub struct TableLoad {
    /// The table.
    pub table: TableName,
    /// Its partitions.
    pub partitions: u64,
    /// Its rows.
    pub rows: u64,
    /// Its bytes, as [`PartitionLoad::bytes`].
    pub bytes: u64,
    /// The rows of its largest partition over those of the mean one: 1 if all are equal.
    pub skew: f64,
}

/// Reads `lines` as a database without tables would under `rules`, and splits the rows. `options` say how lines are
/// read; limits, and which rows are kept, are those of `rules`.
pub fn simulate(rules: &Rules, lines: &[u8], options: &Options) -> Simulation {
    let in_force = Arc::new(RulesInForce::defaults(rules));
    let known = PinnedSchema::new(Arc::new(Schema::default()), in_force.clone());
    let admit = in_force.filter(options.default_time);
    let options = Options { limits: rules.limits, admit, accept_partial: true, ..options.clone() };
    let parsed = line_protocol::parse(lines, &known as &dyn KnownColumns, &options);
    let partitions = loads(&parsed.batch, rules);
    let tables = partitions.chunk_by(|a, b| a.table == b.table).map(table_load).collect();
    Simulation {
        partitions,
        tables,
        lines: parsed.lines,
        rejected: parsed.rejected,
        rejected_total: parsed.rejected_total,
        refuses_all: match &rules.store {
            _ if !rules.lifecycle.mutable => Some("lifecycle.mutable is false"),
            StoreRule::None => Some("store is none"),
            StoreRule::All | StoreRule::Match(_) => None,
        },
    }
}

fn loads(batch: &Batch, rules: &Rules) -> Vec<PartitionLoad> {
    let mut loads = Vec::new();
    for part in split_batch(batch, &rules.partition) {
        for (key, rows) in part.parts {
            let count = rows.len() as u64;
            let alone = Batch::new(vec![TableRows { table: part.table.clone(), rows }]);
            let bytes = codec::encode(&alone).len() as u64;
            loads.push(PartitionLoad { table: part.table.clone(), key, rows: count, bytes });
        }
    }
    loads
}

#[allow(clippy::cast_precision_loss, reason = "rows of a sample are far below 2^53")]
fn table_load(partitions: &[PartitionLoad]) -> TableLoad {
    let rows: u64 = partitions.iter().map(|partition| partition.rows).sum();
    let largest = partitions.iter().map(|partition| partition.rows).max().unwrap_or(0);
    TableLoad {
        table: partitions[0].table.clone(),
        partitions: partitions.len() as u64,
        rows,
        bytes: partitions.iter().map(|partition| partition.bytes).sum(),
        skew: largest as f64 * partitions.len() as f64 / rows as f64,
    }
}

#[cfg(test)]
mod tests {
    use ochre_types::rules::Document;

    use super::*;

    #[test]
    fn rows_and_bytes_by_partition_and_skew_by_table() {
        let text = "database: d\npartition: [{tables: cpu, by: [{tag: host}]}]\ncolumns: {usage: float}\n\
                    store: {match: {tables: [cpu, mem]}}\n";
        let rules = Document::parse(text, &Rules::default()).unwrap().rules;
        let lines = b"cpu,host=a usage=1 1\ncpu,host=a usage=2 2\ncpu,host=a usage=3 3\ncpu,host=b usage=4 4\n\
                      mem free=1 1\nmem free=1 86400000000000\ndisk free=1 1\ncpu usage=1i 5\nbad\n";
        let simulated = simulate(&rules, lines, &Options::default());
        let shown: Vec<(&str, &str, u64)> =
            simulated.partitions.iter().map(|p| (p.table.as_str(), p.key.as_str(), p.rows)).collect();
        assert_eq!(shown, [("cpu", "a", 3), ("cpu", "b", 1), ("mem", "1970-01-01", 1), ("mem", "1970-01-02", 1)]);
        assert!(simulated.partitions.iter().all(|partition| partition.bytes > 0));
        let skews: Vec<(&str, u64, u64, f64)> =
            simulated.tables.iter().map(|t| (t.table.as_str(), t.partitions, t.rows, t.skew)).collect();
        assert_eq!(skews, [("cpu", 2, 4, 1.5), ("mem", 2, 2, 1.0)]);
        assert_eq!((simulated.lines, simulated.rejected_total, simulated.refuses_all), (6, 3, None));
        let numbers: Vec<usize> = simulated.rejected.iter().map(|rejected| rejected.line_number).collect();
        assert_eq!(numbers, [7, 8, 9]);
    }
}
