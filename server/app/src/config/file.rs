//! The TOML file: tables of settings.

use toml::{Table, Value};

use super::Config;
use super::nearest::nearest;
use super::setting::Setting;

type Found = Vec<(&'static Setting, String)>;

/// Reads the settings of a TOML text, and what is wrong with its keys. Fails where it is not TOML.
pub fn parse(text: &str) -> Result<(Found, Vec<String>), String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in &table {
        match value {
            Value::Table(inner) => {
                for (key, value) in inner {
                    take(&format!("{name}.{key}"), value, &mut found, &mut problems);
                }
            }
            other => take(name, other, &mut found, &mut problems),
        }
    }
    Ok((found, problems))
}

fn take(key: &str, value: &Value, found: &mut Found, problems: &mut Vec<String>) {
    let Some(setting) = Config::SETTINGS.iter().find(|setting| setting.key == key) else {
        let known = Config::SETTINGS.iter().map(|setting| setting.key);
        let hint = match nearest(key, known) {
            Some(near) => format!("did you mean {near}?"),
            None => "`ochre config show` lists all keys".to_owned(),
        };
        problems.push(format!("the key {key} is not known: {hint}"));
        return;
    };
    match value {
        Value::String(text) => found.push((setting, text.clone())),
        Value::Integer(number) => found.push((setting, number.to_string())),
        Value::Boolean(on) => found.push((setting, on.to_string())),
        other => {
            problems.push(format!("{key} is of the type {}: write text, a number, true or false", other.type_str()))
        }
    }
}
