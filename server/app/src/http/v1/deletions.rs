//! `DROP DATABASE`, `DROP MEASUREMENT`, `DELETE` and `DROP SERIES`: read, and run.

use ochre_database::Node;
use ochre_database::deletes::DeleteError;
use ochre_types::matching::{Predicate, RowMatch, TablePattern};
use ochre_types::token::Action;
use ochre_types::{DatabaseName, TableName};

use super::lexer::{ParseError, Token};
use super::statements::{expected, quote_identifier};
use crate::http::deletes;
use crate::http::failure::{Failure, Kind};

type Words<'a> = &'a [(Token, usize)];

/// A statement that deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// `DROP DATABASE name`.
    Database(String),
    /// `DROP MEASUREMENT name`.
    Measurement(String),
    /// `DELETE [FROM name] [WHERE …]`, or `DROP SERIES`, which may not speak of time.
    Rows {
        /// Of this table only.
        from: Option<String>,
        /// The condition, in the syntax of our predicates.
        condition: Option<String>,
        /// Whether it is `DROP SERIES`.
        series: bool,
    },
}

impl Deletion {
    /// Reads a statement that begins with `DROP` or `DELETE`; `None` if it is another one.
    pub fn read(words: Words<'_>, end: usize) -> Option<Result<Self, ParseError>> {
        match (keyword(words, 0).as_str(), keyword(words, 1).as_str()) {
            ("DROP", "DATABASE") => Some(name(words, end).map(Self::Database)),
            ("DROP", "MEASUREMENT") => Some(name(words, end).map(Self::Measurement)),
            ("DROP", "SERIES") => Some(rows(words, 2, true, end)),
            ("DELETE", _) => Some(rows(words, 1, false, end)),
            _ => None,
        }
    }

    /// As InfluxDB would print it.
    pub fn normalised(&self) -> String {
        match self {
            Self::Database(name) => format!("DROP DATABASE {}", quote_identifier(name)),
            Self::Measurement(name) => format!("DROP MEASUREMENT {}", quote_identifier(name)),
            Self::Rows { from, condition, series } => {
                let from = from.as_ref().map(|name| format!(" FROM {}", quote_identifier(name)));
                let condition = condition.as_ref().map(|condition| format!(" WHERE {condition}"));
                let verb = if *series { "DROP SERIES" } else { "DELETE" };
                format!("{verb}{}{}", from.unwrap_or_default(), condition.unwrap_or_default())
            }
        }
    }

    /// What it needs, and on which database: its own, or that of the request.
    pub fn needs(&self, of_request: Option<&DatabaseName>) -> Option<(Action, DatabaseName)> {
        match self {
            // What is no name is told when the statement is run.
            Self::Database(name) => Some((Action::Manage, DatabaseName::new(name).ok()?)),
            Self::Measurement(_) => Some((Action::Manage, of_request?.clone())),
            Self::Rows { .. } => Some((Action::Write, of_request?.clone())),
        }
    }

    /// Runs it. A database or measurement that is not there is no error, as with InfluxDB.
    pub async fn run(&self, node: &Node, of_request: Option<&DatabaseName>) -> Result<(), Failure> {
        let done = match self {
            Self::Database(name) => node.drop_database(&DatabaseName::new(name)?).await.map(|_| ()),
            Self::Measurement(name) => {
                let database = deletes::database(node, needed(of_request)?)?;
                database.drop_table(&TableName::new(name)?).await.map(|_| ())
            }
            Self::Rows { from, condition, .. } => {
                let database = deletes::database(node, needed(of_request)?)?;
                let table = from.as_ref().map(TableName::new).transpose()?;
                let pattern = match &table {
                    Some(table) => TablePattern::exactly(table),
                    None => Ok(TablePattern::all()),
                };
                let pattern = pattern.map_err(|error| Failure::invalid(error.to_string()))?;
                let rows = RowMatch { tables: vec![pattern], predicate: self.predicate(condition.as_deref())? };
                database.delete_rows(rows, (i64::MIN, i64::MAX)).await.map(|_| ())
            }
        };
        match done.map_err(|error| (matches!(error, DeleteError::UnknownTable { .. }), deletes::failure(error))) {
            Ok(()) => Ok(()),
            Err((true, _)) => Ok(()),
            Err((_, failure)) if failure.kind == Kind::UnknownDatabase && matches!(self, Self::Database(_)) => Ok(()),
            Err((_, failure)) => Err(failure),
        }
    }

    fn predicate(&self, condition: Option<&str>) -> Result<Option<Predicate>, Failure> {
        let Some(condition) = condition else { return Ok(None) };
        let predicate: Predicate = condition.parse().map_err(|error| {
            Failure::invalid(format!(
                "the WHERE of this statement compares tags and time with constants, and this one does not: {error}"
            ))
        })?;
        let is_series = matches!(self, Self::Rows { series: true, .. });
        if is_series && condition.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "time") {
            return Err(Failure::invalid("DROP SERIES doesn't support time in WHERE clause"));
        }
        Ok(Some(predicate))
    }
}

