//! `ochre database create|list`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Remote;
use super::{Output, Stop};

const PATH: &str = "/api/v3/configure/database";

/// Create and list databases.
#[derive(Debug, Subcommand)]
pub enum Database {
    /// Make a database; fails if it is there.
    Create(Create),
    /// Print the names of all databases.
    List(List),
}

/// Make a database; fails if it is there.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    remote: Remote,
    /// Succeed if the database is there already.
    #[arg(long)]
    if_not_exists: bool,
    /// The name.
    name: String,
}

/// Print the names of all databases.
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
        }
    }
}

impl Create {
    async fn run(&self) -> Result<(), Stop> {
        let client = self.remote.client()?;
        let request = client.request(Method::POST, PATH).json(&json!({ "db": self.name }));
        let response = client.send(request).await?;
        match response.status() {
            status if status.is_success() => println!("created database {}", self.name),
            reqwest::StatusCode::CONFLICT if self.if_not_exists => println!("database {} is there already", self.name),
            _ => return Err(super::client::refused(response).await.into()),
        }
        Ok(())
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let client = self.remote.client()?;
        let answer = client.succeed(client.request(Method::GET, &format!("{PATH}?format=json"))).await?;
        let rows: Vec<Value> = answer.json().await?;
        let names = rows.iter().filter_map(|row| row["iox::database"].as_str());
        match self.output {
            Output::Text => names.for_each(|name| println!("{name}")),
            Output::Json => println!("{}", json!(names.collect::<Vec<_>>())),
        }
        Ok(())
    }
}
