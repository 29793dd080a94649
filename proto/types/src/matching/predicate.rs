//! Predicates over a row's tags and time, in the syntax of SQL and with its three-valued logic.
//!
//! ```text
//!   or       := and {OR and}
//!   and      := not {AND not}
//!   not      := NOT not | ( or ) | TRUE | FALSE | test
//!   test     := column = | <> | != | < | <= | > | >= value
//!             | column [NOT] BETWEEN value AND value | column [NOT] IN ( value {, value} )
//!             | column [NOT] LIKE text | column ~ | !~ text | column IS [NOT] NULL
//! ```
//!
//! A column is a name, quoted ("") unless it is a plain word; its case counts. The column `time` is the row's time: its
//! values are texts as RFC 3339 has them (UTC if no offset is said), also after the word `TIMESTAMP`, or integers of
//! nanoseconds. Every other column is a tag: its values are texts ('') and compare by their bytes of UTF-8. `%` and `_`
//! of LIKE, with `\` before a character that is meant as it is, are those of SQL; `~` searches for a regular expression
//! of the crate `regex` in linear time.
//!
//! A tag that a row does not carry is NULL: a test of it is neither true nor false, and only rows of which the whole
//! is true pass.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;

use crate::name::ColumnName;

mod parse;
mod pattern;
mod text;
mod token;

pub use parse::PredicateError;
pub use pattern::TextPattern;

/// Bytes that a predicate may have, as it is written and in its canonical text.
pub const MAX_BYTES: usize = 8 << 10;
/// How deep parentheses and NOT may nest.
pub const MAX_DEPTH: usize = 32;
/// Patterns (of LIKE, `~` and `!~`) that a predicate may have.
pub const MAX_PATTERNS: usize = 64;

/// A predicate over a row's tags and time. Its text, which `Display` gives, is canonical: it reads back as the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Predicate(Condition);

/// What a predicate says, piece by piece. AND and OR are flat: none stands directly in one of its own sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The same for every row.
    Constant(bool),
    /// A test of the row's time, in nanoseconds since 1970-01-01 UTC.
    Time(ValueTest<i64>),
    /// A test of one tag.
    Tag(ColumnName, TagTest),
    /// The opposite; unknown stays unknown.
    Not(Box<Condition>),
    /// All are true; at least two.
    All(Vec<Condition>),
    /// At least one is true; at least two.
    Any(Vec<Condition>),
}

/// How a value stands to a given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`, `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A test of a value that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest<V> {
    /// How it stands to another.
    Compare(Comparison, V),
    /// It is not below the first and not above the second.
    Between(V, V),
    /// It is one of these: sorted, each once, at least one.
    OneOf(Vec<V>),
}

/// A test of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagTest {
    /// A test of its value, by bytes of UTF-8.
    Value(ValueTest<Box<str>>),
    /// Its whole value is as a pattern of LIKE says.
    Like(TextPattern),
    /// A regular expression is found in its value.
    Matches(TextPattern),
    /// The row does not carry it.
    Absent,
}

impl Predicate {
    /// Whether a row with these tags and this time (nanoseconds since 1970-01-01 UTC) passes. `tag` gives the value of a
    /// tag, or nothing if the row does not carry it.
    pub fn admits<'a>(&self, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> bool {
        self.0.holds(tag, time) == Some(true)
    }

    /// The tags that it speaks of, in the order of names, each once.
    pub fn tags(&self) -> Vec<&ColumnName> {
        let mut tags = BTreeSet::new();
        self.0.collect_tags(&mut tags);
        tags.into_iter().collect()
    }

    /// What it says.
    pub fn condition(&self) -> &Condition {
        &self.0
    }
}

impl Condition {
    /// True, false, or unknown (`None`).
    fn holds<'a>(&self, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<bool> {
        match self {
            Self::Constant(constant) => Some(*constant),
            Self::Time(test) => Some(test.holds(&time)),
            Self::Tag(name, test) => test.holds(tag(name.as_str())),
            Self::Not(inner) => inner.holds(tag, time).map(|truth| !truth),
            Self::All(parts) => fold(parts, false, tag, time),
            Self::Any(parts) => fold(parts, true, tag, time),
        }
    }

    fn collect_tags<'s>(&'s self, tags: &mut BTreeSet<&'s ColumnName>) {
        match self {
            Self::Constant(_) | Self::Time(_) => {}
            Self::Tag(name, _) => {
                tags.insert(name);
            }
            Self::Not(inner) => inner.collect_tags(tags),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect_tags(tags)),
        }
    }
}

/// The truth of parts together: `decisive` as soon as one part is, unknown if a part is, else the opposite.
fn fold<'a>(parts: &[Condition], decisive: bool, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<bool> {
    let mut truth = Some(!decisive);
    for part in parts {
        match part.holds(tag, time) {
            Some(found) if found == decisive => return Some(decisive),
            Some(_) => {}
            None => truth = None,
        }
    }
    truth
}

impl TagTest {
    /// Whether it is true of a tag with this value; `None` (unknown) of an absent one, unless it asks for that.
    pub fn holds(&self, value: Option<&str>) -> Option<bool> {
        match self {
            Self::Absent => Some(value.is_none()),
            Self::Value(test) => value.map(|value| test.holds(value)),
            Self::Like(pattern) | Self::Matches(pattern) => value.map(|value| pattern.is_match(value)),
        }
    }
}

impl<V> ValueTest<V> {
    /// Whether it is true of this value.
    pub fn holds<B: Ord + ?Sized>(&self, value: &B) -> bool
    where
        V: Borrow<B>,
    {
        match self {
            Self::Compare(comparison, other) => comparison.holds(value, other.borrow()),
            Self::Between(low, high) => low.borrow() <= value && value <= high.borrow(),
            Self::OneOf(values) => values.binary_search_by(|other| other.borrow().cmp(value)).is_ok(),
        }
    }
}

impl Comparison {
    fn holds<B: Ord + ?Sized>(self, left: &B, right: &B) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
