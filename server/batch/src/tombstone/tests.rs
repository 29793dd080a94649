//! What tombstones hide, against one row at a time; and their payload.

use std::cell::Cell as Counter;

use ochre_types::Incarnation;
use proptest::prelude::*;

use super::*;
use crate::rows::tag_value;
use crate::testing::{rows, tables};

fn stamp(hlc: u64) -> Stamp {
    Stamp { hlc: Hlc(hlc), incarnation: Incarnation(1) }
}

fn cpu() -> TableName {
    TableName::new("cpu").unwrap()
}

fn erasures() -> impl Strategy<Value = Erasure> {
    let predicates = vec!["host = 'a'", "region IS NULL", "host <> 'web-1' OR time < '2023-11-15'", "TRUE"];
    let matching = (
        prop::option::of(prop::sample::select(vec!["*", "cpu", "*u*"])),
        prop::option::of(prop::sample::select(predicates)),
    );
    let time = prop_oneof![
        Just((i64::MIN, i64::MAX)),
        (0..4i64).prop_map(|day| (0, 1_700_000_000_000_000_000 + day * 86_400_000_000_000)),
    ];
    prop_oneof![
        6 => (matching, time).prop_map(|((pattern, predicate), time)| Erasure::Rows {
            rows: RowMatch {
                tables: pattern.iter().map(|pattern| pattern.parse().unwrap()).collect(),
                predicate: predicate.map(|text| text.parse().unwrap()),
            },
            time,
        }),
        1 => (tables(), any::<u64>()).prop_map(|(table, until)| Erasure::Table { table, undrop_until: Hlc(until) }),
        1 => any::<u64>().prop_map(|until| Erasure::Database { undrop_until: Hlc(until) }),
    ]
}

fn tombstones() -> impl Strategy<Value = Tombstone> {
    (0..9u64, erasures(), prop::option::weighted(0.2, 1..20u64)).prop_map(|(at, erasure, reverted)| Tombstone {
        reverted: reverted.map(stamp),
        ..Tombstone::new(stamp(at), erasure)
    })
}

fn with_stamps(rows: crate::Rows, stamps: &[u64]) -> StampedRows {
    let stamps = match stamps {
        [one] => Stamps::One(stamp(*one)),
        many => {
            let bytes = (0..rows.len()).map(|row| stamp(many[row % many.len()]).to_bytes());
            Stamps::Each(Arc::new(arrow_array::FixedSizeBinaryArray::try_from_iter(bytes).unwrap()))
        }
    };
    StampedRows { rows, stamps }
}

/// What [`hidden`] must say, row by row.
fn row_by_row(rows: &StampedRows, table: &TableName, active: &[Active]) -> Vec<bool> {
    let hides = |row: usize, active: &Active| {
        let tag = |name: &str| {
            let column =
                rows.rows.iter().find(|(id, _)| id.kind == ochre_types::ColumnKind::Tag && id.name.as_str() == name);
            column.and_then(|(_, array)| tag_value(array, row))
        };
        let stamp = if active.late { Stamp::default() } else { rows.stamps.at(row) };
        active.tombstone.hides(table, stamp, &tag, rows.rows.times()[row])
    };
    (0..rows.rows.len()).map(|row| active.iter().any(|active| hides(row, active))).collect()
}

