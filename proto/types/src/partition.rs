//! Partition templates: which rows of a table lie together, as the operator decides.
//!
//! ```text
//!   Template [part, part, …]  --key(table, tags, time)-->  PartitionKey "part|part|…"
//!                             <--parse_key---------------  what every row under the key has in common
//! ```
//!
//! A key can be read back, so a query leaves out partitions by their keys alone. How a key is written is described in
//! [`key`], and for users in `docs/formats.md`.
//!
//! # Canonical text
//! A template has one text, which is kept wherever chunks record their template, and hashed into [`Template::id`]:
//! JSON without white space, keys in the order shown, `\"`, `\\` and `\u00xx` (control characters) the only escapes:
//!
//! ```text
//!   [{"table":{}},{"tag":"region"},{"bucket":{"tag":"host","count":16}},
//!    {"regex":{"tag":"host","pattern":"^([a-z]+)"}},{"time":"%Y-%m-%d"}]        (without this line break)
//! ```

pub mod bucket;
pub mod key;
pub mod pattern;
mod text;
pub mod time;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{ColumnName, NameError, TableName};
pub use key::{KeyError, PartValue, PartitionKey, TextValue};
pub use pattern::{PatternError, TagPattern};
pub use time::{TimeFormat, TimeFormatError, TimeUnit, TimeWindow};

/// The parts that a template may have.
pub const MAX_PARTS: usize = 8;
/// The buckets that a bucket part may have.
pub const MAX_BUCKETS: u32 = 100_000;

/// One part of a template, and so of every key made by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// The table's name.
    Table,
    /// A tag's value.
    Tag(ColumnName),
    /// A hash of a tag's value modulo `count`, as Apache Iceberg defines it (see [`bucket`]).
    Bucket {
        /// The tag.
        tag: ColumnName,
        /// How many buckets there are: 1 to [`MAX_BUCKETS`].
        count: u32,
    },
    /// What a pattern's one group captures from a tag's value.
    Regex {
        /// The tag.
        tag: ColumnName,
        /// The pattern.
        pattern: TagPattern,
    },
    /// The row's time in UTC, cut to a unit.
    Time(TimeFormat),
}

impl Part {
    /// The tag that this part is made from, if it is made from one.
    pub fn tag(&self) -> Option<&ColumnName> {
        match self {
            Self::Tag(tag) | Self::Bucket { tag, .. } | Self::Regex { tag, .. } => Some(tag),
            Self::Table | Self::Time(_) => None,
        }
    }

    /// Appends this part of a row's key; of `table`, `tag` (the value of [`Part::tag`]) and `time` (nanoseconds since
    /// 1970-01-01 UTC) only what the part is made from matters.
    pub fn render(&self, table: &TableName, tag: Option<&str>, time: i64, out: &mut String) {
        match (self, tag) {
            (Self::Table, _) => key::push_text(Some(table.as_str()), out),
            (Self::Time(format), _) => out.push_str(&format.render(time)),
            (Self::Tag(_), value) => key::push_text(value, out),
            (Self::Regex { pattern, .. }, value) => key::push_text(value.and_then(|v| pattern.capture(v)), out),
            (Self::Bucket { .. }, None) => key::push_text(None, out),
            (Self::Bucket { count, .. }, Some(value)) => out.push_str(&bucket::of(value, *count).to_string()),
        }
    }

    /// Whether a row whose [`Part::tag`] has this value may lie where this part of the key reads `found`.
    fn admits_tag(&self, found: &PartValue, value: Option<&str>) -> bool {
        match (self, found) {
            (Self::Tag(_), PartValue::Tag(text)) => text.admits(value),
            // Which letters a class like \w holds may change with Unicode; what is ASCII never changes its class.
            (Self::Regex { pattern, .. }, PartValue::Regex(text)) => {
                !value.is_none_or(str::is_ascii) || text.admits(value.and_then(|v| pattern.capture(v)))
            }
            (Self::Bucket { count, .. }, PartValue::Bucket(found)) => *found == value.map(|v| bucket::of(v, *count)),
            _ => true,
        }
    }
}

