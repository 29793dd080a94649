//! Changes of rules.

use ochre_types::rules::Change;

use crate::v1;

impl From<Change> for v1::RuleChange {
    fn from(change: Change) -> Self {
        Self { path: change.path, before: change.before.unwrap_or_default(), after: change.after.unwrap_or_default() }
    }
}

impl From<v1::RuleChange> for Change {
    fn from(wire: v1::RuleChange) -> Self {
        // No value is empty as YAML: an empty text is "".
        let value = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { path: wire.path, before: value(wire.before), after: value(wire.after) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back() {
        for (before, after) in [(None, Some("5m")), (Some("\"\""), None), (Some("1"), Some("2"))] {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let change = Change { path: "a[0].b".to_owned(), before: text(before), after: text(after) };
            assert_eq!(Change::from(v1::RuleChange::from(change.clone())), change);
        }
    }
}
