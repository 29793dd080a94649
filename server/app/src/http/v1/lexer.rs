//! The words of InfluxQL, as far as statements here need them.

use std::fmt;

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword, number or unquoted name, as written.
    Word(String),
    /// A name in double quotes, without them.
    Quoted(String),
    /// A text in single quotes, without them.
    Text(String),
    /// Any other character.
    Sign(char),
    /// The end of a statement: `;`.
    End,
}

/// Where and why a query can't be read. The wording is InfluxDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected} at line 1, char {at}")]
pub struct ParseError {
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
    /// The position in characters, from 1.
    pub at: usize,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) | Self::Quoted(word) | Self::Text(word) => f.write_str(word),
            Self::Sign(sign) => write!(f, "{sign}"),
            Self::End => f.write_str(";"),
        }
    }
}

/// Splits a query into words, each with its position in characters, from 1.
pub fn tokens(query: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let chars: Vec<char> = query.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        let at = i + 1;
        match c {
            c if c.is_whitespace() => i += 1,
            ';' => {
                tokens.push((Token::End, at));
                i += 1;
            }
            '"' | '\'' => {
                let (text, end) = quoted(&chars, i)?;
                tokens.push((if c == '"' { Token::Quoted(text) } else { Token::Text(text) }, at));
                i = end;
            }
            '-' if chars.get(i + 1) == Some(&'-') => {
                while chars.get(i).is_some_and(|c| *c != '\n') {
                    i += 1;
                }
            }
            c if is_word(c) => {
                let end = chars[i..].iter().position(|c| !is_word(*c)).map_or(chars.len(), |n| i + n);
                tokens.push((Token::Word(chars[i..end].iter().collect()), at));
                i = end;
            }
            sign => {
                tokens.push((Token::Sign(sign), at));
                i += 1;
            }
        }
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text of the quotes that open at `start`, and the position after them.
fn quoted(chars: &[char], start: usize) -> Result<(String, usize), ParseError> {
    let quote = chars[start];
    let mut text = String::new();
    let mut i = start + 1;
    loop {
        match (chars.get(i), chars.get(i + 1)) {
            (Some('\\'), Some('n')) => text.push('\n'),
            (Some('\\'), Some(&next)) if next == '\\' || next == '"' || next == '\'' => text.push(next),
            (Some(&c), _) if c == quote => return Ok((text, i + 1)),
            (Some(&c), _) if c != '\\' && c != '\n' => {
                text.push(c);
                i += 1;
                continue;
            }
            _ => {
                let found: String = chars[start..i].iter().collect();
                return Err(ParseError { found, expected: format!("a closing {quote}"), at: start + 1 });
            }
        }
        i += 2;
    }
}
