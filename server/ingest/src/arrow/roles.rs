//! Which column is what.

use std::collections::BTreeSet;

use arrow_schema::{DataType, Field, Schema};
use ochre_batch::rows::arrow_type;
use ochre_batch::{KnownColumns, RowError};
use ochre_types::{ColumnId, ColumnKind, ColumnName, FieldType, STAMP_COLUMN, TIME_COLUMN, TableName};

use super::Refused;
use crate::line_protocol::error::iox_type;

/// The key of a column's metadata under which InfluxDB 3 says what it is: `iox::column_type::tag`, `…::timestamp`, or
/// `…::field::` with the field's type.
pub const IOX_COLUMN_TYPE: &str = "iox::column::type";
/// The key of a column's metadata under which Ochre's own files say what it is: `tag`, `time` or the field's type.
pub const OCHRE_KIND: &str = "ochre.kind";

/// What a write says of its columns. It is heard before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    /// All tags: a column that is not among them is none. `None`: nothing is said.
    pub tags: Option<Vec<String>>,
    /// The time. `None`: nothing is said.
    pub time: Option<String>,
}

/// A column that is taken: where it stands, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) index: usize,
    pub(super) column: ColumnId,
}

/// What a column is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Time,
    Tag,
    /// A field, perhaps of a type.
    Field(Option<FieldType>),
}

/// The columns that are taken, in the order of the schema, with exactly one time.
pub(super) fn of_columns(
    table: &TableName,
    schema: &Schema,
    known: &dyn KnownColumns,
    roles: &Roles,
) -> Result<Vec<Role>, Refused> {
    check_names(schema, roles)?;
    let mut taken: Vec<Role> = Vec::with_capacity(schema.fields().len());
    let mut time: Option<&str> = None;
    for (index, field) in schema.fields().iter().enumerate() {
        // All its values are absent, and what it would hold is not known.
        if *field.data_type() == DataType::Null && roles.time.as_ref() != Some(field.name()) {
            continue;
        }
        let name = field.name().as_str();
        let known_kind = if name == TIME_COLUMN { None } else { known.kind(table.as_str(), name) };
        let said = what_is_said(field, roles, known_kind)?;
        let column = match said {
            Said::Time => {
                if let Some(first) = time.replace(name) {
                    return Err(Refused::TwoTimes { first: first.to_owned(), second: name.to_owned() });
                }
                time_column(field)?
            }
            Said::Tag | Said::Field(_) => value_column(table, field, said, known_kind)?,
        };
        taken.push(Role { index, column });
    }
    if time.is_none() {
        return Err(Refused::NoTime);
    }
    Ok(taken)
}

/// No name stands twice, and every name that the write speaks of is there.
fn check_names(schema: &Schema, roles: &Roles) -> Result<(), Refused> {
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        if !names.insert(field.name().as_str()) {
            return Err(Refused::DuplicateColumn { column: field.name().clone() });
        }
    }
    let tags = roles.tags.iter().flatten().map(|name| (name, "a tag"));
    for (name, role) in roles.time.iter().map(|name| (name, "the time")).chain(tags) {
        if !names.contains(name.as_str()) {
            return Err(Refused::NoSuchColumn { column: name.clone(), role });
        }
        if role == "a tag" && roles.time.as_ref() == Some(name) {
            return Err(Refused::TimeIsTag { column: name.clone() });
        }
    }
    Ok(())
}

/// What the first says that speaks of a column.
fn what_is_said(field: &Field, roles: &Roles, known: Option<ColumnKind>) -> Result<Said, Refused> {
    if roles.time.as_ref() == Some(field.name()) {
        return Ok(Said::Time);
    }
    if roles.tags.as_ref().is_some_and(|tags| tags.contains(field.name())) {
        return Ok(Said::Tag);
    }
    let kind = match in_metadata(field)? {
        Some(kind) => Some(kind),
        None => known,
    };
    let is_time = || field.name() == TIME_COLUMN && roles.time.is_none();
    Ok(match kind {
        Some(ColumnKind::Time) if roles.time.is_none() => Said::Time,
        // The write names another time.
        Some(ColumnKind::Time) => Said::Field(None),
        None if is_time() => Said::Time,
        // The write names all its tags.
        Some(ColumnKind::Tag) | None if roles.tags.is_some() => Said::Field(None),
        Some(ColumnKind::Tag) => Said::Tag,
        Some(ColumnKind::Field(field_type)) => Said::Field(Some(field_type)),
        None if matches!(field.data_type(), DataType::Dictionary(_, values) if is_text(values)) => Said::Tag,
        None => Said::Field(None),
    })
}

