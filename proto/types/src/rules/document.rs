//! The document that people write, and that programs send as a tree: read as a whole, all mistakes at once.
//!
//! ```text
//!   YAML or JSON --read_yaml--\
//!                              >-- Node --Document::from_tree--> Document { target, rules, source }
//!   protobuf --by its crate---/                            \--> Problems: every mistake, with path and line
//! ```
//!
//! What a document may say is listed in [`super::schema`]. Numbers of things are written plainly or with `k`, `M` and
//! `G`, which are powers of 1,000; sizes as in `64MiB` or as bytes; durations as in `90s` or `1h30m`.

mod lifecycle;
mod partition;
mod problem;
mod read;
mod scalars;
mod sections;
mod tree;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Rules;
use crate::name::{DatabaseName, NameError};
use read::{At, Reader};

pub use problem::{MAX_PROBLEMS, Problem, Problems};
pub use tree::{Key, Node, Value};
pub(super) use tree::{field_path, item_path};
pub(super) use write::{flow, write};
pub use yaml::{MAX_DEPTH, MAX_DOCUMENT, read_yaml};

/// What a document is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// `*`: what new databases start from.
    Default,
    /// One database. One that is itself named `*` can't be spoken of.
    Database(DatabaseName),
}

impl Target {
    /// The database, if it is one.
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Default => None,
            Self::Database(name) => Some(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("*"),
            Self::Database(name) => name.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" { Ok(Self::Default) } else { DatabaseName::new(text).map(Self::Database) }
    }
}

/// A document without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is for.
    pub target: Target,
    /// The rules, with defaults where it says nothing.
    pub rules: Rules,
    /// The text as it was written; canonical YAML if it came as a tree.
    pub source: Arc<str>,
    /// The line of everything that `source` says, by path.
    lines: BTreeMap<String, u32>,
}

impl Document {
    /// Reads YAML or JSON. What the text doesn't say is as in `defaults`; a list or map that it says takes the place of
    /// the default's.
    pub fn parse(text: &str, defaults: &Rules) -> Result<Self, Problems> {
        let tree = read_yaml(text)?;
        let (target, rules) = read_tree(&tree, defaults)?;
        let lines = tree::places(&tree).into_iter().map(|(path, (line, _))| (path, line)).collect();
        Ok(Self { target, rules, source: text.into(), lines })
    }

    /// Reads a tree that came from elsewhere. Its source becomes the canonical YAML of what the tree says.
    pub fn from_tree(tree: Node, defaults: &Rules) -> Result<Self, Problems> {
        read_tree(&tree, defaults)?;
        // Read again, so that it has the lines of its own text.
        Self::parse(&write(&tree), defaults)
    }

    /// The line (from 1) at which the source says something, by its dotted path, such as `partition[1]` or
    /// `buffer.freeze_after`; `None` if it doesn't say it.
    pub fn line_of(&self, path: &str) -> Option<u32> {
        self.lines.get(path).copied()
    }
}

fn read_tree(tree: &Node, defaults: &Rules) -> Result<(Target, Rules), Problems> {
    let mut reader = Reader::default();
    let mut rules = defaults.clone();
    let target = sections::read(&mut reader, &At::root(tree), &mut rules);
    let target = reader.finish(target)?;
    Ok((target, rules))
}
