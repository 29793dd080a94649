//! The InfluxQL statements that are answered in this version: those that clients send before they write.

use std::time::Duration;

use ochre_types::size::parse_duration;

use super::deletions::Deletion;
use super::lexer::{ParseError, Token, tokens};

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `CREATE DATABASE name [WITH …]`.
    CreateDatabase {
        /// Its name.
        name: String,
        /// How long its rows are to be kept; no time at all is for ever. `None`: as for every new database.
        duration: Option<Duration>,
        /// Whether it was given options that mean nothing here: shards, replicas, the retention policy's name.
        ignored: bool,
    },
    /// `SHOW DATABASES`.
    ShowDatabases,
    /// One that deletes.
    Delete(Deletion),
    /// Any other, by its leading keywords.
    Other(String),
}

impl Statement {
    /// The statement as InfluxDB would print it.
    pub fn normalised(&self) -> String {
        match self {
            Self::CreateDatabase { name, .. } => format!("CREATE DATABASE {}", quote_identifier(name)),
            Self::ShowDatabases => "SHOW DATABASES".to_owned(),
            Self::Delete(deletion) => deletion.normalised(),
            Self::Other(words) => words.clone(),
        }
    }
}

/// Reads the statements of a query, which `;` parts.
pub fn parse(query: &str) -> Result<Vec<Statement>, ParseError> {
    let tokens = tokens(query)?;
    let end = query.chars().count() + 1;
    let parts = tokens.split(|(token, _)| *token == Token::End);
    parts.filter(|words| !words.is_empty()).map(|words| statement(words, end)).collect()
}

fn statement(words: &[(Token, usize)], end: usize) -> Result<Statement, ParseError> {
    let keyword = |i: usize| match words.get(i) {
        Some((Token::Word(word), _)) => word.to_ascii_uppercase(),
        _ => String::new(),
    };
    if let Some(deletion) = Deletion::read(words, end) {
        return deletion.map(Statement::Delete);
    }
    match (keyword(0).as_str(), keyword(1).as_str()) {
        ("CREATE", "DATABASE") => create_database(words, end),
        ("SHOW", "DATABASES") if words.len() == 2 => Ok(Statement::ShowDatabases),
        ("SHOW", "DATABASES") => Err(expected(words, 2, ";, EOF", end)),
        ("", _) => {
            Err(expected(words, 0, "SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL", end))
        }
        (first, second) => Ok(Statement::Other(format!("{first} {second}").trim_end().to_owned())),
    }
}

fn create_database(words: &[(Token, usize)], end: usize) -> Result<Statement, ParseError> {
    let name = match words.get(2) {
        Some((Token::Word(name) | Token::Quoted(name), _)) => name.clone(),
        _ => return Err(expected(words, 2, "identifier", end)),
    };
    let (duration, ignored) = match words.get(3) {
        None => (None, false),
        Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("with") => options(words, end)?,
        Some(_) => return Err(expected(words, 3, ";, EOF", end)),
    };
    Ok(Statement::CreateDatabase { name, duration, ignored })
}

/// What follows WITH: the duration, and whether there is more.
fn options(words: &[(Token, usize)], end: usize) -> Result<(Option<Duration>, bool), ParseError> {
    let (mut found, mut ignored, mut at) = (None, false, 4);
    while at < words.len() || at == 4 {
        let word = |i: usize| match words.get(i) {
            Some((Token::Word(word), _)) => word.to_ascii_uppercase(),
            _ => String::new(),
        };
        let value = match (word(at).as_str(), word(at + 1).as_str()) {
            ("SHARD", "DURATION") => at + 2,
            ("DURATION" | "REPLICATION" | "NAME", _) => at + 1,
            ("SHARD", _) => return Err(expected(words, at + 1, "DURATION", end)),
            _ => return Err(expected(words, at, "DURATION, NAME, REPLICATION, SHARD", end)),
        };
        match (word(at).as_str(), words.get(value)) {
            ("DURATION", Some((Token::Word(text), _))) => {
                found = Some(duration(text).ok_or_else(|| expected(words, value, "duration", end))?);
            }
            ("DURATION", _) => return Err(expected(words, value, "duration", end)),
            (_, Some((Token::Word(_) | Token::Quoted(_), _))) => ignored = true,
            _ => return Err(expected(words, value, "a value", end)),
        }
        at = value + 1;
    }
    Ok((found, ignored))
}

