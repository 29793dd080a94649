//! `ochre damage list`.

use clap::{Args, Subcommand};
use ochre_wire::v1;
use serde_json::json;

use super::client::Remote;
use super::operations::instant;
use super::table::table;
use super::{Output, Stop};

/// Show what is damaged.
#[derive(Debug, Subcommand)]
pub enum Damage {
    /// List what was found damaged since the server was started, and what is set aside.
    List(List),
}

/// List what was found damaged since the server was started, and what is set aside.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Damage {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let Self::List(list) = self;
        let damage = list.remote.connect()?.storage().damage().await?;
        match list.output {
            Output::Json => println!("{}", json!(damage.iter().map(as_json).collect::<Vec<_>>())),
            Output::Text => {
                let header = ["found", "kind", "database", "table", "place", "what", "missing", "advice"];
                let rows: Vec<Vec<String>> = damage.iter().map(row).collect();
                print!("{}", table(&header, &rows));
            }
        }
        Ok(())
    }
}

fn row(damage: &v1::Damage) -> Vec<String> {
    let texts =
        [&damage.kind, &damage.database, &damage.table, &damage.place, &damage.what, &damage.missing, &damage.advice];
    std::iter::once(instant(damage.found).unwrap_or_default()).chain(texts.map(Clone::clone)).collect()
}

fn as_json(damage: &v1::Damage) -> serde_json::Value {
    json!({
        "found": instant(damage.found),
        "kind": damage.kind,
        "database": damage.database,
        "table": damage.table,
        "place": damage.place,
        "what": damage.what,
        "missing": damage.missing,
        "advice": damage.advice,
    })
}
