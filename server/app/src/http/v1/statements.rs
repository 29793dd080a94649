//! The InfluxQL statements that are answered in this version: those that clients send before they write.

use super::lexer::{ParseError, Token, tokens};

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `CREATE DATABASE name [WITH …]`.
    CreateDatabase {
        /// Its name.
        name: String,
        /// Whether it was given a duration or the like, which is not enforced in this version.
        with: bool,
    },
    /// `SHOW DATABASES`.
    ShowDatabases,
    /// Any other, by its leading keywords.
    Other(String),
}

impl Statement {
    /// The statement as InfluxDB would print it.
    pub fn normalised(&self) -> String {
        match self {
            Self::CreateDatabase { name, .. } => format!("CREATE DATABASE {}", quote_identifier(name)),
            Self::ShowDatabases => "SHOW DATABASES".to_owned(),
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
    let with = match words.get(3) {
        None => false,
        Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("with") => match words.get(4) {
            Some((Token::Word(_), _)) => true,
            _ => return Err(expected(words, 4, "DURATION, NAME, REPLICATION, SHARD", end)),
        },
        Some(_) => return Err(expected(words, 3, ";, EOF", end)),
    };
    Ok(Statement::CreateDatabase { name, with })
}

fn expected(words: &[(Token, usize)], i: usize, what: &str, end: usize) -> ParseError {
    let (found, at) = words.get(i).map_or(("EOF".to_owned(), end), |(token, at)| (token.to_string(), *at));
    ParseError { found, expected: what.to_owned(), at }
}

/// A name as InfluxDB prints it: quoted only where it must be.
fn quote_identifier(name: &str) -> String {
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

    fn create(name: &str, with: bool) -> Statement {
        Statement::CreateDatabase { name: name.to_owned(), with }
    }

    #[test]
    fn what_clients_send_first_is_understood() {
        for (query, statement) in [
            (r#"CREATE DATABASE "telegraf""#, create("telegraf", false)),
            ("create database telegraf", create("telegraf", false)),
            (r#"CREATE DATABASE "a;b \"c\"""#, create("a;b \"c\"", false)),
            ("CREATE DATABASE x WITH DURATION 3d REPLICATION 1 NAME \"y\"", create("x", true)),
            ("SHOW DATABASES", Statement::ShowDatabases),
            (" show\n databases ; ", Statement::ShowDatabases),
            ("SHOW measurements LIMIT 1", Statement::Other("SHOW MEASUREMENTS".to_owned())),
            ("SELECT * FROM cpu", Statement::Other("SELECT".to_owned())),
        ] {
            assert_eq!(parse(query).unwrap(), [statement], "{query}");
        }
        assert_eq!(parse("CREATE DATABASE a;CREATE DATABASE b").unwrap(), [create("a", false), create("b", false)]);
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
        ] {
            assert_eq!(parse(query).unwrap_err().to_string(), message);
        }
        assert!(parse("= 1").unwrap_err().to_string().starts_with("found =, expected SELECT"));
    }

    #[test]
    fn names_are_printed_with_quotes_where_needed() {
        for (name, printed) in [("telegraf", "telegraf"), ("a b", "\"a b\""), ("1a", "\"1a\""), ("a\"b", "\"a\\\"b\"")]
        {
            assert_eq!(create(name, false).normalised(), format!("CREATE DATABASE {printed}"));
        }
    }
}
