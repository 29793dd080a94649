//! Accepted and refused lines with exact results.

use ochre_batch::{KnownColumns, NoColumns};
use ochre_ingest::line_protocol::{Flavour, Options, Precision, parse};
use ochre_types::rules::Limits;
use ochre_types::{ByteSize, ColumnKind, FieldType};

use crate::dump::dump;

/// The outcome of a request of one line: `dump` of its row, or `!` and the reason.
fn outcome(line: &str, schema: &dyn KnownColumns, options: &Options) -> String {
    let parsed = parse(line.as_bytes(), schema, options);
    assert_eq!(parsed.lines + parsed.rejected_total, 1, "one line must be one line: {line:?}");
    match parsed.rejected.first() {
        None => dump(&parsed.batch).remove(0),
        Some(rejected) => {
            assert_eq!(rejected.line_number, 1, "{line:?}");
            assert!(parsed.batch.is_empty(), "a refused line leaves no trace: {line:?}");
            format!("!{}", rejected.error.reason(options.flavour))
        }
    }
}

fn check(table: &[(&str, &str)], options: &Options) {
    for (line, expected) in table {
        assert_eq!(outcome(line, &NoColumns, options), *expected, "{line:?}");
    }
}

#[rustfmt::skip]
const ACCEPTED: &[(&str, &str)] = &[
    // Shapes.
    ("m f=1", "m||f=1.0|7"),
    ("m f=1 5", "m||f=1.0|5"),
    ("m,a=x f=1 5", "m|a=x|f=1.0|5"),
    ("m,b=y,a=x g=2,f=1 5", "m|a=x,b=y|f=1.0,g=2.0|5"),
    ("m f=1 5\n", "m||f=1.0|5"),
    ("m f=1 5\r\n", "m||f=1.0|5"),
    ("m f=1\r\n", "m||f=1.0|7"),
    ("m f=1i\r", "m||f=1i|7"),
    ("m f=t\r\n", "m||f=true|7"),
    ("m f=\"x\"\r\n", "m||f=\"x\"|7"),
    ("m f=1 5 \r\n", "m||f=1.0|5"),
    ("m f=1 5   ", "m||f=1.0|5"),
    ("m f=1   ", "m||f=1.0|7"),
    ("m f=1 \t5\t", "m||f=1.0|5"),
    ("  m f=1 5", "m||f=1.0|5"),
    ("\tm f=1 5", "m||f=1.0|5"),
    ("m   f=1   5", "m||f=1.0|5"),
    ("m,a=x   f=1   5", "m|a=x|f=1.0|5"),
    ("# a comment\nm f=1 5", "m||f=1.0|5"),
    ("  # f=\"not open\n\n \r\n\t\nm f=1 5\n#end", "m||f=1.0|5"),
    // Measurements.
    ("m\\,n f=1 5", "m,n||f=1.0|5"),
    ("m\\ n f=1 5", "m n||f=1.0|5"),
    ("m=n f=1 5", "m=n||f=1.0|5"),
    ("m\\=n f=1 5", "m\\=n||f=1.0|5"),
    ("m\\n f=1 5", "m\\n||f=1.0|5"),
    ("m\\\\n f=1 5", "m\\\\n||f=1.0|5"),
    ("\"m\" f=1 5", "\"m\"||f=1.0|5"),
    ("m\" f=1 5", "m\"||f=1.0|5"),
    ("_m f=1 5", "_m||f=1.0|5"),
    ("\\#m f=1 5", "\\#m||f=1.0|5"),
    ("m# f=1 5", "m#||f=1.0|5"),
    ("m\tn f=1 5", "m\tn||f=1.0|5"),
    ("温度 f=1 5", "温度||f=1.0|5"),
    ("time f=1 5", "time||f=1.0|5"),
    // Tags.
    ("m,a\\,b=x f=1 5", "m|a,b=x|f=1.0|5"),
    ("m,a\\=b=x f=1 5", "m|a=b=x|f=1.0|5"),
    ("m,a\\ b=x f=1 5", "m|a b=x|f=1.0|5"),
    ("m,a=x\\,y f=1 5", "m|a=x,y|f=1.0|5"),
    ("m,a=x\\=y f=1 5", "m|a=x=y|f=1.0|5"),
    ("m,a=x\\ y f=1 5", "m|a=x y|f=1.0|5"),
    ("m,a=\\ f\\=1 g=2 5", "m|a= f=1|g=2.0|5"),
    ("m,a=C:\\dir f=1 5", "m|a=C:\\dir|f=1.0|5"),
    ("m,a=x\\\\y f=1 5", "m|a=x\\\\y|f=1.0|5"),
    ("m,a=x\\ny f=1 5", "m|a=x\\ny|f=1.0|5"),
    ("m,a=\"x\" f=1 5", "m|a=\"x\"|f=1.0|5"),
    ("m,a=\"x f=1 5", "m|a=\"x|f=1.0|5"),
    ("m,a=x\ty f=1 5", "m|a=x\ty|f=1.0|5"),
    ("m,ключ=знач f=1 5", "m|ключ=знач|f=1.0|5"),
    ("m,Time=x f=1 5", "m|Time=x|f=1.0|5"),
    // Field keys.
    ("m f\\,g=1 5", "m||f,g=1.0|5"),
    ("m f\\=g=1 5", "m||f=g=1.0|5"),
    ("m f\\ g=1 5", "m||f g=1.0|5"),
    ("m \\ f=1 5", "m|| f=1.0|5"),
    ("m \"f\"=1 5", "m||\"f\"=1.0|5"),
    ("m f\"=1 5", "m||f\"=1.0|5"),
    ("m f\\g=1 5", "m||f\\g=1.0|5"),
    ("m f\\\\=1=2 5", "m||f\\=1=2.0|5"),
    ("m time=3,f=1 5", "m||f=1.0|5"),
    ("m f=1,time=\"x\" 5", "m||f=1.0|5"),
    ("m f=1,f=2 5", "m||f=2.0|5"),
    ("m s=\"a\",f=1,s=\"bc\" 5", "m||f=1.0,s=\"bc\"|5"),
    // Floats.
    ("m f=1.0 5", "m||f=1.0|5"),
    ("m f=1. 5", "m||f=1.0|5"),
    ("m f=.5 5", "m||f=0.5|5"),
    ("m f=-.5 5", "m||f=-0.5|5"),
    ("m f=-0 5", "m||f=-0.0|5"),
    ("m f=007 5", "m||f=7.0|5"),
    ("m f=1e3 5", "m||f=1000.0|5"),
    ("m f=1E3 5", "m||f=1000.0|5"),
    ("m f=1e+3 5", "m||f=1000.0|5"),
    ("m f=1.5e-3 5", "m||f=0.0015|5"),
    ("m f=1.e3 5", "m||f=1000.0|5"),
    ("m f=1e-400 5", "m||f=0.0|5"),
    ("m f=98.20627802690447 5", "m||f=98.20627802690447|5"),
    ("m f=0.1 5", "m||f=0.1|5"),
    ("m f=9007199254740993 5", "m||f=9007199254740992.0|5"),
    ("m f=123456789012345678901234567890 5", "m||f=1.2345678901234568e29|5"),
    ("m f=1.7976931348623157e308 5", "m||f=1.7976931348623157e308|5"),
    ("m f=5e-324 5", "m||f=5e-324|5"),
    // Integers.
    ("m f=1i 5", "m||f=1i|5"),
    ("m f=-1i 5", "m||f=-1i|5"),
    ("m f=-0i 5", "m||f=0i|5"),
    ("m f=007i 5", "m||f=7i|5"),
    ("m f=9223372036854775807i 5", "m||f=9223372036854775807i|5"),
    ("m f=-9223372036854775808i 5", "m||f=-9223372036854775808i|5"),
    ("m f=00000000000000000000001i 5", "m||f=1i|5"),
    ("m f=1u 5", "m||f=1u|5"),
    ("m f=18446744073709551615u 5", "m||f=18446744073709551615u|5"),
    // Booleans.
    ("m a=t,b=T,c=true,d=True,e=TRUE 5", "m||a=true,b=true,c=true,d=true,e=true|5"),
    ("m a=f,b=F,c=false,d=False,e=FALSE 5", "m||a=false,b=false,c=false,d=false,e=false|5"),
    // Strings.
    ("m f=\"\" 5", "m||f=\"\"|5"),
    ("m f=\"x y,z=1\" 5", "m||f=\"x y,z=1\"|5"),
    ("m f=\"a\\\"b\" 5", "m||f=\"a\\\"b\"|5"),
    ("m f=\"a\\\\\" 5", "m||f=\"a\\\\\"|5"),
    ("m f=\"a\\\\\\\"b\" 5", "m||f=\"a\\\\\\\"b\"|5"),
    ("m f=\"a\\nb\\ c\\,d\\=\" 5", "m||f=\"a\\\\nb\\\\ c\\\\,d\\\\=\"|5"),
    ("m f=\"a\nb\" 5", "m||f=\"a\\nb\"|5"),
    ("m f=\"\n\n\",g=\"\n\" 5\n", "m||f=\"\\n\\n\",g=\"\\n\"|5"),
    ("m f=\"a\r\nb\" 5", "m||f=\"a\\r\\nb\"|5"),
    ("m f=\"# no comment\" 5", "m||f=\"# no comment\"|5"),
    ("m f=\"日本\" 5", "m||f=\"日本\"|5"),
    // Timestamps.
    ("m f=1 0", "m||f=1.0|0"),
    ("m f=1 -5", "m||f=1.0|-5"),
    ("m f=1 005", "m||f=1.0|5"),
    ("m f=1 9223372036854775806", "m||f=1.0|9223372036854775806"),
    ("m f=1 -9223372036854775806", "m||f=1.0|-9223372036854775806"),
];

