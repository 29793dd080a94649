//! Patterns that capture a piece of a tag's value.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1_024;
/// The memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Why a regular expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern is too long.
    #[error("a partition template's pattern has {0} bytes: at most {MAX_PATTERN} are allowed")]
    TooLong(usize),
    /// The pattern may match anywhere.
    #[error("a partition template's pattern {0:?} must be anchored: start it with ^")]
    NotAnchored(String),
    /// The pattern has no group, or several.
    #[error(
        "a partition template's pattern {pattern:?} has {groups} groups: write exactly one (…), and (?:…) for others"
    )]
    Groups {
        /// The pattern.
        pattern: String,
        /// Its capture groups.
        groups: usize,
    },
    /// The pattern is no regular expression, or needs too much memory.
    #[error("a partition template's pattern {pattern:?} can't be compiled: {reason}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What the compiler says.
        reason: String,
    },
}

/// A regular expression that starts with `^` and has one group, matched in linear time (syntax of the crate `regex`).
#[derive(Clone)]
pub struct TagPattern(Regex);

impl TagPattern {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN {
            return Err(PatternError::TooLong(pattern.len()));
        }
        if !pattern.starts_with('^') {
            return Err(PatternError::NotAnchored(pattern.to_owned()));
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|e| PatternError::Syntax { pattern: pattern.to_owned(), reason: e.to_string() })?;
        // The whole match is counted as a group by the crate `regex`.
        match regex.captures_len() - 1 {
            1 => Ok(Self(regex)),
            groups => Err(PatternError::Groups { pattern: pattern.to_owned(), groups }),
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What the group captures from `value`; `None` if the pattern doesn't match or its group takes no part.
    pub fn capture<'v>(&self, value: &'v str) -> Option<&'v str> {
        let captures = self.0.captures(value)?;
        // The anchor may bind to one alternative only (`^a|(b)`): a match further on is none.
        if captures.get(0)?.start() != 0 {
            return None;
        }
        captures.get(1).map(|group| group.as_str())
    }
}

impl PartialEq for TagPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TagPattern {}

impl Hash for TagPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_anchored_group() {
        let pattern = TagPattern::new("^([a-z]+)[0-9]").unwrap();
        assert_eq!(pattern.capture("web17"), Some("web"));
        assert_eq!(pattern.capture("7web1"), None);
        assert_eq!(pattern.capture("web"), None);
        assert_eq!(TagPattern::new("^a|(b)").unwrap().capture("b1"), Some("b"));
        assert_eq!(TagPattern::new("^a|(b)").unwrap().capture("xb"), None, "not at the start");
        assert_eq!(TagPattern::new("^a|(b)").unwrap().capture("ab"), None, "the group takes no part");
        assert_eq!(TagPattern::new("^(x?)").unwrap().capture("abc"), Some(""));
    }

    #[test]
    fn others_are_refused() {
        assert_eq!(TagPattern::new("([a-z]+)"), Err(PatternError::NotAnchored("([a-z]+)".into())));
        assert_eq!(TagPattern::new("^a"), Err(PatternError::Groups { pattern: "^a".into(), groups: 0 }));
        assert_eq!(TagPattern::new("^(a)(b)"), Err(PatternError::Groups { pattern: "^(a)(b)".into(), groups: 2 }));
        assert!(matches!(TagPattern::new("^(a"), Err(PatternError::Syntax { .. })));
        assert!(matches!(TagPattern::new("^((?:a{1000}){1000})"), Err(PatternError::Syntax { .. })), "too large");
        assert_eq!(TagPattern::new(&format!("^({})", "a".repeat(1_024))), Err(PatternError::TooLong(1_027)));
    }
}
