//! `ochre rules diff|apply|rollback`: what changes a database's rules, or says what would.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use ochre_client::{Applied, Error, RulesSource};
use ochre_types::rules::document::{Value, read_yaml};
use ochre_types::rules::{Change, Target};
use serde_json::json;

use super::given::Given;
use crate::cli::client::Remote;
use crate::cli::{Output, Stop};

/// Show what a document would change on a server.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The document, or - for standard input.
    file: PathBuf,
}

/// Under which terms rules are changed.
#[derive(Debug, Args)]
pub struct Terms {
    /// The generation that has to be in force, 0 if there is none: guards against changes that you have not seen.
    #[arg(long, value_name = "N")]
    expect_generation: Option<u64>,
    /// A number that only grows: refused if a higher one was presented to the server before.
    #[arg(long, value_name = "N")]
    fence: Option<u64>,
    /// Check and compare only.
    #[arg(long)]
    dry_run: bool,
}

impl Terms {
    fn apply(&self) -> ochre_client::Apply {
        let Self { expect_generation: expected_generation, fence, dry_run } = *self;
        ochre_client::Apply { expected_generation, fence, dry_run }
    }
}

/// Apply a document to the database that it names.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    terms: Terms,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The document, or - for standard input.
    file: PathBuf,
}

/// Apply the document of an earlier generation again.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    terms: Terms,
    /// The database, or "*".
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: Target,
    /// The generation; 0 stands for the server's defaults.
    #[arg(long, value_name = "N")]
    to: u64,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Diff {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let terms = ochre_client::Apply { dry_run: true, ..Default::default() };
        send(&self.remote, &self.file, terms, self.output).await
    }
}

impl Apply {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        send(&self.remote, &self.file, self.terms.apply(), self.output).await
    }
}

impl Rollback {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let terms = self.terms.apply();
        let management = self.remote.connect()?.management();
        let applied = management.rollback_rules(&self.database, self.to, terms).await?;
        print(&applied, &self.database.to_string(), terms.dry_run, self.output);
        Ok(())
    }
}

async fn send(remote: &Remote, file: &Path, terms: ochre_client::Apply, output: Output) -> Result<(), Stop> {
    let management = remote.connect()?.management();
    let given = Given::read(file)?;
    let source = RulesSource::Document(given.text.clone());
    match management.apply_rules(source, terms).await {
        Ok(applied) => {
            print(&applied, &named(&given.text), terms.dry_run, output);
            Ok(())
        }
        Err(Error::Invalid { violations, .. }) if !violations.is_empty() => {
            let places = given.places(&violations);
            places.iter().for_each(|place| eprintln!("{place}"));
            Err(Stop::Failed(anyhow!("{}: nothing was changed", given.mistakes(places.len()))))
        }
        Err(error) => Err(error.into()),
    }
}

/// The database that a document names; the server has found nothing wrong with it.
fn named(text: &str) -> String {
    let Ok(Value::Map(fields)) = read_yaml(text).map(|tree| tree.value) else { return String::new() };
    let database = fields.into_iter().find(|(key, _)| key.text == "database");
    match database.map(|(_, node)| node.value) {
        Some(Value::Text(name)) => name,
        _ => String::new(),
    }
}

/// A target in words.
pub fn of(target: &str) -> String {
    if target == "*" { "new databases".to_owned() } else { format!("database {target}") }
}

fn print(applied: &Applied, target: &str, dry_run: bool, output: Output) {
    match output {
        Output::Text => {
            print!("{}", text(applied, target, dry_run));
            applied.warnings.iter().for_each(|warning| eprintln!("ochre: warning: {warning}"));
        }
        Output::Json => {
            let changes = applied
                .changes
                .iter()
                .map(|change| json!({ "path": change.path, "before": change.before, "after": change.after }));
            let answer = json!({
                "database": target,
                "generation": applied.generation,
                "dry_run": dry_run,
                "changes": changes.collect::<Vec<_>>(),
                "warnings": applied.warnings,
            });
            println!("{answer}");
        }
    }
}

/// The generation, then the changes one a line: `~` another value, `+` new, `-` gone.
fn text(applied: &Applied, target: &str, dry_run: bool) -> String {
    let (target, generation) = (of(target), applied.generation);
    if applied.changes.is_empty() {
        return format!("{target}: nothing changes, generation {generation} stays\n");
    }
    let would = if dry_run { "would be " } else { "" };
    let width = applied.changes.iter().map(|change| change.path.chars().count()).max().unwrap_or(0);
    let lines: String = applied.changes.iter().map(|change| line(change, width)).collect();
    format!("{target}: {would}generation {generation}\n{lines}")
}

fn line(change: &Change, width: usize) -> String {
    let Change { path, before, after } = change;
    match (before, after) {
        (Some(before), Some(after)) => format!("~ {path:width$}  {before} -> {after}\n"),
        (None, after) => format!("+ {path:width$}  {}\n", after.as_deref().unwrap_or_default()),
        (Some(before), None) => format!("- {path:width$}  {before}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_aligned_and_signed() {
        let change = |path: &str, before: Option<&str>, after: Option<&str>| Change {
            path: path.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let changes = vec![
            change("columns.usage", None, Some("float")),
            change("log.ack", Some("durable"), Some("accepted")),
            change("store.match", Some("{}"), None),
        ];
        let applied = Applied { generation: 4, changes, warnings: Vec::new() };
        let lines = "+ columns.usage  float\n~ log.ack        durable -> accepted\n- store.match    {}\n";
        assert_eq!(text(&applied, "m", false), format!("database m: generation 4\n{lines}"));
        assert_eq!(text(&applied, "*", true), format!("new databases: would be generation 4\n{lines}"));
        let same = Applied { changes: Vec::new(), ..applied };
        assert_eq!(text(&same, "m", false), "database m: nothing changes, generation 4 stays\n");
    }

    #[test]
    fn the_database_of_a_document_is_found() {
        assert_eq!(named("# ours\nlimits: {}\ndatabase: \"a b\"\n"), "a b");
        assert_eq!(named("{\"database\": \"*\"}"), "*");
    }
}
