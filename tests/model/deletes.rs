//! Deletes, drops and undrops, told to a node and to the map alike.

use std::collections::BTreeMap;

use ochre_database::deletes::DeleteError;
use ochre_database::{Database, WriteError};
use ochre_types::TableName;
use ochre_types::matching::{RowMatch, TablePattern};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

use super::Story;
use super::node::database_name;
use crate::sim::answers::ask;

/// What is taken away, or brought back. Indices choose among what is there.
#[derive(Debug, Clone)]
pub struct Delete {
    table: Index,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Rows of a tag's value.
    Value(Index, Index),
    /// Rows that lack a tag.
    Without(Index),
    /// Rows from one time on, up to another.
    Between(Index, Index),
    /// Rows with one value before a time.
    ValueBefore(Index, Index, Index),
    All,
    Drop,
    Undrop,
}

/// Every sort of deletion.
pub fn deletes() -> impl Strategy<Value = Delete> {
    let index = any::<Index>;
    let what = prop_oneof![
        3 => (index(), index()).prop_map(|(tag, value)| What::Value(tag, value)),
        1 => index().prop_map(What::Without),
        2 => (index(), index()).prop_map(|(one, other)| What::Between(one, other)),
        2 => (index(), index(), index()).prop_map(|(tag, value, time)| What::ValueBefore(tag, value, time)),
        1 => Just(What::All),
        2 => Just(What::Drop),
        2 => Just(What::Undrop),
    ];
    (index(), what).prop_map(|(table, what)| Delete { table, what })
}

/// Whether a row goes, by its time and tags.
type Goes = Box<dyn Fn(i64, &BTreeMap<String, String>) -> bool>;

fn pick<T>(from: &[T], index: Index) -> Option<&T> {
    (!from.is_empty()).then(|| index.get(from))
}

fn quoted(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

impl Story {
    pub(super) async fn delete(&mut self, delete: &Delete) -> Result<(), TestCaseError> {
        let database = self.machine.database();
        let known: Vec<String> = self.map.tables.keys().chain(self.map.dropped.keys()).cloned().collect();
        let Some(table) = pick(&known, delete.table).cloned() else { return Ok(()) };
        let name = TableName::new(&table).expect("it is the name of a table");
        match delete.what {
            What::Drop => {
                let expected = self.map.tables.contains_key(&table);
                let outcome = database.drop_table(&name).await.map(|_| ());
                if self.is_done(&outcome, expected)? {
                    self.map.drop_table(&table);
                }
            }
            What::Undrop => {
                let expected = self.map.dropped.get(&table).is_some_and(|dropped| !dropped.is_empty());
                let outcome = database.undrop_table(&name).await.map(|_| ());
                // Rules may have pinned a column of the new table to another kind meanwhile.
                if !matches!(outcome, Err(DeleteError::Conflict { .. })) && self.is_done(&outcome, expected)? {
                    self.map.undrop_table(&table);
                }
            }
            _ => self.delete_rows(&database, name, &delete.what).await?,
        }
        Ok(())
    }

    /// Whether something was done; what became of it must be as the rules and the map say.
    fn is_done(&self, outcome: &Result<(), DeleteError>, expected: bool) -> Result<bool, TestCaseError> {
        let is_read_only = !self.ruled.rules.lifecycle.mutable;
        match outcome {
            Ok(()) => prop_assert!(expected && !is_read_only),
            Err(DeleteError::Write(WriteError::ReadOnly(_))) => prop_assert!(is_read_only),
            Err(DeleteError::UnknownTable { .. } | DeleteError::NotDropped { .. }) => prop_assert!(!expected),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(outcome.is_ok())
    }

    async fn delete_rows(&mut self, database: &Database, name: TableName, what: &What) -> Result<(), TestCaseError> {
        let Some((predicate, time, goes)) = self.rows(name.as_str(), what) else { return Ok(()) };
        let predicate = predicate.map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")));
        let tables = vec![TablePattern::exactly(&name).expect("the names of these tests are short")];
        let outcome = database.delete_rows(RowMatch { tables, predicate }, time).await.map(|_| ());
        if self.is_done(&outcome, true)? {
            self.map.delete(name.as_str(), goes);
        }
        Ok(())
    }

    /// The predicate, the times, and what they mean to the map; `None` if the table has nothing to choose from.
    fn rows(&self, table: &str, what: &What) -> Option<(Option<String>, (i64, i64), Goes)> {
        const EVER: (i64, i64) = (i64::MIN, i64::MAX);
        let table = self.map.tables.get(table)?;
        let tags: Vec<&String> = table.tags.iter().collect();
        let value_of = |tag: Index, value: Index| {
            let tag = (*pick(&tags, tag)?).clone();
            let value = (*pick(&table.tag_values(&tag), value)?).to_owned();
            let text = format!("{} = {}", quoted(&tag, '"'), quoted(&value, '\''));
            Some((tag, value, text))
        };
        Some(match *what {
            What::Value(tag, value) => {
                let (tag, value, text) = value_of(tag, value)?;
                (Some(text), EVER, Box::new(move |_, tags| tags.get(&tag) == Some(&value)))
            }
            What::ValueBefore(tag, value, time) => {
                let (tag, value, text) = value_of(tag, value)?;
                let last = *pick(&table.times(), time)?;
                let goes: Goes = Box::new(move |time, tags| time <= last && tags.get(&tag) == Some(&value));
                (Some(format!("{text} AND time <= {last}")), EVER, goes)
            }
            What::Without(tag) => {
                let tag = (*pick(&tags, tag)?).clone();
                let text = format!("{} IS NULL", quoted(&tag, '"'));
                (Some(text), EVER, Box::new(move |_, tags| !tags.contains_key(&tag)))
            }
            What::Between(one, other) => {
                let times = table.times();
                let (one, other) = (*pick(&times, one)?, *pick(&times, other)?);
                let (first, last) = (one.min(other), one.max(other));
                (None, (first, last), Box::new(move |time, _| (first..=last).contains(&time)))
            }
            What::All | What::Drop | What::Undrop => (None, EVER, Box::new(|_, _| true)),
        })
    }

    /// What was dropped is not there, unless something has its name again.
    pub(super) async fn check_dropped(&self) -> Result<(), TestCaseError> {
        for table in self.map.dropped.keys().filter(|table| !self.map.tables.contains_key(*table)) {
            let answer = ask(self.machine.node(), &database_name(), &format!("SELECT * FROM \"{table}\"")).await;
            prop_assert!(answer.is_err(), "{} was dropped, and answers {:?}", table, answer);
        }
        Ok(())
    }
}
