//! From text to predicate, by recursive descent.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::pattern::TextPattern;
use super::token::{self, Token};
use super::{Comparison, Condition, MAX_BYTES, MAX_DEPTH, MAX_PATTERNS, Predicate, TagTest, ValueTest};
use crate::name::{ColumnName, NameError};
use crate::{STAMP_COLUMN, TIME_COLUMN};

/// Why a text is no predicate. Offsets are bytes of the text, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredicateError {
    /// The text is too long, or would be with every test and time written out.
    #[error("a predicate has {0} bytes in its full form: at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// Something else stands where a piece of a predicate should.
    #[error("a predicate has {found} at byte {offset}, where {expected} is expected")]
    Unexpected {
        /// Where.
        offset: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// A character that no predicate has.
    #[error("a predicate has the character {character:?} at byte {offset}: quote names (\"\") and texts ('')")]
    Character {
        /// Where.
        offset: usize,
        /// The character.
        character: char,
    },
    /// A quote without its partner.
    #[error("a predicate has a quote ({quote}) at byte {offset} that nothing closes")]
    Unclosed {
        /// Where the quote is.
        offset: usize,
        /// The quote.
        quote: char,
    },
    /// Parentheses and NOT nest too deep.
    #[error("a predicate nests deeper than {MAX_DEPTH} parentheses and NOTs at byte {offset}: write it flatter")]
    TooDeep {
        /// Where.
        offset: usize,
    },
    /// There are too many patterns.
    #[error("a predicate has more than {MAX_PATTERNS} patterns at byte {offset}: join regular expressions by |")]
    TooManyPatterns {
        /// Where the first is that is too many.
        offset: usize,
    },
    /// A value of `time` is no time.
    #[error(
        "a predicate has {text:?} at byte {offset}, which is no time between 1677-09-21 and 2262-04-11: write it as '2026-01-01T00:00:00Z', or as an integer of nanoseconds since 1970-01-01 UTC"
    )]
    Time {
        /// Where.
        offset: usize,
        /// What stands there.
        text: String,
    },
    /// A pattern of LIKE or a regular expression is none.
    #[error("a predicate has the pattern {pattern:?} at byte {offset}, which can't be used: {reason}")]
    Pattern {
        /// Where.
        offset: usize,
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// No tag has this name.
    #[error("a predicate has a name at byte {offset} that no tag has: {source}")]
    Name {
        /// Where.
        offset: usize,
        /// Why.
        source: NameError,
    },
}

impl FromStr for Predicate {
    type Err = PredicateError;

