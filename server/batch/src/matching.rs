//! Which rows a match admits, evaluated over columns.
//!
//! Each distinct value of a tag is tested once, not once a row:
//!
//! ```text
//!   for each test of a tag: value -> true, false or unknown   ->  by code: two bits a row
//!   join the bits as AND, OR and NOT say, with SQL's three values  ->  the rows for which the whole is true
//! ```

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use ochre_types::matching::{Condition, RowMatch, TagTest};
use ochre_types::{ColumnKind, TableName};

use crate::rows::{Rows, tag_parts};

/// For each row, whether `matching` admits it, as [`RowMatch::admits`] says; without nulls.
pub fn mask(matching: &RowMatch, table: &TableName, rows: &Rows) -> BooleanArray {
    let constant = |truth| BooleanArray::new(filled(rows.len(), truth), None);
    if !matching.may_match_table(table) {
        return constant(false);
    }
    match &matching.predicate {
        None => constant(true),
        Some(predicate) => match evaluate(predicate.condition(), rows) {
            Truths::Same(truth) => constant(truth == Some(true)),
            Truths::Each { yes, .. } => BooleanArray::new(yes, None),
        },
    }
}

/// What a condition is of each row: true, false, or unknown.
enum Truths {
    /// The same of all.
    Same(Option<bool>),
    /// A bit of each row for which it is true, and one for which it is false: never both.
    Each { yes: BooleanBuffer, no: BooleanBuffer },
}

fn filled(len: usize, value: bool) -> BooleanBuffer {
    if value { BooleanBuffer::new_set(len) } else { BooleanBuffer::new_unset(len) }
}

fn evaluate(condition: &Condition, rows: &Rows) -> Truths {
    match condition {
        Condition::Constant(constant) => Truths::Same(Some(*constant)),
        Condition::Time(test) => {
            let times = rows.times();
            let yes = BooleanBuffer::collect_bool(times.len(), |row| test.holds(&times[row]));
            Truths::Each { no: !&yes, yes }
        }
        Condition::Tag(name, test) => match tag_column(rows, name.as_str()) {
            None => Truths::Same(test.holds(None)),
            Some(array) => test_tag(test, array),
        },
        Condition::Not(inner) => match evaluate(inner, rows) {
            Truths::Same(truth) => Truths::Same(truth.map(|truth| !truth)),
            Truths::Each { yes, no } => Truths::Each { yes: no, no: yes },
        },
        Condition::All(parts) => join(parts, false, rows),
        Condition::Any(parts) => join(parts, true, rows),
    }
}

fn tag_column<'r>(rows: &'r Rows, name: &str) -> Option<&'r ArrayRef> {
    let mut columns = rows.iter();
    columns.find(|(column, _)| column.kind == ColumnKind::Tag && column.name.as_str() == name).map(|(_, array)| array)
}

fn test_tag(test: &TagTest, array: &ArrayRef) -> Truths {
    let (codes, values) = tag_parts(array);
    let truth_of_null = test.holds(None);
    // Only values that a row has are tested: a piece of longer rows has all their values.
    let mut truths_by_code: Vec<Option<Option<bool>>> = vec![None; values.len()];
    let truths: Vec<Option<bool>> = (0..codes.len())
        .map(|row| {
            if codes.is_null(row) {
                return truth_of_null;
            }
            let code = codes.value(row) as usize;
            *truths_by_code[code].get_or_insert_with(|| test.holds(Some(values.value(code))))
        })
        .collect();
    let rows_with = |truth| BooleanBuffer::collect_bool(truths.len(), |row| truths[row] == Some(truth));
    Truths::Each { yes: rows_with(true), no: rows_with(false) }
}

