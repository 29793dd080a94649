//! What the rules in force do with lines, and which of them decided it. Writes nothing.

use std::sync::Arc;

use ochre_batch::rows::tag_value;
use ochre_batch::{Rows, TableRows};
use ochre_ingest::line_protocol::{self, EachLine, Flavour, Options, Precision};
use ochre_types::partition::{Part, PartitionKey, Template};
use ochre_types::rules::StoreRule;
use ochre_types::{ColumnKind, DatabaseName, TableName};

use crate::database::Database;
use crate::error::WriteError;
use crate::node::Node;
use crate::rules::{RulesError, RulesInForce};
use crate::schema::PinnedSchema;

/// Lines that are explained at a time.
pub const MAX_LINES: usize = 1_000;

/// What the rules do with lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The generation of the rules that were asked.
    pub generation: u64,
    /// The lines in their order; comments and empty lines are left out.
    pub lines: Vec<LineExplanation>,
}

/// What would become of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineExplanation {
    /// The number of the physical line on which it begins, from 1.
    pub number: u32,
    /// Why it would be refused; empty if it would be taken.
    pub refused: String,
    /// Where its row would lie; `None` if the line does not come to a row.
    pub row: Option<RowExplanation>,
}

/// Where a row would lie, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowExplanation {
    /// Its table.
    pub table: TableName,
    /// The key of its partition.
    pub partition_key: PartitionKey,
    /// The parts of the key, in order.
    pub parts: Vec<PartExplanation>,
    /// The rule that decided the partition.
    pub partition_rule: RuleReference,
    /// Whether this node keeps the row.
    pub stored: bool,
    /// The rule that decided whether it is kept.
    pub store_rule: RuleReference,
}

/// One part of a partition key and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartExplanation {
    /// The part as in the rules: `{"tag":"region"}`.
    pub part: String,
    /// Its text in the key.
    pub text: String,
}

/// A place in the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReference {
    /// The dotted path, such as `partition[1]`; `default` if no rule speaks of it.
    pub path: String,
    /// Its line in the document, from 1; 0 if no line says it.
    pub line: u32,
}

/// Why lines were not explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The database is not there, or not served.
    #[error(transparent)]
    Database(#[from] RulesError),
    /// There are too many.
    #[error("there are more than {MAX_LINES} lines: explain fewer at a time")]
    TooManyLines,
}

impl Node {
    /// Tells what would become of lines, each on its own. Timestamps are nanoseconds; a missing one is now.
    pub fn explain(&self, name: &DatabaseName, lines: &str) -> Result<Explanation, ExplainError> {
        let database = self.served(name)?;
        let rules = database.rules_in_force();
        let options = Options {
            precision: Precision::Nanosecond,
            default_time: self.shared.env.clock.wall_nanos(),
            flavour: Flavour::V3,
            limits: rules.rules.limits,
            ..Options::default()
        };
        let known = PinnedSchema::new(database.schema.clone(), rules.clone());
        let read = line_protocol::each(lines.as_bytes(), &known, &options, MAX_LINES + 1);
        if read.len() > MAX_LINES {
            return Err(ExplainError::TooManyLines);
        }
        let lines = read.into_iter().map(|line| explain(&database, &rules, line)).collect();
        Ok(Explanation { generation: rules.generation, lines })
    }
}

fn explain(database: &Database, rules: &Arc<RulesInForce>, line: EachLine) -> LineExplanation {
    let number = u32::try_from(line.line_number).unwrap_or(u32::MAX);
    match line.outcome {
        Err(rejected) => LineExplanation { number, refused: rejected.message(), row: None },
        Ok(batch) => {
            let row = batch.tables().first().map(|part| explain_row(rules, part));
            let refused = batch.tables().first().and_then(|part| refusal(database, rules, part));
            LineExplanation { number, refused: refused.unwrap_or_default(), row }
        }
    }
}

/// Why the rules refuse a row that is right in itself.
fn refusal(database: &Database, rules: &RulesInForce, part: &TableRows) -> Option<String> {
    if let Err(error) = database.ensure_writable(rules) {
        return Some(match error {
            WriteError::ReadOnly(_) => "lifecycle.mutable is false: no write is taken".to_owned(),
            WriteError::NotStored(_) => "store is none: no row is kept".to_owned(),
            error => error.to_string(),
        });
    }
    rules.filter(database.shared.clock.now_nanos())?.refuse(
        &part.table,
        &|tag| tag_of(&part.rows, tag),
        part.rows.times()[0],
    )
}

fn explain_row(rules: &RulesInForce, part: &TableRows) -> RowExplanation {
    let (template, position) = rules.rules.partition.template(&part.table);
    let tag = |name: &str| tag_of(&part.rows, name);
    let time = part.rows.times()[0];
    let parts = template.parts().iter();
    let parts = parts.map(|piece| {
        let mut text = String::new();
        piece.render(&part.table, piece.tag().and_then(|name| tag(name.as_str())), time, &mut text);
        PartExplanation { part: part_text(piece), text }
    });
    let stored = match &rules.rules.store {
        StoreRule::All => true,
        StoreRule::None => false,
        StoreRule::Match(kept) => kept.admits(&part.table, &tag, time),
    };
    RowExplanation {
        table: part.table.clone(),
        partition_key: template.key(&part.table, &tag, time),
        parts: parts.collect(),
        partition_rule: place(rules, position.map(|position| format!("partition[{position}]"))),
        stored,
        store_rule: place(rules, Some("store".to_owned()).filter(|_| rules.line_of("store").is_some())),
    }
}

fn place(rules: &RulesInForce, path: Option<String>) -> RuleReference {
    match path {
        Some(path) => RuleReference { line: rules.line_of(&path).unwrap_or(0), path },
        None => RuleReference { path: "default".to_owned(), line: 0 },
    }
}

/// A part as it stands in a template's text.
fn part_text(part: &Part) -> String {
    let alone = Template::new(vec![part.clone()]).expect("a part of a template makes a template of its own");
    let text = alone.to_string();
    text[1..text.len() - 1].to_owned()
}

/// A tag of the first row.
fn tag_of<'r>(rows: &'r Rows, name: &str) -> Option<&'r str> {
    let mut columns = rows.iter();
    let (_, array) = columns.find(|(column, _)| column.kind == ColumnKind::Tag && column.name.as_str() == name)?;
    tag_value(array, 0)
}
