//! `ochre config show`.

use clap::{Args, Subcommand};

use super::{Output, Stop, sources};
use crate::config::{Config, Flags, show_json, show_text};

/// Look at the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting that a server would have, and where its value comes from.
    Show(Show),
}

/// Print every setting that a server would have, and where its value comes from.
#[derive(Debug, Args)]
pub struct Show {
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub fn run(command: &ConfigCommand) -> Result<(), Stop> {
    let ConfigCommand::Show(show) = command;
    let sources = sources(&show.flags);
    match show.output {
        Output::Text => print!("{}", show_text(&sources)),
        Output::Json => println!("{:#}", show_json(&sources)),
    }
    Config::read(&sources).map(|_| ()).map_err(|error| Stop::Usage(error.to_string()))
}