#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    // Sections.
    ("m", "!missing fields"),
    ("m ", "!missing fields"),
    ("m\n", "!missing fields"),
    ("m \r\n", "!missing fields"),
    ("m,a=x", "!missing fields"),
    ("m,a=x ", "!missing fields"),
    (",a=x f=1", "!missing measurement"),
    (", f=1", "!missing measurement"),
    ("m f", "!invalid field format"),
    ("m f 5", "!invalid field format"),
    ("m 5", "!invalid field format"),
    // Tags.
    ("m, f=1", "!missing tag key"),
    ("m,=x f=1", "!missing tag key"),
    ("m,,a=x f=1", "!missing tag key"),
    ("m,a=x, f=1", "!missing tag key"),
    ("m,a f=1", "!missing tag value"),
    ("m,a,b=x f=1", "!missing tag value"),
    ("m,a= f=1", "!missing tag value"),
    ("m,a=,b=x f=1", "!missing tag value"),
    ("m,a", "!missing tag value"),
    ("m,a=", "!missing tag value"),
    ("bananas=,", "!missing tag key"),
    ("m,a=x=y f=1", "!invalid tag format"),
    ("m,a==y f=1", "!invalid tag format"),
    ("m,a=x,a=y f=1", "!duplicate tags: tag \"a\" stands twice"),
    ("m,a=x,b=z,a=x f=1", "!duplicate tags: tag \"a\" stands twice"),
    ("m,time=x f=1", "!invalid tag key: input tag \"time\" on measurement \"m\" is invalid"),
    ("m,a=x\\ f=1", "!invalid tag format"),
    // Fields.
    ("m =1", "!missing field key"),
    ("m f=1,=2", "!missing field key"),
    ("m f=", "!missing field value"),
    ("m f= 5", "!missing field value"),
    ("m f=\r\n", "!missing field value"),
    ("m f=,g=1", "!missing field value"),
    ("m f=1,", "!invalid field format"),
    ("m f=1,,g=2", "!invalid field format"),
    ("m f=1,g", "!invalid field format"),
    ("m f=1, g=2", "!invalid field format"),
    ("m ,f=1", "!invalid field format"),
    ("m time=1", "!invalid field name: input field \"time\" on measurement \"m\" is invalid"),
    ("m f=1,f=\"x\"", "!field type conflict: input field \"f\" on measurement \"m\" is type string, already exists as type float"),
    ("m,a=x a=1", "!column kind conflict: field \"a\" on table \"m\" already exists as a tag, and a table has one column of a name: rename one of them"),
    ("m _stamp=1", "!invalid column name: \"_stamp\" on table \"m\" is reserved, choose another name"),
    // Numbers.
    ("m f=+1", "!invalid number"),
    ("m f=-", "!invalid number"),
    ("m f=.", "!invalid number"),
    ("m f=-.", "!invalid number"),
    ("m f=1.5i", "!invalid number"),
    ("m f=1.i", "!invalid number"),
    ("m f=1e3i", "!invalid number"),
    ("m f=1ii", "!invalid number"),
    ("m f=1i5", "!invalid number"),
    ("m f=-i", "!invalid number"),
    ("m f=-1u", "!invalid number"),
    ("m f=1.5u", "!invalid number"),
    ("m f=1uu", "!invalid number"),
    ("m f=0x1F", "!invalid number"),
    ("m f=1_000", "!invalid number"),
    ("m f=1.2.3", "!invalid number"),
    ("m f=1-2", "!invalid number"),
    ("m f=1\t5", "!invalid number"),
    ("m f=1\"x\"", "!invalid number"),
    ("m f=NaN", "!invalid number"),
    ("m f=nan", "!invalid number"),
    ("m f=-NaN", "!invalid number"),
    ("m f=Inf", "!invalid number"),
    ("m f=inf", "!invalid number"),
    ("m f=-Inf", "!invalid number"),
    ("m f=+Inf", "!invalid number"),
    ("m f=infinity", "!invalid number"),
    ("m f=.e3", "!invalid float"),
    ("m f=1e", "!invalid float"),
    ("m f=1e+", "!invalid float"),
    ("m f=1e5e5", "!invalid float"),
    ("m f=1e400", "!invalid float"),
    ("m f=-1e309", "!invalid float"),
    ("m f=9223372036854775808i", "!unable to parse integer 9223372036854775808: value out of range"),
    ("m f=-9223372036854775809i", "!unable to parse integer -9223372036854775809: value out of range"),
    ("m f=18446744073709551616u", "!unable to parse unsigned 18446744073709551616: value out of range"),
    // Booleans and strings.
    ("m f=tRUE", "!invalid boolean"),
    ("m f=tr", "!invalid boolean"),
    ("m f=truex", "!invalid boolean"),
    ("m f=yes", "!invalid boolean"),
    ("m f='x'", "!invalid boolean"),
    ("m f=x", "!invalid boolean"),
    ("m f=e5", "!invalid boolean"),
    ("m f=\"x", "!unbalanced quotes"),
    ("m f=\"", "!unbalanced quotes"),
    ("m f=\"x\\\" 5", "!unbalanced quotes"),
    ("m f=\"x\"y 5", "!invalid field format"),
    ("m f=\"x\"\"y\" 5", "!invalid field format"),
    // Timestamps.
    ("m f=1 x", "!bad timestamp"),
    ("m f=1 -", "!bad timestamp"),
    ("m f=1 +5", "!bad timestamp"),
    ("m f=1 5.5", "!bad timestamp"),
    ("m f=1 1e9", "!bad timestamp"),
    ("m f=1 5i", "!bad timestamp"),
    ("m f=1 \"5\"", "!bad timestamp"),
    ("m f=1 5 6", "!point is invalid: unexpected text after the timestamp"),
    ("m f=1 5 x", "!point is invalid: unexpected text after the timestamp"),
    ("m f=1 9223372036854775807", "!time outside range -9223372036854775806 - 9223372036854775806"),
    ("m f=1 9223372036854775808", "!time outside range -9223372036854775806 - 9223372036854775806"),
    ("m f=1 -9223372036854775807", "!time outside range -9223372036854775806 - 9223372036854775806"),
    ("m f=1 99999999999999999999", "!time outside range -9223372036854775806 - 9223372036854775806"),
    // Names.
    ("m\0 f=1", "!invalid name: a table name \"m\\0\" has the character '\\0' at byte 1: the character NUL is not allowed"),
    ("m f\0=1", "!invalid name: a column name \"f\\0\" has the character '\\0' at byte 1: the character NUL is not allowed"),
];

