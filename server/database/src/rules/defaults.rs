//! What a new database starts with: the rules of `*`.

use std::sync::Arc;

use ochre_store::catalog::RulesRecord;
use ochre_types::DatabaseName;
use ochre_types::rules::document::{Key, Node as Tree, Value, read_yaml};
use ochre_types::rules::{Document, Problems, Rules, Target, render};
use parking_lot::RwLock;

use super::{RulesError, RulesInForce, of_target, parse};
use crate::node::Node;

/// Places of a document that are tried as the one that names its target. It is nearly always the first.
const TRIED_PLACES: usize = 16;

/// The rules of `*`, read once for each generation.
#[derive(Debug)]
pub(crate) struct DefaultRules(RwLock<Arc<RulesInForce>>);

impl DefaultRules {
    /// The server's own defaults, until others are asked for.
    pub(crate) fn new(defaults: &Rules) -> Self {
        Self(RwLock::new(Arc::new(RulesInForce::defaults(defaults))))
    }
}

impl Node {
    /// The rules of `*`, or else the server's own defaults.
    pub(crate) fn default_rules(&self) -> Result<Arc<RulesInForce>, RulesError> {
        let state = self.catalog.state();
        let held = self.default_rules.0.read().clone();
        match &state.default_rules {
            Some(record) if record.generation != held.generation => {
                let read = RulesInForce::read(record, &self.config.rules).map_err(|problems| {
                    let (target, generation) = (of_target(&Target::Default), record.generation);
                    RulesError::Unreadable { target, generation, problems }
                })?;
                let read = Arc::new(read);
                *self.default_rules.0.write() = read.clone();
                Ok(read)
            }
            _ => Ok(held),
        }
    }
}

/// The first generation of a new database's rules, made from those of `*` and from how long rows are to be kept, as
/// whoever made the database said.
pub(crate) fn adopted(
    default: Option<&RulesRecord>,
    retention: Option<&str>,
    name: &DatabaseName,
    defaults: &Rules,
    now_millis: u64,
) -> Result<RulesRecord, Problems> {
    let document = default.map(|default| renamed(&parse(default, defaults)?, name, defaults)).transpose()?;
    let document = match (document, retention) {
        (Some(document), None) => document,
        (document, retention) => retaining(document, retention.unwrap_or("forever"), name, defaults)?,
    };
    Ok(RulesRecord {
        generation: 1,
        text: document.source.as_bytes().to_vec().into(),
        applied_millis: now_millis,
        applied_by: default.map(|default| default.applied_by.clone()).unwrap_or_default(),
        fence: None,
    })
}

/// The document under another name, with everything else as it was written. Where its text can't be changed in one
/// place, it is written anew.
fn renamed(document: &Document, name: &DatabaseName, defaults: &Rules) -> Result<Document, Problems> {
    let target = Target::Database(name.clone());
    let anew = render(&target, &document.rules);
    let scalar = anew.lines().next().and_then(|line| line.strip_prefix("database: ")).unwrap_or_default();
    let text = &*document.source;
    let places = text.match_indices("\"*\"").chain(text.match_indices("'*'")).take(TRIED_PLACES);
    for (at, star) in places {
        let changed = format!("{}{scalar}{}", &text[..at], &text[at + star.len()..]);
        match Document::parse(&changed, defaults) {
            Ok(read) if read.target == target && read.rules == document.rules => return Ok(read),
            _ => {}
        }
    }
    Document::parse(&anew, defaults)
}

/// The document with another retention, and else as its text says.
fn retaining(
    document: Option<Document>,
    retention: &str,
    name: &DatabaseName,
    defaults: &Rules,
) -> Result<Document, Problems> {
    let mut entries = match document.map(|document| read_yaml(&document.source)).transpose()? {
        Some(Tree { value: Value::Map(entries), .. }) => entries,
        _ => vec![(Key::new("database"), Tree::text(name.as_str()))],
    };
    let retain = (Key::new("retain"), Tree::text(retention));
    match entries.iter_mut().find(|(key, _)| key.text == "lifecycle") {
        Some((_, Tree { value: Value::Map(lifecycle), .. })) => {
            lifecycle.retain(|(key, _)| key.text != "retain");
            lifecycle.push(retain);
        }
        Some((_, lifecycle)) => lifecycle.value = Value::Map(vec![retain]),
        None => entries.push((Key::new("lifecycle"), Value::Map(vec![retain]).into())),
    }
    Document::from_tree(Value::Map(entries).into(), defaults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopt(text: &str, name: &str) -> String {
        let record = |text: &str| RulesRecord {
            generation: 7,
            text: text.as_bytes().to_vec().into(),
            applied_millis: 1,
            applied_by: "ops".to_owned(),
            fence: Some(3),
        };
        let name = DatabaseName::new(name).unwrap();
        let made = adopted(Some(&record(text)), None, &name, &Rules::default(), 9).unwrap();
        assert_eq!((made.generation, made.applied_millis, &*made.applied_by, made.fence), (1, 9, "ops", None));
        let text = String::from_utf8(made.text.to_vec()).unwrap();
        let read = Document::parse(&text, &Rules::default()).unwrap();
        assert_eq!(read.target, Target::Database(name));
        text
    }

    #[test]
    fn the_text_keeps_everything_but_the_name() {
        let yaml =
            "# ours\npartition: [{tables: \"*\", by: [{tag: host}]}]\ndatabase: '*' # all\nlimits: {tables: 5}\n";
        assert_eq!(adopt(yaml, "metrics"), yaml.replace("'*'", "metrics"));
        assert_eq!(adopt(yaml, "a b: c"), yaml.replace("'*'", "\"a b: c\""));
        assert_eq!(adopt(r#"{"database": "*"}"#, "true"), r#"{"database": "true"}"#);
    }

    #[test]
    fn a_retention_that_was_asked_for_is_part_of_the_first_rules() {
        let name = DatabaseName::new("metrics").unwrap();
        let adopt = |default: Option<&str>, retention: &str| {
            let default = default.map(|text| RulesRecord {
                generation: 7,
                text: text.as_bytes().to_vec().into(),
                applied_millis: 1,
                applied_by: String::new(),
                fence: None,
            });
            let made = adopted(default.as_ref(), Some(retention), &name, &Rules::default(), 9).unwrap();
            String::from_utf8(made.text.to_vec()).unwrap()
        };
        assert_eq!(adopt(None, "30d"), "database: metrics\nlifecycle:\n  retain: 30d\n");
        let shared = "database: '*'\nlifecycle: {mutable: true, retain: [{tables: a, after: 1h}]}\nlimits: {tables: 5}";
        let expected = "database: metrics\nlifecycle:\n  mutable: true\n  retain: forever\nlimits:\n  tables: 5\n";
        assert_eq!(adopt(Some(shared), "forever"), expected);
        assert_eq!(adopt(Some("database: '*'\nlifecycle:\n"), "1h"), "database: metrics\nlifecycle:\n  retain: 1h\n");
    }

    #[test]
    fn a_name_in_another_spelling_is_written_anew() {
        let text = adopt("database: \"\\x2a\"\nlimits: {tables: 5}\n", "metrics");
        assert!(text.starts_with("database: metrics\n") && text.contains("tables: 5\n"), "{text}");
    }
}