/// Why parts do not make a template, or a text none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There are too many parts.
    #[error("a partition template has {0} parts: at most {MAX_PARTS} are allowed")]
    Parts(usize),
    /// A part stands twice.
    #[error("part {0} of a partition template stands twice: remove it")]
    Twice(usize),
    /// A bucket part has no bucket or too many.
    #[error("part {part} of a partition template has {count} buckets: 1 to {MAX_BUCKETS} are allowed")]
    Buckets {
        /// Which part, counted from 1.
        part: usize,
        /// Its buckets.
        count: u32,
    },
    /// A part is made from the time column as if it were a tag.
    #[error("part {0} of a partition template names \"time\", which is no tag: use a time format")]
    TimeAsTag(usize),
    /// A tag's name is no column name.
    #[error("a tag of a partition template: {0}")]
    Name(#[from] NameError),
    /// A regular expression was refused.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A time format was refused.
    #[error(transparent)]
    Time(#[from] TimeFormatError),
    /// A text is not the canonical text of a template.
    #[error("a partition template's text {text:?} is malformed at byte {offset}: {expected} was expected")]
    Text {
        /// The text.
        text: String,
        /// Where it went wrong, in bytes.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// One version of a table's partition rule. Cheap to clone. The default is one partition a day.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Arc<[Part]>,
    id: u64,
}

impl Template {
    /// A template of these parts. Without parts, the whole table is one partition, whose key is empty.
    pub fn new(parts: Vec<Part>) -> Result<Self, TemplateError> {
        if parts.len() > MAX_PARTS {
            return Err(TemplateError::Parts(parts.len()));
        }
        for (index, part) in parts.iter().enumerate() {
            if parts[..index].contains(part) {
                return Err(TemplateError::Twice(index + 1));
            }
            if part.tag().is_some_and(|tag| tag.as_str() == crate::TIME_COLUMN) {
                return Err(TemplateError::TimeAsTag(index + 1));
            }
            if let Part::Bucket { count, .. } = part
                && !(1..=MAX_BUCKETS).contains(count)
            {
                return Err(TemplateError::Buckets { part: index + 1, count: *count });
            }
        }
        let id = twox_hash::XxHash3_64::oneshot(text::write(&parts).as_bytes());
        Ok(Self { parts: parts.into(), id })
    }

    /// The parts, in the order of the key.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// XXH3-64 with seed 0 of the canonical text.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The key of a row of `table` with these tags at `time` (nanoseconds since 1970-01-01 UTC).
    pub fn key<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> PartitionKey {
        let mut text = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                text.push(key::DELIMITER);
            }
            part.render(table, part.tag().and_then(|name| tag(name.as_str())), time, &mut text);
        }
        PartitionKey::from_rendered(text)
    }

    /// What every row under `key` has in common, part by part. Refuses a key that this template cannot have made.
    pub fn parse_key(&self, key: &PartitionKey) -> Result<Vec<PartValue>, KeyError> {
        key::parse(key, &self.parts)
    }

    /// Whether rows whose `tag` has this value (or that lack it) may lie in a partition whose key reads `values`.
    /// Never wrong when false; true where the key doesn't tell.
    pub fn may_hold_tag(&self, values: &[PartValue], tag: &str, value: Option<&str>) -> bool {
        let mut parts = self.parts.iter().zip(values);
        parts.all(|(part, found)| part.tag().is_none_or(|t| t.as_str() != tag) || part.admits_tag(found, value))
    }

    /// The times that rows in a partition whose key reads `values` may have; `None` if no time fits all its parts.
    pub fn time_window(&self, values: &[PartValue]) -> Option<TimeWindow> {
        values.iter().try_fold(TimeWindow::ALL, |all, value| match value {
            PartValue::Time(window) => all.intersect(*window),
            _ => Some(all),
        })
    }
}

impl Default for Template {
    fn default() -> Self {
        let day = TimeFormat::new("%Y-%m-%d").expect("the format names year, month and day in this order");
        Self::new(vec![Part::Time(day)]).expect("one part with a valid time format breaks no rule")
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::write(&self.parts))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::new(text::read(text)?)
    }
}
