//! `ochre delete`, `ochre delete list`, `ochre table drop|undrop`, `ochre database drop|undrop`.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use ochre_client::DeleteRows;
use ochre_types::{DatabaseName, TableName};
use ochre_wire::v1;
use serde_json::json;

use super::client::Remote;
use super::operations::instant;
use super::table::table;
use super::{Output, Stop};

/// Delete rows by tags and time. The next query does not see them; they are gone from the object store once their
/// chunks are compacted and the grace is over.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Delete {
    #[command(subcommand)]
    command: Option<DeleteCommand>,
    #[command(flatten)]
    rows: Rows,
}

#[derive(Debug, Subcommand)]
enum DeleteCommand {
    /// List the deletions of a database, and how far each is carried out.
    List(List),
}

#[derive(Debug, Args)]
struct Rows {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: Option<DatabaseName>,
    /// A table, or a pattern of tables as in rules; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    table: Vec<String>,
    /// Which rows, by tags and time, as in SQL: host = 'a' AND time < '2026-01-01' [default: all within the times].
    #[arg(long = "where", value_name = "PREDICATE")]
    predicate: Option<String>,
    /// The first time that is deleted, such as 2026-01-01T00:00:00Z [default: from the beginning].
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<SystemTime>,
    /// The first time after it that is not deleted any more [default: to the end].
    #[arg(long, value_name = "TIME", value_parser = time)]
    stop: Option<SystemTime>,
    /// How to print the receipt.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// List the deletions of a database, and how far each is carried out.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Drop tables, and bring them back.
#[derive(Debug, Subcommand)]
pub enum Table {
    /// Drop a table. It can be brought back for as long as lifecycle.undrop_within says.
    Drop(OneTable),
    /// Bring a dropped table back as it was.
    Undrop(OneTable),
}

/// A table.
#[derive(Debug, Args)]
pub struct OneTable {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// How to print what was done.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The table.
    name: TableName,
}

/// A database.
#[derive(Debug, Args)]
pub struct OneDatabase {
    #[command(flatten)]
    remote: Remote,
    /// How to print what was done.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The database.
    name: DatabaseName,
}

fn time(text: &str) -> Result<SystemTime, String> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| format!("{error}: write 2026-01-01T00:00:00Z"))?;
    Ok(time.with_timezone(&Utc).into())
}

impl Delete {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match &self.command {
            Some(DeleteCommand::List(list)) => list.run().await,
            None => self.rows.run().await,
        }
    }
}

impl Rows {
    async fn run(&self) -> Result<(), Stop> {
        let said = self.database.as_ref().filter(|_| !self.table.is_empty());
        let database = said.ok_or_else(|| {
            Stop::Usage("it is not said what to delete: give --database, and --table once or more often".to_owned())
        })?;
        let rows = DeleteRows {
            tables: self.table.clone(),
            start: self.start,
            stop: self.stop,
            predicate: self.predicate.clone(),
        };
        let receipt = self.remote.connect()?.storage().delete_rows(database, &rows).await?;
        print(&receipt, self.output);
        Ok(())
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let deletes = self.remote.connect()?.storage().deletes(&self.database).await?;
        match self.output {
            Output::Json => println!("{}", json!(deletes.iter().map(receipt_json).collect::<Vec<_>>())),
            Output::Text => {
                let row = |receipt: &v1::DeleteReceipt| {
                    vec![
                        instant(receipt.accepted).unwrap_or_default(),
                        receipt.what.clone(),
                        state(receipt),
                        receipt.id.clone(),
                    ]
                };
                let rows: Vec<_> = deletes.iter().map(row).collect();
                print!("{}", table(&["accepted", "deleted", "state", "id"], &rows));
            }
        }
        Ok(())
    }
}

impl Table {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::Drop(one) => {
                let receipt = one.remote.connect()?.storage().drop_table(&one.database, &one.name).await?;
                print(&receipt, one.output);
            }
            Self::Undrop(one) => {
                one.remote.connect()?.storage().undrop_table(&one.database, &one.name).await?;
                print_back("table", one.name.as_str(), one.output);
            }
        }
        Ok(())
    }
}

impl OneDatabase {
    /// `ochre database drop`.
    pub async fn drop(&self) -> Result<(), Stop> {
        let receipt = self.remote.connect()?.storage().drop_database(&self.name).await?;
        print(&receipt, self.output);
        Ok(())
    }

    /// `ochre database undrop`.
    pub async fn undrop(&self) -> Result<(), Stop> {
        self.remote.connect()?.storage().undrop_database(&self.name).await?;
        print_back("database", self.name.as_str(), self.output);
        Ok(())
    }
}

fn print_back(kind: &str, name: &str, output: Output) {
    match output {
        Output::Json => println!("{}", json!({ (kind): name, "undropped": true })),
        Output::Text => println!("brought back {kind} {name}"),
    }
}

fn print(receipt: &v1::DeleteReceipt, output: Output) {
    match output {
        Output::Json => println!("{}", receipt_json(receipt)),
        Output::Text => {
            println!("deleted {} of {}", receipt.what, receipt.database);
            println!("  receipt   {}", receipt.id);
            println!("  accepted  {}", instant(receipt.accepted).unwrap_or_default());
            println!("  state     {}", state(receipt));
        }
    }
}

/// How far a deletion is carried out, in words.
fn state(receipt: &v1::DeleteReceipt) -> String {
    if let Some(reverted) = instant(receipt.reverted) {
        return format!("taken back {reverted}");
    }
    if let Some(gone) = instant(receipt.gone) {
        return format!("gone {gone}");
    }
    let undrop = instant(receipt.undrop_until).map(|until| format!("; can be brought back until {until}"));
    let left = receipt.objects_left;
    format!("hidden; {left} objects, and segments of the log, may still hold it{}", undrop.unwrap_or_default())
}

fn receipt_json(receipt: &v1::DeleteReceipt) -> serde_json::Value {
    json!({
        "id": receipt.id,
        "database": receipt.database,
        "what": receipt.what,
        "accepted": instant(receipt.accepted),
        "objects_left": receipt.objects_left,
        "gone": instant(receipt.gone),
        "undrop_until": instant(receipt.undrop_until),
        "reverted": instant(receipt.reverted),
    })
}