/// The kind that a column's metadata says.
fn in_metadata(field: &Field) -> Result<Option<ColumnKind>, Refused> {
    let fields = FieldType::ALL.into_iter().map(ColumnKind::Field);
    let mut kinds = fields.chain([ColumnKind::Tag, ColumnKind::Time]);
    let (key, value, found) = if let Some(value) = field.metadata().get(IOX_COLUMN_TYPE) {
        (IOX_COLUMN_TYPE, value, kinds.find(|kind| iox_type(*kind) == value))
    } else if let Some(value) = field.metadata().get(OCHRE_KIND) {
        (OCHRE_KIND, value, kinds.find(|kind| kind.to_string() == *value))
    } else {
        return Ok(None);
    };
    if found.is_none() {
        return Err(Refused::Metadata { column: field.name().clone(), key, value: value.clone() });
    }
    Ok(found)
}

fn time_column(field: &Field) -> Result<ColumnId, Refused> {
    match field.data_type() {
        DataType::Timestamp(..) | DataType::Int64 => {
            let name = ColumnName::new(TIME_COLUMN).expect("the name of the time column is a valid name");
            Ok(ColumnId { name, kind: ColumnKind::Time })
        }
        found => Err(Refused::TimeType { column: field.name().clone(), found: found.clone() }),
    }
}

/// A tag or field, if its name may be one's, and its type is what it is said and known to be.
fn value_column(table: &TableName, field: &Field, said: Said, known: Option<ColumnKind>) -> Result<ColumnId, Refused> {
    let (table, column) = (table.as_str().to_owned(), field.name().clone());
    if column == TIME_COLUMN || column == STAMP_COLUMN {
        return Err(RowError::Reserved { table, column }.into());
    }
    let name = ColumnName::new(&column).map_err(RowError::from)?;
    let found = field.data_type();
    let field_type = field_type(found);
    let kind = match (said, field_type) {
        (Said::Tag, Some(FieldType::String)) => ColumnKind::Tag,
        (Said::Tag, _) => return Err(Refused::TagType { column, found: found.clone() }),
        (_, Some(sent)) => ColumnKind::Field(sent),
        (_, None) => return Err(Refused::Unsupported { column, found: found.clone(), remedy: remedy(found) }),
    };
    let stated = match said {
        Said::Field(Some(stated)) => Some(stated),
        _ => None,
    };
    match (kind, known, stated) {
        (ColumnKind::Field(sent), Some(ColumnKind::Field(known)), _) | (ColumnKind::Field(sent), _, Some(known))
            if sent != known =>
        {
            let remedy = arrow_type(ColumnKind::Field(known));
            Err(Refused::FieldType { table, column, found: found.clone(), sent, known, remedy })
        }
        (_, Some(known), _) if known != kind => {
            Err(RowError::KindConflict { table, column, found: kind, known }.into())
        }
        _ => Ok(ColumnId { name, kind }),
    }
}

/// The type of field that an Arrow type makes without loss.
fn field_type(found: &DataType) -> Option<FieldType> {
    use DataType::{Boolean, Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match found {
        Float16 | Float32 | Float64 => Some(FieldType::Float),
        Int8 | Int16 | Int32 | Int64 => Some(FieldType::Integer),
        UInt8 | UInt16 | UInt32 | UInt64 => Some(FieldType::UInteger),
        Boolean => Some(FieldType::Boolean),
        DataType::Dictionary(_, values) => is_text(values).then_some(FieldType::String),
        text => is_text(text).then_some(FieldType::String),
    }
}

fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What to do with a column of a type that no field has.
fn remedy(found: &DataType) -> &'static str {
    match found {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "cast it to Float64, or to Int64 of its smallest unit"
        }
        DataType::Timestamp(..) => "cast it to Int64, or say that it is the time",
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => "cast it to Int64 or Utf8",
        DataType::Duration(_) | DataType::Interval(_) => "cast it to Int64",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "cast it to Utf8, as base64 if it is no text"
        }
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => "cast it to the type of its values",
        _ => "make one column of each value, or cast it to Utf8",
    }
}
