//! Record batches that are refused, and why.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BinaryArray, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use ochre_batch::NoColumns;
use ochre_ingest::RowFilter;
use ochre_ingest::arrow::{IOX_COLUMN_TYPE, OCHRE_KIND, Roles, read};
use ochre_types::rules::Limits;
use ochre_types::{ByteSize, TableName};

use crate::known::*;

fn one() -> ArrayRef {
    integers(&[Some(1)])
}

/// A column beside a field and a time.
fn with(name: &str, array: ArrayRef) -> RecordBatch {
    let row = |value| integers(&vec![Some(value); array.len()]);
    record(vec![(name, array.clone()), ("n", row(1)), ("time", row(5))])
}

fn refusal(rows: &RecordBatch, roles: &Roles) -> String {
    read_new(rows, roles).unwrap_err().to_string()
}

#[test]
fn roles_that_do_not_fit() {
    let plain = Roles::default();
    let rows = with("a", texts(&[Some("x")]));
    let no_time = record(vec![("a", one())]);
    assert_eq!(
        refusal(&no_time, &plain),
        "no time: name a column time, or say which one it is (header ochre-time, or metadata iox::column::type = iox::column_type::timestamp)"
    );
    assert_eq!(
        refusal(&rows, &roles(&["host"], None)),
        "no column \"host\", which the write says is a tag: send it, or don't name it"
    );
    assert_eq!(
        refusal(&rows, &roles(&[], Some("at"))),
        "no column \"at\", which the write says is the time: send it, or don't name it"
    );
    assert_eq!(
        refusal(&rows, &roles(&["time"], Some("time"))),
        "the column \"time\" is said to be both the time and a tag"
    );
    let two = with_metadata(&rows, "n", IOX_COLUMN_TYPE, "iox::column_type::timestamp");
    assert_eq!(
        refusal(&two, &plain),
        "two times: the columns \"n\" and \"time\" are both said to be the time, of which there is one"
    );
    let odd = with_metadata(&rows, "n", OCHRE_KIND, "number");
    assert_eq!(
        refusal(&odd, &plain),
        "the column \"n\" has the metadata ochre.kind = \"number\", which is no kind of column: leave it out, or write iox::column_type::tag, ::timestamp, or ::field:: with float, integer, uinteger, boolean or string"
    );
    // Metadata that states another type than is sent.
    let float = with_metadata(&rows, "n", IOX_COLUMN_TYPE, "iox::column_type::field::float");
    assert_eq!(
        refusal(&float, &plain),
        "field type conflict: the field \"n\" of table \"m\" is sent as integer (Arrow type Int64), and is of type float: cast it to Float64"
    );
}

#[test]
fn names_that_no_column_has() {
    let plain = Roles::default();
    let fields = [Field::new("a", DataType::Int64, true), Field::new("a", DataType::Int64, true)];
    let twice = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![one(), one()]).unwrap();
    assert_eq!(refusal(&twice, &plain), "two columns have the name \"a\": rename one of them");
    let reserved = |column| format!("invalid column name: {column:?} on table \"m\" is reserved, choose another name");
    assert_eq!(refusal(&with("_stamp", one()), &plain), reserved("_stamp"));
    assert_eq!(refusal(&with("a", one()), &roles(&[], Some("a"))), reserved("time"));
    assert_eq!(
        refusal(&with("", one()), &plain),
        "invalid name: a column name is empty: give it at least one character"
    );
}

