//! What writes know of a database's tables: the kind that each plain column name has, or will have by the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_batch::Batch;
use ochre_batch::builder::KnownColumns;
use ochre_store::buffer::Buffer;
use ochre_store::snapshot::TableColumn;
use ochre_types::tombstone::Tombstone;
use ochre_types::{ColumnId, ColumnKind, ColumnName, TableName};
use parking_lot::RwLock;

use crate::rules::RulesInForce;

/// The kinds that the rules pin, by column name.
pub type Pins = BTreeMap<ColumnName, ColumnKind>;

/// The tables of a database and the kinds of their columns, without time.
#[derive(Debug, Default)]
pub struct Schema {
    tables: RwLock<BTreeMap<TableName, BTreeMap<ColumnName, ColumnKind>>>,
}

/// A column of a batch has another kind than the table's.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict;

impl Schema {
    /// Whether every column of the batch has the kind that its table knows, or that is pinned where it does not.
    pub fn check(&self, batch: &Batch, pins: &Pins) -> Result<(), Conflict> {
        let tables = self.tables.read();
        for part in batch.tables() {
            let table = tables.get(&part.table);
            let known = |name: &ColumnName| table.and_then(|table| table.get(name)).or_else(|| pins.get(name));
            let mut columns = fields_and_tags(part.rows.columns());
            if columns.any(|column| known(&column.name).is_some_and(|known| *known != column.kind)) {
                return Err(Conflict);
            }
        }
        Ok(())
    }

    /// Adds what is new in the batch. A name that is known keeps its kind.
    pub fn merge(&self, batch: &Batch) {
        let is_known = {
            let tables = self.tables.read();
            batch.tables().iter().all(|part| {
                tables
                    .get(&part.table)
                    .is_some_and(|table| fields_and_tags(part.rows.columns()).all(|c| table.contains_key(&c.name)))
            })
        };
        if is_known {
            return;
        }
        for part in batch.tables() {
            self.add(&part.table, fields_and_tags(part.rows.columns()));
        }
    }

    /// Adds a table's columns as the catalog has them; of one name, the kind that was seen first counts.
    pub fn restore(&self, table: &TableName, columns: &[TableColumn]) {
        if columns.is_empty() {
            return;
        }
        let mut by_age: Vec<&TableColumn> = columns.iter().collect();
        by_age.sort_by_key(|column| (column.first_seen, column.id.kind));
        self.add(table, by_age.into_iter().map(|column| &column.id).filter(|id| id.kind != ColumnKind::Time));
    }

    /// Forgets the columns of what a tombstone drops, or learns again those of what it brings back.
    pub fn erase(&self, tombstone: &Tombstone, buffer: &Buffer) {
        if !tombstone.is_in_force() {
            self.restore_erased(&Tombstone { reverted: None, ..tombstone.clone() }, buffer);
            return;
        }
        self.tables.write().retain(|table, _| !tombstone.drops(table));
    }

    /// Learns again the columns of what a tombstone dropped, as they are in the buffer.
    pub fn restore_erased(&self, tombstone: &Tombstone, buffer: &Buffer) {
        for table in buffer.all_tables().iter().filter(|table| tombstone.drops(table)) {
            let dropped = buffer.dropped_columns(table.as_str()).remove(&tombstone.stamp);
            self.restore(table, &buffer.columns(table.as_str()).unwrap_or_default());
            self.restore(table, &dropped.unwrap_or_default());
        }
    }

    /// Whether a table is known.
    pub fn has(&self, table: &TableName) -> bool {
        self.tables.read().contains_key(table)
    }

    /// The kind of a table's column, by its plain name.
    pub fn kind(&self, table: &str, column: &ColumnName) -> Option<ColumnKind> {
        self.tables.read().get(table)?.get(column).copied()
    }

    /// The tables, at most `limit`, in which a column of this name has another kind than `pinned`.
    pub fn contradicting(&self, name: &ColumnName, pinned: ColumnKind, limit: usize) -> Vec<(TableName, ColumnKind)> {
        let tables = self.tables.read();
        let kinds = tables.iter().filter_map(|(table, columns)| Some((table.clone(), *columns.get(name)?)));
        kinds.filter(|(_, kind)| *kind != pinned).take(limit).collect()
    }

    fn add<'a>(&self, table: &TableName, columns: impl Iterator<Item = &'a ColumnId>) {
        let mut tables = self.tables.write();
        let known = tables.entry(table.clone()).or_default();
        for column in columns {
            known.entry(column.name.clone()).or_insert(column.kind);
        }
    }
}

fn fields_and_tags(columns: &[ColumnId]) -> impl Iterator<Item = &ColumnId> {
    columns.iter().filter(|column| column.kind != ColumnKind::Time)
}

/// A database's columns as the rules want them: what a table does not know has the pinned kind.
#[derive(Debug)]
pub struct PinnedSchema {
    schema: Arc<Schema>,
    rules: Arc<RulesInForce>,
}

impl PinnedSchema {
    /// The columns of `schema` under `rules`.
    pub fn new(schema: Arc<Schema>, rules: Arc<RulesInForce>) -> Self {
        Self { schema, rules }
    }

    fn known(&self, table: &str, column: &str) -> Option<ColumnKind> {
        self.schema.tables.read().get(table)?.get(column).copied()
    }
}

impl KnownColumns for PinnedSchema {
    fn kind(&self, table: &str, column: &str) -> Option<ColumnKind> {
        self.known(table, column).or_else(|| self.rules.rules.columns.get(column).copied())
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.known(table, column).is_some()
    }

    fn column_count(&self, table: &str) -> Option<usize> {
        self.schema.tables.read().get(table).map(BTreeMap::len)
    }

    fn table_count(&self) -> usize {
        self.schema.tables.read().len()
    }
}