fn v1() -> Options {
    Options { default_time: 7, ..Options::default() }
}

#[test]
fn lines_are_accepted() {
    assert!(ACCEPTED.len() + REFUSED.len() >= 120);
    check(ACCEPTED, &v1());
    check(ACCEPTED, &Options { flavour: Flavour::V2, accept_partial: false, ..v1() });
}

#[test]
fn lines_are_refused() {
    check(REFUSED, &v1());
    check(REFUSED, &Options { flavour: Flavour::V2, accept_partial: false, ..v1() });
}

#[test]
fn version_3_differs() {
    #[rustfmt::skip]
    check(&[
        ("m f=1,f=2", "!duplicate fields: the line has multiple instances of the \"f\" field"),
        ("m time=1,f=2", "!invalid field name: input field \"time\" on measurement \"m\" is invalid"),
        ("m,url=a=b f=1", "m|url=a=b|f=1.0|7"),
        ("m,url==b f=1", "m|url==b|f=1.0|7"),
        ("m f=1i,g=2,f=\"x\"", "!invalid column type for column 'f', expected iox::column_type::field::integer, got iox::column_type::field::string"),
        ("m,a=x a=t", "!invalid column type for column 'a', expected iox::column_type::tag, got iox::column_type::field::boolean"),
        ("m,a=x,a=y f=1", "!duplicate tags: tag \"a\" stands twice"),
        ("m,time=x f=1", "!invalid tag key: input tag \"time\" on measurement \"m\" is invalid"),
    ], &Options { flavour: Flavour::V3, ..v1() });
}

