//! The columns of a table as SQL shows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use ochre_batch::rows::{arrow_type, canonical_order};
use ochre_batch::stamps::stamp_type;
use ochre_store::snapshot::TableColumn;
use ochre_types::{ColumnId, ColumnKind, FieldType, STAMP_COLUMN};

/// The key under which a column's kind stands in its field's metadata. InfluxDB 3's clients type values by it.
pub(crate) const COLUMN_TYPE_KEY: &str = "iox::column::type";

/// A table's columns by visible name, without the hidden one.
#[derive(Debug)]
pub(crate) struct Layout {
    ids: Vec<ColumnId>,
    schema: SchemaRef,
}

impl Layout {
    /// Of two columns that come out with one visible name (a field that was named like another's `name::type`), the
    /// one that comes first in canonical order is shown.
    pub(crate) fn new(columns: &[TableColumn]) -> Self {
        let mut sorted: Vec<&TableColumn> = columns.iter().collect();
        sorted.sort_by(|a, b| canonical_order(&a.id, &b.id));
        let mut by_name: BTreeMap<String, ColumnId> = BTreeMap::new();
        for column in sorted {
            let name = column.visible_name(columns);
            if name != STAMP_COLUMN {
                by_name.entry(name).or_insert_with(|| column.id.clone());
            }
        }
        let fields: Vec<FieldRef> = by_name.iter().map(|(name, id)| Arc::new(field(name, id.kind))).collect();
        Self { ids: by_name.into_values().collect(), schema: Arc::new(Schema::new(fields)) }
    }

    /// The columns in the order of [`Layout::schema`].
    pub(crate) fn ids(&self) -> &[ColumnId] {
        &self.ids
    }

    /// The schema of the table in SQL.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The schema of the table in Parquet: that of SQL and the stamps at the end.
    pub(crate) fn stored_schema(&self) -> SchemaRef {
        let fields: Vec<FieldRef> = self.schema.fields().iter().cloned().chain([Arc::new(stamp_field())]).collect();
        Arc::new(Schema::new(fields))
    }

    /// Where a column stands in [`Layout::schema`].
    pub(crate) fn position(&self, id: &ColumnId) -> Option<usize> {
        self.ids.iter().position(|other| other == id)
    }

    /// The field of a column.
    pub(crate) fn field(&self, position: usize) -> &FieldRef {
        &self.schema.fields()[position]
    }

    /// Whether the column of this name is part of the key.
    pub(crate) fn is_key(&self, name: &str) -> bool {
        self.schema.index_of(name).is_ok_and(|position| self.ids[position].kind.is_key())
    }

    /// The tag of this visible name.
    pub(crate) fn tag(&self, name: &str) -> Option<&ColumnId> {
        let id = &self.ids[self.schema.index_of(name).ok()?];
        (id.kind == ColumnKind::Tag).then_some(id)
    }
}

fn field(name: &str, kind: ColumnKind) -> Field {
    let text = match kind {
        ColumnKind::Tag => "iox::column_type::tag",
        ColumnKind::Time => "iox::column_type::timestamp",
        ColumnKind::Field(FieldType::Float) => "iox::column_type::field::float",
        ColumnKind::Field(FieldType::Integer) => "iox::column_type::field::integer",
        ColumnKind::Field(FieldType::UInteger) => "iox::column_type::field::uinteger",
        ColumnKind::Field(FieldType::String) => "iox::column_type::field::string",
        ColumnKind::Field(FieldType::Boolean) => "iox::column_type::field::boolean",
    };
    Field::new(name, arrow_type(kind), kind != ColumnKind::Time)
        .with_metadata(HashMap::from([(COLUMN_TYPE_KEY.to_owned(), text.to_owned())]))
}

/// The hidden column. Nullable, as a chunk that lacks it reads as nulls, which the fold then refuses by name.
pub(crate) fn stamp_field() -> Field {
    Field::new(STAMP_COLUMN, stamp_type(), true)
}
