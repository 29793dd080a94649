//! Writing the payload. The layout is described at [`super`].

use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, StringArray, cast::AsArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer, ToByteSlice};
use bytes::Bytes;
use ochre_types::{ColumnId, ColumnKind, FieldType};

use super::{ALIGNMENT, FORMAT, HAS_VALIDITY, MAGIC, MIN_READER};
use crate::batch::{Batch, TableRows};
use crate::rows::tag_parts;

pub(super) fn batch(batch: &Batch) -> Bytes {
    // What is held is at least about what is written; the vector grows if not.
    let mut out = Vec::with_capacity(batch.row_count() * 16 + 256);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&MIN_READER.to_le_bytes());
    put_u32(&mut out, batch.tables().len());
    put_u32(&mut out, 0);
    for table in batch.tables() {
        put_table(&mut out, table);
    }
    Bytes::from(out)
}

fn put_table(out: &mut Vec<u8>, TableRows { table, rows }: &TableRows) {
    put_u32(out, table.as_str().len());
    put_u32(out, rows.columns().len());
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    out.extend_from_slice(table.as_str().as_bytes());
    pad(out);
    for (column, array) in rows.iter() {
        put_column(out, column, array);
    }
}

fn put_column(out: &mut Vec<u8>, column: &ColumnId, array: &ArrayRef) {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let tags = (column.kind == ColumnKind::Tag).then(|| PackedTags::of(array));
    put_u32(out, column.name.as_str().len());
    let flags = if nulls.is_some() { HAS_VALIDITY } else { 0 };
    let width = tags.as_ref().map_or(0, PackedTags::code_width);
    out.extend_from_slice(&[column.kind.code(), flags, width, 0]);
    out.extend_from_slice(column.name.as_str().as_bytes());
    pad(out);
    if let Some(nulls) = nulls {
        put_bits(out, nulls.inner());
    }
    match (column.kind, &tags) {
        (ColumnKind::Tag, tags) => tags.iter().for_each(|tags| tags.put(out, width)),
        (ColumnKind::Time, _) => put_fixed::<TimestampNanosecondType>(out, array, nulls),
        (ColumnKind::Field(FieldType::Float), _) => put_fixed::<Float64Type>(out, array, nulls),
        (ColumnKind::Field(FieldType::Integer), _) => put_fixed::<Int64Type>(out, array, nulls),
        (ColumnKind::Field(FieldType::UInteger), _) => put_fixed::<UInt64Type>(out, array, nulls),
        (ColumnKind::Field(FieldType::Boolean), _) => put_booleans(out, array, nulls),
        (ColumnKind::Field(FieldType::String), _) => {
            let array: &StringArray = array.as_string();
            put_text(out, (0..array.len()).map(|row| if array.is_valid(row) { array.value(row) } else { "" }));
        }
    }
}

/// A length or count. What is counted are bytes of names, columns, and rows and bytes of arrays whose offsets are `i32`.
fn put_u32(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("names, columns and the offsets of Arrow's Utf8 fit into 32 bits");
    out.extend_from_slice(&number.to_le_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

fn put_fixed<T: ArrowPrimitiveType>(out: &mut Vec<u8>, array: &ArrayRef, nulls: Option<&NullBuffer>) {
    let values = array.as_primitive::<T>().values();
    match nulls {
        None => out.extend_from_slice(values.inner().as_slice()),
        Some(nulls) => {
            for (value, is_valid) in values.iter().zip(nulls.iter()) {
                let value = if is_valid { *value } else { T::Native::usize_as(0) };
                out.extend_from_slice(value.to_byte_slice());
            }
        }
    }
}

fn put_booleans(out: &mut Vec<u8>, array: &ArrayRef, nulls: Option<&NullBuffer>) {
    let values = array.as_boolean().values();
    match nulls {
        None => put_bits(out, values),
        Some(nulls) => put_bits(out, &(values & nulls.inner())),
    }
}

/// Bits in words of 64, the rest of the last word zero; so it needs no padding.
fn put_bits(out: &mut Vec<u8>, bits: &BooleanBuffer) {
    for word in bits.bit_chunks().iter_padded().take(bits.len().div_ceil(64)) {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn put_text<'t>(out: &mut Vec<u8>, values: impl Iterator<Item = &'t str> + Clone) {
    let mut end = 0;
    put_u32(out, end);
    for value in values.clone() {
        end += value.len();
        put_u32(out, end);
    }
    pad(out);
    out.reserve(end);
    for value in values {
        out.extend_from_slice(value.as_bytes());
    }
    pad(out);
}

/// A tag column with only the values that rows use, numbered by first use.
struct PackedTags<'a> {
    values: &'a StringArray,
    /// The used values, as codes of `values`, in the order of their new numbers.
    used: Vec<u32>,
    /// The new number of each row's value; 0 where it has none.
    codes: Vec<u32>,
}

impl<'a> PackedTags<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        let (codes, values) = tag_parts(array);
        let mut used = Vec::new();
        let mut numbers: Vec<Option<u32>> = vec![None; values.len()];
        let number = |row| {
            if codes.is_null(row) {
                return 0;
            }
            let code = codes.value(row) as u32;
            *numbers[code as usize].get_or_insert_with(|| {
                used.push(code);
                used.len() as u32 - 1
            })
        };
        let codes = (0..codes.len()).map(number).collect();
        Self { values, used, codes }
    }

    fn code_width(&self) -> u8 {
        match self.used.len() {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        }
    }

    fn put(&self, out: &mut Vec<u8>, width: u8) {
        put_u32(out, self.used.len());
        put_u32(out, 0);
        put_text(out, self.used.iter().map(|code| self.values.value(*code as usize)));
        for code in &self.codes {
            out.extend_from_slice(&code.to_le_bytes()[..usize::from(width)]);
        }
        pad(out);
    }
}