#[test]
fn types_that_no_column_has() {
    let plain = Roles::default();
    let number = one();
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]));
    let coded_numbers: ArrayRef =
        Arc::new(DictionaryArray::new(Int32Array::from(vec![0]), Arc::new(Int32Array::from(vec![1]))));
    for (array, found, remedy) in [
        (
            as_type(&number, &DataType::Decimal128(10, 2)),
            "Decimal128(10, 2)",
            "cast it to Float64, or to Int64 of its smallest unit",
        ),
        (as_type(&as_type(&number, &DataType::Int32), &DataType::Date32), "Date32", "cast it to Int64 or Utf8"),
        (as_type(&number, &DataType::Time64(TimeUnit::Nanosecond)), "Time64(ns)", "cast it to Int64 or Utf8"),
        (as_type(&number, &DataType::Duration(TimeUnit::Second)), "Duration(s)", "cast it to Int64"),
        (
            as_type(&number, &DataType::Timestamp(TimeUnit::Second, None)),
            "Timestamp(s)",
            "cast it to Int64, or say that it is the time",
        ),
        (Arc::new(BinaryArray::from(vec![b"x".as_slice()])), "Binary", "cast it to Utf8, as base64 if it is no text"),
        (list, "List(Int32)", "make one column of each value, or cast it to Utf8"),
        (coded_numbers, "Dictionary(Int32, Int32)", "cast it to the type of its values"),
    ] {
        let message = refusal(&with("a", array), &plain);
        assert_eq!(message, format!("the column \"a\" is of the Arrow type {found}, which no field has: {remedy}"));
    }
    assert_eq!(
        refusal(&with("a", one()), &roles(&["a"], None)),
        "the tag \"a\" is of the Arrow type Int64: tags are text, cast it to Utf8"
    );
    let rows = record(vec![("n", one()), ("time", texts(&[Some("2026-01-01")]))]);
    assert_eq!(
        refusal(&rows, &plain),
        "the time \"time\" is of the Arrow type Utf8: cast it to a Timestamp, or to Int64 of nanoseconds since 1970-01-01 UTC"
    );
}

#[test]
fn columns_that_disagree_with_the_table() {
    let refused = |rows: &RecordBatch, roles: &Roles| {
        let refused = read_known(rows, roles).unwrap_err();
        assert!(refused.is_conflict() && !refused.is_limit());
        refused.to_string()
    };
    assert_eq!(
        refused(&with("usage", one()), &Roles::default()),
        "field type conflict: the field \"usage\" of table \"cpu\" is sent as integer (Arrow type Int64), and is of type float: cast it to Float64"
    );
    assert_eq!(
        refused(&with("load", one()), &Roles::default()),
        "field type conflict: the field \"load\" of table \"cpu\" is sent as integer (Arrow type Int64), and is of type unsigned: cast it to UInt64"
    );
    assert_eq!(
        refused(&with("host", texts(&[Some("a")])), &roles(&[], None)),
        "column kind conflict: field \"host\" on table \"cpu\" already exists as a tag, and a table has one column of a name: rename one of them"
    );
    assert_eq!(
        refused(&with("usage", coded(&[Some("a")])), &roles(&["usage"], None)),
        "column kind conflict: tag \"usage\" on table \"cpu\" already exists as a field, and a table has one column of a name: rename one of them"
    );
}

#[test]
fn rows_that_lines_could_not_be() {
    let plain = Roles::default();
    let two = integers(&[Some(1), Some(2)]);
    let rows = record(vec![("n", two.clone()), ("time", integers(&[Some(5), None]))]);
    assert_eq!(refusal(&rows, &plain), "row 1 has no time: every row needs one");
    let seconds = as_type(&integers(&[Some(0), Some(9_223_372_037)]), &DataType::Timestamp(TimeUnit::Second, None));
    assert_eq!(
        refusal(&record(vec![("n", two.clone()), ("time", seconds)]), &plain),
        "row 1 has the time 9223372037 s: time outside range -9223372036854775806 - 9223372036854775806 nanoseconds"
    );
    let first = integers(&[Some(i64::MIN + 1), Some(0)]);
    assert_eq!(
        refusal(&record(vec![("n", two.clone()), ("time", first)]), &plain),
        "row 0 has the time -9223372036854775807 ns: time outside range -9223372036854775806 - 9223372036854775806 nanoseconds"
    );
    assert_eq!(
        refusal(&with("t", coded(&[Some("a"), Some("")])), &plain),
        "row 1 has an empty text in the tag \"t\": leave it null where a row does not have the tag"
    );
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(
        refusal(&with("t", coded(&[Some("a"), Some(&long[..65_536])])), &plain),
        "row 1 has 65536 bytes in the tag \"t\": at most 65535 are allowed"
    );
    assert_eq!(
        refusal(&with("s", texts(&[None, Some(&long)])), &plain),
        "row 1 has 1048577 bytes in the field \"s\": at most 1048576 are allowed"
    );
    let rows = record(vec![("n", integers(&[Some(1), None])), ("m", integers(&[None, None])), ("time", two)]);
    assert_eq!(refusal(&rows, &plain), "missing fields: row 1 has no value in any field");
}

