//! The canonical text of a template: writing and reading it. The form is described at [`super`].

use std::fmt::Write as _;

use super::{Part, TagPattern, TemplateError, TimeFormat};
use crate::name::ColumnName;

/// The canonical text of these parts.
pub(super) fn write(parts: &[Part]) -> String {
    let mut text = String::from("[");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match part {
            Part::Table => text.push_str("{\"table\":{}"),
            Part::Tag(tag) => {
                text.push_str("{\"tag\":");
                write_string(tag.as_str(), &mut text);
            }
            Part::Bucket { tag, count } => {
                text.push_str("{\"bucket\":{\"tag\":");
                write_string(tag.as_str(), &mut text);
                write!(text, ",\"count\":{count}}}").expect("writing to a String never fails");
            }
            Part::Regex { tag, pattern } => {
                text.push_str("{\"regex\":{\"tag\":");
                write_string(tag.as_str(), &mut text);
                text.push_str(",\"pattern\":");
                write_string(pattern.as_str(), &mut text);
                text.push('}');
            }
            Part::Time(format) => {
                text.push_str("{\"time\":");
                write_string(format.as_str(), &mut text);
            }
        }
        text.push('}');
    }
    text.push(']');
    text
}

fn write_string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0'..='\x1f' | '\x7f' => {
                write!(text, "\\u{:04x}", u32::from(character)).expect("writing to a String never fails");
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// The parts that a canonical text names. Any other spelling of the same parts is refused.
pub(super) fn read(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut reader = Reader { text, offset: 0 };
    let mut parts = Vec::new();
    reader.expect("[", "[")?;
    while !reader.skip("]") {
        if !parts.is_empty() {
            reader.expect(",", "a comma or ]")?;
        }
        parts.push(reader.part()?);
        reader.expect("}", "}")?;
    }
    if reader.offset != text.len() {
        return Err(reader.error("the end"));
    }
    Ok(parts)
}

struct Reader<'t> {
    text: &'t str,
    offset: usize,
}

impl Reader<'_> {
    fn error(&self, expected: &'static str) -> TemplateError {
        TemplateError::Text { text: self.text.to_owned(), offset: self.offset, expected }
    }

    fn rest(&self) -> &str {
        &self.text[self.offset..]
    }

    fn skip(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.offset += token.len();
        }
        there
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), TemplateError> {
        if self.skip(token) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn part(&mut self) -> Result<Part, TemplateError> {
        if self.skip("{\"table\":{}") {
            Ok(Part::Table)
        } else if self.skip("{\"tag\":") {
            Ok(Part::Tag(self.tag()?))
        } else if self.skip("{\"time\":") {
            Ok(Part::Time(TimeFormat::new(&self.string()?)?))
        } else if self.skip("{\"bucket\":{\"tag\":") {
            let tag = self.tag()?;
            self.expect(",\"count\":", "the bucket's count")?;
            let count = self.count()?;
            self.expect("}", "}")?;
            Ok(Part::Bucket { tag, count })
        } else if self.skip("{\"regex\":{\"tag\":") {
            let tag = self.tag()?;
            self.expect(",\"pattern\":", "the pattern")?;
            let pattern = TagPattern::new(&self.string()?)?;
            self.expect("}", "}")?;
            Ok(Part::Regex { tag, pattern })
        } else {
            Err(self.error("a part: table, tag, bucket, regex or time"))
        }
    }

    fn tag(&mut self) -> Result<ColumnName, TemplateError> {
        Ok(ColumnName::new(self.string()?)?)
    }

    fn count(&mut self) -> Result<u32, TemplateError> {
        let rest = self.rest();
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        match digits.parse::<u32>() {
            Ok(count) if count.to_string() == digits => {
                self.offset += digits.len();
                Ok(count)
            }
            _ => Err(self.error("a plain number")),
        }
    }

    fn string(&mut self) -> Result<String, TemplateError> {
        self.expect("\"", "a string")?;
        let mut value = String::new();
        while let Some(character) = self.rest().chars().next() {
            match character {
                '"' => {
                    self.offset += 1;
                    return Ok(value);
                }
                '\\' => value.push(self.escape()?),
                '\0'..='\x1f' | '\x7f' => return Err(self.error("an escape in place of a control character")),
                other => {
                    self.offset += other.len_utf8();
                    value.push(other);
                }
            }
        }
        Err(self.error("a closing quote"))
    }

    fn escape(&mut self) -> Result<char, TemplateError> {
        if self.skip("\\\"") {
            return Ok('"');
        }
        if self.skip("\\\\") {
            return Ok('\\');
        }
        for code in (0..=0x1fu8).chain([0x7f]) {
            if self.skip(&format!("\\u{code:04x}")) {
                return Ok(char::from(code));
            }
        }
        Err(self.error("one of the escapes \\\", \\\\ and \\u00xx"))
    }
}
