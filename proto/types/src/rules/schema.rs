//! What a document may say: every field with its unit, default, meaning and an example of what is refused.
//!
//! The reader's "Known here", the documentation and a test of every field are made from this table.

mod fields;

#[cfg(test)]
mod tests;

use super::document::field_path;
pub use fields::FIELDS;

/// One field of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its path, `[]` standing for any position and `*` for any name: `partition[].by[].bucket.count`, `columns.*`.
    pub path: &'static str,
    /// How its value is written.
    pub unit: &'static str,
    /// What holds if no document says it, in canonical YAML; empty for a field without a default.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Whole documents in which this field is wrong, each with the path of the mistake.
    pub wrong: &'static [(&'static str, &'static str)],
}

/// Fields of later versions: what a server alone can't do yet. Path and why.
const LATER: &[(&str, &str)] = &[
    ("slots", "a server alone has no slots to share out"),
    ("send", "a server alone has nobody to send to"),
    ("receive", "a server alone has nobody to receive from"),
    ("subscribe", "there are no subscriptions"),
    ("query", "a server alone has no other sources to ask"),
    ("derive", "no tables are derived from others"),
    ("store.slots", "a server alone has no slots to share out"),
    ("store.match.origin", "a server alone is the origin of all rows"),
];

/// The most letters by which a name may differ from the one that was meant.
const MAX_TYPOS: usize = 2;
/// The longest name for which a meant one is looked for, in characters.
const MAX_MISTYPED: usize = 40;

/// The fields directly below a path of the schema, such as `buffer`; of the document itself, if it is empty.
pub(super) fn known(shape: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for field in FIELDS {
        let below = match shape {
            "" => Some(field.path),
            _ => field.path.strip_prefix(shape).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = below.map(|below| below.split(['.', '[']).next().unwrap_or(below));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Why there is no field `name` below `shape`, and what may have been meant.
pub(super) fn unknown(shape: &str, name: &str, known: &[&str]) -> String {
    let path = field_path(shape, name);
    if let Some((_, why)) = LATER.iter().find(|(later, _)| *later == path) {
        return format!("not in this version: {why}: remove it");
    }
    let nearest = known.iter().map(|known| (typos(name, known), known)).min();
    let meant = match nearest {
        Some((typos, meant)) if typos <= MAX_TYPOS && typos < meant.len() => format!("did you mean {meant}? "),
        _ => String::new(),
    };
    format!("unknown field: {meant}Known here: {}", known.join(", "))
}

/// How many letters have to be put in, taken out or exchanged (Levenshtein), or more than [`MAX_TYPOS`].
fn typos(written: &str, meant: &str) -> usize {
    let written: Vec<char> = written.chars().take(MAX_MISTYPED + 1).collect();
    if written.len() > MAX_MISTYPED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (line, wanted) in meant.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, found) in written.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = (diagonal + usize::from(*found != wanted)).min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row[written.len()]
}

/// The fields as a table in Markdown, for `docs/rules.md`.
pub fn to_markdown() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) };
    let mut table = String::from("| field | value | default | meaning |\n|---|---|---|---|\n");
    for field in FIELDS {
        let row = format!(
            "| {} | {} | {} | {} |\n",
            code(field.path),
            cell(field.unit),
            code(field.default),
            cell(field.doc)
        );
        table.push_str(&row);
    }
    table
}