proptest! {
    #[test]
    fn columns_and_rows_agree(
        table in tables(),
        rows in rows(30),
        stamps in prop::collection::vec(0..9u64, 1..4),
        tombstones in prop::collection::vec((tombstones(), any::<bool>()), 0..4),
    ) {
        let rows = with_stamps(rows, &stamps);
        let active: Vec<Active> = tombstones
            .into_iter()
            .map(|(tombstone, late)| Active { late: late && tombstone.stamp > Stamp::default(), tombstone: Arc::new(tombstone) })
            .collect();
        let expected = row_by_row(&rows, &table, &active);
        let found = hidden(&rows, &table, &active);
        let found = found.map(|mask| mask.values().iter().collect::<Vec<_>>());
        prop_assert_eq!(found, expected.contains(&true).then_some(expected));
    }

    #[test]
    fn what_does_not_act_on_a_chunk_hides_none_of_its_rows(
        table in tables(),
        rows in rows(30),
        stamps in prop::collection::vec(0..9u64, 1..4),
        tombstones in prop::collection::vec(tombstones(), 0..6),
    ) {
        let rows = with_stamps(rows, &stamps);
        let facts = Facts {
            table: &table,
            time: rows.rows.time_range().unwrap(),
            stamps: rows.stamp_range().unwrap(),
            settled: None,
            applied: &[],
        };
        let all: Vec<Arc<Tombstone>> = tombstones.into_iter().map(Arc::new).collect();
        let acting = acting(&all, &facts);
        let every: Vec<Active> = all.iter().map(|t| Active { tombstone: t.clone(), late: false }).collect();
        prop_assert_eq!(row_by_row(&rows, &table, &acting), row_by_row(&rows, &table, &every));
        for active in acting.iter().filter(|active| active.covers(&facts)) {
            let mask = row_by_row(&rows, &table, std::slice::from_ref(active));
            prop_assert!(mask.iter().all(|hidden| *hidden), "{active:?}");
        }
    }

    #[test]
    fn a_tombstone_survives_the_log(tombstone in tombstones()) {
        prop_assert_eq!(decode(&encode(&tombstone)), Ok(tombstone));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        tombstone in tombstones(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = encode(&tombstone).to_vec();
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        fuzz_decode(&bytes);
        fuzz_decode(&noise);
    }
}

#[test]
fn the_strategies_meet_both_answers() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let counts = (Counter::new(0), Counter::new(0));
    let run = runner.run(&(rows(30), 0..9u64, tombstones()), |(rows, at, tombstone)| {
        let rows = with_stamps(rows, &[at]);
        let active = Active { tombstone: Arc::new(tombstone), late: false };
        let all = rows.rows.len();
        let hid = hidden(&rows, &cpu(), &[active]).map_or(0, |mask| mask.true_count());
        counts.0.set(counts.0.get() + hid);
        counts.1.set(counts.1.get() + all - hid);
        Ok(())
    });
    run.unwrap();
    assert!(counts.0.get() > 200 && counts.1.get() > 200, "{counts:?}");
}

#[test]
fn a_settled_chunk_is_spared_by_what_it_has_applied_and_emptied_by_what_came_late() {
    let erase = |at| {
        let rows = RowMatch { tables: Vec::new(), predicate: None };
        Arc::new(Tombstone::new(stamp(at), Erasure::Rows { rows, time: (0, 10) }))
    };
    let cpu = cpu();
    let boundary = Stamp { hlc: Hlc(20), incarnation: Incarnation(0) };
    let applied = [stamp(5)];
    let facts =
        Facts { table: &cpu, time: (0, 9), stamps: (boundary, boundary), settled: Some(Hlc(20)), applied: &applied };
    let acting = |at: u64| acting(&[erase(at)], &facts).into_iter().map(|active| active.late).collect::<Vec<_>>();
    assert_eq!(acting(5), Vec::<bool>::new(), "applied");
    assert_eq!(acting(7), [true], "late");
    assert_eq!(acting(20), [true], "at the boundary");
    assert_eq!(acting(21), [false], "newer than all its rows");
    let unsettled = Facts { settled: None, stamps: (stamp(6), stamp(9)), applied: &[], ..facts };
    assert_eq!(super::acting(&[erase(6)], &unsettled), [], "no row is older");
    assert!(super::acting(&[erase(10)], &unsettled)[0].covers(&unsettled));
    assert!(!super::acting(&[erase(9)], &unsettled)[0].covers(&unsettled), "one row has its stamp");
}
