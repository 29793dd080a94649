//! Reading single values: texts, words, numbers, sizes and durations.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::read::{At, Reader};
use super::tree::Value;
use crate::size::{ByteSize, format_duration, parse_duration};

impl Reader {
    /// A text; `example` shows how one is written.
    pub fn text<'n>(&mut self, at: &At<'n>, example: &str) -> Option<&'n str> {
        let message = match &at.node.value {
            Value::Text(text) => return Some(text),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                format!("{} is no text as it stands: write it in quotes", at.shown())
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                format!("{} stands where a text is needed: write such as {example}", at.shown())
            }
        };
        self.problem(at, message);
        None
    }

    /// A text that a type is parsed from.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, at: &At<'_>, example: &str) -> Option<T> {
        let parsed = self.text(at, example)?.parse();
        self.checked(at, parsed)
    }

    /// What a value was made into, or the mistake that it is none.
    pub fn checked<T>(&mut self, at: &At<'_>, made: Result<T, impl Display>) -> Option<T> {
        match made {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(at, error.to_string());
                None
            }
        }
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, at: &At<'_>, words: &[(&str, T)]) -> Option<T> {
        let found = match &at.node.value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let (shown, words) = (at.shown(), either(&words));
            self.problem(
                at,
                match at.is_null() {
                    true => format!("nothing stands here: write {words}"),
                    false => format!("{shown} is not known here: write {words}"),
                },
            );
        }
        found.map(|(_, value)| *value)
    }

    pub fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        match &at.node.value {
            Value::Bool(value) => Some(*value),
            _ => {
                self.problem(at, format!("{} is neither true nor false: write one of them", at.shown()));
                None
            }
        }
    }

    /// A number of `unit`: a whole number, or one with k, M or G (powers of 1,000).
    pub fn count(&mut self, at: &At<'_>, unit: &str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let number = match &at.node.value {
            Value::Int(number) => Some(*number),
            Value::Text(text) => parse_count(text),
            _ => None,
        };
        let Some(number) = number else {
            let shown = at.shown();
            self.problem(at, format!("{shown} is no whole number of {unit}: write such as 5000, 5k or 1M"));
            return None;
        };
        match u64::try_from(number).ok().filter(|number| allowed.contains(number)) {
            Some(number) => Some(number),
            None => {
                let (least, most) = allowed.into_inner();
                self.problem(at, format!("{number} {unit}: {least} to {most} are allowed"));
                None
            }
        }
    }

    /// A size of at least one byte: `64MiB`, or a number of bytes.
    pub fn size(&mut self, at: &At<'_>) -> Option<ByteSize> {
        let size = match &at.node.value {
            Value::Int(number) => u64::try_from(*number).ok().map(ByteSize),
            Value::Text(text) => match text.parse() {
                Ok(size) => Some(size),
                Err(error) => {
                    self.problem(at, format!("{error}"));
                    return None;
                }
            },
            _ => None,
        };
        match size {
            Some(ByteSize(0)) => self.problem(at, "0 bytes: at least 1 is needed"),
            Some(size) => return Some(size),
            None => {
                self.problem(at, format!("{} is no size: write bytes, or such as 64MiB", at.shown()));
            }
        }
        None
    }

    /// A duration of at least `least`.
    pub fn duration(&mut self, at: &At<'_>, least: Duration) -> Option<Duration> {
        let message = match &at.node.value {
            Value::Text(text) => match parse_duration(text) {
                Ok(duration) if duration >= least => return Some(duration),
                Ok(_) => format!("{text} is too short: at least {} is needed", format_duration(least)),
                Err(error) => error.to_string(),
            },
            Value::Int(number) => {
                format!("{number} is no duration without its unit: write such as 300s or 5m")
            }
            _ => format!("{} is no duration: write such as 300s or 5m", at.shown()),
        };
        self.problem(at, message);
        None
    }

    /// A duration of at least `least`, or the word that stands for none.
    pub fn duration_or(&mut self, at: &At<'_>, word: &str, least: Duration) -> Option<Option<Duration>> {
        match &at.node.value {
            Value::Text(text) if text == word => Some(None),
            _ => self.duration(at, least).map(Some),
        }
    }
}

/// `a, b or c`.
fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// A whole number with k, K, M or G behind it: decimal thousands, millions, thousand millions.
fn parse_count(text: &str) -> Option<i128> {
    let (digits, factor) = match text.strip_suffix(['k', 'K', 'M', 'G']) {
        None => (text, 1),
        Some(digits) if text.ends_with('M') => (digits, 1_000_000),
        Some(digits) if text.ends_with('G') => (digits, 1_000_000_000),
        Some(digits) => (digits, 1_000),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<i128>().ok().filter(|_| plain)?.checked_mul(factor)
}
