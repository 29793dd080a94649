//! Patterns of texts: those of LIKE and regular expressions, both matched in linear time.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;

/// A compiled pattern. Two are equal if they are written alike.
#[derive(Clone)]
pub struct TextPattern {
    text: Box<str>,
    regex: Regex,
}

impl TextPattern {
    /// A pattern of LIKE; why not, if it is none.
    pub(super) fn like(text: &str) -> Result<Self, String> {
        let mut expression = String::from("^(?s:");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '%' => {
                    expression.push_str(".*");
                    continue;
                }
                '_' => {
                    expression.push('.');
                    continue;
                }
                '\\' => characters.next().ok_or("it ends in a backslash: write \\\\ for a backslash")?,
                plain => plain,
            };
            expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
        }
        expression.push_str(")$");
        Self::compile(text, &expression)
    }

    /// A regular expression that may match anywhere; why not, if it is none.
    pub(super) fn regex(text: &str) -> Result<Self, String> {
        Self::compile(text, text)
    }

    fn compile(text: &str, expression: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(expression).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build();
        // The library's message points into the expression over several lines; its last line says why.
        let why = |error: regex::Error| {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        };
        Ok(Self { text: text.into(), regex: regex.map_err(why)? })
    }

    /// Whether a text is as the pattern says.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TextPattern {}

impl std::fmt::Debug for TextPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
