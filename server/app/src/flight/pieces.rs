//! Cutting rows into pieces, without copying them.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};

/// What a piece may have. A single row that has more is a piece all the same.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Rows.
    pub rows: usize,
    /// Bytes, by the measure at hand.
    pub bytes: usize,
}

/// The pieces of `rows`, in order; one without rows if there are none.
pub fn split(rows: RecordBatch, limit: Limit, measure: fn(&ArrayRef) -> usize) -> Vec<RecordBatch> {
    let mut pieces = Vec::new();
    split_into(rows, limit, measure, &mut pieces);
    pieces
}

fn split_into(rows: RecordBatch, limit: Limit, measure: fn(&ArrayRef) -> usize, pieces: &mut Vec<RecordBatch>) {
    let count = rows.num_rows();
    let bytes = rows.columns().iter().fold(0_usize, |sum, column| sum.saturating_add(measure(column)));
    let parts = bytes.div_ceil(limit.bytes).max(count.div_ceil(limit.rows));
    if parts <= 1 || count <= 1 {
        pieces.push(rows);
        return;
    }
    // At least two parts, so each has fewer rows; rows of uneven size may make it take more than one round.
    let length = (count / parts).max(1);
    for offset in (0..count).step_by(length) {
        split_into(rows.slice(offset, length.min(count - offset)), limit, measure, pieces);
    }
}

/// The bytes that a column takes in a message. Of a dictionary that is its keys: its values go by themselves, whole.
pub fn sent_bytes(column: &ArrayRef) -> usize {
    match column.as_any_dictionary_opt() {
        Some(dictionary) => slice_bytes(dictionary.keys()),
        None => slice_bytes(column.as_ref()),
    }
}

/// The bytes that a column takes with every value written out. A few bytes of keys or views can stand for much more.
pub fn written_bytes(column: &ArrayRef) -> usize {
    if let Some(views) = column.as_string_view_opt() {
        return views.lengths().fold(0_usize, |sum, length| sum.saturating_add(length as usize));
    }
    let Some(dictionary) = column.as_any_dictionary_opt() else { return slice_bytes(column.as_ref()) };
    let Some(lengths) = lengths(dictionary.values().as_ref()) else { return slice_bytes(column.as_ref()) };
    if lengths.is_empty() {
        return 0;
    }
    let keys = dictionary.normalized_keys();
    let length = |(row, key): (usize, usize)| if dictionary.keys().is_valid(row) { lengths[key] } else { 0 };
    keys.into_iter().enumerate().map(length).fold(0_usize, usize::saturating_add)
}

/// The lengths of texts.
fn lengths(values: &dyn Array) -> Option<Vec<usize>> {
    if let Some(texts) = values.as_string_opt::<i32>() {
        return Some(texts.offsets().lengths().collect());
    }
    if let Some(texts) = values.as_string_opt::<i64>() {
        return Some(texts.offsets().lengths().collect());
    }
    values.as_string_view_opt().map(|views| views.lengths().map(|length| length as usize).collect())
}

fn slice_bytes(column: &dyn Array) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_buffer_memory_size())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::{Int32Type, Int64Type};
    use arrow_array::{DictionaryArray, Int64Array, StringArray, StringViewArray};

    use super::*;

    fn column(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    fn numbers(pieces: &[RecordBatch]) -> Vec<Vec<i64>> {
        pieces.iter().map(|piece| piece.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn rows_and_bytes_bound_a_piece() {
        let rows = RecordBatch::try_from_iter([("n", column(Int64Array::from_iter_values(0..7)))]).unwrap();
        let by_rows = split(rows.clone(), Limit { rows: 3, bytes: 1_000 }, sent_bytes);
        assert_eq!(numbers(&by_rows), [vec![0, 1], vec![2, 3], vec![4, 5], vec![6]]);
        let by_bytes = split(rows.clone(), Limit { rows: 100, bytes: 32 }, sent_bytes);
        assert_eq!(numbers(&by_bytes), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        let single = split(rows.clone(), Limit { rows: 100, bytes: 1 }, sent_bytes);
        assert_eq!(single.len(), 7);
        assert_eq!(split(rows.slice(0, 0), Limit { rows: 1, bytes: 1 }, sent_bytes).len(), 1);
    }

    #[test]
    fn what_is_pointed_at_twice_counts_twice_when_written_out() {
        let text = "x".repeat(1_000);
        let dictionary: DictionaryArray<Int32Type> =
            [Some(text.as_str()), None, Some("ab"), Some(&text)].into_iter().collect();
        assert_eq!((sent_bytes(&column(dictionary.clone())), written_bytes(&column(dictionary.clone()))), (17, 2_002));
        assert_eq!(written_bytes(&column(dictionary.slice(1, 2))), 2);
        let views = StringViewArray::from(vec![Some(text.as_str()), None, Some("ab")]);
        assert_eq!(written_bytes(&column(views)), 1_002);
        let nulls: DictionaryArray<Int32Type> = [None::<&str>, None].into_iter().collect();
        assert_eq!(written_bytes(&column(nulls)), 0);
        assert_eq!(written_bytes(&column(StringArray::from(vec!["abc"; 4]))), 5 * 4 + 12);
    }
}
