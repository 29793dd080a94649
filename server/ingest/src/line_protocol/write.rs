//! Rows as lines.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use ochre_batch::TableRows;
use ochre_batch::rows::tag_value;
use ochre_types::{ColumnId, ColumnKind, FieldType};

/// Why rows can't be written as lines.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// A name or tag value is empty, ends in a backslash or holds a newline: line protocol has no escape for these.
    /// A table's name must also not begin with `#`, tab or carriage return.
    #[error("line protocol can't write {text:?} as a {what}")]
    Text {
        /// The text.
        text: String,
        /// What it is.
        what: &'static str,
    },
    /// A float is NaN or infinite.
    #[error("line protocol can't write the value {value} of the field {field:?}: it is not finite")]
    Float {
        /// The field.
        field: String,
        /// The value.
        value: f64,
    },
    /// A row has no field.
    #[error("line protocol can't write row {row} of the table {table:?}: it has no field")]
    NoFields {
        /// The table.
        table: String,
        /// The row, from 0.
        row: usize,
    },
}

/// Appends one line for each row, with its time in nanoseconds. Reading them gives the same rows again.
pub fn write(table: &TableRows, out: &mut String) -> Result<(), WriteError> {
    let times = table.rows.times();
    for (row, time) in times.iter().enumerate() {
        line(table, row, *time, out)?;
    }
    Ok(())
}

fn line(table: &TableRows, row: usize, time: i64, out: &mut String) -> Result<(), WriteError> {
    let name = table.table.as_str();
    if name.starts_with(['#', '\t', '\r']) {
        return Err(WriteError::Text { text: name.to_owned(), what: "table name" });
    }
    escape(name, "table name", &[',', ' '], out)?;
    let mut separator = ' ';
    for (column, array) in table.rows.iter() {
        match column.kind {
            ColumnKind::Tag => {
                if let Some(value) = tag_value(array, row) {
                    out.push(',');
                    escape(column.name.as_str(), "tag key", &KEY, out)?;
                    out.push('=');
                    escape(value, "tag value", &KEY, out)?;
                }
            }
            ColumnKind::Field(field_type) if array.is_valid(row) => {
                out.push(separator);
                escape(column.name.as_str(), "field key", &KEY, out)?;
                out.push('=');
                field(column, field_type, array, row, out)?;
                separator = ',';
            }
            ColumnKind::Field(_) | ColumnKind::Time => {}
        }
    }
    if separator == ' ' {
        return Err(WriteError::NoFields { table: name.to_owned(), row });
    }
    put(out, format_args!(" {time}\n"));
    Ok(())
}

/// What is escaped in keys and tag values.
const KEY: [char; 3] = [',', '=', ' '];

fn escape(text: &str, what: &'static str, escaped: &[char], out: &mut String) -> Result<(), WriteError> {
    if text.is_empty() || text.ends_with('\\') || text.contains('\n') {
        return Err(WriteError::Text { text: text.to_owned(), what });
    }
    for character in text.chars() {
        if escaped.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
    Ok(())
}

fn field(column: &ColumnId, kind: FieldType, array: &ArrayRef, row: usize, out: &mut String) -> Result<(), WriteError> {
    match kind {
        FieldType::Float => {
            let value = array.as_primitive::<Float64Type>().value(row);
            if !value.is_finite() {
                return Err(WriteError::Float { field: column.name.as_str().to_owned(), value });
            }
            // The shortest form that reads back as the same bits, with an exponent where that is shorter.
            put(out, format_args!("{value:?}"));
        }
        FieldType::Integer => put(out, format_args!("{}i", array.as_primitive::<Int64Type>().value(row))),
        FieldType::UInteger => put(out, format_args!("{}u", array.as_primitive::<UInt64Type>().value(row))),
        FieldType::Boolean => put(out, format_args!("{}", array.as_boolean().value(row))),
        FieldType::String => {
            out.push('"');
            for character in array.as_string::<i32>().value(row).chars() {
                if matches!(character, '"' | '\\') {
                    out.push('\\');
                }
                out.push(character);
            }
            out.push('"');
        }
    }
    Ok(())
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String can't fail");
}
