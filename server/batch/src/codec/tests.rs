//! Tests of the payload.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray, cast::AsArray};
use ochre_types::{ColumnKind, FieldType, TableName};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::batch::TableRows;
use crate::rows::Rows;
use crate::testing::{self, Cell, PlainRow, column, plain_batch, rows_of};

/// A batch with every kind of column, values present and absent, and enough of them that code widths differ.
fn sample() -> Batch {
    sample_of(300)
}

fn sample_of(rows: i64) -> Batch {
    let field = |name: &str, field| column(name, ColumnKind::Field(field));
    let (host, id) = (column("host", ColumnKind::Tag), column("trace id", ColumnKind::Tag));
    let (usage, count, total) =
        (field("usage", FieldType::Float), field("count", FieldType::Integer), field("total", FieldType::UInteger));
    let (up, message) = (field("up", FieldType::Boolean), field("message", FieldType::String));
    let time = column("time", ColumnKind::Time);
    let all = [host.clone(), id.clone(), usage.clone(), count.clone(), total.clone(), up.clone(), message.clone()];
    let rows: Vec<PlainRow> = (0..rows)
        .map(|n| {
            let mut row = PlainRow::from([
                (host.clone(), Cell::Tag(["web-1", "web-2", "db"][n as usize % 3].to_owned())),
                (id.clone(), Cell::Tag(format!("{n:x}"))),
                (usage.clone(), Cell::Float((n as f64 / 7.0).to_bits())),
                (count.clone(), Cell::Integer(-n)),
                (total.clone(), Cell::UInteger(u64::MAX - n as u64)),
                (up.clone(), Cell::Boolean(n % 2 == 0)),
                (message.clone(), Cell::String("ü".repeat(n as usize % 4))),
                (time.clone(), Cell::Time(1_700_000_000_000_000_000 + n)),
            ]);
            for column in all.iter().filter(|_| n % 5 == 4) {
                row.remove(column);
            }
            row
        })
        .collect();
    let small: Vec<PlainRow> = vec![
        [(usage.clone(), Cell::Float(0xfff8_0000_0000_0001)), (time.clone(), Cell::Time(i64::MIN))].into(),
        [(usage.clone(), Cell::Float(0x8000_0000_0000_0000)), (time, Cell::Time(i64::MAX))].into(),
    ];
    let table = |name: &str, rows| TableRows { table: TableName::new(name).unwrap(), rows };
    Batch::new(vec![table("cpu", rows_of(&all, &rows)), table("Ünï/côde", rows_of(&[usage], &small))])
}

proptest! {
    #[test]
    fn a_batch_survives_the_round_trip(batch in testing::batches(40)) {
        let payload = encode(&batch);
        prop_assert_eq!(payload.len() % ALIGNMENT, 0);
        let decoded = decode(payload.clone()).unwrap();
        prop_assert_eq!(plain_batch(&decoded), plain_batch(&batch));
        prop_assert_eq!(encode(&decoded), payload, "the same rows have the same bytes");
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_decode(&bytes);
        fuzz_decode(&[b"OCHB\x01\0\x01\0\x01\0\0\0\0\0\0\0".as_slice(), &bytes].concat());
    }
}

#[test]
fn every_truncation_is_refused() {
    let payload = encode(&sample_of(30));
    for length in 0..payload.len() {
        assert!(decode(payload.slice(..length)).is_err(), "{length} of {} bytes", payload.len());
    }
    let longer = Bytes::from([&payload[..], &[0; 8]].concat());
    assert_eq!(
        decode(longer).unwrap_err(),
        DecodeError::Malformed { what: "bytes follow the last table", offset: payload.len() }
    );
}