#[test]
fn timestamps_have_the_precision() {
    const OUT: &str = "!time outside range -9223372036854775806 - 9223372036854775806";
    // 1970-01-01T01:02:03.004005006
    let default_time = 3_723_004_005_006;
    for (precision, line, expected) in [
        (Precision::Nanosecond, "m f=1 -3", "m||f=1.0|-3"),
        (Precision::Nanosecond, "m f=1", "m||f=1.0|3723004005006"),
        (Precision::Microsecond, "m f=1 3", "m||f=1.0|3000"),
        (Precision::Microsecond, "m f=1", "m||f=1.0|3723004005000"),
        (Precision::Millisecond, "m f=1 3", "m||f=1.0|3000000"),
        (Precision::Millisecond, "m f=1", "m||f=1.0|3723004000000"),
        (Precision::Second, "m f=1 -3", "m||f=1.0|-3000000000"),
        (Precision::Second, "m f=1", "m||f=1.0|3723000000000"),
        (Precision::Second, "m f=1 9223372036", "m||f=1.0|9223372036000000000"),
        (Precision::Second, "m f=1 9223372037", OUT),
        (Precision::Second, "m f=1 -9223372037", OUT),
        (Precision::Minute, "m f=1 2", "m||f=1.0|120000000000"),
        (Precision::Minute, "m f=1", "m||f=1.0|3720000000000"),
        (Precision::Hour, "m f=1 2", "m||f=1.0|7200000000000"),
        (Precision::Hour, "m f=1", "m||f=1.0|3600000000000"),
        (Precision::Hour, "m f=1 2562048", OUT),
        (Precision::Auto, "m f=1", "m||f=1.0|3723004005006"),
        (Precision::Auto, "m f=1 4999999999", "m||f=1.0|4999999999000000000"),
        (Precision::Auto, "m f=1 -4999999999", "m||f=1.0|-4999999999000000000"),
        (Precision::Auto, "m f=1 5000000000", "m||f=1.0|5000000000000000"),
        (Precision::Auto, "m f=1 4999999999999", "m||f=1.0|4999999999999000000"),
        (Precision::Auto, "m f=1 5000000000000", "m||f=1.0|5000000000000000"),
        (Precision::Auto, "m f=1 4999999999999999", "m||f=1.0|4999999999999999000"),
        (Precision::Auto, "m f=1 5000000000000000", "m||f=1.0|5000000000000000"),
    ] {
        let options = Options { precision, default_time, ..Options::default() };
        assert_eq!(outcome(line, &NoColumns, &options), expected, "{precision:?} {line:?}");
    }
    let before_1970 = Options { precision: Precision::Second, default_time: -1, ..Options::default() };
    assert_eq!(outcome("m f=1", &NoColumns, &before_1970), "m||f=1.0|-1000000000");
}

