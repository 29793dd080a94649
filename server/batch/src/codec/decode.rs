//! Reading the payload. The layout is described at [`super`].

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;
use ochre_types::{ColumnId, ColumnKind, ColumnName, FieldType, TIME_COLUMN, TableName};

use super::{ALIGNMENT, DecodeError, FORMAT, HAS_VALIDITY, MAGIC};
use crate::batch::{Batch, TableRows};
use crate::rows::Rows;

pub(super) fn batch(payload: Bytes) -> Result<Batch, DecodeError> {
    let mut reader = Reader::new(payload);
    if reader.take(4, "the magic").map_err(|_| DecodeError::Magic)? != MAGIC[..] {
        return Err(DecodeError::Magic);
    }
    let (format, min_reader) = (reader.u16("the format")?, reader.u16("the format")?);
    if min_reader > FORMAT {
        return Err(DecodeError::TooNew { format, min_reader });
    }
    if min_reader == 0 || format < min_reader {
        return Err(reader.malformed("the format is below its oldest reader's"));
    }
    let count = reader.u32("the number of tables")?;
    reader.zeros(4)?;
    let mut tables: Vec<TableRows> = Vec::new();
    for _ in 0..count {
        let start = reader.offset;
        let table = read_table(&mut reader)?;
        if tables.last().is_some_and(|before| before.table >= table.table) {
            return Err(DecodeError::Malformed { what: "a table stands twice or out of order", offset: start });
        }
        tables.push(table);
    }
    if reader.offset != reader.payload.len() {
        return Err(reader.malformed("bytes follow the last table"));
    }
    Ok(Batch::new(tables))
}

fn read_table(reader: &mut Reader) -> Result<TableRows, DecodeError> {
    let name_length = reader.u32("a table's head")?;
    let column_count = reader.u32("a table's head")?;
    let row_count = reader.u64("a table's head")?;
    // Every table has times of 8 bytes a row: a count beyond that is refused before anything is done with it.
    let possible = (reader.payload.len() - reader.offset) / size_of::<i64>();
    let row_count = match usize::try_from(row_count) {
        Ok(0) => return Err(reader.malformed("a table has no rows")),
        Ok(count) if count <= possible => count,
        _ => return Err(reader.truncated("a table's rows")),
    };
    let offset = reader.offset;
    let table = TableName::new(reader.name(name_length)?).map_err(|error| DecodeError::Name { offset, error })?;
    let mut columns = Vec::new();
    let mut arrays = Vec::new();
    for _ in 0..column_count {
        let (column, array) = read_column(reader, row_count)?;
        columns.push(column);
        arrays.push(array);
    }
    Ok(TableRows { table, rows: Rows::new(columns, arrays)? })
}

fn read_column(reader: &mut Reader, rows: usize) -> Result<(ColumnId, ArrayRef), DecodeError> {
    let name_length = reader.u32("a column's head")?;
    let [kind, flags, width] =
        [reader.u8("a column's head")?, reader.u8("a column's head")?, reader.u8("a column's head")?];
    reader.zeros(1)?;
    let kind = ColumnKind::from_code(kind).ok_or_else(|| reader.malformed("a column's kind is unknown"))?;
    if flags & !HAS_VALIDITY != 0 {
        return Err(reader.malformed("a column's flags are unknown"));
    }
    if kind != ColumnKind::Tag && width != 0 {
        return Err(reader.malformed("a column that is no tag has a code width"));
    }
    let offset = reader.offset;
    let name = ColumnName::new(reader.name(name_length)?).map_err(|error| DecodeError::Name { offset, error })?;
    if kind == ColumnKind::Time && name.as_str() != TIME_COLUMN {
        return Err(DecodeError::Malformed { what: "the time column is not named \"time\"", offset });
    }
    let column = ColumnId { name, kind };
    let nulls = match flags & HAS_VALIDITY {
        0 => None,
        _ => Some(NullBuffer::new(reader.bits(rows)?)),
    };
    let array: ArrayRef = match kind {
        ColumnKind::Tag => Arc::new(read_tags(reader, &column, rows, width, nulls)?),
        ColumnKind::Time => Arc::new(read_fixed::<TimestampNanosecondType>(reader, rows, nulls)?),
        ColumnKind::Field(FieldType::Float) => Arc::new(read_fixed::<Float64Type>(reader, rows, nulls)?),
        ColumnKind::Field(FieldType::Integer) => Arc::new(read_fixed::<Int64Type>(reader, rows, nulls)?),
        ColumnKind::Field(FieldType::UInteger) => Arc::new(read_fixed::<UInt64Type>(reader, rows, nulls)?),
        ColumnKind::Field(FieldType::Boolean) => Arc::new(BooleanArray::new(reader.bits(rows)?, nulls)),
        ColumnKind::Field(FieldType::String) => Arc::new(read_text(reader, &column, rows, nulls)?),
    };
    Ok((column, array))
}

