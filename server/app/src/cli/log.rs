//! `ochre log`: what is done to a write-ahead log without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ochre_env::Env;
use ochre_log::{Repair, repair};
use serde_json::{Value, json};

use super::{Output, Stop};

/// Mend a write-ahead log, without a server.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Say what is damaged in a log's directory and, with --apply, move it aside.
    Repair(RepairLog),
}

/// Say what is damaged in a log's directory and, with --apply, move it aside: a damaged segment is kept under another
/// name, and written anew with its good frames and a record of what is lost, which later starts don't report again.
/// Nothing is deleted. The server must be stopped.
#[derive(Debug, Args)]
pub struct RepairLog {
    /// Do it. Without this, nothing is changed.
    #[arg(long)]
    apply: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The log's directory: `log` in the data directory.
    dir: PathBuf,
}

impl Log {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let Self::Repair(command) = self;
        let env = Env::system();
        if !command.dir.is_dir() {
            return Err(anyhow::anyhow!(
                "there is no directory {}: name the directory `log` of a data directory",
                command.dir.display()
            )
            .into());
        }
        let found = repair(&env.disk, &env.compute, command.dir.clone(), command.apply).await?;
        match command.output {
            Output::Text => print!("{}", text(&found)),
            Output::Json => println!("{:#}", to_json(&found)),
        }
        Ok(())
    }
}

fn text(found: &Repair) -> String {
    let Some(id) = found.log_id else { return "there is no log here\n".to_owned() };
    if found.damage.is_empty() {
        return format!("log {id}: nothing is damaged\n");
    }
    let mut text = format!("log {id}:\n");
    text.extend(found.damage.iter().map(|damage| format!("DAMAGE: {damage}\n")));
    for segment in &found.segments {
        let done = match (&segment.kept_as, found.applied) {
            (Some(kept), _) => format!("was written anew; what was there is kept as {kept}"),
            (None, true) => "was made".to_owned(),
            (None, false) => "would be written anew".to_owned(),
        };
        text.push_str(&format!("{} {done}: {} bytes are lost\n", segment.file, segment.lost_bytes));
    }
    if !found.applied && !found.segments.is_empty() {
        text.push_str("nothing was changed: repeat with --apply\n");
    }
    text
}

fn to_json(found: &Repair) -> Value {
    json!({
        "log_id": found.log_id.map(|id| id.to_string()),
        "applied": found.applied,
        "damage": found.damage.iter().map(|damage| json!({
            "file": damage.file,
            "offset": damage.offset,
            "length": damage.length,
            "cause": damage.cause.to_string(),
            "sequences": damage.sequences.iter().map(|(database, (first, last))| json!({
                "database": database.as_str(),
                "first": first.0,
                "last": last.0,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "segments": found.segments.iter().map(|segment| json!({
            "file": segment.file,
            "lost_bytes": segment.lost_bytes,
            "kept_as": segment.kept_as,
        })).collect::<Vec<_>>(),
    })
}
