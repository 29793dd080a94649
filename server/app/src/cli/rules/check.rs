//! `ochre rules check`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::given::Given;
use crate::cli::{Output, Stop};

/// Name every mistake of a document, without a server.
#[derive(Debug, Args)]
pub struct Check {
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The document, or - for standard input.
    file: PathBuf,
}

impl Check {
    /// Runs the command. Mistakes are its answer, and a failure.
    pub fn run(&self) -> Result<(), Stop> {
        let given = Given::read(&self.file)?;
        let (target, problems) = match given.parse() {
            Ok(document) => (Some(document.target.to_string()), Vec::new()),
            Err(problems) => (None, problems.0),
        };
        match (self.output, &target) {
            (Output::Json, _) => {
                let problems = problems.iter().map(|found| {
                    json!({ "path": found.path, "line": found.line, "column": found.column, "message": found.message })
                });
                let problems: Vec<_> = problems.collect();
                println!("{}", json!({ "file": given.name, "database": target, "problems": problems }));
            }
            (Output::Text, Some(target)) => println!("{}: no mistakes; for {}", given.name, super::change::of(target)),
            (Output::Text, None) => problems.iter().for_each(|problem| println!("{}", given.place(problem))),
        }
        match problems.len() {
            0 => Ok(()),
            count => Err(Stop::Failed(anyhow!(given.mistakes(count)))),
        }
    }
}
