//! Agreement with the parser of InfluxDB 3 where the rules are the same.
//!
//! Left out because ours are those of InfluxDB 1: two backslashes outside of strings (theirs are one), floats without
//! digits on both sides of the point, `-.5`, infinite floats, duplicates, tabs in names, carriage returns, a comma after
//! the last field.

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use ochre_batch::NoColumns;
use ochre_ingest::line_protocol::{Flavour, Options, parse};
use proptest::prelude::*;

use crate::dump::dump;

/// A piece of a name as it is written: plain text, or an escape, or a backslash that is none.
fn name_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "é", "\"", "#", "'", "\\,", "\\ ", "\\x", "\\n", "/", "."])
}

fn name(prefix: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(name_piece(), 0..4).prop_map(move |pieces| format!("{prefix}{}", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|v| format!("{v}i")),
        any::<u64>().prop_map(|v| format!("{v}u")),
        any::<i64>().prop_map(|v| format!("{v}")),
        "-?[0-9]{1,20}\\.[0-9]{1,20}",
        "-?[0-9]{1,3}(\\.[0-9]{1,4})?[eE][+-]?[0-9]{1,2}",
    ]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", " ", ",", "=", "\n", "\\\"", "\\\\", "\\n", "é", "#"]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn boolean() -> impl Strategy<Value = String> {
    let spellings = ["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"];
    prop::sample::select(spellings.to_vec()).prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![number(), string(), boolean()];
    (
        name("m"),
        prop::collection::vec((name("t"), name("v")), 0..4),
        prop::collection::vec((name("f"), value), 1..4),
        prop::option::of(-1_000_000_000_000_i64..1_000_000_000_000),
        " {1,3}",
    )
        .prop_map(|(measurement, tags, fields, time, gap)| {
            let mut line = measurement;
            // The position in a name makes it unique.
            for (index, (key, value)) in tags.iter().enumerate() {
                line.push_str(&format!(",t{index}{key}={value}"));
            }
            line.push_str(&gap);
            for (index, (key, value)) in fields.iter().enumerate() {
                let separator = if index == 0 { "" } else { "," };
                line.push_str(&format!("{separator}f{index}{key}={value}"));
            }
            if let Some(time) = time {
                line.push_str(&format!("{gap}{time}"));
            }
            line
        })
}

/// A line of their parser in the form of `dump`.
fn theirs(line: &ParsedLine<'_>) -> String {
    let mut tags: Vec<_> = line.series.tag_set.iter().flatten().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    tags.sort();
    let mut fields: Vec<_> = line.field_set.iter().map(|(key, value)| (key.as_str(), value)).collect();
    fields.sort_by_key(|(key, _)| *key);
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| match value {
            FieldValue::I64(value) => format!("{key}={value}i"),
            FieldValue::U64(value) => format!("{key}={value}u"),
            FieldValue::F64(value) => format!("{key}={value:?}"),
            FieldValue::String(value) => format!("{key}={:?}", value.as_str()),
            FieldValue::Boolean(value) => format!("{key}={value}"),
        })
        .collect();
    let time = line.timestamp.unwrap_or(0);
    format!("{}|{}|{}|{time}", line.series.measurement, tags.join(","), fields.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn valid_lines_mean_the_same(line in line()) {
        let expected: Vec<String> = parse_lines(&line).map(|line| theirs(&line.unwrap())).collect();
        let parsed = parse(line.as_bytes(), &NoColumns, &Options { flavour: Flavour::V3, ..Options::default() });
        prop_assert!(parsed.rejected.is_empty(), "{:?}", parsed.rejected);
        prop_assert_eq!(dump(&parsed.batch), expected);
    }
}

#[test]
fn both_refuse() {
    for line in [
        "m",
        "m ",
        "m,a=x",
        ",a=x f=1",
        "m,a= f=1",
        "m,a f=1",
        "m, f=1",
        "m f=",
        "m f=\"x",
        "m f=1.5i",
        "m f=0x1",
        "m f=NaN",
        "m f=+1",
        "m f=-1u",
        "m f=9223372036854775808i",
        "m f=18446744073709551616u",
        "m f=tRUE",
        "m f=1 x",
        "m f=1 5.5",
        "m f=1 5 6",
        "m f=1 9223372036854775808",
        "m =1",
    ] {
        assert!(parse_lines(line).any(|line| line.is_err()), "theirs: {line:?}");
        assert_eq!(parse(line.as_bytes(), &NoColumns, &Options::default()).rejected_total, 1, "ours: {line:?}");
    }
}
