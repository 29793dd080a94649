//! The canonical text of a predicate.

use std::borrow::Borrow;
use std::fmt;

use chrono::{DateTime, SecondsFormat};

use super::token::{begins_word, continues_word, keyword};
use super::{Comparison, Condition, Predicate, TagTest, ValueTest};
use crate::TIME_COLUMN;

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        condition(&self.0, f)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

fn condition(of: &Condition, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match of {
        Condition::Constant(true) => f.write_str("TRUE"),
        Condition::Constant(false) => f.write_str("FALSE"),
        Condition::Time(test) => time_test(test, "", f),
        Condition::Tag(name, test) => tag_test(name.as_str(), test, false, f),
        Condition::Not(inner) => match &**inner {
            // These have a form of their own for their opposite.
            Condition::Time(test @ (ValueTest::Between(..) | ValueTest::OneOf(_))) => time_test(test, "NOT ", f),
            Condition::Tag(name, test) if !matches!(test, TagTest::Value(ValueTest::Compare(..))) => {
                tag_test(name.as_str(), test, true, f)
            }
            inner => {
                f.write_str("NOT ")?;
                grouped(inner, f)
            }
        },
        Condition::All(parts) => joined(parts, " AND ", f),
        Condition::Any(parts) => joined(parts, " OR ", f),
    }
}

fn joined(parts: &[Condition], separator: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        // AND binds tighter than OR, and neither stands in its own sort: only OR within AND needs parentheses.
        match part {
            Condition::Any(_) => grouped(part, f)?,
            part => condition(part, f)?,
        }
    }
    Ok(())
}

/// In parentheses, if it has several parts.
fn grouped(of: &Condition, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !matches!(of, Condition::All(_) | Condition::Any(_)) {
        return condition(of, f);
    }
    f.write_str("(")?;
    condition(of, f)?;
    f.write_str(")")
}

fn time_test(test: &ValueTest<i64>, not: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let write = |time: &i64, f: &mut fmt::Formatter<'_>| {
        let time = DateTime::from_timestamp_nanos(*time).to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "'{time}'")
    };
    value_test(TIME_COLUMN, test, not, &write, f)
}

fn tag_test(name: &str, test: &TagTest, is_negated: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut characters = name.chars();
    let is_word = characters.next().is_some_and(begins_word) && characters.all(continues_word);
    let name = match is_word && keyword(name).is_none() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    };
    let not = if is_negated { "NOT " } else { "" };
    let write = |value: &str, f: &mut fmt::Formatter<'_>| write!(f, "'{}'", value.replace('\'', "''"));
    match test {
        TagTest::Value(test) => value_test(&name, test, not, &write, f),
        TagTest::Like(pattern) => {
            write!(f, "{name} {not}LIKE ")?;
            write(pattern.as_str(), f)
        }
        TagTest::Matches(pattern) => {
            write!(f, "{name} {}~ ", if is_negated { "!" } else { "" })?;
            write(pattern.as_str(), f)
        }
        TagTest::Absent => write!(f, "{name} IS {not}NULL"),
    }
}

fn value_test<V: Borrow<B>, B: ?Sized>(
    name: &str,
    test: &ValueTest<V>,
    not: &str,
    write: &dyn Fn(&B, &mut fmt::Formatter<'_>) -> fmt::Result,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match test {
        ValueTest::Compare(comparison, value) => {
            write!(f, "{name} {comparison} ")?;
            write(value.borrow(), f)
        }
        ValueTest::Between(low, high) => {
            write!(f, "{name} {not}BETWEEN ")?;
            write(low.borrow(), f)?;
            f.write_str(" AND ")?;
            write(high.borrow(), f)
        }
        ValueTest::OneOf(values) => {
            write!(f, "{name} {not}IN (")?;
            for (index, value) in values.iter().enumerate() {
                f.write_str(if index > 0 { ", " } else { "" })?;
                write(value.borrow(), f)?;
            }
            f.write_str(")")
        }
    }
}
