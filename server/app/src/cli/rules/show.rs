//! `ochre rules show|history`.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use ochre_client::GenerationRecord;
use ochre_types::rules::Target;
use serde_json::json;

use super::change::of;
use crate::cli::client::Remote;
use crate::cli::table::table;
use crate::cli::{Output, Stop};

/// Print the rules of a database.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    remote: Remote,
    /// The database, or "*".
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: Target,
    /// An earlier generation instead of the one in force.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// Print every field with its value, not the document as it was applied.
    #[arg(long)]
    effective: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// List the generations of rules that are kept, newest first.
#[derive(Debug, Args)]
pub struct History {
    #[command(flatten)]
    remote: Remote,
    /// The database, or "*".
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: Target,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Show {
    /// Runs the command. The text is a document again.
    pub async fn run(&self) -> Result<(), Stop> {
        let rules = self.remote.connect()?.management().rules(&self.database, self.generation).await?;
        match self.output {
            Output::Json => println!(
                "{}",
                json!({
                    "database": self.database.to_string(),
                    "generation": rules.generation,
                    "document": rules.document,
                    "effective": rules.effective,
                })
            ),
            Output::Text => {
                let text = if self.effective { &rules.effective } else { &rules.document };
                print!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
            }
        }
        Ok(())
    }
}

impl History {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let kept = self.remote.connect()?.management().rules_history(&self.database).await?;
        match self.output {
            Output::Json => println!("{}", json!(kept.iter().map(record).collect::<Vec<_>>())),
            Output::Text if kept.is_empty() => {
                println!(
                    "{}: no rules were ever applied, the server's defaults hold (generation 0)",
                    of(&self.database.to_string())
                );
            }
            Output::Text => {
                let rows: Vec<Vec<String>> = kept.iter().map(row).collect();
                print!("{}", table(&["generation", "applied", "by", "fence"], &rows));
            }
        }
        Ok(())
    }
}

fn applied_at(kept: &GenerationRecord) -> String {
    DateTime::<Utc>::from(kept.applied_at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn record(kept: &GenerationRecord) -> serde_json::Value {
    json!({
        "generation": kept.generation,
        "applied_at": applied_at(kept),
        "applied_by": kept.applied_by,
        "fence": kept.fence,
        "document": kept.document,
    })
}

fn row(kept: &GenerationRecord) -> Vec<String> {
    let by = kept.applied_by.clone().unwrap_or_else(|| "-".to_owned());
    let fence = kept.fence.map_or_else(|| "-".to_owned(), |fence| fence.to_string());
    vec![kept.generation.to_string(), applied_at(kept), by, fence]
}
