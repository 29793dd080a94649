//! What rows look like on the way out: plain types, and messages that clients take.
//!
//! | the engine's | plain |
//! |---|---|
//! | `Dictionary`, `RunEndEncoded` | their values |
//! | `Utf8View`, `LargeUtf8` | `Utf8` |
//! | `BinaryView`, `LargeBinary` | `Binary` |
//! | `Timestamp` of any unit and zone | `Timestamp` of nanoseconds, without a zone |
//! | `Float16` | `Float32` |
//! | `ListView`, `LargeListView` | `List`, `LargeList` |
//!
//! The same holds within lists, structs and maps. Everything else is sent as it is.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::pieces::{Limit, sent_bytes, split};

/// About the most bytes of one message: clients in some languages take no more than 4 MiB unless told.
pub const MESSAGE_BYTES: usize = 2 << 20;

/// The key under which a column's kind stands in its field's metadata.
const COLUMN_TYPE_KEY: &str = "iox::column::type";

/// The types in which rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// Those that every client understands.
    Plain,
    /// Those of the query engine.
    Native,
}

/// How the rows of one query are sent.
#[derive(Debug, Clone)]
pub struct Wire {
    schema: SchemaRef,
}

impl Wire {
    /// For rows of `schema`.
    pub fn new(schema: &SchemaRef, types: Types) -> Self {
        let field = |field: &FieldRef| match types {
            Types::Plain => told(&plain_or_same(field)),
            Types::Native => told(field),
        };
        let fields: Vec<FieldRef> = schema.fields().iter().map(field).collect();
        Self { schema: Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())) }
    }

    /// The schema as it is sent.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows as they are sent: cast, and in pieces of about [`MESSAGE_BYTES`]. A single row that is larger is sent
    /// all the same. A time that nanoseconds can't hold is an error.
    pub fn pieces(&self, rows: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns: Result<Vec<ArrayRef>, ArrowError> = columns
            .map(|(array, field)| match array.data_type() == field.data_type() {
                true => Ok(array.clone()),
                false => cast_with_options(array, field.data_type(), &strict),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns?, &options)?;
        Ok(split(rows, Limit { rows: usize::MAX, bytes: MESSAGE_BYTES }, sent_bytes))
    }
}

/// The field in its plain type, if there is a way from the one to the other.
fn plain_or_same(field: &FieldRef) -> FieldRef {
    let plain = plain_field(field);
    match can_cast_types(field.data_type(), plain.data_type()) {
        true => plain,
        false => field.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain(field.data_type());
    let plain = Field::new(field.name(), data_type, field.is_nullable());
    Arc::new(plain.with_metadata(field.metadata().clone()))
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain_field(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

/// The field without a kind that its type contradicts, as after a cast in SQL: clients type values by it.
fn told(field: &FieldRef) -> FieldRef {
    let Some(kind) = field.metadata().get(COLUMN_TYPE_KEY) else { return field.clone() };
    let expected = match kind.as_str() {
        "iox::column_type::tag" | "iox::column_type::field::string" => DataType::Utf8,
        "iox::column_type::timestamp" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        "iox::column_type::field::float" => DataType::Float64,
        "iox::column_type::field::integer" => DataType::Int64,
        "iox::column_type::field::uinteger" => DataType::UInt64,
        "iox::column_type::field::boolean" => DataType::Boolean,
        _ => DataType::Null,
    };
    if plain(field.data_type()) == expected {
        return field.clone();
    }
    let mut metadata = field.metadata().clone();
    metadata.remove(COLUMN_TYPE_KEY);
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

#[cfg(test)]
mod tests;
