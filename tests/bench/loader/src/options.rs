//! Options of the form `--name value`.

use std::collections::BTreeMap;

/// The options of a command.
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads what stands after the command.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("`{word}` is not an option: --name value"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    /// An option that may be left out.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// An option that must be given.
    pub fn needed(&self, name: &str) -> Result<&str, String> {
        self.text(name).ok_or_else(|| format!("--{name} is needed"))
    }

    /// A whole number.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("--{name}: `{text}` is not a whole number"));
        self.text(name).map_or(Ok(default), parse)
    }
}