/// Joins parts: `decisive` where one part is, the opposite where all are, else unknown.
fn join(parts: &[Condition], decisive: bool, rows: &Rows) -> Truths {
    let mut joined = Truths::Same(Some(!decisive));
    for part in parts {
        joined = match (joined, evaluate(part, rows)) {
            (Truths::Same(Some(left)), right) if left != decisive => right,
            (left, Truths::Same(Some(right))) if right != decisive => left,
            (Truths::Same(None), Truths::Same(None)) => Truths::Same(None),
            (Truths::Same(Some(_)), _) | (_, Truths::Same(Some(_))) => return Truths::Same(Some(decisive)),
            (left, right) => {
                let ((left_yes, left_no), (right_yes, right_no)) = (bits(left, rows.len()), bits(right, rows.len()));
                match decisive {
                    true => Truths::Each { yes: &left_yes | &right_yes, no: &left_no & &right_no },
                    false => Truths::Each { yes: &left_yes & &right_yes, no: &left_no | &right_no },
                }
            }
        };
    }
    joined
}

/// The bits of rows for which it is true, and for which it is false.
fn bits(truths: Truths, len: usize) -> (BooleanBuffer, BooleanBuffer) {
    match truths {
        Truths::Each { yes, no } => (yes, no),
        Truths::Same(truth) => (filled(len, truth == Some(true)), filled(len, truth == Some(false))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ochre_types::matching::Predicate;
    use proptest::prelude::*;

    use super::*;
    use crate::rows::tag_value;
    use crate::testing::{rows, tables};

    /// Tests that fit the columns of [`rows`], and one of a tag that no row carries.
    const TESTS: [&str; 16] = [
        "host = 'a'",
        "host <> 'web-1'",
        "host IN ('a', 'web-2')",
        "host LIKE 'web-%'",
        "host IS NULL",
        "region > 'a'",
        "region BETWEEN 'b' AND 'web-1'",
        "region !~ '[12]$'",
        "\"trace id\" ~ '[0-4]$'",
        "\"ünï|côde\" = ''",
        "\"ünï|côde\" IS NOT NULL",
        "rack = 'a'",
        "rack IS NULL",
        "time >= '2023-11-15'",
        "TRUE",
        "FALSE",
    ];

    fn predicates() -> impl Strategy<Value = String> {
        let test = prop::sample::select(TESTS.to_vec()).prop_map(str::to_owned);
        test.prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|inner| format!("NOT ({inner})")),
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) AND ({right})")),
                (inner.clone(), inner).prop_map(|(left, right)| format!("({left}) OR ({right})")),
            ]
        })
    }

    fn row_by_row(matching: &RowMatch, table: &TableName, rows: &Rows) -> Vec<bool> {
        let admits = |row: usize| {
            let tag = |name: &str| tag_column(rows, name).and_then(|array| tag_value(array, row));
            matching.admits(table, &tag, rows.times()[row])
        };
        (0..rows.len()).map(admits).collect()
    }

    proptest! {
        #[test]
        fn columns_and_rows_agree(
            table in tables(),
            pattern in prop::option::of(prop::sample::select(vec!["*", "cpu", "*u*"])),
            predicate in prop::option::weighted(0.9, predicates()),
            rows in rows(30),
        ) {
            let predicate: Option<Predicate> = predicate.map(|text| text.parse().unwrap());
            let tables = pattern.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let matching = RowMatch { tables, predicate };
            let mask = mask(&matching, &table, &rows);
            prop_assert_eq!(mask.null_count(), 0);
            prop_assert_eq!(mask.values().iter().collect::<Vec<_>>(), row_by_row(&matching, &table, &rows));
        }
    }

    #[test]
    fn the_strategy_meets_both_answers() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (admitted, refused) = (Cell::new(0), Cell::new(0));
        let strategy = (predicates(), rows(30));
        let table = TableName::new("cpu").unwrap();
        let run = runner.run(&strategy, |(text, rows)| {
            let matching = RowMatch { tables: Vec::new(), predicate: Some(text.parse().unwrap()) };
            let yes = mask(&matching, &table, &rows).true_count();
            admitted.set(admitted.get() + yes);
            refused.set(refused.get() + rows.len() - yes);
            Ok(())
        });
        run.unwrap();
        assert!(admitted.get() > 500 && refused.get() > 500, "{} {}", admitted.get(), refused.get());
    }
}
