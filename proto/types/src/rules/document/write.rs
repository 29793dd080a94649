//! A tree as YAML, in one spelling.

use std::fmt::Write as _;

use super::tree::{Node, Value};
use super::yaml::resolve;

/// The longest list or map that is written on one line, in bytes.
const MAX_FLOW: usize = 100;
/// The longest key that is written without `?`, in bytes. YAML allows 1,024 characters.
const MAX_PLAIN_KEY: usize = 1_000;

/// A tree as YAML.
pub(in crate::rules) fn write(node: &Node) -> String {
    let mut out = String::new();
    match short(node) {
        Some(text) => {
            out.push_str(&text);
            out.push('\n');
        }
        None => block(node, 0, &mut out),
    }
    out
}

/// A scalar, an empty list or map, a list of scalars: what one line has room for. Maps of scalars have it as items of
/// lists only, so that fields have lines of their own.
fn short(node: &Node) -> Option<String> {
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            let scalars = items.iter().all(|item| !matches!(item.value, Value::List(_) | Value::Map(_)));
            Some(flow(node)).filter(|text| scalars && text.len() <= MAX_FLOW)
        }
        Value::Map(entries) if !entries.is_empty() => None,
        _ => Some(flow(node)),
    }
}

/// As [`short`], for an item of a list.
fn short_item(node: &Node) -> Option<String> {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            let flat = entries.iter().all(|(_, value)| match &value.value {
                Value::Map(inner) => {
                    inner.iter().all(|(_, value)| !matches!(value.value, Value::List(_) | Value::Map(_)))
                }
                Value::List(items) => items.is_empty(),
                _ => true,
            });
            Some(flow(node)).filter(|text| flat && text.len() <= MAX_FLOW)
        }
        _ => short(node),
    }
}

/// Writes a list or map over several lines.
fn block(node: &Node, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.value {
        Value::List(items) => {
            for item in items {
                match short_item(item) {
                    Some(text) => out.push_str(&format!("{pad}- {text}\n")),
                    None => {
                        // The item's first line follows the dash: its own indentation is cut there.
                        let mut text = String::new();
                        block(item, indent + 2, &mut text);
                        out.push_str(&format!("{pad}- {}", &text[indent + 2..]));
                    }
                }
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let name = scalar(&key.text);
                let name = if name.len() > MAX_PLAIN_KEY { format!("? {name}\n{pad}:") } else { format!("{name}:") };
                match short(value) {
                    Some(text) => out.push_str(&format!("{pad}{name} {text}\n")),
                    None => {
                        out.push_str(&format!("{pad}{name}\n"));
                        block(value, indent + 2, out);
                    }
                }
            }
        }
        _ => out.push_str(&format!("{pad}{}\n", flow(node))),
    }
}

/// A value on one line.
pub(in crate::rules) fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        // With a point or an exponent, so that it is no whole number.
        Value::Float(value) if value.is_finite() => format!("{value:?}"),
        Value::Float(value) if value.is_nan() => ".nan".to_owned(),
        Value::Float(value) => if *value > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        Value::Text(text) => scalar(text),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", scalar(&key.text), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text as a scalar that reads back as text: plain where it is a simple word, else in double quotes.
fn scalar(text: &str) -> String {
    let word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    // Readers of YAML 1.1 take these for truth values.
    let truth = ["y", "n", "yes", "no", "on", "off"].iter().any(|other| text.eq_ignore_ascii_case(other));
    if word && !truth && matches!(resolve(text), Value::Text(_)) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // What YAML excludes, takes for a line's end or may not show.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("writing to a String never fails");
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
