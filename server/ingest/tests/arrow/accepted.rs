//! Record batches that are taken, and what they become.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, NullArray, StringArray};
use arrow_schema::{DataType, TimeUnit};
use ochre_ingest::arrow::{IOX_COLUMN_TYPE, OCHRE_KIND, Roles};

use crate::dump::dump;
use crate::known::*;

/// The time column of two rows.
fn time() -> ArrayRef {
    integers(&[Some(5), Some(6)])
}

fn read_one(name: &str, array: ArrayRef, roles: &Roles) -> Vec<String> {
    dump(
        &read_new(&record(vec![(name, array), ("n", integers(&[Some(1), Some(2)])), ("time", time())]), roles).unwrap(),
    )
}

#[test]
fn every_type_of_a_field() {
    let small = integers(&[Some(7), None]);
    let plain = Roles::default();
    for (to, value) in [
        (DataType::Int8, "7i"),
        (DataType::Int16, "7i"),
        (DataType::Int32, "7i"),
        (DataType::Int64, "7i"),
        (DataType::UInt8, "7u"),
        (DataType::UInt16, "7u"),
        (DataType::UInt32, "7u"),
        (DataType::UInt64, "7u"),
        (DataType::Float16, "7.0"),
        (DataType::Float32, "7.0"),
        (DataType::Float64, "7.0"),
        (DataType::Utf8, "\"7\""),
        (DataType::LargeUtf8, "\"7\""),
        (DataType::Utf8View, "\"7\""),
    ] {
        let rows = read_one("f", as_type(&small, &to), &plain);
        assert_eq!(rows, [format!("m||f={value},n=1i|5"), "m||n=2i|6".to_owned()], "{to}");
    }
    let booleans = Arc::new(BooleanArray::from(vec![None, Some(false)]));
    assert_eq!(read_one("f", booleans, &plain), ["m||n=1i|5", "m||f=false,n=2i|6"]);
    let floats = Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY]));
    assert_eq!(read_one("f", floats, &plain), ["m||f=NaN,n=1i|5", "m||f=-inf,n=2i|6"]);
}

#[test]
fn text_of_every_layout_is_a_tag_or_a_field_as_the_write_says() {
    let values = texts(&[Some("ü"), None]);
    let mut layouts = vec![DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    for keys in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
    ] {
        layouts.push(dictionary(keys.clone(), DataType::Utf8));
        layouts.push(dictionary(keys, DataType::LargeUtf8));
    }
    for layout in layouts {
        let array = as_type(&values, &layout);
        assert_eq!(read_one("t", array.clone(), &roles(&["t"], None)), ["m|t=ü|n=1i|5", "m||n=2i|6"], "{layout}");
        assert_eq!(read_one("t", array, &roles(&[], None)), ["m||n=1i,t=\"ü\"|5", "m||n=2i|6"], "{layout}");
    }
}

#[test]
fn every_type_of_time() {
    let count = integers(&[Some(-2), Some(3)]);
    let n = integers(&[Some(1), Some(2)]);
    let zone = Some(Arc::from("+02:00"));
    for (to, nanoseconds) in [
        (DataType::Timestamp(TimeUnit::Second, None), 1_000_000_000_i64),
        (DataType::Timestamp(TimeUnit::Millisecond, zone.clone()), 1_000_000),
        (DataType::Timestamp(TimeUnit::Microsecond, None), 1_000),
        (DataType::Timestamp(TimeUnit::Nanosecond, zone), 1),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), 1),
        (DataType::Int64, 1),
    ] {
        let rows = record(vec![("at", as_type(&count, &to)), ("n", n.clone())]);
        let batch = read_new(&rows, &roles(&[], Some("at"))).unwrap();
        let expected = [format!("m||n=1i|{}", -2 * nanoseconds), format!("m||n=2i|{}", 3 * nanoseconds)];
        assert_eq!(dump(&batch), expected, "{to}");
    }
}

