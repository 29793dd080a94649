//! Tests of what rows look like on the way out.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, BinaryViewArray, DictionaryArray, Float16Array, Int64Array, LargeStringArray, ListArray, RunArray,
    StringArray, StringViewArray, StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow_cast::pretty::pretty_format_batches;

use super::*;

const NANOS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn types(batch: &RecordBatch) -> Vec<DataType> {
    batch.schema().fields().iter().map(|field| field.data_type().clone()).collect()
}

fn engine_rows() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = [Some("a"), None, Some("ü")].into_iter().collect();
    let runs: RunArray<Int32Type> = [Some("x"), Some("x"), None].into_iter().collect();
    batch(vec![
        ("tag", Arc::new(tags.clone())),
        ("view", Arc::new(StringViewArray::from(vec![Some("x"), None, Some("a text longer than twelve")]))),
        ("large", Arc::new(LargeStringArray::from(vec![None, Some("y"), Some("z")]))),
        ("bytes", Arc::new(BinaryViewArray::from(vec![Some(&b"\x00"[..]), None, Some(b"\xff")]))),
        ("half", Arc::new(Float16Array::from_iter([None, None, None]))),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), None, Some(-1)]).with_timezone("+02:00"))),
        ("runs", Arc::new(runs)),
        ("whole", Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)]))),
    ])
}

#[test]
fn engine_types_become_plain_ones_with_the_same_values() {
    let rows = engine_rows();
    let wire = Wire::new(&rows.schema(), Types::Plain);
    let pieces = wire.pieces(&rows).unwrap();
    let [plain] = pieces.as_slice() else { panic!("{} pieces", pieces.len()) };
    let utf8 = DataType::Utf8;
    assert_eq!(
        types(plain),
        [utf8.clone(), utf8.clone(), utf8.clone(), DataType::Binary, DataType::Float32, NANOS, utf8, DataType::Int64]
    );
    assert_eq!(&plain.schema(), wire.schema());
    let expected = "\
+-----+---------------------------+-------+-------+------+-------------------------+------+---------------------+
| tag | view                      | large | bytes | half | ms                      | runs | whole               |
+-----+---------------------------+-------+-------+------+-------------------------+------+---------------------+
| a   | x                         |       | 00    |      | 1970-01-01T00:00:01.500 | x    | 1                   |
|     |                           | y     |       |      |                         | x    |                     |
| ü   | a text longer than twelve | z     | ff    |      | 1969-12-31T23:59:59.999 |      | 9223372036854775807 |
+-----+---------------------------+-------+-------+------+-------------------------+------+---------------------+";
    assert_eq!(pretty_format_batches(std::slice::from_ref(plain)).unwrap().to_string(), expected);
}

#[test]
fn native_rows_go_as_they_are() {
    let rows = engine_rows();
    let wire = Wire::new(&rows.schema(), Types::Native);
    assert_eq!(wire.pieces(&rows).unwrap(), [rows]);
}

#[test]
fn nested_types_are_plain_within() {
    let tags: DictionaryArray<Int32Type> = [Some("a"), Some("b")].into_iter().collect();
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1, 2]));
    let fields = [
        (Arc::new(Field::new("tag", tags.data_type().clone(), true)), Arc::new(tags) as ArrayRef),
        (Arc::new(Field::new("at", times.data_type().clone(), true)), times),
    ];
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let rows = batch(vec![("s", Arc::new(StructArray::from(fields.to_vec()))), ("l", Arc::new(lists))]);
    let plain = Wire::new(&rows.schema(), Types::Plain).pieces(&rows).unwrap().remove(0);
    let DataType::Struct(inner) = plain.schema().field(0).data_type().clone() else { panic!("{:?}", plain.schema()) };
    assert_eq!((inner[0].data_type(), inner[1].data_type()), (&DataType::Utf8, &NANOS));
    assert_eq!(plain.column(0).as_struct().column(0).as_string::<i32>().value(1), "b");
    assert_eq!(plain.column(1), rows.column(1));
}

#[test]
fn a_time_that_nanoseconds_cannot_hold_is_an_error() {
    let rows = batch(vec![("t", Arc::new(TimestampSecondArray::from(vec![i64::MAX / 1_000])))]);
    let error = Wire::new(&rows.schema(), Types::Plain).pieces(&rows).unwrap_err();
    assert!(error.to_string().contains("verflow"), "{error}");
}

#[test]
fn kinds_stay_where_the_type_still_fits() {
    let kind = |name: &str, data_type: DataType, kind: &str| {
        let metadata = HashMap::from([(COLUMN_TYPE_KEY.to_owned(), kind.to_owned()), ("k".to_owned(), "v".to_owned())]);
        Field::new(name, data_type, true).with_metadata(metadata)
    };
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![
        kind("tag", dictionary, "iox::column_type::tag"),
        kind("time", NANOS, "iox::column_type::timestamp"),
        kind("cast", DataType::Utf8, "iox::column_type::field::float"),
        kind("strange", DataType::Float64, "iox::column_type::field::decimal"),
        Field::new("computed", DataType::Float64, true),
    ]));
    for types in [Types::Plain, Types::Native] {
        let wire = Wire::new(&schema, types);
        let kinds: Vec<Option<&String>> =
            wire.schema().fields().iter().map(|field| field.metadata().get(COLUMN_TYPE_KEY)).collect();
        let (tag, time) = ("iox::column_type::tag".to_owned(), "iox::column_type::timestamp".to_owned());
        assert_eq!(kinds, [Some(&tag), Some(&time), None, None, None], "{types:?}");
        assert_eq!(wire.schema().field(2).metadata().get("k").map(String::as_str), Some("v"));
    }
}

#[test]
fn messages_are_bounded_and_keep_the_order() {
    // Uneven on purpose: the first half of the rows holds nearly all of the bytes.
    let texts =
        StringArray::from_iter_values((0..2_000).map(|i| if i < 1_000 { "x".repeat(5_000) } else { i.to_string() }));
    let numbers = Int64Array::from_iter_values(0..2_000);
    let rows = batch(vec![("text", Arc::new(texts)), ("n", Arc::new(numbers))]);
    let pieces = Wire::new(&rows.schema(), Types::Plain).pieces(&rows).unwrap();
    assert!(pieces.len() >= 3, "{}", pieces.len());
    for piece in &pieces {
        assert!(piece.columns().iter().map(sent_bytes).sum::<usize>() <= MESSAGE_BYTES);
    }
    let counted: Vec<i64> =
        pieces.iter().flat_map(|piece| piece.column(1).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(counted, (0..2_000).collect::<Vec<i64>>());

    // A window into long columns is measured as the window, and a row too large goes alone.
    let window = rows.slice(1_500, 10);
    assert_eq!(Wire::new(&rows.schema(), Types::Plain).pieces(&window).unwrap().len(), 1);
    let huge = StringArray::from_iter_values(["a".to_owned(), "x".repeat(3 * MESSAGE_BYTES), "b".to_owned()]);
    let rows = batch(vec![("text", Arc::new(huge))]);
    let counts: Vec<usize> =
        Wire::new(&rows.schema(), Types::Plain).pieces(&rows).unwrap().iter().map(RecordBatch::num_rows).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn rows_without_columns_or_without_rows_pass() {
    let none = TimestampNanosecondArray::from(Vec::<i64>::new());
    let rows = batch(vec![("time", Arc::new(none))]);
    assert_eq!(Wire::new(&rows.schema(), Types::Plain).pieces(&rows).unwrap(), [rows]);
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let bare = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(Wire::new(&bare.schema(), Types::Plain).pieces(&bare).unwrap(), [bare]);
}
