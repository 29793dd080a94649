//! What the tests have in common: a record batch from columns, and a database with one table.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use ochre_batch::{Batch, KnownColumns, NoColumns};
use ochre_ingest::arrow::{Refused, Roles, read};
use ochre_types::rules::Limits;
use ochre_types::{ColumnKind, FieldType, TableName};

/// A database with the table `cpu`, whose tag is `host` and whose field is the float `usage`, and with a pin: `load` is
/// to be unsigned in every table.
pub struct Cpu;

impl KnownColumns for Cpu {
    fn kind(&self, table: &str, column: &str) -> Option<ColumnKind> {
        match (table, column) {
            ("cpu", "host") => Some(ColumnKind::Tag),
            ("cpu", "usage") => Some(ColumnKind::Field(FieldType::Float)),
            (_, "load") => Some(ColumnKind::Field(FieldType::UInteger)),
            _ => None,
        }
    }

    fn has(&self, table: &str, column: &str) -> bool {
        table == "cpu" && matches!(column, "host" | "usage")
    }

    fn column_count(&self, table: &str) -> Option<usize> {
        (table == "cpu").then_some(2)
    }

    fn table_count(&self) -> usize {
        1
    }
}

/// A record batch of nullable columns.
pub fn record(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

/// The same with this metadata on one of its columns.
pub fn with_metadata(rows: &RecordBatch, column: &str, key: &str, value: &str) -> RecordBatch {
    let fields = rows.schema_ref().fields().iter().map(|field| match field.name() == column {
        true => {
            let mut metadata = field.metadata().clone();
            metadata.insert(key.to_owned(), value.to_owned());
            field.as_ref().clone().with_metadata(metadata)
        }
        false => field.as_ref().clone(),
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec()).unwrap()
}

pub fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Texts in a dictionary.
pub fn coded(values: &[Option<&str>]) -> ArrayRef {
    as_type(&texts(values), &dictionary(DataType::Int32, DataType::Utf8))
}

pub fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The values as another type; none may become null.
pub fn as_type(array: &ArrayRef, to: &DataType) -> ArrayRef {
    let converted = cast(array, to).unwrap();
    let nulls = |array: &ArrayRef| array.logical_null_count();
    assert_eq!(nulls(&converted), nulls(array), "{to} holds the test's values");
    converted
}

pub fn dictionary(keys: DataType, values: DataType) -> DataType {
    DataType::Dictionary(Box::new(keys), Box::new(values))
}

pub fn roles(tags: &[&str], time: Option<&str>) -> Roles {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Roles { tags: Some(tags), time: time.map(str::to_owned) }
}

pub fn table(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

/// Reads rows of a new table `m`.
pub fn read_new(rows: &RecordBatch, roles: &Roles) -> Result<Batch, Refused> {
    read(&table("m"), rows, &NoColumns, roles, &Limits::default(), None)
}

/// Reads rows of the table `cpu` that the database knows.
pub fn read_known(rows: &RecordBatch, roles: &Roles) -> Result<Batch, Refused> {
    read(&table("cpu"), rows, &Cpu, roles, &Limits::default(), None)
}

/// The distinct values of a tag in the order of their codes.
pub fn tag_values(batch: &Batch, name: &str) -> Vec<String> {
    let rows = &batch.tables()[0].rows;
    let (_, array) = rows.iter().find(|(column, _)| column.name.as_str() == name).unwrap();
    let values = array.as_any_dictionary().values().as_string::<i32>();
    values.iter().map(|value| value.unwrap().to_owned()).collect()
}