fn needed(database: Option<&DatabaseName>) -> Result<&DatabaseName, Failure> {
    database.ok_or_else(|| Failure::invalid("database name required"))
}

fn keyword(words: Words<'_>, at: usize) -> String {
    match words.get(at) {
        Some((Token::Word(word), _)) => word.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// The only name that follows two keywords.
fn name(words: Words<'_>, end: usize) -> Result<String, ParseError> {
    match (words.get(2), words.get(3)) {
        (Some((Token::Word(name) | Token::Quoted(name), _)), None) => Ok(name.clone()),
        (Some((Token::Word(_) | Token::Quoted(_), _)), Some(_)) => Err(expected(words, 3, ";, EOF", end)),
        _ => Err(expected(words, 2, "identifier", end)),
    }
}

fn rows(words: Words<'_>, mut at: usize, series: bool, end: usize) -> Result<Deletion, ParseError> {
    let mut from = None;
    if keyword(words, at) == "FROM" {
        from = match words.get(at + 1) {
            Some((Token::Word(name) | Token::Quoted(name), _)) => Some(name.clone()),
            _ => return Err(expected(words, at + 1, "identifier", end)),
        };
        at += 2;
    }
    let condition = match keyword(words, at).as_str() {
        "WHERE" if words.len() > at + 1 => Some(condition(&words[at + 1..])),
        "WHERE" => return Err(expected(words, at + 1, "a condition", end)),
        _ if at == words.len() && from.is_some() => None,
        _ if from.is_some() => return Err(expected(words, at, "WHERE, ;, EOF", end)),
        _ => return Err(expected(words, at, "FROM, WHERE", end)),
    };
    Ok(Deletion::Rows { from, condition, series })
}

/// The words of a condition as our predicates write them.
fn condition(words: Words<'_>) -> String {
    let mut text = String::new();
    let mut sign_before = None;
    for (token, at) in words {
        // Two signs that stand together are one operator.
        let joins = matches!(token, Token::Sign(_)) && sign_before.is_some_and(|before: usize| before + 1 == *at);
        if !text.is_empty() && !joins {
            text.push(' ');
        }
        sign_before = matches!(token, Token::Sign(_)).then_some(*at);
        match token {
            Token::Word(word) => text.push_str(word),
            Token::Quoted(name) => text.push_str(&format!("\"{}\"", name.replace('"', "\"\""))),
            Token::Text(value) => text.push_str(&format!("'{}'", value.replace('\'', "''"))),
            Token::Sign(sign) => text.push(*sign),
            Token::End => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn read(text: &str) -> Result<Deletion, String> {
        let words = tokens(text).unwrap();
        Deletion::read(&words, text.chars().count() + 1).unwrap().map_err(|error| error.to_string())
    }

    fn rows(from: Option<&str>, condition: Option<&str>, series: bool) -> Result<Deletion, String> {
        let owned = |text: &str| text.to_owned();
        Ok(Deletion::Rows { from: from.map(owned), condition: condition.map(owned), series })
    }

    #[test]
    fn deletions_are_read() {
        assert_eq!(read("drop database \"my db\""), Ok(Deletion::Database("my db".to_owned())));
        assert_eq!(read("DROP MEASUREMENT cpu"), Ok(Deletion::Measurement("cpu".to_owned())));
        assert_eq!(read("DELETE FROM cpu"), rows(Some("cpu"), None, false));
        assert_eq!(
            read(r#"DELETE FROM "cpu" WHERE "host" = 'it\'s' AND time<='2026-01-01'"#),
            rows(Some("cpu"), Some(r#""host" = 'it''s' AND time <= '2026-01-01'"#), false)
        );
        assert_eq!(read("DELETE WHERE time < 5"), rows(None, Some("time < 5"), false));
        assert_eq!(read("DROP SERIES FROM cpu WHERE host != 'a'"), rows(Some("cpu"), Some("host != 'a'"), true));
        for (text, condition) in [("\"host\" = 'it''s' AND time <= '2026-01-01'", true), ("host = now ( )", false)] {
            assert_eq!(text.parse::<Predicate>().is_ok(), condition, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, message) in [
            ("DROP DATABASE", "found EOF, expected identifier at line 1, char 14"),
            ("DROP DATABASE a b", "found b, expected ;, EOF at line 1, char 17"),
            ("DELETE", "found EOF, expected FROM, WHERE at line 1, char 7"),
            ("DELETE FROM", "found EOF, expected identifier at line 1, char 12"),
            ("DELETE FROM a b", "found b, expected WHERE, ;, EOF at line 1, char 15"),
            ("DELETE WHERE", "found EOF, expected a condition at line 1, char 13"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn series_are_dropped_whatever_their_times() {
        let deletion = read("DROP SERIES WHERE time < 5").unwrap();
        let Deletion::Rows { condition, .. } = &deletion else { panic!("{deletion:?}") };
        assert!(deletion.predicate(condition.as_deref()).unwrap_err().message.contains("doesn't support time"));
    }
}