#[test]
fn limits() {
    let rows = record(vec![
        ("host", texts(&[Some("a")])),
        ("x", one()),
        ("absent", integers(&[None])),
        ("y", one()),
        ("time", one()),
    ]);
    let refused = |name: &str, columns, tables| {
        let limits = Limits { columns, tables, ..Limits::default() };
        let refused = read(&table(name), &rows, &Cpu, &Roles::default(), &limits, None).err()?;
        assert!(refused.is_limit() && !refused.is_conflict());
        Some(refused.to_string())
    };
    // The table has two columns; two of these are new.
    assert_eq!(refused("cpu", 4, 1), None);
    assert_eq!(
        refused("cpu", 3, 1).as_deref(),
        Some("too many columns: table \"cpu\" may have 3, and \"y\" would be one more")
    );
    assert_eq!(refused("mem", 3, 2), None);
    assert_eq!(
        refused("mem", 3, 1).as_deref(),
        Some("too many tables: the database may have 1, and \"mem\" would be one more")
    );
}

#[test]
fn a_dictionary_is_not_written_out_without_bound() {
    let values = StringArray::from(vec!["x".repeat(1_000)]);
    let keys = Int32Array::from(vec![0; 1_000]);
    let rows = with("s", Arc::new(DictionaryArray::new(keys, Arc::new(values))));
    let read_within = |body, roles: &Roles| {
        let limits = Limits { body: ByteSize(body), ..Limits::default() };
        read(&table("m"), &rows, &NoColumns, roles, &limits, None).map(|batch| batch.row_count())
    };
    assert_eq!(read_within(1_000_000, &roles(&[], None)), Ok(1_000));
    let refused = read_within(999_999, &roles(&[], None)).unwrap_err();
    assert!(refused.is_limit());
    assert_eq!(
        refused.to_string(),
        "too much text: written out, the texts up to column \"s\" have more than 999999 bytes, send fewer rows at a time"
    );
    // A tag stays a dictionary.
    assert_eq!(read_within(1_000, &roles(&["s"], None)), Ok(1_000));
}

/// Keeps hosts other than `b`, from time 5 on.
#[derive(Debug)]
struct Kept;

impl RowFilter for Kept {
    fn refuse<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<String> {
        let (host, region) = (tag("host"), tag("region"));
        let is_kept = host != Some("b") && time >= 5 && tag("n").is_none();
        (!is_kept).then(|| format!("{table} {host:?} {region:?} {time}"))
    }
}

#[test]
fn rows_that_the_database_does_not_keep() {
    let rows = |host, time| {
        record(vec![
            ("n", integers(&[Some(1), Some(2)])),
            ("region", coded(&[Some("eu"), None])),
            ("host", coded(&[None, host])),
            ("time", integers(&[Some(5), Some(time)])),
        ])
    };
    let read = |rows: &RecordBatch| {
        let limits = Limits::default();
        let batch = read(&table("m"), rows, &NoColumns, &Roles::default(), &limits, Some(&Kept));
        batch.map(|batch| batch.row_count()).map_err(|refused| refused.to_string())
    };
    assert_eq!(read(&rows(Some("a"), 5)), Ok(2));
    assert_eq!(read(&rows(Some("b"), 5)), Err("row 1: m Some(\"b\") None 5".to_owned()));
    assert_eq!(read(&rows(Some("a"), 4)), Err("row 1: m Some(\"a\") None 4".to_owned()));
}
