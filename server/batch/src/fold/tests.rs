//! The fold against a plain map from cell to the value with the highest stamp.

use std::collections::BTreeMap;

use ochre_types::{ColumnId, ColumnKind, Hlc, Incarnation, Stamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{fold_batch, fold_latest, fold_versions, has_unique_keys, last_group_start};
use crate::concat::concat_stamped;
use crate::rows::Rows;
use crate::sort::{SortOrder, sort};
use crate::stamps::{StampedRows, Stamps};
use crate::testing::{Cell, PlainRow, column, plain_rows, rows, rows_of};

/// A batch of one table: rows with a stamp.
fn piece(stamp: u64, rows: Rows) -> StampedRows {
    let stamp = Stamp { hlc: Hlc(stamp), incarnation: Incarnation(7) };
    StampedRows { rows, stamps: Stamps::One(stamp) }
}

fn key_of(row: &PlainRow) -> PlainRow {
    row.iter().filter(|(column, _)| column.kind.is_key()).map(|(column, cell)| (column.clone(), cell.clone())).collect()
}

/// What the pieces mean: each key with each field's newest value.
fn model(pieces: &[StampedRows]) -> BTreeMap<PlainRow, PlainRow> {
    let mut cells: BTreeMap<(PlainRow, ColumnId), (Stamp, usize, Cell)> = BTreeMap::new();
    let mut keys: BTreeMap<PlainRow, PlainRow> = BTreeMap::new();
    for piece in pieces {
        for (ordinal, row) in plain_rows(&piece.rows).into_iter().enumerate() {
            let key = key_of(&row);
            keys.insert(key.clone(), key.clone());
            for (column, cell) in row.into_iter().filter(|(column, _)| !column.kind.is_key()) {
                let new = (piece.stamps.at(ordinal), ordinal, cell);
                let held = cells.entry((key.clone(), column)).or_insert_with(|| new.clone());
                if (new.0, new.1) > (held.0, held.1) {
                    *held = new;
                }
            }
        }
    }
    for ((key, column), (_, _, cell)) in cells {
        keys.entry(key).or_default().insert(column, cell);
    }
    keys
}

fn by_key(rows: &Rows) -> BTreeMap<PlainRow, PlainRow> {
    let plain = plain_rows(rows);
    let map: BTreeMap<PlainRow, PlainRow> = plain.iter().map(|row| (key_of(row), row.clone())).collect();
    assert_eq!(map.len(), plain.len(), "one row a key");
    map
}

/// What a freeze makes of the pieces of one chunk.
fn freeze(pieces: &[StampedRows], order: &SortOrder) -> StampedRows {
    fold_batch(&sort(&concat_stamped(pieces).unwrap(), order).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However batches are spread over chunks, in whatever order, some of them twice, and whichever chunks are
    /// merged on the way: the answer is the plain map's.
    #[test]
    fn any_grouping_and_repetition_folds_alike(
        batches in vec(rows(12), 1..6),
        places in vec((0..6usize, 0..4usize), 6..14),
        merged in 0..4usize,
    ) {
        let pieces: Vec<StampedRows> =
            batches.into_iter().enumerate().map(|(at, rows)| piece(100 - at as u64, rows)).collect();
        let mut chunks: Vec<Vec<StampedRows>> = vec![Vec::new(); 4];
        chunks[0].extend(pieces.iter().cloned());
        for (batch, chunk) in places {
            if let Some(piece) = pieces.get(batch) {
                chunks[chunk].push(piece.clone());
            }
        }
        let order = SortOrder::by_distinct_count(&pieces[0].rows);
        let mut frozen: Vec<StampedRows> =
            chunks.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| freeze(chunk, &order)).collect();
        if merged + 1 < frozen.len() {
            let two = [frozen[merged].clone(), frozen[merged + 1].clone()];
            let one = fold_versions(&sort(&concat_stamped(&two).unwrap(), &order).unwrap()).unwrap();
            frozen.splice(merged..merged + 2, [one]);
        }
        let sorted = sort(&concat_stamped(&frozen).unwrap(), &order).unwrap();
        let latest = fold_latest(&sorted).unwrap();
        prop_assert!(has_unique_keys(&latest.rows));
        prop_assert_eq!(by_key(&latest.rows), model(&pieces));
    }

    /// Folding in steps, as a stream does, gives what folding at once gives.
    #[test]
    fn a_stream_folds_like_the_whole(batches in vec(rows(20), 1..4), step in 1..7usize) {
        let pieces: Vec<StampedRows> = batches.into_iter().enumerate().map(|(at, rows)| piece(at as u64, rows)).collect();
        let order = SortOrder::default();
        let sorted = freeze(&pieces, &order);
        let mut folded = Vec::new();
        let mut held = sorted.slice(0, 0);
        let mut from = 0;
        while from < sorted.rows.len() {
            let len = step.min(sorted.rows.len() - from);
            held = concat_stamped(&[held, sorted.slice(from, len)]).unwrap();
            let whole = last_group_start(&held.rows);
            folded.push(fold_latest(&held.slice(0, whole)).unwrap());
            held = held.slice(whole, held.rows.len() - whole);
            from += len;
        }
        folded.push(fold_latest(&held).unwrap());
        let at_once = fold_latest(&sorted).unwrap();
        prop_assert_eq!(plain_rows(&concat_stamped(&folded).unwrap().rows), plain_rows(&at_once.rows));
    }
}

fn usage(host: &str, time: i64, fields: &[(&str, f64)]) -> PlainRow {
    let mut row = PlainRow::new();
    row.insert(column("host", ColumnKind::Tag), Cell::Tag(host.to_owned()));
    row.insert(column("time", ColumnKind::Time), Cell::Time(time));
    for (name, value) in fields {
        row.insert(column(name, ColumnKind::Field(ochre_types::FieldType::Float)), Cell::Float(value.to_bits()));
    }
    row
}

fn usage_rows(rows: &[PlainRow]) -> Rows {
    let float = ColumnKind::Field(ochre_types::FieldType::Float);
    rows_of(&[column("host", ColumnKind::Tag), column("idle", float), column("user", float)], rows)
}

#[test]
fn a_version_goes_once_a_later_one_sets_all_its_fields() {
    let pieces = [
        piece(1, usage_rows(&[usage("a", 5, &[("idle", 1.0)])])),
        piece(2, usage_rows(&[usage("a", 5, &[("user", 2.0)])])),
        piece(3, usage_rows(&[usage("a", 5, &[("idle", 3.0)])])),
    ];
    let frozen = freeze(&pieces, &SortOrder::default());
    let kept: Vec<Stamp> = (0..frozen.rows.len()).map(|row| frozen.stamps.at(row)).collect();
    assert_eq!(kept.iter().map(|stamp| stamp.hlc.0).collect::<Vec<_>>(), [2, 3], "1 is superseded, 2 still sets user");
    let latest = fold_latest(&frozen).unwrap();
    assert_eq!(plain_rows(&latest.rows), [usage("a", 5, &[("idle", 3.0), ("user", 2.0)])]);
    assert_eq!(latest.stamps.at(0).hlc, Hlc(3));
}

#[test]
fn many_versions_of_one_key_fold_in_linear_time() {
    let rows: Vec<PlainRow> = (0..20_000).map(|n| usage("a", 5, &[("idle", f64::from(n))])).collect();
    let pieces: Vec<StampedRows> =
        rows.chunks(10).enumerate().map(|(at, rows)| piece(at as u64, usage_rows(rows))).collect();
    let frozen = freeze(&pieces, &SortOrder::default());
    assert_eq!(plain_rows(&frozen.rows), [usage("a", 5, &[("idle", 19_999.0)])]);
}