/// A database with one table `m`: a tag `t` and a float `f`.
struct OneTable;

impl KnownColumns for OneTable {
    fn kind(&self, table: &str, column: &str) -> Option<ColumnKind> {
        match (table, column) {
            ("m", "t") => Some(ColumnKind::Tag),
            ("m", "f") => Some(ColumnKind::Field(FieldType::Float)),
            _ => None,
        }
    }

    fn column_count(&self, table: &str) -> Option<usize> {
        (table == "m").then_some(2)
    }

    fn table_count(&self) -> usize {
        1
    }
}

#[test]
fn what_the_database_has_decides() {
    let options = Options { limits: Limits { columns: 3, tables: 2, ..Limits::default() }, ..v1() };
    #[rustfmt::skip]
    let cases = [
        ("m,t=x f=1", "m|t=x|f=1.0|7"),
        ("m f=1i", "!field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float"),
        ("m f=\"x\"", "!field type conflict: input field \"f\" on measurement \"m\" is type string, already exists as type float"),
        ("m f=1u", "!field type conflict: input field \"f\" on measurement \"m\" is type unsigned, already exists as type float"),
        ("m f=t", "!field type conflict: input field \"f\" on measurement \"m\" is type boolean, already exists as type float"),
        ("m t=1", "!column kind conflict: field \"t\" on table \"m\" already exists as a tag, and a table has one column of a name: rename one of them"),
        ("m,f=x g=1", "!column kind conflict: tag \"f\" on table \"m\" already exists as a field, and a table has one column of a name: rename one of them"),
        ("m f=1,g=2", "m||f=1.0,g=2.0|7"),
        ("m,u=x f=1,g=2", "!too many columns: table \"m\" may have 3, and \"g\" would be one more"),
        ("n a=1,b=2,c=3", "n||a=1.0,b=2.0,c=3.0|7"),
        ("n a=1,b=2,c=3,d=4", "!too many columns: table \"n\" may have 3, and \"d\" would be one more"),
    ];
    for (line, expected) in cases {
        assert_eq!(outcome(line, &OneTable, &options), expected, "{line:?}");
    }
    let full = Options { limits: Limits { tables: 1, ..Limits::default() }, ..v1() };
    assert_eq!(
        outcome("n a=1", &OneTable, &full),
        "!too many tables: the database may have 1, and \"n\" would be one more"
    );
    assert_eq!(outcome("m f=1", &OneTable, &full), "m||f=1.0|7");
}

