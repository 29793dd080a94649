//! `ochre token create|list|revoke`.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use ochre_types::token::{Scope, TokenName};
use serde_json::json;

use super::client::Remote;
use super::table::table;
use super::{Output, Stop};

/// Make, list and end tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token, and print its secret, which is never shown again.
    Create(Create),
    /// List the tokens by name, without their secrets.
    List(List),
    /// End a token: requests that come with it later are refused.
    Revoke(Revoke),
}

/// Make a token, and print its secret, which is never shown again.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    remote: Remote,
    /// The name: letters, digits, '-', '_' and '.'.
    name: TokenName,
    /// What it may do: read, write or manage, a colon, and a database or *. May be given several times.
    #[arg(long = "scope", required = true, value_name = "ACTION:DATABASE")]
    scopes: Vec<Scope>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// List the tokens by name, without their secrets.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// End a token: requests that come with it later are refused.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    remote: Remote,
    /// The name.
    name: TokenName,
    /// How to print what was done.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Token {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(&self) -> Result<(), Stop> {
        let secret = self.remote.connect()?.management().create_token(&self.name, &self.scopes).await?;
        match self.output {
            Output::Text => println!("{}", secret.reveal()),
            Output::Json => {
                let scopes = texts(&self.scopes);
                println!("{}", json!({ "name": self.name.as_str(), "scopes": scopes, "token": secret.reveal() }));
            }
        }
        Ok(())
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let tokens = self.remote.connect()?.management().tokens().await?;
        let created = |time| DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true);
        match self.output {
            Output::Text => {
                let rows = tokens.iter().map(|token| {
                    vec![token.name.to_string(), created(token.created), texts(&token.grants.0).join(" ")]
                });
                print!("{}", table(&["name", "created", "scopes"], &rows.collect::<Vec<_>>()));
            }
            Output::Json => {
                let tokens = tokens.iter().map(|token| {
                    let (name, scopes) = (token.name.as_str(), texts(&token.grants.0));
                    json!({ "name": name, "created_at": created(token.created), "scopes": scopes })
                });
                println!("{}", json!(tokens.collect::<Vec<_>>()));
            }
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(&self) -> Result<(), Stop> {
        self.remote.connect()?.management().revoke_token(&self.name).await?;
        match self.output {
            Output::Text => println!("revoked token {}", self.name),
            Output::Json => println!("{}", json!({ "name": self.name.as_str(), "revoked": true })),
        }
        Ok(())
    }
}

fn texts(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(Scope::to_string).collect()
}