#[test]
fn ten_thousand_flipped_bytes_do_no_harm() {
    let payload = encode(&sample_of(30)).to_vec();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut taken, mut refused) = (0, 0);
    for round in 0..10_000 {
        // Half of the flips hit the heads of tables and columns, which are a small part of the bytes.
        let most = if round % 2 == 0 { 200 } else { payload.len() };
        let (at, flip) = (0..most, 1..=255u8).new_tree(&mut runner).unwrap().current();
        let mut bytes = payload.clone();
        bytes[at] ^= flip;
        match decode(Bytes::from(bytes)) {
            Ok(batch) => {
                plain_batch(&batch);
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 1_000 && refused > 1_000, "both ways are tried: {taken} taken, {refused} refused");
}

#[test]
fn fixed_width_columns_share_memory_with_the_payload() {
    let payload = encode(&sample());
    assert_eq!(payload.as_ptr().align_offset(ALIGNMENT), 0, "this allocator gives large vectors an aligned start");
    let batch = decode(payload.clone()).unwrap();
    let inside = |start: *const u8| payload.as_ptr_range().contains(&start);
    let cpu = batch.tables().iter().find(|table| table.table.as_str() == "cpu").unwrap();
    assert!(inside(cpu.rows.times().inner().as_ptr()));
    let mut seen = 0;
    for (column, array) in cpu.rows.iter() {
        if matches!(column.kind, ColumnKind::Field(_)) {
            let data = array.to_data();
            assert!(data.buffers().iter().all(|buffer| inside(buffer.as_ptr())), "{column}");
            assert!(inside(data.nulls().unwrap().buffer().as_ptr()), "{column}");
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
    let held = batch.tables().iter().map(|table| table.rows.memory_size()).sum::<usize>();
    assert!(held < 4 * payload.len(), "shared memory is accounted piece by piece: {held} for {}", payload.len());
}

#[test]
fn a_misaligned_payload_is_copied_and_read() {
    let payload = encode(&sample());
    let shifted = Bytes::from([&[0; 3], &payload[..]].concat()).slice(3..);
    assert_ne!(shifted.as_ptr().align_offset(ALIGNMENT), 0);
    assert_eq!(plain_batch(&decode(shifted).unwrap()), plain_batch(&sample()));
}

#[test]
fn unused_and_renumbered_tag_values_leave_no_trace() {
    let tags = |codes: Vec<Option<i32>>, values: Vec<&str>| -> ArrayRef {
        Arc::new(DictionaryArray::new(Int32Array::from(codes), Arc::new(StringArray::from(values))))
    };
    let batch = |array: ArrayRef| {
        let time =
            rows_of(&[], &[1, 2, 3].map(|at| PlainRow::from([(column("time", ColumnKind::Time), Cell::Time(at))])));
        let rows = Rows::from_unordered(vec![
            (column("host", ColumnKind::Tag), array),
            (column("time", ColumnKind::Time), time.arrays()[0].clone()),
        ]);
        Batch::new(vec![TableRows { table: TableName::new("cpu").unwrap(), rows: rows.unwrap() }])
    };
    let plain = encode(&batch(tags(vec![Some(0), None, Some(1)], vec!["a", "b"])));
    let other = encode(&batch(tags(vec![Some(3), None, Some(1)], vec!["x", "b", "y", "a"])));
    assert_eq!(plain, other);
    let decoded = decode(other).unwrap();
    assert_eq!(decoded.tables()[0].rows.arrays()[0].as_dictionary::<arrow_array::types::Int32Type>().values().len(), 2);
}

#[test]
fn each_code_width_is_written_and_read() {
    let host = column("host", ColumnKind::Tag);
    for (distinct, width) in [(256, 1), (257, 2), (65_536, 2), (65_537, 4)] {
        let rows: Vec<PlainRow> = (0..distinct)
            .map(|n: i64| {
                [(host.clone(), Cell::Tag(n.to_string())), (column("time", ColumnKind::Time), Cell::Time(n))].into()
            })
            .collect();
        let table = TableName::new("t").unwrap();
        let batch = Batch::new(vec![TableRows { table, rows: rows_of(std::slice::from_ref(&host), &rows) }]);
        let payload = encode(&batch);
        // The payload's head, the table's head and name, the column's name length, kind and flags.
        assert_eq!(payload[16 + 16 + 8 + 6], width, "{distinct} values");
        assert_eq!(plain_batch(&decode(payload).unwrap()), plain_batch(&batch));
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let payload = encode(&sample()).to_vec();
    let changed = |changes: &[(usize, u8)]| {
        let mut bytes = payload.clone();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        decode(Bytes::from(bytes)).unwrap_err()
    };
    assert_eq!(decode(Bytes::new()).unwrap_err(), DecodeError::Magic);
    assert_eq!(changed(&[(0, b'X')]), DecodeError::Magic);
    assert_eq!(changed(&[(4, 9), (6, 2)]), DecodeError::TooNew { format: 9, min_reader: 2 });
    assert_eq!(
        changed(&[(4, 9), (6, 2)]).to_string(),
        "a batch payload of format 9 needs a reader of format 2: this one knows 1; upgrade this server"
    );
    assert!(matches!(changed(&[(6, 0)]), DecodeError::Malformed { offset: 8, .. }));
    assert!(matches!(changed(&[(12, 1)]), DecodeError::Malformed { offset: 12, .. }), "kept for later");
    assert!(
        matches!(changed(&[(31, 0x7f)]), DecodeError::Truncated { what: "a table's rows", .. }),
        "a giant row count"
    );
    assert!(matches!(changed(&[(23, 0x7f)]), DecodeError::Malformed { .. }), "columns beyond the table's last");
    assert!(
        decode(Bytes::from({
            let mut newer = payload.clone();
            newer[4] = 9;
            newer
        }))
        .is_ok(),
        "a newer format that this reader can read"
    );
}

/// The fixture of format 1 must be read for ever. To write it anew (only while format 1 is unreleased):
/// `OCHRE_WRITE_FIXTURES=1 cargo test -p ochre-batch fixture`.
#[test]
fn the_fixture_of_format_1_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/batch-v1.bin");
    if std::env::var_os("OCHRE_WRITE_FIXTURES").is_some() {
        use std::io::Write as _;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(&encode(&sample())).unwrap();
    }
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    assert_eq!(plain_batch(&decode(bytes.clone()).unwrap()), plain_batch(&sample()));
    assert_eq!(encode(&sample()), bytes, "format 1 is still written as it was");
}
