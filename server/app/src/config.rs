//! The configuration of a server: every setting in one place, and where its value came from.
//!
//! ```text
//!   flag --x  >  environment OCHRE_X  >  TOML file [concern] x  >  default
//! ```
//!
//! # Invariants
//! 1. A setting's flag, key, default, unit and doc stand on one line of [`concerns`]; its environment variable
//!    follows from the flag. Command line, file, `config show` and its documentation are made from that line.
//! 2. All problems are reported at once, each with where the value came from.
//! 3. A key that is not known is refused, never ignored.
//!
//! # Absent on purpose
//! Tokens themselves: only the file that they are in is named here. Rules of a single database: these belong to the
//! database.

mod concerns;
mod file;
mod nearest;
mod setting;
mod show;
mod sources;
mod values;

pub use concerns::{Config, Logging, Tls};
pub use setting::Setting;
pub use show::{show_json, show_text};
pub use sources::{Flags, Sources};
pub use values::{LogFormat, LogHomeKind};

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be used:\n{}", .problems.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// One sentence for each problem.
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests;
