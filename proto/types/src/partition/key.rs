//! Partition keys: text that can be read back.
//!
//! A key is its parts joined with `|`. A part is `!` where there is no value, `^` for the empty text, else the value,
//! with each byte of these written as `%XX` (upper-case): `|`, `!`, `^`, `#`, `%`, control characters and everything
//! outside ASCII. A part that would have more than [`MAX_PART`] bytes is cut, between characters of the value (not
//! necessarily between graphemes), and ends in `#`. So a key has at most 1,607 bytes of printable ASCII.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::{MAX_PARTS, Part, TimeWindow};

/// Stands between parts.
pub(super) const DELIMITER: char = '|';
const NULL: char = '!';
const EMPTY: char = '^';
const TRUNCATED: char = '#';
/// The most bytes of a part, its `#` included.
pub const MAX_PART: usize = 200;
/// The most bytes of a key.
pub const MAX_KEY: usize = MAX_PARTS * MAX_PART + MAX_PARTS - 1;
/// The bytes that one character takes at most: four of UTF-8, each written as `%XX`.
const MAX_CHARACTER: usize = 12;

/// Why a text is no partition key, or not one of this template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key has another number of parts than its template.
    #[error("partition key {key:?} has {found} parts where its template has {expected}")]
    Parts {
        /// The key.
        key: String,
        /// Its parts.
        found: usize,
        /// The parts of the template.
        expected: usize,
    },
    /// A part is not written as keys are.
    #[error("part {part} of partition key {key:?} is malformed: {reason}")]
    Malformed {
        /// The key, cut to its longest legal length.
        key: String,
        /// Which part, counted from 1.
        part: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What one text part of a key says about every row under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextValue {
    /// The rows have no value.
    Null,
    /// The rows have this value.
    Exact(String),
    /// The rows have values that start with this text and are longer.
    Prefix(String),
}

impl TextValue {
    /// Whether a row with this value may lie under the part.
    pub fn admits(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Null, value) => value.is_none(),
            (Self::Exact(exact), value) => value == Some(exact.as_str()),
            (Self::Prefix(prefix), Some(value)) => value.len() > prefix.len() && value.starts_with(prefix.as_str()),
            (Self::Prefix(_), None) => false,
        }
    }
}

/// What one part of a key says about every row under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PartValue {
    /// The table's name; never null.
    Table(TextValue),
    /// The tag's value.
    Tag(TextValue),
    /// The tag's bucket; `None` where rows lack the tag.
    Bucket(Option<u32>),
    /// What the pattern captured; null where rows lack the tag or the pattern captured nothing.
    Regex(TextValue),
    /// The rows' times.
    Time(TimeWindow),
}

/// The key of a partition; see the module. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(Arc<str>);

impl PartitionKey {
    /// Checks that `text` is written as keys are. Whether a template can have made it, [`super::Template::parse_key`]
    /// says.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        for (index, part) in split(text).enumerate() {
            if index >= MAX_PARTS {
                return Err(malformed(text, index + 1, "a key has at most 8 parts"));
            }
            read_text(part).map_err(|reason| malformed(text, index + 1, reason))?;
        }
        Ok(Self(Arc::from(text)))
    }

    /// Takes what a template rendered.
    pub(super) fn from_rendered(text: String) -> Self {
        Self(Arc::from(text))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl AsRef<str> for PartitionKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PartitionKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The parts of a key's text. The empty key has none.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(DELIMITER).filter(|_| !text.is_empty())
}

fn malformed(text: &str, part: usize, reason: &'static str) -> KeyError {
    KeyError::Malformed { key: text.chars().take(MAX_KEY).collect(), part, reason }
}

/// Reads every part of a key as its template's part says.
pub(super) fn parse(key: &PartitionKey, parts: &[Part]) -> Result<Vec<PartValue>, KeyError> {
    let text = key.as_str();
    let found = split(text).count();
    if found != parts.len() {
        return Err(KeyError::Parts { key: text.to_owned(), found, expected: parts.len() });
    }
    let values = split(text).zip(parts).enumerate();
    values
        .map(|(index, (text, part))| read(part, text).map_err(|why| malformed(key.as_str(), index + 1, why)))
        .collect()
}

fn read(part: &Part, text: &str) -> Result<PartValue, &'static str> {
    match part {
        Part::Table => match read_text(text)? {
            TextValue::Null => Err("a table always has a name"),
            value => Ok(PartValue::Table(value)),
        },
        Part::Tag(_) => read_text(text).map(PartValue::Tag),
        Part::Regex { .. } => read_text(text).map(PartValue::Regex),
        Part::Time(format) => format.parse(text).map(PartValue::Time).ok_or("it is no time in the template's format"),
        Part::Bucket { count, .. } => match read_text(text)? {
            TextValue::Null => Ok(PartValue::Bucket(None)),
            TextValue::Exact(digits) => match digits.parse() {
                Ok(number) if number < *count && u32::to_string(&number) == digits => {
                    Ok(PartValue::Bucket(Some(number)))
                }
                _ => Err("it is no bucket number below the template's count"),
            },
            TextValue::Prefix(_) => Err("a bucket number is never cut"),
        },
    }
}

/// Whether a byte of a value stands in a key as it is.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && !b"|!^#%".contains(&byte)
}

/// Appends one value as a part.
pub(super) fn push_text(value: Option<&str>, out: &mut String) {
    let value = match value {
        None => return out.push(NULL),
        Some("") => return out.push(EMPTY),
        Some(value) => value,
    };
    let start = out.len();
    // Where to cut, should the part prove too long: the last end of a character that leaves room for the mark.
    let mut cut = start;
    for (offset, character) in value.char_indices() {
        for byte in &value.as_bytes()[offset..offset + character.len_utf8()] {
            if is_plain(*byte) {
                out.push(char::from(*byte));
            } else {
                push_escape(*byte, out);
            }
        }
        let length = out.len() - start;
        if length < MAX_PART {
            cut = out.len();
        } else if length > MAX_PART {
            out.truncate(cut);
            return out.push(TRUNCATED);
        }
    }
}

/// Appends `%XX`.
pub(crate) fn push_escape(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// The bytes behind `%XX` escapes, if only those bytes stand plain and only those are escaped that may be.
pub(crate) fn unescape(text: &str, may_stand: fn(u8) -> bool, may_be_escaped: fn(u8) -> bool) -> Option<Vec<u8>> {
    let hex = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let escaped = hex(rest.next()?)? << 4 | hex(rest.next()?)?;
            if !may_be_escaped(escaped) {
                return None;
            }
            bytes.push(escaped);
        } else if may_stand(byte) {
            bytes.push(byte);
        } else {
            return None;
        }
    }
    Some(bytes)
}

/// Reads one part as a value.
fn read_text(part: &str) -> Result<TextValue, &'static str> {
    let value = |encoded: &str| {
        let bytes = unescape(encoded, is_plain, |byte| !is_plain(byte))
            .ok_or("it has a character or escape that keys don't use")?;
        String::from_utf8(bytes).map_err(|_| "its escapes are not UTF-8")
    };
    match part {
        "" => Err("it is empty: the empty text is written as ^"),
        "!" => Ok(TextValue::Null),
        "^" => Ok(TextValue::Exact(String::new())),
        _ if part.len() > MAX_PART => Err("it has more than 200 bytes"),
        _ => match part.strip_suffix(TRUNCATED) {
            None => value(part).map(TextValue::Exact),
            Some(prefix) if prefix.len() + MAX_CHARACTER < MAX_PART => Err("it was cut though it isn't long"),
            Some(prefix) => value(prefix).map(TextValue::Prefix),
        },
    }
}
