//! A document that was given as a file or on standard input, and the places of its mistakes.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use ochre_client::Violation;
use ochre_types::rules::document::MAX_DOCUMENT;
use ochre_types::rules::{Document, Problem, Problems, Rules};

use crate::cli::Stop;

/// A document as it was given.
pub struct Given {
    /// The file's name, as messages have it.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Given {
    /// Reads a file, or standard input if it is `-`. More than a document may have is not read.
    pub fn read(path: &Path) -> Result<Self, Stop> {
        let limit = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let name = if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() };
        let read = match path.as_os_str() == "-" {
            true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
            false => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
        };
        read.with_context(|| format!("reading {name}"))?;
        let text =
            String::from_utf8(bytes).map_err(|_| anyhow!("{name} is no text: a document is YAML or JSON in UTF-8"))?;
        Ok(Self { name, text })
    }

    /// What it says, with the defaults of this version for what it does not.
    pub fn parse(&self) -> Result<Document, Problems> {
        Document::parse(&self.text, &Rules::default())
    }

    /// `FILE:line:column: path: message`.
    pub fn place(&self, problem: &Problem) -> String {
        let mut text = self.name.clone();
        for number in [problem.line, problem.column].into_iter().flatten() {
            text.push_str(&format!(":{number}"));
        }
        let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
        format!("{text}: {path}{}", problem.message)
    }

    /// What a server found wrong, each with its place in the file as far as it can be told.
    pub fn places(&self, violations: &[Violation]) -> Vec<String> {
        match self.parse() {
            Err(problems) => problems.0.iter().map(|problem| self.place(problem)).collect(),
            Ok(_) => {
                violations.iter().map(|found| format!("{}: {}: {}", self.name, found.path, found.message)).collect()
            }
        }
    }

    /// How many mistakes it has.
    pub fn mistakes(&self, count: usize) -> String {
        match count {
            1 => format!("{} has a mistake", self.name),
            count => format!("{} has {count} mistakes", self.name),
        }
    }
}
