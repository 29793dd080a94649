//! `ochre operations list|show|wait|cancel`, and following the operation that another command has begun.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use ochre_client::Storage;
use ochre_env::{Clock, SystemClock};
use ochre_types::DatabaseName;
use ochre_wire::v1;
use prost_types::Timestamp;
use serde_json::json;

use super::client::Remote;
use super::table::table;
use super::{Output, Stop};

/// How often progress is asked for while a person looks on.
const LOOK: Duration = Duration::from_millis(200);

/// How progress looks: of unknown length, of bytes, of other things.
const TEMPLATES: [&str; 3] = [
    "{spinner} {prefix} {pos} {msg}",
    "{prefix} [{wide_bar}] {bytes}/{total_bytes} {eta}",
    "{prefix} [{wide_bar}] {pos}/{len} {msg} {eta}",
];

/// See, wait for and cancel the long work of a server.
#[derive(Debug, Subcommand)]
pub enum Operations {
    /// List what runs and what ended since the server was started, newest first.
    List(List),
    /// Show an operation with its findings.
    Show(One),
    /// Wait until an operation has ended; fails if it has failed.
    Wait(One),
    /// Ask an operation to end. What it has done so far stays.
    Cancel(One),
}

/// List what runs and what ended since the server was started, newest first.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// Only operations of this database.
    #[arg(long, value_name = "NAME")]
    database: Option<DatabaseName>,
    /// Only those that run.
    #[arg(long)]
    running: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// One operation.
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The id, as `ochre operations list` prints it.
    id: String,
}

/// Whether and how a command waits for the work that it begins.
#[derive(Debug, Args)]
pub struct Follow {
    /// Begin the work and print its id, without waiting for its end.
    #[arg(long)]
    no_wait: bool,
    /// How to print what came out.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Operations {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(one) => {
                let found = one.remote.connect()?.storage().operation(&one.id).await?;
                print_one(&found, one.output);
                Ok(())
            }
            Self::Wait(one) => {
                let storage = one.remote.connect()?.storage();
                let found = storage.operation(&one.id).await?;
                Follow { no_wait: false, output: one.output }.run(&storage, found).await
            }
            Self::Cancel(one) => {
                let found = one.remote.connect()?.storage().cancel(&one.id).await?;
                print_one(&found, one.output);
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let found = self.remote.connect()?.storage().operations(self.database.as_ref(), self.running).await?;
        match self.output {
            Output::Json => println!("{}", json!(found.iter().map(operation_json).collect::<Vec<_>>())),
            Output::Text => {
                let header = ["id", "kind", "database", "target", "state", "done", "started", "message"];
                let rows: Vec<Vec<String>> = found.iter().map(row).collect();
                print!("{}", table(&header, &rows));
            }
        }
        Ok(())
    }
}

impl Follow {
    /// Waits for an operation's end, if it is to, and prints what came out. One that failed or was cancelled is a
    /// failure.
    pub async fn run(&self, storage: &Storage, begun: v1::Operation) -> Result<(), Stop> {
        if self.no_wait {
            match self.output {
                Output::Json => println!("{}", operation_json(&begun)),
                Output::Text => println!("{}", begun.id),
            }
            return Ok(());
        }
        let ended = wait(storage, begun).await?;
        match self.output {
            Output::Json => println!("{}", operation_json(&ended)),
            Output::Text => {
                ended.findings.iter().for_each(|finding| println!("{finding}"));
                if ended.state() == v1::OperationState::Done {
                    println!("{}", ended.message);
                }
            }
        }
        match ended.state() {
            v1::OperationState::Done => Ok(()),
            v1::OperationState::Cancelled => Err(Stop::Failed(anyhow!("cancelled: {}", ended.message))),
            _ => Err(Stop::Failed(anyhow!("{} failed: {}", ended.kind, ended.message))),
        }
    }
}

