//! Reading a tree field by field, gathering every mistake with its place.

use std::collections::BTreeMap;

use super::problem::{MAX_PROBLEMS, Problem, Problems};
use super::tree::{Node, Value, field_path, item_path};
use crate::rules::schema;

/// The characters of a value that a message repeats.
const MAX_QUOTED: usize = 100;

/// A value with its path.
#[derive(Debug, Clone)]
pub(super) struct At<'n> {
    pub node: &'n Node,
    pub path: String,
    /// The path without positions (`partition[].by`), which names it in the schema.
    shape: String,
    line: u32,
    column: u32,
}

impl<'n> At<'n> {
    pub fn root(node: &'n Node) -> Self {
        Self { node, path: String::new(), shape: String::new(), line: node.line, column: node.column }
    }

    /// The items of a list; `None` if it is none.
    pub fn items(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            return None;
        };
        let item = |(index, node): (usize, &'n Node)| Self {
            node,
            path: item_path(&self.path, index),
            shape: format!("{}[]", self.shape),
            line: node.line,
            column: node.column,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    /// The value as it may be repeated in a message.
    pub fn shown(&self) -> String {
        match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            // With its point, so that a whole one does not look like a whole number.
            Value::Float(value) => format!("{value:?}"),
            Value::Text(text) => quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// A text in quotes, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The fields of a map, by name.
pub(super) struct Fields<'n>(BTreeMap<&'n str, At<'n>>);

impl<'n> Fields<'n> {
    pub fn get(&self, name: &str) -> Option<&At<'n>> {
        self.0.get(name)
    }

    pub fn values(&self) -> impl Iterator<Item = (&&'n str, &At<'n>)> {
        self.0.iter()
    }
}

/// Gathers mistakes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
    /// Mistakes beyond [`MAX_PROBLEMS`].
    omitted: usize,
}

impl Reader {
    /// `made`, if there was no mistake. Whoever makes nothing has said why.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, Problems> {
        // What has no place comes last; mistakes of one place stay in the order of reading.
        self.problems.sort_by_key(|problem| (problem.line.unwrap_or(u32::MAX), problem.column));
        if self.omitted > 0 {
            let message = format!("there are {} mistakes more: correct these first", self.omitted);
            self.problems.push(Problem { path: String::new(), line: None, column: None, message });
        }
        made.filter(|_| self.problems.is_empty()).ok_or(Problems(self.problems))
    }

    pub fn problem(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.problem_at(at.path.clone(), (at.line, at.column), message);
    }

    /// A mistake at a place that is no value: a field that is missing, or that comes from elsewhere.
    pub fn problem_at(&mut self, path: String, (line, column): (u32, u32), message: impl Into<String>) {
        if self.problems.len() == MAX_PROBLEMS {
            self.omitted += 1;
            return;
        }
        let known = |number: u32| (number > 0).then_some(number);
        self.problems.push(Problem { path, line: known(line), column: known(column), message: message.into() });
    }

    /// A field of `parent` is missing.
    pub fn missing(&mut self, parent: &At<'_>, name: &str, message: &str) {
        self.problem_at(field_path(&parent.path, name), (parent.line, parent.column), message);
    }

    /// The fields of a section whose names the schema knows. A section without content says nothing.
    pub fn section<'n>(&mut self, at: &At<'n>) -> Option<Fields<'n>> {
        let fields = self.map(at)?;
        let known = schema::known(&at.shape);
        for (name, field) in fields.values() {
            if !known.contains(name) {
                self.problem(field, schema::unknown(&at.shape, name, &known));
            }
        }
        Some(fields)
    }

    /// The entries of a map whose keys people choose.
    pub fn map<'n>(&mut self, at: &At<'n>) -> Option<Fields<'n>> {
        let entries = match &at.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                self.problem(at, format!("{} stands where fields are needed: write name: value", at.shown()));
                return None;
            }
        };
        let mut fields = BTreeMap::new();
        for (key, node) in entries {
            let is_scalar = !matches!(node.value, Value::Null | Value::List(_) | Value::Map(_));
            let place = if is_scalar { (node.line, node.column) } else { (key.line, key.column) };
            let shape = field_path(&at.shape, &key.text);
            let field = At { node, path: field_path(&at.path, &key.text), shape, line: place.0, column: place.1 };
            if fields.contains_key(key.text.as_str()) {
                self.problem(&field, "stands twice: remove one");
            }
            fields.insert(key.text.as_str(), field);
        }
        Some(Fields(fields))
    }

    /// Puts what `read` makes of a field into `slot`, if the document has the field and it is right.
    pub fn set<T>(&mut self, field: Option<&At<'_>>, slot: &mut T, read: impl FnOnce(&mut Self, &At<'_>) -> Option<T>) {
        if let Some(value) = field.and_then(|at| read(self, at)) {
            *slot = value;
        }
    }

    /// A list of at most `most` items, each read by `read`. A list without content is empty.
    pub fn list<T>(
        &mut self,
        at: &At<'_>,
        most: usize,
        mut read: impl FnMut(&mut Self, &At<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(items) = at.items() else {
            self.problem(at, format!("{} stands where a list is needed: write [one, two]", at.shown()));
            return None;
        };
        if items.len() > most {
            self.problem(at, format!("{} entries: at most {most} are allowed", items.len()));
            return None;
        }
        // All are read, so that the mistakes of all are told.
        let read: Vec<Option<T>> = items.iter().map(|item| read(self, item)).collect();
        read.into_iter().collect()
    }
}
