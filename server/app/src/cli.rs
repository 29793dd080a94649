//! The command line.

mod adopt;
mod attach;
mod backup;
mod catalog;
mod client;
mod config;
mod damage;
mod database;
mod delete;
mod inspect;
mod lines;
mod log;
mod operations;
mod partition;
mod query;
mod rules;
mod scrub;
mod status;
mod table;
mod token;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Flags, Sources};

/// A time-series database that keeps its data as Parquet in object storage.
#[derive(Debug, Parser)]
#[command(name = "ochre", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server.
    Serve(Flags),
    /// Take over the node of another server, and serve it.
    Adopt(adopt::Adopt),
    /// Serve another server's node for reading, from its object store alone.
    Attach(attach::Attach),
    /// Make backups, look after them, and bring them back.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Write line protocol from a file or standard input to a server.
    Write(write::Write),
    /// Ask a server one SQL query.
    Query(query::Query),
    /// Show the state of a server.
    Status(status::Status),
    /// Create, list, drop and bring back databases.
    #[command(subcommand)]
    Database(database::Database),
    /// Drop tables, and bring them back.
    #[command(subcommand)]
    Table(delete::Table),
    /// Delete rows by tags and time, and see how far deletions are carried out.
    Delete(delete::Delete),
    /// Check, apply, show and explain the rules of databases.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// List partitions, move their chunks along, and close them for writes.
    #[command(subcommand)]
    Partition(partition::Partition),
    /// See, wait for and cancel the long work of a server.
    #[command(subcommand)]
    Operations(operations::Operations),
    /// Verify the objects of the store against the catalogs.
    Scrub(scrub::Scrub),
    /// Show what is damaged.
    #[command(subcommand)]
    Damage(damage::Damage),
    /// Make, list and end tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Look at what a node has in its object store and log, without a server and without changing anything.
    Inspect(inspect::Inspect),
    /// Repair a catalog that has lost revisions, without a server.
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Mend a write-ahead log, without a server.
    #[command(subcommand)]
    Log(log::Log),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// How a command ended without success.
#[derive(Debug)]
pub enum Stop {
    /// It was given wrongly.
    Usage(String),
    /// It was refused, or failed.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref() {
            Some(ochre_client::Error::Usage(message)) => Self::Usage(message.clone()),
            _ => Self::Failed(error),
        }
    }
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    // clap answers a wrong command line itself, with exit code 2.
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => {
            eprintln!("ochre: {error:#}");
            ExitCode::from(1)
        }
        Err(Stop::Usage(message)) => {
            eprintln!("ochre: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<(), Stop> {
    match command {
        Command::Serve(flags) => {
            serve(&flags, async |config: &Config| crate::serve::serve(config).await.map_err(Stop::Failed))
        }
        Command::Attach(command) => serve(&command.flags, async |config: &Config| {
            crate::attach::attach(config, command.refresh).await.map_err(Stop::Failed)
        }),
        Command::Adopt(command) => serve(&command.flags, async |config: &Config| match command.look(config).await? {
            true => crate::serve::serve(config).await.map_err(Stop::Failed),
            false => Ok(()),
        }),
        Command::Backup(command) => client_runtime()?.block_on(command.run()),
        Command::Catalog(command) => client_runtime()?.block_on(command.run()),
        Command::Config(command) => config::run(&command),
        Command::Write(command) => client_runtime()?.block_on(command.run()),
        Command::Query(command) => client_runtime()?.block_on(command.run()),
        Command::Status(command) => client_runtime()?.block_on(command.run()),
        Command::Database(command) => client_runtime()?.block_on(command.run()),
        Command::Table(command) => client_runtime()?.block_on(command.run()),
        Command::Delete(command) => client_runtime()?.block_on(command.run()),
        Command::Rules(command) => client_runtime()?.block_on(command.run()),
        Command::Partition(command) => client_runtime()?.block_on(command.run()),
        Command::Operations(command) => client_runtime()?.block_on(command.run()),
        Command::Scrub(command) => client_runtime()?.block_on(command.run()),
        Command::Damage(command) => client_runtime()?.block_on(command.run()),
        Command::Token(command) => client_runtime()?.block_on(command.run()),
        Command::Log(command) => client_runtime()?.block_on(command.run()),
        Command::Inspect(command) => client_runtime()?.block_on(command.run()),
    }
}

/// Runs a server with the configuration that flags, environment and file make.
fn serve(flags: &Flags, server: impl AsyncFnOnce(&Config) -> Result<(), Stop>) -> Result<(), Stop> {
    let config = Config::read(&sources(flags)).map_err(|error| Stop::Usage(error.to_string()))?;
    crate::logging::start(&config.logging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(server(&config));
    // What still runs on the blocking pool (a query's file read) must not hold the process up.
    runtime.shutdown_background();
    served
}

fn client_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What flags, environment and file say.
fn sources(flags: &Flags) -> Sources {
    Sources::collect(flags, |name| std::env::var(name).ok())
}

/// Whether nobody reads our standard output any more, as after `| head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}
