//! Patterns of table names: a glob, or a regular expression between slashes.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::name::TableName;

/// Bytes that a pattern may have.
const MAX_BYTES: usize = 1_000;
/// Bytes that a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;

/// A pattern of table names.
///
/// A glob matches the whole name: `*` is any text, `?` is one character, `\` before a character takes it as it is.
/// A text between slashes, such as `/cpu|mem/`, is a regular expression that has to match the whole name.
#[derive(Clone)]
pub struct TablePattern {
    text: Box<str>,
    /// `None` for `*`, which is everywhere.
    regex: Option<Regex>,
}

/// Why a text is no pattern of table names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TablePatternError {
    /// It is empty.
    #[error("a table pattern is empty: write * for all tables")]
    Empty,
    /// It is too long.
    #[error("a table pattern has {0} bytes: at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// A backslash ends it.
    #[error("the table pattern {0:?} ends in a backslash: write \\\\ for a backslash")]
    Backslash(String),
    /// The regular expression was refused.
    #[error("the table pattern {text:?} is no regular expression: {reason}")]
    Regex {
        /// The pattern.
        text: String,
        /// Why.
        reason: String,
    },
}

impl TablePattern {
    /// The pattern of all tables.
    pub fn all() -> Self {
        Self { text: "*".into(), regex: None }
    }

    /// The pattern of one table. Fails if its name takes more room than a pattern may.
    pub fn exactly(table: &TableName) -> Result<Self, TablePatternError> {
        let mut text = String::with_capacity(table.as_str().len());
        for (at, c) in table.as_str().char_indices() {
            if matches!(c, '*' | '?' | '\\') || (at == 0 && c == '/') {
                text.push('\\');
            }
            text.push(c);
        }
        text.parse()
    }

    /// Whether it matches every table, whatever its name.
    pub fn is_all(&self) -> bool {
        self.regex.is_none()
    }

    /// Whether a table's name matches.
    pub fn matches(&self, table: &TableName) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(table.as_str()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TablePattern {
    type Err = TablePatternError;

    fn from_str(text: &str) -> Result<Self, TablePatternError> {
        if text.is_empty() {
            return Err(TablePatternError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(TablePatternError::TooLong(text.len()));
        }
        if text == "*" {
            return Ok(Self::all());
        }
        let expression = match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(regex) => format!("^(?:{regex})$"),
            None => glob(text)?,
        };
        let regex = regex::RegexBuilder::new(&expression).size_limit(MAX_COMPILED).build();
        let regex = regex.map_err(|error| TablePatternError::Regex {
            text: text.to_owned(),
            // The library's message points into the expression over several lines; its last line says why.
            reason: error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })?;
        Ok(Self { text: text.into(), regex: Some(regex) })
    }
}

/// The regular expression that matches what a glob matches.
fn glob(text: &str) -> Result<String, TablePatternError> {
    let mut expression = String::from("^(?s:");
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '\\' => match characters.next() {
                Some(escaped) => expression.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4]))),
                None => return Err(TablePatternError::Backslash(text.to_owned())),
            },
            plain => expression.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push_str(")$");
    Ok(expression)
}

impl PartialEq for TablePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TablePattern {}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_expressions_match_whole_names() {
        for (pattern, yes, no) in [
            ("*", &["a", "ü"][..], &[][..]),
            ("http_*", &["http_", "http_x", "http_x_y"], &["http", "xhttp_", "HTTP_x"]),
            ("*_total", &["a_total", "_total"], &["a_totals"]),
            ("c?u", &["cpu", "cüu"], &["cu", "cppu"]),
            (r"a\*b", &["a*b"], &["axb"]),
            ("a.b", &["a.b"], &["axb"]),
            ("a(b|c)", &["a(b|c)"], &["ab"]),
            ("/cpu|mem/", &["cpu", "mem"], &["cpux", "xmem"]),
            ("/http_[0-9]+/", &["http_1"], &["http_x", "http_1x"]),
        ] {
            let pattern: TablePattern = pattern.parse().unwrap();
            let matches = |name: &&str| pattern.matches(&TableName::new(name).unwrap());
            assert_eq!(yes.iter().filter(|name| !matches(name)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{pattern}");
            assert_eq!(no.iter().filter(|name| matches(name)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        let message = |text: &str| text.parse::<TablePattern>().unwrap_err().to_string();
        assert_eq!(message(""), "a table pattern is empty: write * for all tables");
        assert_eq!(message("a\\"), "the table pattern \"a\\\\\" ends in a backslash: write \\\\ for a backslash");
        assert_eq!(message("/(/"), "the table pattern \"/(/\" is no regular expression: unclosed group");
        assert_eq!(message(&"x".repeat(1_001)), "a table pattern has 1001 bytes: at most 1000 are allowed");
    }
}
