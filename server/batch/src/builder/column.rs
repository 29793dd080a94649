//! One column being built.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder};
use ochre_types::{ColumnId, ColumnKind, ColumnName, FieldType};

use super::dictionary::Dictionary;
use super::text::Text;
use super::{FieldValue, NONE};

pub(super) struct Column {
    pub(super) name: ColumnName,
    pub(super) kind: ColumnKind,
    /// Whether the database does not have the column yet.
    pub(super) is_new: bool,
    /// Whether the name has no character that a text protocol may write as an escape.
    pub(super) is_plain: bool,
    /// The column that followed this one last time.
    pub(super) next: u32,
    valid: NullBufferBuilder,
    data: Data,
}

enum Data {
    Tag(Dictionary),
    Float(Vec<f64>),
    Integer(Vec<i64>),
    UInteger(Vec<u64>),
    Boolean(BooleanBufferBuilder),
    String(Text),
}

impl Data {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Tag => Self::Tag(Dictionary::new()),
            // A builder keeps its times apart from its columns.
            ColumnKind::Time | ColumnKind::Field(FieldType::Integer) => Self::Integer(Vec::new()),
            ColumnKind::Field(FieldType::Float) => Self::Float(Vec::new()),
            ColumnKind::Field(FieldType::UInteger) => Self::UInteger(Vec::new()),
            ColumnKind::Field(FieldType::Boolean) => Self::Boolean(BooleanBufferBuilder::new(0)),
            ColumnKind::Field(FieldType::String) => Self::String(Text::new()),
        }
    }
}

impl Column {
    pub(super) fn new(name: ColumnName, kind: ColumnKind, is_new: bool) -> Self {
        let is_plain = !name.as_str().contains(['\\', ',', ' ', '=', '"', '\n']);
        Self { name, kind, is_new, is_plain, next: NONE, valid: NullBufferBuilder::new(0), data: Data::new(kind) }
    }

    /// Rows filled so far.
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether a value of `length` bytes of text fits.
    pub(super) fn has_room(&self, length: usize) -> bool {
        match &self.data {
            Data::Tag(tags) => tags.has_room(length),
            Data::String(values) => values.has_room(length),
            _ => true,
        }
    }

    /// Leaves rows without a value until there are `rows`.
    pub(super) fn pad(&mut self, rows: usize) {
        let count = rows.saturating_sub(self.len());
        if count == 0 {
            return;
        }
        self.valid.append_n_nulls(count);
        match &mut self.data {
            Data::Tag(tags) => tags.push_absent(count),
            Data::Float(values) => values.resize(rows, 0.0),
            Data::Integer(values) => values.resize(rows, 0),
            Data::UInteger(values) => values.resize(rows, 0),
            Data::Boolean(values) => values.append_n(count, false),
            Data::String(values) => values.push_empty(count),
        }
    }

    /// Sets a tag in the row after the last one. The column must be a tag.
    pub(super) fn push_tag(&mut self, value: &str) {
        if let Data::Tag(tags) = &mut self.data {
            tags.push(value);
            self.valid.append_non_null();
        }
    }

    /// The tag that a row has. The column must be a tag.
    pub(super) fn tag(&self, row: usize) -> Option<&str> {
        match &self.data {
            // A row that was padded has no value behind its code; one that is yet to come has no code.
            Data::Tag(tags) if row < self.len() && self.valid.is_valid(row) => tags.get(row),
            _ => None,
        }
    }

    /// Sets a field in the row after the last one. The column must be a field of the value's type.
    pub(super) fn push_field(&mut self, value: FieldValue<'_>) {
        match (&mut self.data, value) {
            (Data::Float(values), FieldValue::Float(value)) => values.push(value),
            (Data::Integer(values), FieldValue::Integer(value)) => values.push(value),
            (Data::UInteger(values), FieldValue::UInteger(value)) => values.push(value),
            (Data::Boolean(values), FieldValue::Boolean(value)) => values.append(value),
            (Data::String(values), FieldValue::String(value)) => values.push(value),
            _ => return,
        }
        self.valid.append_non_null();
    }

    /// Takes back what was set in rows from `rows` on: at most one.
    pub(super) fn undo(&mut self, rows: usize) {
        if self.len() <= rows {
            return;
        }
        self.valid.truncate(rows);
        match &mut self.data {
            Data::Tag(tags) => tags.undo(rows),
            Data::Float(values) => values.truncate(rows),
            Data::Integer(values) => values.truncate(rows),
            Data::UInteger(values) => values.truncate(rows),
            Data::Boolean(values) => values.truncate(rows),
            Data::String(values) => values.truncate(rows),
        }
    }

    pub(super) fn finish(mut self, rows: usize) -> (ColumnId, ArrayRef) {
        self.pad(rows);
        let nulls = self.valid.finish();
        let array: ArrayRef = match self.data {
            Data::Tag(tags) => tags.finish(nulls),
            Data::Float(values) => Arc::new(PrimitiveArray::<Float64Type>::new(values.into(), nulls)),
            Data::Integer(values) => Arc::new(PrimitiveArray::<Int64Type>::new(values.into(), nulls)),
            Data::UInteger(values) => Arc::new(PrimitiveArray::<UInt64Type>::new(values.into(), nulls)),
            Data::Boolean(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Data::String(values) => Arc::new(values.finish(nulls)),
        };
        (ColumnId { name: self.name, kind: self.kind }, array)
    }
}
