//! `ochre database create|list|drop|undrop`.

use clap::{Args, Subcommand};
use ochre_client::Error;
use ochre_types::DatabaseName;
use serde_json::json;

use super::client::Remote;
use super::delete::OneDatabase;
use super::{Output, Stop};

/// Create, list, drop and bring back databases.
#[derive(Debug, Subcommand)]
pub enum Database {
    /// Make a database, with the rules of "*"; fails if it is there.
    Create(Create),
    /// Print the names of the databases that you may read, write or manage.
    List(List),
    /// Drop a database with all its tables. It can be brought back for as long as lifecycle.undrop_within says.
    Drop(OneDatabase),
    /// Bring a dropped database back as it was.
    Undrop(OneDatabase),
}

/// Make a database, with the rules of "*"; fails if it is there.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    remote: Remote,
    /// Succeed if the database is there already.
    #[arg(long)]
    if_not_exists: bool,
    /// How to print what was done.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The name.
    name: DatabaseName,
}

/// Print the names of the databases that you may read, write or manage.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Database {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Drop(one) => one.drop().await,
            Self::Undrop(one) => one.undrop().await,
        }
    }
}

impl Create {
    async fn run(&self) -> Result<(), Stop> {
        let made = self.remote.connect()?.management().create_database(&self.name).await;
        let created = match made {
            Ok(()) => true,
            Err(Error::AlreadyExists { .. }) if self.if_not_exists => false,
            Err(error) => return Err(error.into()),
        };
        match self.output {
            Output::Json => println!("{}", json!({ "database": self.name.as_str(), "created": created })),
            Output::Text if created => println!("created database {}", self.name),
            Output::Text => println!("database {} is there already", self.name),
        }
        Ok(())
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let databases = self.remote.connect()?.management().databases().await?;
        let names = databases.iter().map(|database| database.name.as_str());
        match self.output {
            Output::Text => names.for_each(|name| println!("{name}")),
            Output::Json => println!("{}", json!(names.collect::<Vec<_>>())),
        }
        Ok(())
    }
}
