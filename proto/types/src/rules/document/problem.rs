//! Mistakes of a document: all of them, each with its place.

use std::fmt;

/// The mistakes that are told one by one. Further ones are counted.
pub const MAX_PROBLEMS: usize = 100;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The dotted path of the field, such as `partition[0].by[1].bucket.count`; empty for the document as a whole.
    pub path: String,
    /// The line, from 1; `None` if the document has none (it was no text).
    pub line: Option<u32>,
    /// The column in characters, from 1; as `line`.
    pub column: Option<u32>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match (self.line, self.column) {
            // Without a path, only the column says where on the line it is.
            (Some(line), Some(column)) if self.path.is_empty() => write!(f, " (line {line}, column {column})"),
            (Some(line), _) => write!(f, " (line {line})"),
            (None, _) => Ok(()),
        }
    }
}

/// All mistakes of a document, in the order of its lines. Displays one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
