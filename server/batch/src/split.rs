//! Splitting rows by a partition template.
//!
//! Each distinct tag value and each window of time is evaluated once, not once a row:
//!
//! ```text
//!   for each part: row -> small number (equal numbers <=> equal text of the part)
//!   join the parts' numbers to one number a row  ->  gather rows of one number  ->  key of its first row
//! ```

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, UInt32Array};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ochre_types::partition::{Part, PartitionKey, Template, TimeFormat};
use ochre_types::{ColumnKind, TableName};

use crate::rows::{Rows, tag_parts, tag_value};

/// A number a row; `None` where all rows have the same.
type Numbers = Option<Vec<u32>>;

/// The rows of each partition, sorted by key; within a partition, rows keep their order. Rows that all lie in one
/// partition are not copied. There may be at most `u32::MAX` rows.
pub fn split(table: &TableName, rows: &Rows, template: &Template) -> Vec<(PartitionKey, Rows)> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut groups: Numbers = None;
    for part in template.parts() {
        let numbers = match part {
            Part::Table => None,
            Part::Time(format) => number_times(format, rows.times()),
            Part::Tag(_) | Part::Bucket { .. } | Part::Regex { .. } => number_tags(part, table, rows),
        };
        groups = join(groups, numbers);
    }
    let Some(groups) = groups else {
        return vec![(key_of(table, rows, 0, template), rows.clone())];
    };
    let mut parts: Vec<_> = gather(&groups)
        .into_iter()
        .map(|indices| {
            let key = key_of(table, rows, indices[0] as usize, template);
            let taken = rows.take(&UInt32Array::from(indices));
            (key, taken.expect("every index is below the row count, and a subset of rows fits where all did"))
        })
        .collect();
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts
}

fn tag_column<'r>(rows: &'r Rows, name: &str) -> Option<&'r ArrayRef> {
    let mut columns = rows.iter();
    columns.find(|(column, _)| column.kind == ColumnKind::Tag && column.name.as_str() == name).map(|(_, array)| array)
}

fn key_of(table: &TableName, rows: &Rows, row: usize, template: &Template) -> PartitionKey {
    template.key(table, &|name| tag_column(rows, name).and_then(|array| tag_value(array, row)), rows.times()[row])
}

/// Numbers the windows of time in the order in which they are met.
fn number_times(format: &TimeFormat, times: &[i64]) -> Numbers {
    let mut window = format.window(times[0]);
    if times.iter().all(|time| window.contains(*time)) {
        return None;
    }
    let mut number = 0;
    let mut numbers_by_first = BTreeMap::from([(window.first, number)]);
    let numbers = times.iter().map(|time| {
        if !window.contains(*time) {
            window = format.window(*time);
            let next = numbers_by_first.len() as u32;
            number = *numbers_by_first.entry(window.first).or_insert(next);
        }
        number
    });
    Some(numbers.collect())
}

/// Numbers the texts that a part makes of a tag in the order in which they are met.
fn number_tags(part: &Part, table: &TableName, rows: &Rows) -> Numbers {
    let array = part.tag().and_then(|tag| tag_column(rows, tag.as_str()))?;
    let (codes, values) = tag_parts(array);
    let mut numbers_by_text: HashMap<String, u32, FixedState> = HashMap::default();
    let mut number_of = |value: Option<&str>| {
        let mut text = String::new();
        // The part is made from a tag: the time doesn't matter.
        part.render(table, value, 0, &mut text);
        let next = numbers_by_text.len() as u32;
        *numbers_by_text.entry(text).or_insert(next)
    };
    let mut numbers_by_code: Vec<Option<u32>> = vec![None; values.len()];
    let mut number_of_null = None;
    let numbers: Vec<u32> = (0..codes.len())
        .map(|row| {
            if codes.is_null(row) {
                return *number_of_null.get_or_insert_with(|| number_of(None));
            }
            let code = codes.value(row) as usize;
            *numbers_by_code[code].get_or_insert_with(|| number_of(Some(values.value(code))))
        })
        .collect();
    (numbers_by_text.len() > 1).then_some(numbers)
}

/// Numbers the pairs of two numberings in the order in which they are met.
fn join(left: Numbers, right: Numbers) -> Numbers {
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (one, other) => return one.or(other),
    };
    let mut numbers_by_pair: HashMap<(u32, u32), u32, FixedState> = HashMap::default();
    let mut last = None;
    let pairs = left.into_iter().zip(right).map(|pair| match last {
        Some((last_pair, number)) if last_pair == pair => number,
        _ => {
            let next = numbers_by_pair.len() as u32;
            let number = *numbers_by_pair.entry(pair).or_insert(next);
            last = Some((pair, number));
            number
        }
    });
    Some(pairs.collect())
}

/// The rows of each number, in row order. Numbers have no holes.
fn gather(numbers: &[u32]) -> Vec<Vec<u32>> {
    let mut counts: Vec<usize> = Vec::new();
    for number in numbers {
        let number = *number as usize;
        if number >= counts.len() {
            counts.resize(number + 1, 0);
        }
        counts[number] += 1;
    }
    let mut rows_by_number: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (row, number) in numbers.iter().enumerate() {
        rows_by_number[*number as usize].push(row as u32);
    }
    rows_by_number
}

#[cfg(test)]
mod tests;
