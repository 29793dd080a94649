//! One row being built.

use ochre_types::{ColumnKind, TableName};

use super::table::TableBuilder;
use super::{BatchBuilder, DuplicateField, FieldValue, NONE, RowError};

/// A row that has begun. It counts once it is committed; dropped before, it leaves no trace: no value, no column, no
/// table, no entry in a dictionary.
///
/// A refused tag or field leaves the row as it was; whether the row may still be committed is the caller's choice.
pub struct Row<'b, 'k> {
    builder: &'b mut BatchBuilder<'k>,
    table: u32,
    table_created: bool,
    columns_before: usize,
    previous: u32,
    fields: usize,
    committed: bool,
}

impl<'b, 'k> Row<'b, 'k> {
    pub(super) fn new(builder: &'b mut BatchBuilder<'k>, table: u32, table_created: bool) -> Self {
        let columns_before = builder.tables[table as usize].columns.len();
        Self { builder, table, table_created, columns_before, previous: NONE, fields: 0, committed: false }
    }

    fn table(&mut self) -> &mut TableBuilder {
        &mut self.builder.tables[self.table as usize]
    }

    /// The name of the column that came next in the last row of this shape: a guess, so that a parser can compare
    /// instead of search. Only names without backslash, comma, space, equals sign, quote and newline, so that a name
    /// is written just as it is in every text protocol.
    pub fn expected(&self) -> Option<&str> {
        let table = &self.builder.tables[self.table as usize];
        let column = table.columns.get(table.expected(self.previous) as usize)?;
        column.is_plain.then(|| column.name.as_str())
    }

    /// The row's table.
    pub fn table_name(&self) -> &TableName {
        &self.builder.tables[self.table as usize].name
    }

    /// The value of a tag that was set; nothing for other names.
    pub fn tag_value(&self, name: &str) -> Option<&str> {
        let table = &self.builder.tables[self.table as usize];
        table.columns.get(table.find(name)? as usize)?.tag(table.times.len())
    }

    /// Sets a tag.
    pub fn tag(&mut self, name: &str, value: &str) -> Result<(), RowError> {
        let index = self.column(name, ColumnKind::Tag, value.len())?;
        let table = self.table();
        let (rows, column) = (table.times.len(), &mut table.columns[index as usize]);
        if column.len() > rows {
            return Err(RowError::DuplicateTag { column: name.to_owned() });
        }
        column.pad(rows);
        column.push_tag(value);
        self.builder.touched.push(index);
        Ok(())
    }

    /// Sets a field.
    pub fn field(&mut self, name: &str, value: FieldValue<'_>, duplicate: DuplicateField) -> Result<(), RowError> {
        let length = if let FieldValue::String(text) = value { text.len() } else { 0 };
        let index = self.column(name, ColumnKind::Field(value.field_type()), length)?;
        let table = self.table();
        let (rows, column) = (table.times.len(), &mut table.columns[index as usize]);
        let is_set = column.len() > rows;
        if is_set {
            if duplicate == DuplicateField::Refuse {
                return Err(RowError::DuplicateField { column: name.to_owned() });
            }
            column.undo(rows);
        }
        column.pad(rows);
        column.push_field(value);
        if !is_set {
            self.fields += 1;
            self.builder.touched.push(index);
        }
        Ok(())
    }

    /// Ends the row. `time` is in nanoseconds since 1970-01-01 UTC.
    pub fn commit(mut self, time: i64) -> Result<(), RowError> {
        if self.fields == 0 {
            return Err(RowError::NoFields);
        }
        let columns_before = self.columns_before;
        let table = self.table();
        let (rows, columns) = (table.times.len(), table.columns.len());
        // The time column counts too.
        let added = (rows + 1) * (columns + 1) - rows * (columns_before + 1);
        if self.builder.cells + added > self.builder.max_cells {
            return Err(RowError::TooManyCells { limit: self.builder.max_cells });
        }
        self.builder.cells += added;
        self.builder.rows += 1;
        self.table().times.push(time);
        self.committed = true;
        Ok(())
    }

    /// The column of this name and kind, found or added, with room for a value of `length` bytes of text.
    fn column(&mut self, name: &str, kind: ColumnKind, length: usize) -> Result<u32, RowError> {
        if length > i32::MAX as usize {
            return Err(RowError::TooMuchText { column: name.to_owned() });
        }
        let previous = self.previous;
        let (known, limit) = (self.builder.known, self.builder.max_columns);
        let table = self.table();
        let expected = table.expected(previous);
        let index = match table.columns.get(expected as usize) {
            Some(column) if column.name.as_str() == name => expected,
            _ => {
                let index = match table.find(name) {
                    Some(index) => index,
                    None => table.add(name, kind, known, limit)?,
                };
                table.remember(previous, index);
                index
            }
        };
        let column = &table.columns[index as usize];
        if column.kind != kind {
            return Err(RowError::conflict(table.name.as_str(), name, kind, column.kind));
        }
        if !column.has_room(length) {
            return Err(RowError::TooMuchText { column: name.to_owned() });
        }
        self.previous = index;
        Ok(index)
    }
}

impl Drop for Row<'_, '_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let table = &mut self.builder.tables[self.table as usize];
        table.undo(&self.builder.touched, self.columns_before);
        if self.table_created {
            self.builder.forget_last_table();
        }
    }
}