/// Waits until the operation has ended. Who looks on sees its progress.
async fn wait(storage: &Storage, begun: v1::Operation) -> Result<v1::Operation, Stop> {
    let mut now = begun;
    if !std::io::stderr().is_terminal() {
        while now.state() == v1::OperationState::Running {
            now = storage.wait(&now.id).await?;
        }
        return Ok(now);
    }
    let clock = SystemClock::new();
    let bar = ProgressBar::new_spinner();
    while now.state() == v1::OperationState::Running {
        show(&bar, &now);
        clock.sleep(LOOK).await;
        now = storage.operation(&now.id).await?;
    }
    bar.finish_and_clear();
    Ok(now)
}

fn show(bar: &ProgressBar, now: &v1::Operation) {
    let template = match (now.total, now.unit.as_str()) {
        (0, _) => TEMPLATES[0],
        (_, "bytes") => TEMPLATES[1],
        (_, _) => TEMPLATES[2],
    };
    bar.set_style(ProgressStyle::with_template(template).expect("a test reads every template"));
    bar.set_prefix(format!("{} {}", now.kind, now.target));
    bar.set_message(now.unit.clone());
    if now.total > 0 {
        bar.set_length(now.total);
    }
    bar.set_position(now.done);
    bar.tick();
}

fn print_one(found: &v1::Operation, output: Output) {
    match output {
        Output::Json => println!("{}", operation_json(found)),
        Output::Text => {
            println!("{} {}: {}", found.kind, found.target, state(found));
            if !found.message.is_empty() {
                println!("{}", found.message);
            }
            found.findings.iter().for_each(|finding| println!("{finding}"));
        }
    }
}

fn state(operation: &v1::Operation) -> &'static str {
    match operation.state() {
        v1::OperationState::Running => "running",
        v1::OperationState::Done => "done",
        v1::OperationState::Failed => "failed",
        v1::OperationState::Cancelled => "cancelled",
        v1::OperationState::Unspecified => "unknown",
    }
}

fn row(operation: &v1::Operation) -> Vec<String> {
    let total = if operation.total > 0 { format!("/{}", operation.total) } else { String::new() };
    let database = if operation.database.is_empty() { "-" } else { &operation.database };
    vec![
        operation.id.clone(),
        operation.kind.clone(),
        database.to_owned(),
        operation.target.clone(),
        state(operation).to_owned(),
        format!("{}{total} {}", operation.done, operation.unit),
        instant(operation.started).unwrap_or_default(),
        operation.message.clone(),
    ]
}

fn operation_json(operation: &v1::Operation) -> serde_json::Value {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "id": operation.id,
        "kind": operation.kind,
        "database": said(&operation.database),
        "target": operation.target,
        "state": state(operation),
        "done": operation.done,
        "total": Some(operation.total).filter(|total| *total > 0),
        "unit": operation.unit,
        "started": instant(operation.started),
        "ended": instant(operation.ended),
        "message": operation.message,
        "findings": operation.findings,
        "begun_by": said(&operation.begun_by),
    })
}

/// A time as people and scripts read it.
pub fn instant(time: Option<Timestamp>) -> Option<String> {
    let Timestamp { seconds, nanos } = time?;
    let time = DateTime::<Utc>::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_drawn() {
        for (total, unit) in [(0, "chunks"), (5, "bytes"), (5, "objects")] {
            let bar = ProgressBar::hidden();
            let unit = unit.to_owned();
            show(&bar, &v1::Operation { total, unit: unit.clone(), done: 3, ..v1::Operation::default() });
            assert_eq!((bar.position(), bar.message()), (3, unit));
        }
    }

    #[test]
    fn times_are_printed_as_exactly_as_they_are() {
        assert_eq!(instant(None), None);
        let time = |seconds, nanos| instant(Some(Timestamp { seconds, nanos })).unwrap();
        assert_eq!(time(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(time(-1, 5), "1969-12-31T23:59:59.000000005Z");
    }
}
