//! Rows as lines and the same rows as Arrow make the same batch.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, TimeUnit};
use ochre_batch::{Batch, NoColumns};
use ochre_ingest::line_protocol::{Flavour, MAX_TIME, MIN_TIME, Options, parse};
use proptest::prelude::*;
use proptest::sample::select;

use crate::known::{as_type, dictionary, read_new, record, roles};

/// One row: two tags, five fields of which one at least is there, and a time.
#[derive(Debug, Clone)]
struct Row {
    host: Option<String>,
    region: Option<String>,
    float: Option<f64>,
    integer: Option<i8>,
    unsigned: Option<u64>,
    boolean: Option<bool>,
    string: Option<String>,
    time: i64,
}

/// How the columns are laid out.
#[derive(Debug, Clone)]
struct Layout {
    host: DataType,
    region: DataType,
    string: DataType,
    integer: DataType,
    time: DataType,
    /// Rows before the ones that are sent, in the same memory.
    offset: usize,
}

fn row() -> impl Strategy<Value = Row> {
    let tag = || prop::option::of("[a-c ,=é]{1,3}");
    let float = prop::option::of(any::<f64>().prop_filter("finite", |value| value.is_finite()));
    let string = prop::option::of("[a-b \\\\\",=\n\té]{0,6}");
    let fields = (float, any::<Option<i8>>(), any::<Option<u64>>(), any::<Option<bool>>(), string);
    let row = (tag(), tag(), fields, MIN_TIME..=MAX_TIME);
    row.prop_map(|(host, region, (float, integer, unsigned, boolean, string), time)| {
        let is_empty = float.is_none() && unsigned.is_none() && boolean.is_none() && string.is_none();
        let integer = integer.or(is_empty.then_some(1));
        Row { host, region, float, integer, unsigned, boolean, string, time }
    })
}

fn layout() -> impl Strategy<Value = Layout> {
    let text = || {
        select(vec![
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            dictionary(DataType::UInt8, DataType::Utf8),
            dictionary(DataType::Int64, DataType::LargeUtf8),
        ])
    };
    let integer = select(vec![DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64]);
    let nanoseconds = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Arc::from));
    let time = select(vec![DataType::Int64, nanoseconds(None), nanoseconds(Some("UTC"))]);
    (text(), text(), text(), integer, time, 0..3_usize).prop_map(|(host, region, string, integer, time, offset)| {
        Layout { host, region, string, integer, time, offset }
    })
}

fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    let escaped = |value: &str| value.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
    for row in rows {
        text.push('m');
        for (name, value) in [("region", &row.region), ("host", &row.host)] {
            if let Some(value) = value {
                write!(text, ",{name}={}", escaped(value)).unwrap();
            }
        }
        let quoted = |value: &String| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let fields = [
            ("string", row.string.as_ref().map(quoted)),
            ("float", row.float.map(|value| format!("{value:?}"))),
            ("integer", row.integer.map(|value| format!("{value}i"))),
            ("unsigned", row.unsigned.map(|value| format!("{value}u"))),
            ("boolean", row.boolean.map(|value| value.to_string())),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        writeln!(text, " {} {}", fields.collect::<Vec<_>>().join(","), row.time).unwrap();
    }
    text
}

fn columns(rows: &[Row], layout: &Layout) -> RecordBatch {
    let offset = layout.offset.min(rows.len());
    let rows: Vec<&Row> = rows[..offset].iter().chain(rows).collect();
    fn column<'a, A: FromIterator<V> + arrow_array::Array + 'static, V>(
        rows: &[&'a Row],
        value: impl Fn(&'a Row) -> V,
    ) -> ArrayRef {
        Arc::new(rows.iter().map(|row| value(row)).collect::<A>())
    }
    let texts = |value: fn(&Row) -> Option<&str>, to| as_type(&column::<StringArray, _>(&rows, value), to);
    let integers = column::<Int64Array, _>(&rows, |row| row.integer.map(i64::from));
    let times = column::<Int64Array, _>(&rows, |row| Some(row.time));
    let all = record(vec![
        ("at", as_type(&times, &layout.time)),
        ("string", texts(|row| row.string.as_deref(), &layout.string)),
        ("region", texts(|row| row.region.as_deref(), &layout.region)),
        ("nothing", Arc::new(NullArray::new(rows.len()))),
        ("float", column::<Float64Array, _>(&rows, |row| row.float)),
        ("integer", as_type(&integers, &layout.integer)),
        ("unsigned", column::<UInt64Array, _>(&rows, |row| row.unsigned)),
        ("boolean", column::<BooleanArray, _>(&rows, |row| row.boolean)),
        ("host", texts(|row| row.host.as_deref(), &layout.host)),
    ]);
    all.slice(offset, rows.len() - offset)
}

/// The bytes that the log would get: equal ones mean equal columns, dictionaries and values.
fn bytes(batch: &Batch) -> Vec<u8> {
    ochre_batch::codec::encode(batch).to_vec()
}

proptest! {
    #[test]
    fn lines_and_arrow_make_the_same_batch(rows in prop::collection::vec(row(), 1..20), layout in layout()) {
        let text = lines(&rows);
        let by_lines = parse(text.as_bytes(), &NoColumns, &Options { flavour: Flavour::V3, ..Options::default() });
        prop_assert!(by_lines.rejected.is_empty(), "{:?} of {}", by_lines.rejected, text);
        let by_arrow = read_new(&columns(&rows, &layout), &roles(&["host", "region"], Some("at")));
        let by_arrow = by_arrow.map_err(|refused| TestCaseError::fail(refused.to_string()))?;
        prop_assert_eq!(crate::dump::dump(&by_arrow), crate::dump::dump(&by_lines.batch));
        prop_assert_eq!(bytes(&by_arrow), bytes(&by_lines.batch));
    }
}
