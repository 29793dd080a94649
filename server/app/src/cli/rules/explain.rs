//! `ochre rules explain`.

use clap::Args;
use ochre_types::DatabaseName;
use ochre_wire::v1;
use serde_json::{Value, json};

use crate::cli::client::Remote;
use crate::cli::{Output, Stop};

/// Say where lines of line protocol would lie, and which rule decides it. Writes nothing.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// A line; without a time it is now. May be given several times.
    #[arg(long = "line", required = true, value_name = "LINE")]
    lines: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Explain {
    /// Runs the command. A line that would be refused is an answer, not a failure.
    pub async fn run(&self) -> Result<(), Stop> {
        let management = self.remote.connect()?.management();
        let explained = management.explain_rules(&self.database, self.lines.join("\n")).await?;
        match self.output {
            Output::Json => {
                let lines: Vec<Value> = explained.lines.iter().map(line_json).collect();
                println!("{}", json!({ "generation": explained.generation, "lines": lines }));
            }
            Output::Text => explained.lines.iter().for_each(|line| print!("{}", line_text(line))),
        }
        Ok(())
    }
}

fn line_json(line: &v1::LineExplanation) -> Value {
    let rule = |rule: &Option<v1::RuleReference>| {
        rule.as_ref().map(|rule| json!({ "path": rule.path, "line": Some(rule.line).filter(|line| *line > 0) }))
    };
    let parts = line.parts.iter().map(|part| json!({ "part": part.part, "text": part.text }));
    let has_row = line.partition_rule.is_some();
    json!({
        "number": line.number,
        "refused": Some(&line.refused).filter(|reason| !reason.is_empty()),
        "table": has_row.then_some(&line.table),
        "partition_key": has_row.then_some(&line.partition_key),
        "parts": parts.collect::<Vec<_>>(),
        "partition_rule": rule(&line.partition_rule),
        "stored": line.stored,
        "store_rule": rule(&line.store_rule),
    })
}

/// Such as `line 1: cpu`, and below it the partition, its parts, and whether the row is kept.
fn line_text(line: &v1::LineExplanation) -> String {
    let mut text = format!("line {}", line.number);
    if let Some(rule) = &line.partition_rule {
        let kept = if line.stored { "yes" } else { "no" };
        let key = if line.partition_key.is_empty() { "(the whole table)" } else { &line.partition_key };
        let width = line.parts.iter().map(|part| part.text.chars().count()).max().unwrap_or(0);
        let parts = line.parts.iter().map(|part| format!("    {:width$}  {}\n", part.text, part.part));
        text.push_str(&format!(": {}\n  partition  {key}  by {}\n", line.table, place(rule)));
        text.extend(parts);
        text.push_str(&format!(
            "  kept       {kept}  by {}\n",
            line.store_rule.as_ref().map(place).unwrap_or_default()
        ));
    } else {
        text.push('\n');
    }
    if !line.refused.is_empty() {
        text.push_str(&format!("  refused    {}\n", line.refused));
    }
    text
}

fn place(rule: &v1::RuleReference) -> String {
    match rule.line {
        0 => rule.path.clone(),
        line => format!("{} (line {line})", rule.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_line_is_said_in_a_few_lines() {
        let reference = |path: &str, line| Some(v1::RuleReference { path: path.to_owned(), line });
        let part = |part: &str, text: &str| v1::PartExplanation { part: part.to_owned(), text: text.to_owned() };
        let line = v1::LineExplanation {
            number: 1,
            refused: String::new(),
            table: "cpu".to_owned(),
            partition_key: "eu|2026-11".to_owned(),
            parts: vec![part("{\"tag\":\"region\"}", "eu"), part("{\"time\":\"%Y-%m\"}", "2026-11")],
            partition_rule: reference("partition[0]", 3),
            stored: true,
            store_rule: reference("default", 0),
        };
        let expected = "line 1: cpu\n  partition  eu|2026-11  by partition[0] (line 3)\n    eu       {\"tag\":\"region\"}\n    \
                        2026-11  {\"time\":\"%Y-%m\"}\n  kept       yes  by default\n";
        assert_eq!(line_text(&line), expected);
        let bad = v1::LineExplanation { number: 2, refused: "missing fields".to_owned(), ..Default::default() };
        assert_eq!(line_text(&bad), "line 2\n  refused    missing fields\n");
        assert_eq!(line_json(&bad)["partition_key"], Value::Null);
    }
}
