//! A node as `sqllogictest` sees a database: every value as one line of text.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use async_trait::async_trait;
use futures::TryStreamExt;
use ochre_database::Node;
use ochre_database::attach::Attached;
use ochre_query::{Params, QueryError};
use ochre_types::DatabaseName;
use sqllogictest::{AsyncDB, ColumnType, DBOutput};

/// A column's type, by the letter that stands in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// `B`.
    Boolean,
    /// `I`: signed and unsigned.
    Integer,
    /// `P`.
    Time,
    /// `R`.
    Float,
    /// `T`.
    Text,
    /// `?`: all else.
    Other,
}

const LETTERS: [(Letter, char); 6] = [
    (Letter::Boolean, 'B'),
    (Letter::Integer, 'I'),
    (Letter::Time, 'P'),
    (Letter::Float, 'R'),
    (Letter::Text, 'T'),
    (Letter::Other, '?'),
];

impl ColumnType for Letter {
    fn from_char(value: char) -> Option<Self> {
        LETTERS.iter().find(|(_, letter)| *letter == value).map(|(kind, _)| *kind)
    }

    fn to_char(&self) -> char {
        LETTERS.iter().find(|(kind, _)| kind == self).map_or('?', |(_, letter)| *letter)
    }
}

impl Letter {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(..) => Self::Time,
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            float if float.is_floating() => Self::Float,
            integer if integer.is_integer() => Self::Integer,
            _ => Self::Other,
        }
    }
}

/// Who answers.
#[derive(Clone)]
pub enum Answerer {
    /// The node that has the rows.
    Node(Arc<Node>),
    /// A reader of its objects.
    Attached(Arc<Attached>),
}

/// Queries to one database of a node.
pub struct Session {
    node: Answerer,
    database: DatabaseName,
}

impl Session {
    /// A session; nothing happens until something is asked.
    pub fn new(node: &Answerer, database: &DatabaseName) -> Self {
        Self { node: node.clone(), database: database.clone() }
    }

    /// The answer's columns and rows, as text.
    pub async fn ask(&self, sql: &str) -> Result<(Vec<Letter>, Vec<Vec<String>>), QueryError> {
        let result = match &self.node {
            Answerer::Node(node) => node.query(&self.database, sql, &Params::default()).await?,
            Answerer::Attached(attached) => attached.query(&self.database, sql, &Params::default()).await?,
        };
        let letters = result.schema.fields().iter().map(|field| Letter::of(field.data_type())).collect();
        let batches: Vec<RecordBatch> = result.stream.try_collect().await?;
        Ok((letters, batches.iter().flat_map(rows).collect()))
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<Vec<String>> = batch.columns().iter().map(texts).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

fn texts(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    let text = |row| match array.is_null(row) {
        true => "NULL".to_owned(),
        false => one_line(&formatter.value(row).to_string()),
    };
    (0..array.len()).map(text).collect()
}

fn one_line(text: &str) -> String {
    match text {
        "" => "(empty)".to_owned(),
        _ => text.replace('\n', "\\n").replace('\t', "\\t"),
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = QueryError;
    type ColumnType = Letter;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, QueryError> {
        let (types, rows) = self.ask(sql).await?;
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "ochre"
    }
}