#[test]
fn long_lines_meet_their_limits() {
    let options = v1();
    let key = |length: usize| format!("m,a={} f=1", "x".repeat(length - "m,a=f".len()));
    assert!(outcome(&key(65_535), &NoColumns, &options).starts_with("m|a=xxx"));
    assert_eq!(outcome(&key(65_536), &NoColumns, &options), "!max key length exceeded: 65536 > 65535");
    assert_eq!(
        outcome(&format!("{} f=1", "x".repeat(65_536)), &NoColumns, &options),
        "!max key length exceeded: 65536 > 65535"
    );
    let field = |length: usize| format!("m {}=1", "x".repeat(length));
    assert!(outcome(&field(65_534), &NoColumns, &options).starts_with("m||xxx"));
    assert_eq!(outcome(&field(65_535), &NoColumns, &options), "!max key length exceeded: 65536 > 65535");

    let string = |length: usize| format!("m f=\"{}\"", "x".repeat(length));
    assert_eq!(outcome(&string(1_048_576), &NoColumns, &options).len(), 1_048_576 + "m||f=\"\"|7".len());
    assert_eq!(
        outcome(&string(1_048_577), &NoColumns, &options),
        "!input field \"f\" on measurement \"m\" is too long, 1048577 > 1048576"
    );
    // An escape is two bytes of the line, and one of the string.
    assert!(outcome(&format!("m f=\"{}\\\"\"", "x".repeat(1_048_575)), &NoColumns, &options).starts_with("m||"));

    let short = Options { limits: Limits { line: ByteSize(10), ..Limits::default() }, ..v1() };
    assert_eq!(outcome("m f=1 4567", &NoColumns, &short), "m||f=1.0|4567");
    assert_eq!(outcome("m f=1 45678", &NoColumns, &short), "!line too long: 11 bytes, where 10 are allowed");
}