#[test]
fn the_first_that_speaks_decides_what_a_column_is() {
    let rows = record(vec![
        ("host", texts(&[Some("a")])),
        ("region", coded(&[Some("eu")])),
        ("rack", texts(&[Some("r")])),
        ("usage", Arc::new(Float64Array::from(vec![0.5]))),
        ("time", integers(&[Some(5)])),
    ]);
    // By convention; then by what the database knows.
    let by_convention = dump(&read_new(&rows, &Roles::default()).unwrap());
    assert_eq!(by_convention, ["m|region=eu|host=\"a\",rack=\"r\",usage=0.5|5"]);
    let by_schema = dump(&read_known(&rows, &Roles::default()).unwrap());
    assert_eq!(by_schema, ["cpu|host=a,region=eu|rack=\"r\",usage=0.5|5"]);
    // By metadata of either kind, which is heard before the convention.
    let marked = with_metadata(&rows, "rack", IOX_COLUMN_TYPE, "iox::column_type::tag");
    let marked = with_metadata(&marked, "region", OCHRE_KIND, "string");
    let marked = with_metadata(&marked, "usage", IOX_COLUMN_TYPE, "iox::column_type::field::float");
    let by_metadata = dump(&read_new(&marked, &Roles::default()).unwrap());
    assert_eq!(by_metadata, ["m|rack=r|host=\"a\",region=\"eu\",usage=0.5|5"]);
    // The write is heard before all: what it does not name is no tag.
    let by_roles = dump(&read_new(&marked, &roles(&["host"], Some("time"))).unwrap());
    assert_eq!(by_roles, ["m|host=a|rack=\"r\",region=\"eu\",usage=0.5|5"]);
    // A time of another name, by metadata; nobody has to call it time.
    let other = record(vec![("at", integers(&[Some(7)])), ("f", integers(&[Some(1)]))]);
    let other = with_metadata(&other, "at", IOX_COLUMN_TYPE, "iox::column_type::timestamp");
    assert_eq!(dump(&read_new(&other, &Roles::default()).unwrap()), ["m||f=1i|7"]);
}

#[test]
fn a_pinned_column_that_no_table_has_counts_as_new() {
    let load = as_type(&integers(&[Some(1)]), &DataType::UInt16);
    let rows = record(vec![("load", load), ("time", integers(&[Some(5)]))]);
    assert_eq!(dump(&read_known(&rows, &Roles::default()).unwrap()), ["cpu||load=1u|5"]);
}

#[test]
fn columns_without_values_leave_no_trace() {
    let rows = record(vec![
        ("nothing", Arc::new(NullArray::new(2))),
        ("tag", coded(&[None, None])),
        ("float", as_type(&integers(&[None, None]), &DataType::Float64)),
        ("n", integers(&[Some(1), Some(2)])),
        ("time", time()),
    ]);
    let batch = read_new(&rows, &Roles::default()).unwrap();
    let columns: Vec<String> = batch.tables()[0].rows.columns().iter().map(ToString::to_string).collect();
    assert_eq!(columns, ["n::integer", "time::time"]);
    // A record batch without rows is one without tables.
    assert!(read_new(&rows.slice(0, 0), &Roles::default()).unwrap().is_empty());
}

#[test]
fn tags_have_distinct_values_that_rows_have() {
    // Values that no row has, twice the same one, and a null among the values.
    let values = StringArray::from(vec![Some("unused"), Some("b"), Some("a"), None, Some("b")]);
    let keys = Int8Array::from(vec![Some(4), Some(2), None, Some(3), Some(1), Some(2)]);
    let tags: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
    let sequence = integers(&[Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
    let rows = record(vec![("t", tags), ("n", sequence.clone()), ("time", sequence)]);
    let batch = read_new(&rows, &Roles::default()).unwrap();
    assert_eq!(tag_values(&batch, "t"), ["b", "a"]);
    let expected = ["m|t=b|n=0i|0", "m|t=a|n=1i|1", "m||n=2i|2", "m||n=3i|3", "m|t=b|n=4i|4", "m|t=a|n=5i|5"];
    assert_eq!(dump(&batch), expected);
    // A piece of longer rows, and a dictionary without values.
    let piece = read_new(&rows.slice(1, 2), &Roles::default()).unwrap();
    assert_eq!(tag_values(&piece, "t"), ["a"]);
    let empty = DictionaryArray::new(Int8Array::from(vec![None]), Arc::new(StringArray::from(Vec::<&str>::new())));
    let one = integers(&[Some(1)]);
    let rows = record(vec![("t", Arc::new(empty)), ("n", one.clone()), ("time", one)]);
    assert_eq!(dump(&read_new(&rows, &Roles::default()).unwrap()), ["m||n=1i|1"]);
}

#[test]
fn what_has_its_type_is_not_copied() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5]));
    let rows = record(vec![("f", floats.clone()), ("time", time())]);
    let batch = read_new(&rows, &Roles::default()).unwrap();
    let taken = batch.tables()[0].rows.arrays()[0].as_primitive::<Float64Type>();
    assert_eq!(taken.values().as_ptr(), floats.as_primitive::<Float64Type>().values().as_ptr());
    let times = batch.tables()[0].rows.times();
    assert_eq!(times.as_ptr(), rows.column(1).as_primitive::<arrow_array::types::Int64Type>().values().as_ptr());
}
