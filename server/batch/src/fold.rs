//! The fold: how versions of a row become one.
//!
//! A table is a map from cell (key, field) to the value with the highest (stamp, ordinal); of two values with equal
//! stamp and ordinal, which only a repeated delivery can bring, the one with the higher canonical bytes wins. So
//! folding is a join: it may be done in any grouping, in any order, any number of times.
//!
//! Within a batch the ordinal is the row's position, and all rows of one batch and partition are folded together in
//! one chunk, by [`fold_batch`]; after that, a key has one row a stamp and ordinals are no longer needed.
//!
//! All functions take rows that are sorted by key and then by stamp ([`crate::sort::sort`]).

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::ArrowError;
use ochre_types::{ColumnKind, FieldType};

use crate::rows::Rows;
use crate::sort::{same_key_as_previous, take};
use crate::stamps::StampedRows;

/// A run of rows that are folded into one.
struct Group {
    start: usize,
    end: usize,
}

/// Which of two values of one cell with one stamp wins.
#[derive(Clone, Copy)]
enum Tie {
    /// The later row: rows of one batch.
    Position,
    /// The higher canonical bytes: rows of chunks.
    Bytes,
}

/// Folds rows that share a key *and a stamp* into one, the later row winning field by field, and drops versions of
/// which a later version sets every field. For freezing an open chunk, where rows are still in order of arrival.
pub fn fold_batch(sorted: &StampedRows) -> Result<StampedRows, ArrowError> {
    let same_key = same_key_as_previous(&sorted.rows);
    drop_superseded(&fold_groups(sorted, &groups(sorted.rows.len(), same_version(sorted, &same_key)), Tie::Position)?)
}

/// Folds what several chunks hold of a partition, keeping every version that still sets a field. For compaction.
pub fn fold_versions(sorted: &StampedRows) -> Result<StampedRows, ArrowError> {
    let same_key = same_key_as_previous(&sorted.rows);
    drop_superseded(&fold_groups(sorted, &groups(sorted.rows.len(), same_version(sorted, &same_key)), Tie::Bytes)?)
}

/// Folds all versions of each key into one row, as queries see it. The stamp of a row is its newest version's.
pub fn fold_latest(sorted: &StampedRows) -> Result<StampedRows, ArrowError> {
    let same_key = same_key_as_previous(&sorted.rows);
    fold_groups(sorted, &groups(sorted.rows.len(), |row| same_key[row - 1]), Tie::Bytes)
}

/// Whether no two of the (sorted) rows have one key.
pub fn has_unique_keys(sorted: &Rows) -> bool {
    !same_key_as_previous(sorted).contains(&true)
}

/// The first row that has the key of the last one: rows before it can be folded before the next rows are known.
pub fn last_group_start(sorted: &Rows) -> usize {
    let same_key = same_key_as_previous(sorted);
    match same_key.iter().rposition(|same| !same) {
        Some(boundary) => boundary + 1,
        None => 0,
    }
}

/// Whether a row has the key and the stamp of the row before it.
fn same_version<'a>(sorted: &'a StampedRows, same_key: &'a [bool]) -> impl Fn(usize) -> bool + 'a {
    |row| same_key[row - 1] && sorted.stamps.at(row) == sorted.stamps.at(row - 1)
}

/// Runs of rows of which each joins the one before it.
fn groups(len: usize, joins_previous: impl Fn(usize) -> bool) -> Vec<Group> {
    let mut groups = Vec::with_capacity(len);
    let mut start = 0;
    if len == 0 {
        return groups;
    }
    for row in 1..=len {
        if row == len || !joins_previous(row) {
            groups.push(Group { start, end: row });
            start = row;
        }
    }
    groups
}

