//! Names as elements of a path: file names and pieces of object keys.
//!
//! A name becomes one element that every store and file system takes, and no two names become the same element, not
//! even where letter case is ignored:
//!
//! * `a`-`z`, `0`-`9`, `-`, `_`, and `.` within a name, stand as they are. Every other byte of the name's UTF-8 is written
//!   as `%XX` (upper-case): upper-case letters, space, `/`, `~`, `%` and so on, and a first or last `.`.
//! * The first letter of a name that old Windows keeps for devices (`con`, `nul`, `com1`, …, also before a `.`) is
//!   escaped.
//! * In the text of a partition key, upper-case letters stand as they are too ([`encode_key_element`]): what lies below
//!   such an element has a name that is unique by itself, so two keys may share a folder where case is ignored.
//! * The empty name is `~`.
//! * An element that would have more than [`MAX_ELEMENT`] bytes is its first 80 bytes at most (cut between escapes),
//!   `~`, and the XXH3-128 (seed 0) of the true name as 32 lower-case hexadecimal digits. The true name must be kept
//!   elsewhere. XXH3 is no cryptographic hash: who tries hard can make two long names share an element, so what is
//!   stored below an element must bear a name that is unique by itself.

use crate::partition::key::{push_escape, unescape};

/// The most bytes of an element.
pub const MAX_ELEMENT: usize = 120;
/// The most bytes that a shortened element keeps of the full one.
const KEPT: usize = 80;
/// Stands for the empty name, and before the hash of a shortened one; escaped wherever a name has it.
const MARK: char = '~';
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Why an element can't be turned back into a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The element is a long name's shortened form.
    #[error("path element {0:?} is shortened: the true name is in the catalog and in the file's metadata")]
    Shortened(String),
    /// The element is not as [`encode_element`] writes it.
    #[error("path element {0:?} was not written by Ochre: its characters or escapes are not those of a name")]
    Foreign(String),
}

/// The path element of a name.
pub fn encode_element(name: &str) -> String {
    encode(name, is_plain)
}

/// The path element of a partition key's text, such as `2026-11-22T00`. Injective, but not where case is ignored.
pub fn encode_key_element(key: &str) -> String {
    encode(key, |byte| is_plain(byte) || byte.is_ascii_uppercase())
}

fn encode(name: &str, is_plain: impl Fn(u8) -> bool) -> String {
    if name.is_empty() {
        return MARK.to_string();
    }
    let mut element = String::with_capacity(name.len());
    let mut kept = 0;
    let last = name.len() - 1;
    let device = is_device(name);
    for (index, byte) in name.bytes().enumerate() {
        let at_edge = index == 0 || index == last;
        if is_plain(byte) && !(byte == b'.' && at_edge) && !(device && index == 0) {
            element.push(char::from(byte));
        } else {
            push_escape(byte, &mut element);
        }
        if element.len() <= KEPT {
            kept = element.len();
        } else if element.len() > MAX_ELEMENT {
            element.truncate(kept);
            element.push(MARK);
            element.push_str(&format!("{:032x}", twox_hash::XxHash3_128::oneshot(name.as_bytes())));
            return element;
        }
    }
    element
}

/// The name of a path element that isn't shortened.
pub fn decode_element(element: &str) -> Result<String, ElementError> {
    if element.len() == 1 && element.starts_with(MARK) {
        return Ok(String::new());
    }
    if element.contains(MARK) {
        return Err(ElementError::Shortened(element.to_owned()));
    }
    // Some plain bytes are escaped for their place, so any byte may be: writing the name again tells what is right.
    let name = unescape(element, is_plain, |_| true).and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| encode_element(name) == element).ok_or_else(|| ElementError::Foreign(element.to_owned()))
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')
}

/// Whether old Windows would open a device in place of a file of this name.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.into_iter().any(numbered)
}

#[cfg(test)]
mod tests;