    fn from_str(text: &str) -> Result<Self, PredicateError> {
        if text.len() > MAX_BYTES {
            return Err(PredicateError::TooLong(text.len()));
        }
        let mut parser = Parser::new(text)?;
        let condition = parser.any(0)?;
        if parser.token != Token::End {
            return parser.unexpected("AND, OR or the end");
        }
        let predicate = Self(condition);
        // What is kept and sent is the canonical text: it has to be read back.
        match predicate.to_string().len() {
            ..=MAX_BYTES => Ok(predicate),
            length => Err(PredicateError::TooLong(length)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Where the current word begins.
    offset: usize,
    token: Token,
    /// Where it ends.
    end: usize,
    patterns: usize,
}

type Parsed<T> = Result<T, PredicateError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        let (offset, token, end) = token::next(text, 0)?;
        Ok(Self { text, offset, token, end, patterns: 0 })
    }

    /// Gives the current word and goes to the next.
    fn advance(&mut self) -> Parsed<Token> {
        let (offset, token, end) = token::next(self.text, self.end)?;
        (self.offset, self.end) = (offset, end);
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Goes past a keyword or symbol if it stands here.
    fn eat(&mut self, token: &Token) -> Parsed<bool> {
        let is_here = self.token == *token;
        if is_here {
            self.advance()?;
        }
        Ok(is_here)
    }

    fn eat_keyword(&mut self, word: &'static str) -> Parsed<bool> {
        self.eat(&Token::Keyword(word))
    }

    fn expect(&mut self, token: &Token) -> Parsed<()> {
        if self.eat(token)? { Ok(()) } else { self.unexpected(token.to_string()) }
    }

    fn unexpected<T>(&self, expected: impl Into<String>) -> Parsed<T> {
        let (found, expected) = (self.token.to_string(), expected.into());
        Err(PredicateError::Unexpected { offset: self.offset, found, expected })
    }

    fn any(&mut self, depth: usize) -> Parsed<Condition> {
        let mut parts = Vec::new();
        loop {
            match self.all(depth)? {
                Condition::Any(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if !self.eat_keyword("OR")? {
                return Ok(single(parts, Condition::Any));
            }
        }
    }

    fn all(&mut self, depth: usize) -> Parsed<Condition> {
        let mut parts = Vec::new();
        loop {
            match self.not(depth)? {
                Condition::All(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if !self.eat_keyword("AND")? {
                return Ok(single(parts, Condition::All));
            }
        }
    }

    fn not(&mut self, depth: usize) -> Parsed<Condition> {
        if depth > MAX_DEPTH {
            return Err(PredicateError::TooDeep { offset: self.offset });
        }
        if self.eat_keyword("NOT")? {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.eat_keyword("TRUE")? {
            return Ok(Condition::Constant(true));
        }
        if self.eat_keyword("FALSE")? {
            return Ok(Condition::Constant(false));
        }
        if self.eat(&Token::Symbol("("))? {
            let inner = self.any(depth + 1)?;
            self.expect(&Token::Symbol(")"))?;
            return Ok(inner);
        }
        self.test()
    }

    /// Reads a column and what is asked of it.
    fn test(&mut self) -> Parsed<Condition> {
        let offset = self.offset;
        let (Token::Word(name) | Token::Name(name)) = &self.token else {
            return self.unexpected("a tag, time, NOT, TRUE, FALSE or (");
        };
        let name = name.clone();
        self.advance()?;
        if name == TIME_COLUMN {
            return self.time_test();
        }
        if name == STAMP_COLUMN {
            let source = NameError::Reserved { what: "a column name", name };
            return Err(PredicateError::Name { offset, source });
        }
        let name = ColumnName::new(name).map_err(|source| PredicateError::Name { offset, source })?;
        self.tag_test(name)
    }

    fn time_test(&mut self) -> Parsed<Condition> {
        if self.eat_keyword("IS")? {
            // A time is never absent.
            let is_negated = self.eat_keyword("NOT")?;
            self.expect(&Token::Keyword("NULL"))?;
            return Ok(Condition::Constant(is_negated));
        }
        let is_negated = self.eat_keyword("NOT")?;
        match self.value_test(is_negated, Self::time)? {
            Some(test) => Ok(negate(Condition::Time(test), is_negated)),
            None if is_negated => self.unexpected("BETWEEN or IN"),
            None => self.unexpected("a comparison, BETWEEN, IN or IS after time"),
        }
    }

    fn tag_test(&mut self, name: ColumnName) -> Parsed<Condition> {
        if self.eat_keyword("IS")? {
            let is_negated = self.eat_keyword("NOT")?;
            self.expect(&Token::Keyword("NULL"))?;
            return Ok(negate(Condition::Tag(name, TagTest::Absent), is_negated));
        }
        for (symbol, is_negated) in [("~", false), ("!~", true)] {
            if self.eat(&Token::Symbol(symbol))? {
                let pattern = self.pattern(TextPattern::regex)?;
                return Ok(negate(Condition::Tag(name, TagTest::Matches(pattern)), is_negated));
            }
        }
        let is_negated = self.eat_keyword("NOT")?;
        if self.eat_keyword("LIKE")? {
            let pattern = self.pattern(TextPattern::like)?;
            return Ok(negate(Condition::Tag(name, TagTest::Like(pattern)), is_negated));
        }
        match self.value_test(is_negated, |parser| Ok(parser.tag_value()?.into()))? {
            Some(test) => Ok(negate(Condition::Tag(name, TagTest::Value(test)), is_negated)),
            None if is_negated => self.unexpected("BETWEEN, IN or LIKE"),
            None => self.unexpected("a comparison, BETWEEN, IN, LIKE, ~, !~ or IS"),
        }
    }

    /// Reads a comparison (not after NOT), BETWEEN or IN, if one stands here.
    fn value_test<V: Ord>(
        &mut self,
        after_not: bool,
        value: impl Fn(&mut Self) -> Parsed<V>,
    ) -> Parsed<Option<ValueTest<V>>> {
        if self.eat_keyword("BETWEEN")? {
            let low = value(self)?;
            self.expect(&Token::Keyword("AND"))?;
            return Ok(Some(ValueTest::Between(low, value(self)?)));
        }
        if self.eat_keyword("IN")? {
            self.expect(&Token::Symbol("("))?;
            let mut values = vec![value(self)?];
            while self.eat(&Token::Symbol(","))? {
                values.push(value(self)?);
            }
            self.expect(&Token::Symbol(")"))?;
            values.sort();
            values.dedup();
            return Ok(Some(ValueTest::OneOf(values)));
        }
        let comparison = match &self.token {
            Token::Symbol(symbol) if !after_not => comparison(symbol),
            _ => None,
        };
        let Some(comparison) = comparison else { return Ok(None) };
        self.advance()?;
        Ok(Some(ValueTest::Compare(comparison, value(self)?)))
    }

    /// Reads a text, which is all that a tag can be compared with.
    fn tag_value(&mut self) -> Parsed<String> {
        let Token::Text(text) = &self.token else {
            return self.unexpected(match self.token {
                Token::Keyword("NULL") => "a text in single quotes (an absent tag is found by IS NULL)",
                _ => "a text in single quotes (only tags and time can be tested, and tags are texts)",
            });
        };
        let text = text.clone();
        self.advance()?;
        Ok(text)
    }

    fn pattern(&mut self, compile: fn(&str) -> Result<TextPattern, String>) -> Parsed<TextPattern> {
        let offset = self.offset;
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(PredicateError::TooManyPatterns { offset });
        }
        let pattern = self.tag_value()?;
        compile(&pattern).map_err(|reason| PredicateError::Pattern { offset, pattern, reason })
    }

    /// Reads a time, in nanoseconds since 1970-01-01 UTC.
    fn time(&mut self) -> Parsed<i64> {
        let offset = self.offset;
        let is_stamp = matches!(&self.token, Token::Word(word) if word.eq_ignore_ascii_case("TIMESTAMP"));
        if is_stamp {
            self.advance()?;
        }
        let is_negative = !is_stamp && self.eat(&Token::Symbol("-"))?;
        let (time, text) = match &self.token {
            Token::Digits(digits) if !is_stamp => {
                let number = format!("{}{digits}", if is_negative { "-" } else { "" });
                (number.parse().ok(), number)
            }
            Token::Text(text) if !is_negative => (time_of(text), text.clone()),
            _ => return self.unexpected("a time such as '2026-01-01T00:00:00Z', or nanoseconds since 1970-01-01 UTC"),
        };
        self.advance()?;
        time.ok_or(PredicateError::Time { offset, text })
    }
}

/// The time that a text says, in UTC unless it says its offset.
fn time_of(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let time = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let midnight = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    time.or_else(midnight)?.and_utc().timestamp_nanos_opt()
}

fn comparison(symbol: &str) -> Option<Comparison> {
    Some(match symbol {
        "=" => Comparison::Equal,
        "<>" | "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn negate(condition: Condition, is_negated: bool) -> Condition {
    if is_negated { Condition::Not(Box::new(condition)) } else { condition }
}

/// The only part, or all of them joined.
fn single(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) }
}