/// One row a group: keys and stamp of its last row, each field's winning value.
fn fold_groups(sorted: &StampedRows, groups: &[Group], tie: Tie) -> Result<StampedRows, ArrowError> {
    if groups.len() == sorted.rows.len() {
        return Ok(sorted.clone());
    }
    let last_rows = UInt32Array::from_iter_values(groups.iter().map(|group| group.end as u32 - 1));
    let keys = take(sorted, &last_rows)?;
    let mut arrays = Vec::with_capacity(keys.rows.arrays().len());
    for (index, (column, array)) in sorted.rows.iter().enumerate() {
        let folded = match column.kind {
            ColumnKind::Tag | ColumnKind::Time => keys.rows.arrays()[index].clone(),
            ColumnKind::Field(_) if array.null_count() == 0 && matches!(tie, Tie::Position) => {
                keys.rows.arrays()[index].clone()
            }
            ColumnKind::Field(field) => {
                let winners: UInt32Array =
                    groups.iter().map(|group| winner(sorted, field, array, group, tie)).collect();
                arrow_select::take::take(array, &winners, None)?
            }
        };
        arrays.push(folded);
    }
    let rows = Rows::new(sorted.rows.columns().clone(), arrays)
        .map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
    Ok(StampedRows { rows, stamps: keys.stamps })
}

/// The row of a group whose value of this field wins, unless all are absent.
fn winner(sorted: &StampedRows, field: FieldType, array: &ArrayRef, group: &Group, tie: Tie) -> Option<u32> {
    let mut best: Option<usize> = None;
    for row in (group.start..group.end).filter(|row| array.is_valid(*row)) {
        let wins = match best {
            None => true,
            Some(best) => match sorted.stamps.at(row).cmp(&sorted.stamps.at(best)) {
                Ordering::Greater => true,
                Ordering::Less => false,
                Ordering::Equal => match tie {
                    Tie::Position => true,
                    Tie::Bytes => compare_values(field, array, row, best) == Ordering::Greater,
                },
            },
        };
        if wins {
            best = Some(row);
        }
    }
    best.map(|row| row as u32)
}

/// The order of two values by their canonical bytes: big-endian bits of numbers, text as it is, false before true.
fn compare_values(field: FieldType, array: &ArrayRef, a: usize, b: usize) -> Ordering {
    match field {
        FieldType::Float => {
            let values = array.as_primitive::<Float64Type>();
            values.value(a).to_bits().cmp(&values.value(b).to_bits())
        }
        FieldType::Integer => {
            let values = array.as_primitive::<Int64Type>();
            values.value(a).cast_unsigned().cmp(&values.value(b).cast_unsigned())
        }
        FieldType::UInteger => {
            let values = array.as_primitive::<UInt64Type>();
            values.value(a).cmp(&values.value(b))
        }
        FieldType::Boolean => {
            let values = array.as_boolean();
            values.value(a).cmp(&values.value(b))
        }
        FieldType::String => {
            let values = array.as_string::<i32>();
            values.value(a).cmp(values.value(b))
        }
    }
}

/// Drops each row of which a later version of its key sets every field that it sets. Versions that together hold a
/// row's fields stay apart until they are settled, as a version between them may still arrive.
fn drop_superseded(sorted: &StampedRows) -> Result<StampedRows, ArrowError> {
    let same_key = same_key_as_previous(&sorted.rows);
    if !same_key.contains(&true) {
        return Ok(sorted.clone());
    }
    let fields: Vec<&ArrayRef> = sorted
        .rows
        .iter()
        .filter(|(column, _)| matches!(column.kind, ColumnKind::Field(_)))
        .map(|(_, array)| array)
        .collect();
    let len = sorted.rows.len();
    let mut keep = vec![true; len];
    let mut kept_later: Vec<usize> = Vec::new();
    let mut end = len;
    while end > 0 {
        let start = (1..end).rev().find(|row| !same_key[row - 1]).unwrap_or(0);
        // From the newest version back: a version goes if one kept version after it sets all that it sets.
        kept_later.clear();
        for row in (start..end).rev() {
            keep[row] =
                !kept_later.iter().any(|later| fields.iter().all(|field| field.is_null(row) || field.is_valid(*later)));
            if keep[row] {
                kept_later.push(row);
            }
        }
        end = start;
    }
    if keep.iter().all(|keep| *keep) {
        return Ok(sorted.clone());
    }
    let kept: UInt32Array = (0..len as u32).filter(|row| keep[*row as usize]).map(Some).collect();
    take(sorted, &kept)
}

#[cfg(test)]
mod tests;
