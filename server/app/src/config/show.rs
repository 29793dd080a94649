//! `ochre config show`.

use serde_json::{Value, json};

use super::sources::Origin;
use super::{Config, Sources};

struct Line {
    key: &'static str,
    value: String,
    origin: Origin,
}

fn lines(sources: &Sources) -> Vec<Line> {
    let line = |setting: &super::Setting| {
        let (value, origin) = match sources.given(setting.flag) {
            Some((text, origin)) if setting.unit == "url" => (ochre_store::object::redact(text), origin),
            Some((text, origin)) => (text.to_owned(), origin),
            None => (setting.default.to_owned(), Origin::Default),
        };
        Line { key: setting.key, value, origin }
    };
    Config::SETTINGS.iter().map(line).collect()
}

/// A table of every setting, its value, and where that came from.
pub fn show_text(sources: &Sources) -> String {
    let lines = lines(sources);
    let key = lines.iter().map(|line| line.key.len()).max().unwrap_or(0);
    let value = lines.iter().map(|line| line.value.len()).max().unwrap_or(0);
    lines.iter().map(|line| format!("{:key$}  {:value$}  {}\n", line.key, line.value, line.origin)).collect()
}

/// The same as JSON, with the doc, unit and names of each setting.
pub fn show_json(sources: &Sources) -> Value {
    let settings = Config::SETTINGS.iter().zip(lines(sources)).map(|(setting, line)| {
        json!({
            "key": setting.key,
            "value": line.value,
            "source": line.origin.to_string(),
            "default": setting.default,
            "unit": setting.unit,
            "flag": format!("--{}", setting.flag),
            "env": setting.env(),
            "doc": setting.doc.trim(),
        })
    });
    Value::Array(settings.collect())
}
