//! Tests of splitting.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_types::ColumnKind;
use ochre_types::partition::TagPattern;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::testing::{self, Cell, PlainRow, column, plain_rows, rows_of};

fn table() -> TableName {
    TableName::new("cpu").unwrap()
}

fn all_parts() -> Vec<Part> {
    let tag = |name: &str| column(name, ColumnKind::Tag).name;
    let time = |format: &str| Part::Time(TimeFormat::new(format).unwrap());
    vec![
        Part::Table,
        Part::Tag(tag("host")),
        Part::Tag(tag("ünï|côde")),
        Part::Tag(tag("count")),
        Part::Bucket { tag: tag("trace id"), count: 3 },
        Part::Bucket { tag: tag("host"), count: 2 },
        Part::Regex { tag: tag("host"), pattern: TagPattern::new("^([a-z]+)-").unwrap() },
        time("%Y"),
        time("%F"),
        time("%F %H"),
    ]
}

/// Row by row, as the template says.
fn naive(rows: &Rows, template: &Template) -> BTreeMap<PartitionKey, Vec<PlainRow>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (row, plain) in plain_rows(rows).into_iter().enumerate() {
        let tag = |name: &str| match plain.get(&column(name, ColumnKind::Tag)) {
            Some(Cell::Tag(value)) => Some(value.as_str()),
            _ => None,
        };
        let key = template.key(&table(), &tag, rows.times()[row]);
        partitions.entry(key).or_default().push(plain);
    }
    partitions
}

proptest! {
    #[test]
    fn it_agrees_with_the_template_row_by_row(rows in testing::rows(60), parts in subsequence(all_parts(), 0..=4)) {
        let template = Template::new(parts).unwrap();
        let parts = split(&table(), &rows, &template);
        prop_assert!(parts.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each key once");
        for (_, part) in &parts {
            prop_assert_eq!(part.columns(), rows.columns());
        }
        let plain: BTreeMap<_, _> = parts.iter().map(|(key, rows)| (key.clone(), plain_rows(rows))).collect();
        prop_assert_eq!(plain, naive(&rows, &template));
    }
}

fn two_rows(first: i64, second: i64) -> Rows {
    let host = column("host", ColumnKind::Tag);
    let time = column("time", ColumnKind::Time);
    let row =
        |value: &str, at| PlainRow::from([(host.clone(), Cell::Tag(value.to_owned())), (time.clone(), Cell::Time(at))]);
    rows_of(std::slice::from_ref(&host), &[row("b", first), row("a", second)])
}

#[test]
fn one_partition_is_not_copied() {
    let rows = two_rows(5, 3);
    let parts = split(&table(), &rows, &Template::default());
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].0.as_str(), "1970-01-01");
    for (part, whole) in parts[0].1.arrays().iter().zip(rows.arrays()) {
        assert!(Arc::ptr_eq(part, whole));
    }
}

#[test]
fn partitions_are_sorted_by_key() {
    let by_host = Template::new(vec![Part::Tag(column("host", ColumnKind::Tag).name)]).unwrap();
    let keys: Vec<_> = split(&table(), &two_rows(5, 3), &by_host)
        .into_iter()
        .map(|(key, rows)| (key.to_string(), rows.times().to_vec()))
        .collect();
    assert_eq!(keys, [("a".to_owned(), vec![3]), ("b".to_owned(), vec![5])]);
    let days = split(&table(), &two_rows(i64::MAX, i64::MIN), &Template::default());
    let keys: Vec<_> = days.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["1677-09-21", "2262-04-11"]);
}

#[test]
fn no_rows_make_no_partition() {
    assert!(split(&table(), &two_rows(1, 2).slice(0, 0), &Template::default()).is_empty());
}