/// A duration of InfluxQL. `INF` and nothing are for ever.
fn duration(text: &str) -> Option<Duration> {
    if text.eq_ignore_ascii_case("inf") || text == "0" {
        return Some(Duration::ZERO);
    }
    // InfluxQL writes microseconds with one letter.
    let text = if let Some(micros) = text.strip_suffix('u') { format!("{micros}us") } else { text.to_owned() };
    parse_duration(&text).ok()
}

pub(super) fn expected(words: &[(Token, usize)], i: usize, what: &str, end: usize) -> ParseError {
    let (found, at) = words.get(i).map_or(("EOF".to_owned(), end), |(token, at)| (token.to_string(), *at));
    ParseError { found, expected: what.to_owned(), at }
}

/// A name as InfluxDB prints it: quoted only where it must be.
pub(super) fn quote_identifier(name: &str) -> String {
    let plain =
        name.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || i > 0 && c.is_ascii_digit());
    if plain && !name.is_empty() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(name: &str) -> Statement {
        Statement::CreateDatabase { name: name.to_owned(), duration: None, ignored: false }
    }

    fn create_with(duration: Option<Duration>, ignored: bool) -> Statement {
        Statement::CreateDatabase { name: "x".to_owned(), duration, ignored }
    }

    #[test]
    fn what_clients_send_first_is_understood() {
        let hour = Some(Duration::from_secs(3_600));
        for (query, statement) in [
            (r#"CREATE DATABASE "telegraf""#, create("telegraf")),
            ("create database telegraf", create("telegraf")),
            (r#"CREATE DATABASE "a;b \"c\"""#, create("a;b \"c\"")),
            ("CREATE DATABASE x WITH DURATION 1h REPLICATION 1 SHARD DURATION 3d NAME \"y\"", create_with(hour, true)),
            ("CREATE DATABASE x WITH duration INF", create_with(Some(Duration::ZERO), false)),
            ("CREATE DATABASE x WITH DURATION 0s", create_with(Some(Duration::ZERO), false)),
            ("CREATE DATABASE x WITH NAME y", create_with(None, true)),
            ("SHOW DATABASES", Statement::ShowDatabases),
            (" show\n databases ; ", Statement::ShowDatabases),
            ("SHOW measurements LIMIT 1", Statement::Other("SHOW MEASUREMENTS".to_owned())),
            ("SELECT * FROM cpu", Statement::Other("SELECT".to_owned())),
        ] {
            assert_eq!(parse(query).unwrap(), [statement], "{query}");
        }
        assert_eq!(parse("CREATE DATABASE a;CREATE DATABASE b").unwrap(), [create("a"), create("b")]);
        assert_eq!(parse("  ;; -- nothing").unwrap(), []);
    }

    #[test]
    fn what_can_not_be_read_says_where() {
        for (query, message) in [
            ("CREATE DATABASE", "found EOF, expected identifier at line 1, char 16"),
            ("CREATE DATABASE 'x'", "found x, expected identifier at line 1, char 17"),
            ("CREATE DATABASE x y", "found y, expected ;, EOF at line 1, char 19"),
            ("SHOW DATABASES now", "found now, expected ;, EOF at line 1, char 16"),
            ("CREATE DATABASE \"x", "found \"x, expected a closing \" at line 1, char 17"),
            ("CREATE DATABASE x WITH", "found EOF, expected DURATION, NAME, REPLICATION, SHARD at line 1, char 23"),
            ("CREATE DATABASE x WITH DURATION", "found EOF, expected duration at line 1, char 32"),
            ("CREATE DATABASE x WITH DURATION soon", "found soon, expected duration at line 1, char 33"),
            ("CREATE DATABASE x WITH SHARD 1d", "found 1d, expected DURATION at line 1, char 30"),
        ] {
            assert_eq!(parse(query).unwrap_err().to_string(), message);
        }
        assert!(parse("= 1").unwrap_err().to_string().starts_with("found =, expected SELECT"));
    }

    #[test]
    fn names_are_printed_with_quotes_where_needed() {
        for (name, printed) in [("telegraf", "telegraf"), ("a b", "\"a b\""), ("1a", "\"1a\""), ("a\"b", "\"a\\\"b\"")]
        {
            assert_eq!(create(name).normalised(), format!("CREATE DATABASE {printed}"));
        }
    }
}