fn read_fixed<T: ArrowPrimitiveType>(
    reader: &mut Reader,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<T>, DecodeError> {
    Ok(PrimitiveArray::new(reader.numbers(rows, "a column's values")?, nulls))
}

fn read_text(
    reader: &mut Reader,
    column: &ColumnId,
    count: usize,
    nulls: Option<NullBuffer>,
) -> Result<StringArray, DecodeError> {
    let start = reader.offset;
    let offsets: ScalarBuffer<i32> = reader.numbers(count.saturating_add(1), "a column's offsets")?;
    // Read as signed, an offset beyond 2 GiB is negative, and so falls.
    if offsets.first() != Some(&0) || offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(DecodeError::Malformed { what: "offsets don't start at 0 or fall", offset: start });
    }
    let length = offsets.last().map_or(0, |end| end.as_usize());
    let text = reader.section(length, "a column's text")?;
    StringArray::try_new(OffsetBuffer::new(offsets), Buffer::from(text), nulls)
        .map_err(|error| DecodeError::Text { column: column.clone(), reason: error.to_string() })
}

fn read_tags(
    reader: &mut Reader,
    column: &ColumnId,
    rows: usize,
    width: u8,
    nulls: Option<NullBuffer>,
) -> Result<DictionaryArray<Int32Type>, DecodeError> {
    let count = reader.u32("a tag's values")?;
    reader.zeros(4)?;
    let values = read_text(reader, column, count as usize, None)?;
    let start = reader.offset;
    let codes: ScalarBuffer<i32> = match width {
        1 => reader.section(rows, "a tag's codes")?.iter().map(|code| i32::from(*code)).collect(),
        2 => {
            let bytes = reader.section(rows.saturating_mul(2), "a tag's codes")?;
            bytes.chunks_exact(2).map(|code| i32::from(u16::from_le_bytes([code[0], code[1]]))).collect()
        }
        4 => reader.numbers(rows, "a tag's codes")?,
        _ => return Err(reader.malformed("a tag's code width is not 1, 2 or 4")),
    };
    // Where a row lacks a value its code is 0, which is in range even if there are no values at all.
    if codes.iter().any(|code| *code != 0 && u32::try_from(*code).map_or(true, |code| code >= count)) {
        return Err(DecodeError::Malformed { what: "a tag's code is beyond its values", offset: start });
    }
    DictionaryArray::try_new(PrimitiveArray::new(codes, nulls), Arc::new(values))
        .map_err(|_| DecodeError::Malformed { what: "a tag's code is beyond its values", offset: start })
}

/// A payload that did not start at a multiple of [`ALIGNMENT`]: Arrow allocates at such multiples.
struct AlignedCopy(Buffer);

impl AsRef<[u8]> for AlignedCopy {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Takes pieces of the payload, each checked against what is left.
struct Reader {
    payload: Bytes,
    offset: usize,
}

impl Reader {
    fn new(payload: Bytes) -> Self {
        if payload.as_ptr().align_offset(ALIGNMENT) == 0 {
            return Self { payload, offset: 0 };
        }
        let copy = AlignedCopy(Buffer::from_slice_ref(&payload[..]));
        Self { payload: Bytes::from_owner(copy), offset: 0 }
    }

    fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { what, offset: self.offset }
    }

    fn truncated(&self, what: &'static str) -> DecodeError {
        DecodeError::Truncated { what, offset: self.offset, length: self.payload.len() }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        if length > self.payload.len() - self.offset {
            return Err(self.truncated(what));
        }
        let piece = self.payload.slice(self.offset..self.offset + length);
        self.offset += length;
        Ok(piece)
    }

    /// A piece and the zeros up to the next section.
    fn section(&mut self, length: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        let piece = self.take(length, what)?;
        self.zeros(self.offset.next_multiple_of(ALIGNMENT) - self.offset)?;
        Ok(piece)
    }

    fn zeros(&mut self, length: usize) -> Result<(), DecodeError> {
        let offset = self.offset;
        match self.take(length, "unused bytes")?.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(DecodeError::Malformed { what: "unused bytes are not zero", offset }),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let piece = self.take(N, what)?;
        let mut array = [0; N];
        array.copy_from_slice(&piece);
        Ok(array)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(u8::from_le_bytes)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn name(&mut self, length: u32) -> Result<String, DecodeError> {
        let offset = self.offset;
        let bytes = self.section(length as usize, "a name")?;
        let name =
            str::from_utf8(&bytes).map_err(|_| DecodeError::Malformed { what: "a name is not UTF-8", offset })?;
        Ok(name.to_owned())
    }

    /// A section of numbers, where they lie. Sections start aligned, and numbers have at most 8 bytes.
    fn numbers<T: ArrowNativeType>(
        &mut self,
        count: usize,
        what: &'static str,
    ) -> Result<ScalarBuffer<T>, DecodeError> {
        let bytes = self.section(count.saturating_mul(size_of::<T>()), what)?;
        // A buffer of the piece alone: a piece of a buffer of everything would count as all of it in memory accounts.
        Ok(ScalarBuffer::new(Buffer::from(bytes), 0, count))
    }

    fn bits(&mut self, count: usize) -> Result<BooleanBuffer, DecodeError> {
        let start = self.offset;
        let words = self.section(count.div_ceil(64) * 8, "a column's bits")?;
        let all_set = words.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        let bits = BooleanBuffer::new(Buffer::from(words), 0, count);
        match all_set == bits.count_set_bits() {
            true => Ok(bits),
            false => Err(DecodeError::Malformed { what: "bits beyond the last row are set", offset: start }),
        }
    }
}
