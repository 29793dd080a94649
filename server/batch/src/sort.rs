//! Sorting rows by a table's order.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, UInt32Array};
use arrow_schema::ArrowError;
use ochre_types::{ColumnId, ColumnKind, ColumnName};

use crate::rows::{Rows, tag_parts};
use crate::stamps::{StampedRows, Stamps};

/// The order of a table's rows: these tags, each rising with absent first, then any other tag by name, then time,
/// then the stamp. So rows with one key stand together, older versions first.
///
/// An order may only grow at its end: rows that lack a tag are sorted by every order that appends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortOrder {
    tags: Arc<[ColumnName]>,
}

impl SortOrder {
    /// An order that begins with these tags.
    pub fn new(tags: impl Into<Arc<[ColumnName]>>) -> Self {
        Self { tags: tags.into() }
    }

    /// The tags that were named, first the most significant one.
    pub fn tags(&self) -> &[ColumnName] {
        &self.tags
    }

    /// This order with the tags among `columns` that it does not name yet appended by name; `None` if there are none.
    pub fn extended<'a>(&self, columns: impl IntoIterator<Item = &'a ColumnId>) -> Option<Self> {
        let mut new: Vec<&ColumnName> = columns
            .into_iter()
            .filter(|column| column.kind == ColumnKind::Tag && !self.tags.contains(&column.name))
            .map(|column| &column.name)
            .collect();
        if new.is_empty() {
            return None;
        }
        new.sort();
        new.dedup();
        Some(Self { tags: self.tags.iter().chain(new).cloned().collect() })
    }

    /// An order for these rows: tags by rising number of distinct values, then by name.
    pub fn by_distinct_count(rows: &Rows) -> Self {
        let mut tags: Vec<(usize, ColumnName)> = rows
            .iter()
            .filter(|(column, _)| column.kind == ColumnKind::Tag)
            .map(|(column, array)| (tag_parts(array).1.len(), column.name.clone()))
            .collect();
        tags.sort();
        Self { tags: tags.into_iter().map(|(_, name)| name).collect() }
    }

    /// The tag columns of `rows` in the order in which they are compared.
    fn key_arrays<'a>(&self, rows: &'a Rows) -> Vec<&'a ArrayRef> {
        let named =
            self.tags.iter().filter_map(|name| rows.array(&ColumnId { name: name.clone(), kind: ColumnKind::Tag }));
        let rest = rows
            .iter()
            .filter(|(column, _)| column.kind == ColumnKind::Tag && !self.tags.contains(&column.name))
            .map(|(_, array)| array);
        named.chain(rest).collect()
    }
}

/// For each row the rank of its tag value among the values of its column, 0 where it is absent.
fn tag_ranks(array: &ArrayRef) -> Vec<u32> {
    let (codes, values) = tag_parts(array);
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|a, b| values.value(*a as usize).cmp(values.value(*b as usize)));
    let mut ranks = vec![0u32; values.len()];
    let mut rank = 0;
    for (position, code) in order.iter().enumerate() {
        // A dictionary from outside may hold a value twice: equal values share a rank.
        if position == 0 || values.value(*code as usize) != values.value(order[position - 1] as usize) {
            rank += 1;
        }
        ranks[*code as usize] = rank;
    }
    (0..codes.len()).map(|row| if codes.is_null(row) { 0 } else { ranks[codes.value(row) as usize] }).collect()
}

fn compare_rows(ranks: &[Vec<u32>], times: &[i64], a: usize, b: usize) -> Ordering {
    for column in ranks {
        match column[a].cmp(&column[b]) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    times[a].cmp(&times[b])
}

/// The rows in `order`. Stable: rows with one key and one stamp keep their order.
pub fn sort(stamped: &StampedRows, order: &SortOrder) -> Result<StampedRows, ArrowError> {
    let ranks: Vec<Vec<u32>> = order.key_arrays(&stamped.rows).into_iter().map(tag_ranks).collect();
    let times = stamped.rows.times();
    let len = stamped.rows.len();
    let by_stamp = |a: usize, b: usize| match &stamped.stamps {
        Stamps::One(_) => Ordering::Equal,
        Stamps::Each(stamps) => stamps.value(a).cmp(stamps.value(b)),
    };
    let in_order = |a: usize, b: usize| compare_rows(&ranks, times, a, b).then_with(|| by_stamp(a, b));
    if (1..len).all(|row| in_order(row - 1, row) != Ordering::Greater) {
        return Ok(stamped.clone());
    }
    let mut indices: Vec<u32> = (0..len as u32).collect();
    indices.sort_by(|a, b| in_order(*a as usize, *b as usize));
    take(stamped, &UInt32Array::from(indices))
}

/// The rows at `indices`, in that order.
pub fn take(stamped: &StampedRows, indices: &UInt32Array) -> Result<StampedRows, ArrowError> {
    let stamps = match &stamped.stamps {
        Stamps::One(stamp) => Stamps::One(*stamp),
        Stamps::Each(stamps) => {
            let taken = arrow_select::take::take(&**stamps, indices, None)?;
            match taken.as_any().downcast_ref::<FixedSizeBinaryArray>() {
                Some(taken) => Stamps::Each(Arc::new(taken.clone())),
                None => return Err(ArrowError::CastError("stamps changed their type in `take`".to_owned())),
            }
        }
    };
    Ok(StampedRows { rows: stamped.rows.take(indices)?, stamps })
}

/// For each row after the first, whether it has the key of the row before it.
pub(crate) fn same_key_as_previous(rows: &Rows) -> Vec<bool> {
    let times = rows.times();
    let mut same: Vec<bool> = (1..rows.len()).map(|row| times[row] == times[row - 1]).collect();
    for (_, array) in rows.iter().filter(|(column, _)| column.kind == ColumnKind::Tag) {
        let (codes, values) = tag_parts(array);
        for (before, same) in same.iter_mut().enumerate().filter(|(_, same)| **same) {
            *same = match (codes.is_valid(before), codes.is_valid(before + 1)) {
                (false, false) => true,
                (true, true) => {
                    let (a, b) = (codes.value(before), codes.value(before + 1));
                    a == b || values.value(a as usize) == values.value(b as usize)
                }
                _ => false,
            };
        }
    }
    same
}
