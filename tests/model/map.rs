//! A database as a plain ordered map, and the answers that it gives.

use std::collections::{BTreeMap, BTreeSet};

use ochre_batch::Batch;
use ochre_batch::testing::{self, PlainRow, plain_batch};
use ochre_types::{ColumnKind, TableName};

use crate::sim::answers::{Cell, Row};

/// Time, then the tags as SQL orders them: those that are absent last.
type Key = (i64, Vec<(bool, String)>);

/// One table.
#[derive(Debug, Default)]
pub struct Table {
    /// Every tag that was ever written.
    pub tags: BTreeSet<String>,
    /// Every field that was ever written.
    pub fields: BTreeSet<String>,
    rows: BTreeMap<(i64, BTreeMap<String, String>), BTreeMap<String, Cell>>,
}

/// The tables by name.
#[derive(Debug, Default)]
pub struct Map {
    pub tables: BTreeMap<String, Table>,
    /// What was dropped and can be brought back, the last drop last.
    pub dropped: BTreeMap<String, Vec<Table>>,
}

impl Map {
    /// Adds a batch: row by row, field by field, the later one wins.
    pub fn write(&mut self, batch: &Batch) {
        for (name, (columns, rows)) in plain_batch(batch) {
            let table = self.tables.entry(name.to_string()).or_default();
            for column in columns {
                match column.kind {
                    ColumnKind::Tag => table.tags.insert(column.name.to_string()),
                    ColumnKind::Field(_) => table.fields.insert(column.name.to_string()),
                    ColumnKind::Time => false,
                };
            }
            rows.into_iter().for_each(|row| table.write(row));
        }
    }

    /// Adds one field of one row.
    pub fn put(
        &mut self,
        table: &TableName,
        tags: BTreeMap<String, String>,
        time: i64,
        (field, value): (String, Cell),
    ) {
        let table = self.tables.entry(table.to_string()).or_default();
        table.tags.extend(tags.keys().cloned());
        table.fields.insert(field.clone());
        table.rows.entry((time, tags)).or_default().insert(field, value);
    }
}

impl Map {
    /// Deletes the rows of a table that pass, by time and tags. What was dropped is not spared: brought back, it would
    /// show them again.
    pub fn delete(&mut self, table: &str, passes: impl Fn(i64, &BTreeMap<String, String>) -> bool) {
        let dropped = self.dropped.get_mut(table).into_iter().flatten();
        for table in self.tables.get_mut(table).into_iter().chain(dropped) {
            table.rows.retain(|(time, tags), _| !passes(*time, tags));
        }
    }

    /// Drops a table that is there.
    pub fn drop_table(&mut self, table: &str) {
        if let Some(held) = self.tables.remove(table) {
            self.dropped.entry(table.to_owned()).or_default().push(held);
        }
    }

    /// Takes the last drop of a table back. False if there is none.
    pub fn undrop_table(&mut self, table: &str) -> bool {
        let Some(mut back) = self.dropped.get_mut(table).and_then(Vec::pop) else { return false };
        let since = self.tables.remove(table).unwrap_or_default();
        back.tags.extend(since.tags);
        back.fields.extend(since.fields);
        for (key, fields) in since.rows {
            back.rows.entry(key).or_default().extend(fields);
        }
        self.tables.insert(table.to_owned(), back);
        true
    }
}

impl Table {
    fn write(&mut self, row: PlainRow) {
        let (mut time, mut tags, mut fields) = (0, BTreeMap::new(), BTreeMap::new());
        for (column, cell) in row {
            let name = column.name.to_string();
            let value = match cell {
                testing::Cell::Time(at) => {
                    time = at;
                    continue;
                }
                testing::Cell::Tag(value) => {
                    tags.insert(name, value);
                    continue;
                }
                testing::Cell::Float(bits) => Cell::Float(bits),
                testing::Cell::Integer(number) => Cell::Integer(number),
                testing::Cell::UInteger(number) => Cell::UInteger(number),
                testing::Cell::Boolean(value) => Cell::Boolean(value),
                testing::Cell::String(text) => Cell::Text(text),
            };
            fields.insert(name, value);
        }
        self.rows.entry((time, tags)).or_default().extend(fields);
    }

    /// Every value that a tag has.
    pub fn tag_values(&self, tag: &str) -> Vec<&str> {
        let values: BTreeSet<&str> =
            self.rows.keys().filter_map(|(_, tags)| tags.get(tag).map(String::as_str)).collect();
        values.into_iter().collect()
    }

    /// Every time that rows have.
    pub fn times(&self) -> Vec<i64> {
        self.rows.keys().map(|(time, _)| *time).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every row that passes, by time and tags.
    pub fn select(&self, passes: impl Fn(&Row) -> bool) -> Vec<Row> {
        let mut rows: Vec<(Key, Row)> =
            self.rows.iter().map(|((time, tags), fields)| self.row(*time, tags, fields)).collect();
        rows.retain(|(_, row)| passes(row));
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn row(&self, time: i64, tags: &BTreeMap<String, String>, fields: &BTreeMap<String, Cell>) -> (Key, Row) {
        let order = self.tags.iter().map(|tag| (!tags.contains_key(tag), tags.get(tag).cloned().unwrap_or_default()));
        let mut row: Row = fields.clone();
        row.extend(tags.iter().map(|(name, value)| (name.clone(), Cell::Text(value.clone()))));
        row.insert("time".to_owned(), Cell::Time(time));
        ((time, order.collect()), row)
    }
}
