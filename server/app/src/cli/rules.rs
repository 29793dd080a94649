//! `ochre rules …`: checked, simulated and described here; applied, shown and explained by a server.

mod change;
mod check;
mod explain;
mod given;
mod schema;
mod show;
mod simulate;

use clap::Subcommand;

use super::Stop;

/// Check, apply, show and explain the rules of databases.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Name every mistake of a document, without a server.
    Check(check::Check),
    /// Show what a document would change on a server.
    Diff(change::Diff),
    /// Apply a document to the database that it names.
    Apply(change::Apply),
    /// Print the rules of a database.
    Show(show::Show),
    /// List the generations of rules that are kept, newest first.
    History(show::History),
    /// Apply the document of an earlier generation again.
    Rollback(change::Rollback),
    /// Say where lines of line protocol would lie, and which rule decides it. Writes nothing.
    Explain(explain::Explain),
    /// Say how the lines of a sample would spread over partitions under a document, without a server.
    Simulate(simulate::Simulate),
    /// Print every field that a document may have.
    Schema(schema::Schema),
}

impl Rules {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::Check(check) => check.run(),
            Self::Diff(diff) => diff.run().await,
            Self::Apply(apply) => apply.run().await,
            Self::Show(show) => show.run().await,
            Self::History(history) => history.run().await,
            Self::Rollback(rollback) => rollback.run().await,
            Self::Explain(explain) => explain.run().await,
            Self::Simulate(simulate) => simulate.run(),
            Self::Schema(schema) => schema.run(),
        }
    }
}
