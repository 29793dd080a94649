//! Joins pieces of one table into one, in order: the union of their columns, absent where a piece lacks one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array, new_null_array};
use arrow_buffer::{MutableBuffer, NullBufferBuilder};
use arrow_schema::ArrowError;
use hashbrown::HashTable;
use ochre_types::{ColumnId, ColumnKind, Stamp};

use crate::rows::{Rows, arrow_type, canonical_order, tag_parts};
use crate::stamps::{StampedRows, Stamps};

/// The columns that at least one of these has, in canonical order.
pub fn union_columns<'a>(pieces: impl IntoIterator<Item = &'a [ColumnId]>) -> Vec<ColumnId> {
    let mut columns: Vec<ColumnId> =
        pieces.into_iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    columns.sort_by(canonical_order);
    columns
}

/// The rows of all pieces, one piece after the other.
///
/// A single piece comes back as it is. No pieces give an error, as there would be no time column.
pub fn concat_rows(pieces: &[Rows]) -> Result<Rows, ArrowError> {
    if let [only] = pieces {
        return Ok(only.clone());
    }
    let columns = union_columns(pieces.iter().map(|piece| &**piece.columns()));
    let arrays = columns.iter().map(|column| concat_column(column, pieces)).collect::<Result<Vec<_>, _>>()?;
    Rows::new(columns, arrays).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))
}

/// The rows of all pieces with their stamps, one piece after the other.
pub fn concat_stamped(pieces: &[StampedRows]) -> Result<StampedRows, ArrowError> {
    if let [only] = pieces {
        return Ok(only.clone());
    }
    let rows: Vec<Rows> = pieces.iter().map(|piece| piece.rows.clone()).collect();
    Ok(StampedRows { rows: concat_rows(&rows)?, stamps: concat_stamps(pieces) })
}

fn concat_stamps(pieces: &[StampedRows]) -> Stamps {
    let mut ones = pieces.iter().map(|piece| match &piece.stamps {
        Stamps::One(stamp) => Some(*stamp),
        Stamps::Each(_) => None,
    });
    if let Some(Some(first)) = ones.next()
        && ones.all(|stamp| stamp == Some(first))
    {
        return Stamps::One(first);
    }
    let rows: usize = pieces.iter().map(|piece| piece.rows.len()).sum();
    let mut bytes = MutableBuffer::with_capacity(rows * Stamp::BYTES);
    for piece in pieces {
        match &piece.stamps {
            Stamps::One(stamp) => {
                let stamp = stamp.to_bytes();
                (0..piece.rows.len()).for_each(|_| bytes.extend_from_slice(&stamp));
            }
            Stamps::Each(stamps) => bytes.extend_from_slice(stamps.value_data()),
        }
    }
    Stamps::Each(Arc::new(FixedSizeBinaryArray::new(Stamp::BYTES as i32, bytes.into(), None)))
}

fn concat_column(column: &ColumnId, pieces: &[Rows]) -> Result<ArrayRef, ArrowError> {
    let arrays: Vec<(usize, Option<&ArrayRef>)> =
        pieces.iter().map(|piece| (piece.len(), piece.array(column))).collect();
    if column.kind == ColumnKind::Tag {
        return Ok(Arc::new(concat_tags(&arrays)?));
    }
    let filled: Vec<ArrayRef> = arrays
        .into_iter()
        .map(|(len, array)| array.cloned().unwrap_or_else(|| new_null_array(&arrow_type(column.kind), len)))
        .collect();
    let borrowed: Vec<&dyn Array> = filled.iter().map(|array| &**array).collect();
    arrow_select::concat::concat(&borrowed)
}

/// Joins tag columns under one dictionary that holds each value once. Values that no row uses are dropped.
fn concat_tags(
    arrays: &[(usize, Option<&ArrayRef>)],
) -> Result<DictionaryArray<arrow_array::types::Int32Type>, ArrowError> {
    let rows: usize = arrays.iter().map(|(len, _)| len).sum();
    let mut values = DistinctValues::default();
    let mut codes: Vec<i32> = Vec::with_capacity(rows);
    let mut validity = NullBufferBuilder::new(rows);
    for (len, array) in arrays {
        let Some(array) = array else {
            codes.extend(std::iter::repeat_n(0, *len));
            validity.append_n_nulls(*len);
            continue;
        };
        let (old_codes, old_values) = tag_parts(array);
        // New code + 1 by old code; 0 where the old code was not met yet.
        let mut new_codes = vec![0i32; old_values.len()];
        for row in 0..*len {
            if old_codes.is_null(row) {
                codes.push(0);
                validity.append_null();
                continue;
            }
            let old = old_codes.value(row) as usize;
            if new_codes[old] == 0 {
                new_codes[old] = values.code(old_values.value(old))? + 1;
            }
            codes.push(new_codes[old] - 1);
            validity.append_non_null();
        }
    }
    let codes = Int32Array::new(codes.into(), validity.finish());
    DictionaryArray::try_new(codes, Arc::new(values.texts.finish()))
}

/// Texts in the order in which they were first met, each once.
#[derive(Default)]
struct DistinctValues {
    texts: StringBuilder,
    codes: HashTable<i32>,
    count: i32,
}

impl DistinctValues {
    fn code(&mut self, text: &str) -> Result<i32, ArrowError> {
        let hash = |text: &[u8]| {
            use std::hash::BuildHasher;
            foldhash::fast::FixedState::with_seed(0).hash_one(text)
        };
        let at = |texts: &StringBuilder, code: i32| -> (usize, usize) {
            let offsets = texts.offsets_slice();
            (
                offsets[code as usize] as usize,
                offsets.get(code as usize + 1).map_or(texts.values_slice().len(), |end| *end as usize),
            )
        };
        let wanted = hash(text.as_bytes());
        let texts = &self.texts;
        let found = self.codes.find(wanted, |code| {
            let (start, end) = at(texts, *code);
            &texts.values_slice()[start..end] == text.as_bytes()
        });
        if let Some(code) = found {
            return Ok(*code);
        }
        let code = self.count;
        self.count = code.checked_add(1).ok_or_else(|| ArrowError::DictionaryKeyOverflowError)?;
        self.texts.append_value(text);
        let texts = &self.texts;
        self.codes.insert_unique(wanted, code, |code| {
            let (start, end) = at(texts, *code);
            hash(&texts.values_slice()[start..end])
        });
        Ok(code)
    }
}
