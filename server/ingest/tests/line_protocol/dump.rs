//! A batch as text, for comparisons.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use ochre_batch::Batch;
use ochre_batch::rows::tag_value;
use ochre_types::{ColumnKind, FieldType};

/// One text a row: `table|tag=value,...|field=value,...|time`. Integers end in `i` or `u`, strings are quoted.
pub fn dump(batch: &Batch) -> Vec<String> {
    let mut rows = Vec::new();
    for table in batch.tables() {
        for (row, time) in table.rows.times().iter().enumerate() {
            let (mut tags, mut fields) = (Vec::new(), Vec::new());
            for (column, array) in table.rows.iter() {
                match column.kind {
                    ColumnKind::Tag => {
                        tags.extend(tag_value(array, row).map(|value| format!("{}={value}", column.name)))
                    }
                    ColumnKind::Field(kind) if array.is_valid(row) => {
                        fields.push(format!("{}={}", column.name, field(kind, array, row)));
                    }
                    ColumnKind::Field(_) | ColumnKind::Time => {}
                }
            }
            rows.push(format!("{}|{}|{}|{time}", table.table, tags.join(","), fields.join(",")));
        }
    }
    rows
}

fn field(kind: FieldType, array: &ArrayRef, row: usize) -> String {
    match kind {
        FieldType::Float => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        FieldType::Integer => format!("{}i", array.as_primitive::<Int64Type>().value(row)),
        FieldType::UInteger => format!("{}u", array.as_primitive::<UInt64Type>().value(row)),
        FieldType::Boolean => array.as_boolean().value(row).to_string(),
        FieldType::String => format!("{:?}", array.as_string::<i32>().value(row)),
    }
}
