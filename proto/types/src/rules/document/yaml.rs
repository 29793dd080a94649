//! YAML to a tree: the core schema of YAML 1.2, of which JSON is a part. What makes documents hard to read for people
//! and programs (anchors, aliases, tags, several documents) is refused.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::problem::Problem;
use super::tree::{Key, Node, Value, field_path, item_path};

/// The longest document, in bytes.
pub const MAX_DOCUMENT: usize = 256 << 10;
/// How deep lists and maps may lie in each other.
pub const MAX_DEPTH: usize = 16;

/// Reads one document. Fails at the first place that is no YAML, or that uses what is refused here.
pub fn read_yaml(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_DOCUMENT {
        let message = format!("the document has {} bytes: at most {MAX_DOCUMENT} are allowed", text.len());
        return Err(Problem { path: String::new(), line: None, column: None, message });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    printable(text)?;
    let mut builder = Builder { stack: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let message = match error.info() {
                info if info.contains("anchor") || info.contains("alias") => ALIAS.to_owned(),
                info => format!("this is no YAML: {info}"),
            };
            at(*error.marker(), String::new(), message)
        })?;
        builder.take(event, span)?;
    }
    builder.root.ok_or_else(|| {
        let message = "the document is empty: write at least database: and the name of a database".to_owned();
        at(Marker::new(0, 1, 0), String::new(), message)
    })
}

const ALIAS: &str = "anchors and aliases are not taken: write text that begins with * or & in quotes, such as \"*\"";

fn position(marker: Marker) -> (u32, u32) {
    // A document has fewer than 2^32 characters: see `MAX_DOCUMENT`.
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(marker.line()).max(1), number(marker.col()).saturating_add(1))
}

fn at(marker: Marker, path: String, message: String) -> Problem {
    let (line, column) = position(marker);
    Problem { path, line: Some(line), column: Some(column), message }
}

/// Refuses characters that YAML excludes. The parser would take NUL for the end of the text.
fn printable(text: &str) -> Result<(), Problem> {
    let excluded = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    };
    let Some(offset) = text.find(excluded) else {
        return Ok(());
    };
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let marker = Marker::new(0, 1 + before.matches('\n').count(), before[start..].chars().count());
    let found = text[offset..].chars().next().unwrap_or_default();
    Err(at(marker, String::new(), format!("the character {found:?} is not allowed: remove it, or escape it in \"…\"")))
}

/// A list or map that is not closed yet.
enum Open {
    List { items: Vec<Node> },
    Map { entries: Vec<(Key, Node)>, seen: BTreeMap<String, u32>, key: Option<Key> },
}

struct Builder {
    stack: Vec<(Open, Marker)>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let marker = span.start;
        match event {
            Event::Alias(_) => return Err(at(marker, self.path(), ALIAS.to_owned())),
            Event::Scalar(_, _, anchor, tag) if anchor != 0 || tag.is_some() => {
                return Err(self.adorned(marker, anchor));
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) if anchor != 0 || tag.is_some() => {
                return Err(self.adorned(marker, anchor));
            }
            Event::Scalar(text, style, ..) => return self.scalar(&text, style, marker),
            Event::SequenceStart(..) => self.open(Open::List { items: Vec::new() }, marker)?,
            Event::MappingStart(..) => {
                let map = Open::Map { entries: Vec::new(), seen: BTreeMap::new(), key: None };
                self.open(map, marker)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((open, marker)) = self.stack.pop() {
                    let value = match open {
                        Open::List { items } => Value::List(items),
                        Open::Map { entries, .. } => Value::Map(entries),
                    };
                    self.put(value, marker);
                }
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "a second document begins: write one document, without --- between its lines".to_owned();
                return Err(at(marker, String::new(), message));
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// The path of what comes next.
    fn path(&self) -> String {
        self.stack.iter().fold(String::new(), |path, (open, _)| match open {
            Open::List { items } => item_path(&path, items.len()),
            Open::Map { key: Some(key), .. } => field_path(&path, &key.text),
            Open::Map { key: None, .. } => path,
        })
    }

    fn adorned(&self, marker: Marker, anchor: usize) -> Problem {
        let message = match anchor {
            0 => "tags (!) are not taken: write the value alone, or text that begins with ! in quotes",
            _ => ALIAS,
        };
        at(marker, self.path(), message.to_owned())
    }

    fn open(&mut self, open: Open, marker: Marker) -> Result<(), Problem> {
        if self.stack.len() == MAX_DEPTH {
            let message = format!("lists and maps lie more than {MAX_DEPTH} deep: no field needs that");
            return Err(at(marker, self.path(), message));
        }
        if let Some((Open::Map { key: None, .. }, _)) = self.stack.last() {
            let message = "a list or map stands where the name of a field is needed: write a name and a colon";
            return Err(at(marker, self.path(), message.to_owned()));
        }
        self.stack.push((open, marker));
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, marker: Marker) -> Result<(), Problem> {
        let path = self.path();
        let Some((Open::Map { seen, key: key @ None, .. }, _)) = self.stack.last_mut() else {
            let value = if style == ScalarStyle::Plain { resolve(text) } else { Value::Text(text.to_owned()) };
            self.put(value, marker);
            return Ok(());
        };
        let (line, column) = position(marker);
        if let Some(first) = seen.insert(text.to_owned(), line) {
            let message = format!("stands twice, first on line {first}: remove one");
            return Err(at(marker, field_path(&path, text), message));
        }
        *key = Some(Key { text: text.to_owned(), line, column });
        Ok(())
    }

    fn put(&mut self, value: Value, marker: Marker) {
        let (line, column) = position(marker);
        let node = Node { value, line, column };
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some((Open::List { items }, _)) => items.push(node),
            Some((Open::Map { entries, key, .. }, _)) => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                }
            }
        }
    }
}

/// What a plain scalar means by the core schema of YAML 1.2 (section 10.3.2).
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
        i128::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Value::Int(number);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let digits = unsigned.bytes().filter(u8::is_ascii_digit).count();
    let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if digits == 0 || !numeric {
        return Value::Text(text.to_owned());
    }
    if digits == unsigned.len()
        && let Ok(number) = text.parse()
    {
        return Value::Int(number);
    }
    // What is left are digits, points, exponents and signs: exactly what Rust reads as a number is one in YAML too.
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Float)
}
