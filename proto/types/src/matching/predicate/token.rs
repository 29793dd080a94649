//! The words of a predicate.

use std::fmt;

use super::PredicateError;

/// Words that mean something, whatever their case; a tag of such a name is quoted.
const KEYWORDS: [&str; 10] = ["AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN", "TRUE", "FALSE"];

/// What two characters of an operator mean, then what one does: the longer ones come first.
const SYMBOLS: [&str; 13] = ["<>", "!=", "<=", ">=", "!~", "=", "<", ">", "~", "(", ")", ",", "-"];

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, in capitals.
    Keyword(&'static str),
    /// An unquoted word that is no keyword.
    Word(String),
    /// A name in double quotes.
    Name(String),
    /// A text in single quotes.
    Text(String),
    /// Digits.
    Digits(String),
    /// An operator or a piece of punctuation.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(word) | Self::Symbol(word) => f.write_str(word),
            Self::Word(word) | Self::Digits(word) => f.write_str(word),
            Self::Name(name) => write!(f, "\"{name}\""),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// The keyword that a word is.
pub(super) fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Whether a word may begin with this character.
pub(super) fn begins_word(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

/// Whether a word may go on with this character.
pub(super) fn continues_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Reads the word at `offset` or after the blanks there: where it begins, the word, where it ends.
pub(super) fn next(text: &str, offset: usize) -> Result<(usize, Token, usize), PredicateError> {
    let rest = text[offset..].trim_start();
    let start = text.len() - rest.len();
    let Some(first) = rest.chars().next() else { return Ok((start, Token::End, start)) };
    let while_is = |is: fn(char) -> bool| &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
    let (token, length) = match first {
        '\'' => quoted(rest, first, start).map(|(text, length)| (Token::Text(text), length))?,
        '"' => quoted(rest, first, start).map(|(text, length)| (Token::Name(text), length))?,
        '0'..='9' => {
            // Letters behind digits belong to them, so that 1s is refused as a whole.
            let digits = while_is(continues_word);
            (Token::Digits(digits.to_owned()), digits.len())
        }
        _ if begins_word(first) => {
            let word = while_is(continues_word);
            (keyword(word).map_or_else(|| Token::Word(word.to_owned()), Token::Keyword), word.len())
        }
        _ => match SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            Some(symbol) => (Token::Symbol(symbol), symbol.len()),
            None => return Err(PredicateError::Character { offset: start, character: first }),
        },
    };
    Ok((start, token, start + length))
}

/// The text between quotes, in which a doubled quote is one, and the bytes that it takes with its quotes.
fn quoted(rest: &str, quote: char, offset: usize) -> Result<(String, usize), PredicateError> {
    let mut text = String::new();
    let mut at = 1;
    loop {
        let Some(length) = rest[at..].find(quote) else { return Err(PredicateError::Unclosed { offset, quote }) };
        text.push_str(&rest[at..at + length]);
        at += length + 1;
        if !rest[at..].starts_with(quote) {
            return Ok((text, at));
        }
        text.push(quote);
        at += 1;
    }
}
