//! The tree of a document: what YAML, JSON and protobuf have in common.

use std::collections::BTreeMap;

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its line, from 1; 0 if it comes from no text.
    pub line: u32,
    /// Its column in characters, from 1; 0 if it comes from no text.
    pub column: u32,
}

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text. What is quoted is always text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, in the document's order. The reader refuses a key that stands twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// As [`Node::line`].
    pub line: u32,
    /// As [`Node::column`].
    pub column: u32,
}

impl Key {
    /// A key that comes from no text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), line: 0, column: 0 }
    }
}

impl Node {
    /// A text that comes from no document.
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into()).into()
    }

    /// A whole number that comes from no document.
    pub fn int(number: impl Into<i128>) -> Self {
        Value::Int(number.into()).into()
    }

    /// A map that comes from no document.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Value::Map(entries.into_iter().map(|(key, node)| (Key::new(key), node)).collect()).into()
    }

    /// A list that comes from no document.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Value::List(items.into_iter().collect()).into()
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self { value, line: 0, column: 0 }
    }
}

/// The path of the field `key` below `path`.
pub(in crate::rules) fn field_path(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let dot = if path.is_empty() { "" } else { "." };
    if plain { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

/// The path of the item `index` below `path`.
pub(in crate::rules) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// The line and column of everything that the tree says, by path. A field's are those of its key.
pub(super) fn places(root: &Node) -> BTreeMap<String, (u32, u32)> {
    let mut places = BTreeMap::new();
    walk(root, "", &mut places);
    places
}

// The depth of what was text is bounded by `MAX_DEPTH`, that of other trees by the messages that they are made from.
fn walk(node: &Node, path: &str, places: &mut BTreeMap<String, (u32, u32)>) {
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = item_path(path, index);
                walk(item, &path, places);
                places.insert(path, (item.line, item.column));
            }
        }
        Value::Map(entries) => {
            for (key, item) in entries {
                let path = field_path(path, &key.text);
                walk(item, &path, places);
                places.insert(path, (key.line, key.column));
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
    }
}
