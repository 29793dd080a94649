//! Whole requests: partial acceptance, reports, UTF-8, and bytes of every kind.

use std::sync::Arc;

use ochre_batch::NoColumns;
use ochre_ingest::RowFilter;
use ochre_ingest::line_protocol::{Flavour, LineError, MAX_REPORTED_TEXT, Options, fuzz, parse};
use ochre_types::TableName;
use proptest::prelude::*;

use crate::dump::dump;

#[test]
fn good_lines_count_or_none_do() {
    let body = b"m f=1 1\nbad\nm f=2 2\nworse\n";
    let parsed = parse(body, &NoColumns, &Options::default());
    assert_eq!((parsed.lines, parsed.rejected_total), (2, 2));
    assert_eq!(dump(&parsed.batch), ["m||f=1.0|1", "m||f=2.0|2"]);

    let parsed = parse(body, &NoColumns, &Options { accept_partial: false, ..Options::default() });
    assert_eq!((parsed.lines, parsed.rejected_total, parsed.rejected.len()), (0, 1, 1));
    assert!(parsed.batch.is_empty());
    assert_eq!(parsed.rejected[0].line_number, 2);
}

#[test]
fn an_empty_body_has_no_lines() {
    for body in ["", "\n", "\n\n \r\n", "# only\n#comments", "\t"] {
        let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
        assert_eq!((parsed.lines, parsed.rejected_total), (0, 0), "{body:?}");
        assert!(parsed.batch.is_empty());
    }
}

/// Keeps the host `a,b` and rows without a host, from time 5 on.
#[derive(Debug)]
struct Kept;

impl RowFilter for Kept {
    fn refuse<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<String> {
        let is_kept = tag("host").is_none_or(|host| host == "a,b") && tag("f").is_none() && time >= 5;
        (!is_kept).then(|| format!("{table} {:?} {:?} {time}", tag("host"), tag("region")))
    }
}

#[test]
fn rows_that_the_database_does_not_keep_are_refused_line_by_line() {
    let body = "m,host=a\\,b f=1 5\nm,host=c,region=eu f=1 6\nm,region=eu f=1 7\nm,host=a\\,b f=1 4\nm,host=a\\,b f=1 8\n\
                new,host=c,tag=x g=1 9\nm,host=c f=1,g= 9\nm,host=a\\,b f=2 9\n";
    let options = |flavour| Options { flavour, admit: Some(Arc::new(Kept)), ..Options::default() };
    for flavour in [Flavour::V1, Flavour::V3] {
        let parsed = parse(body.as_bytes(), &NoColumns, &options(flavour));
        let refused: Vec<_> = parsed.rejected.iter().map(|line| (line.line_number, line.error.to_string())).collect();
        let expected = [
            (2, "m Some(\"c\") Some(\"eu\") 6"),
            (4, "m Some(\"a,b\") None 4"),
            (6, "new Some(\"c\") None 9"),
            (7, "missing field value"),
        ];
        assert_eq!(refused, expected.map(|(line, reason)| (line, reason.to_owned())));
        // The reason is said as it is: the line is line protocol.
        assert_eq!(parsed.rejected[0].message(), "m Some(\"c\") Some(\"eu\") 6");
        let kept = ["m|host=a,b|f=1.0|5", "m|region=eu|f=1.0|7", "m|host=a,b|f=1.0|8", "m|host=a,b|f=2.0|9"];
        assert_eq!(dump(&parsed.batch), kept);
        assert_eq!(parsed.batch.tables()[0].rows.columns().len(), 4);
    }
    let all_or_none = Options { accept_partial: false, ..options(Flavour::V3) };
    let parsed = parse(body.as_bytes(), &NoColumns, &all_or_none);
    assert_eq!((parsed.lines, parsed.rejected_total, parsed.rejected[0].line_number), (0, 1, 2));
}

#[test]
fn reports_are_bounded() {
    let body = "bad\n".repeat(50);
    let parsed = parse(body.as_bytes(), &NoColumns, &Options { max_reported: 3, ..Options::default() });
    assert_eq!((parsed.rejected.len(), parsed.rejected_total), (3, 50));
    assert_eq!(parsed.rejected.iter().map(|r| r.line_number).collect::<Vec<_>>(), [1, 2, 3]);

    // 1,023 bytes and a character of three: it is left out whole.
    let body = format!("{}{}", "x".repeat(MAX_REPORTED_TEXT - 1), "日".repeat(1_000));
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    assert_eq!(parsed.rejected[0].text, format!("{}…", "x".repeat(MAX_REPORTED_TEXT - 1)));
}

#[test]
fn messages_are_in_the_words_of_the_api() {
    let body = b"m f=1\nm f=1i\nm,a= f=1\n";
    let messages = |flavour| {
        let parsed = parse(body, &NoColumns, &Options { flavour, ..Options::default() });
        parsed.rejected.iter().map(|rejected| rejected.message()).collect::<Vec<_>>()
    };
    let v1 = [
        "field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float",
        "unable to parse 'm,a= f=1': missing tag value",
    ];
    assert_eq!(messages(Flavour::V1), v1);
    assert_eq!(messages(Flavour::V2), v1);
    assert_eq!(
        messages(Flavour::V3),
        [
            "invalid column type for column 'f', expected iox::column_type::field::float, got iox::column_type::field::integer",
            "missing tag value",
        ]
    );
}

#[test]
fn a_refused_line_sets_no_types() {
    let body = "m,a=x f=1i,g=1,g=\"x\" 1\nm f=\"text\",a=2 2\nn x=\n";
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    assert_eq!(dump(&parsed.batch), ["m||a=2.0,f=\"text\"|2"]);
    assert_eq!(parsed.batch.tables()[0].rows.columns().len(), 3);
}

#[test]
fn lines_that_are_not_utf_8_are_refused_one_by_one() {
    let body = b"m f=1 1\nm,a=\xff\xfe f=2 2\n# \xff\nm f=\"\n\xc3\" 3\nm f=4 4\nbad \xf0\x9f\n";
    let parsed = parse(body, &NoColumns, &Options::default());
    assert_eq!(dump(&parsed.batch), ["m||f=1.0|1", "m||f=4.0|4"]);
    let rejected: Vec<_> = parsed.rejected.iter().map(|r| (r.line_number, r.text.as_str(), &r.error)).collect();
    assert_eq!(
        rejected,
        [
            (2, "m,a=\u{fffd}\u{fffd} f=2 2", &LineError::InvalidUtf8 { offset: 12 }),
            (4, "m f=\"\n\u{fffd}\" 3", &LineError::InvalidUtf8 { offset: 31 }),
            (7, "bad \u{fffd}", &LineError::InvalidUtf8 { offset: 48 }),
        ]
    );
}

#[test]
fn tables_and_columns_are_distinguished_whatever_their_order() {
    let body = "a x=1 1\nb x=1i 1\na y=2,x=3 2\na x=4 3\nb,t=1 y=2i 2\na y=5 4\nb,t=2,u=3 x=3i 3\nb x=4i,z=t 4";
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    assert_eq!(
        dump(&parsed.batch),
        [
            "a||x=1.0|1",
            "a||x=3.0,y=2.0|2",
            "a||x=4.0|3",
            "a||y=5.0|4",
            "b||x=1i|1",
            "b|t=1|y=2i|2",
            "b|t=2,u=3|x=3i|3",
            "b||x=4i,z=true|4"
        ]
    );
}

#[test]
fn expected_names_are_not_mistaken_for_escapes() {
    // The second line begins with the bytes of the first one's names, and means other names.
    let body = "m,a=x f\\g=1 1\nm,a\\=b=x f\\g\\=h=1 2\nm,a=x f\\=1=1 3\nm,a=x f\\=1\\=2=1 4\n";
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    assert_eq!(
        dump(&parsed.batch),
        ["m|a=x|f\\g=1.0|1", "m|a=b=x|f\\g=h=1.0|2", "m|a=x|f=1=1.0|3", "m|a=x|f=1=2=1.0|4"]
    );

    // The names of the first line, unescaped, mean something else in the second.
    for (body, reason) in [
        ("m t\\=u=1 1\nm t=u=1 2", "invalid boolean"),
        ("m t\\,u=1 1\nm t,u=1 2", "invalid field format"),
        ("m t\\ u=1 1\nm t u=1 2", "invalid field format"),
        ("m,t\\ u=x f=1 1\nm,t u=x f=1 2", "missing tag value"),
        ("m,t\\,u=x f=1 1\nm,t,u=x f=1 2", "missing tag value"),
    ] {
        let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
        assert_eq!((parsed.lines, parsed.rejected_total), (1, 1), "{body:?}");
        assert_eq!(parsed.rejected[0].error.to_string(), reason, "{body:?}");
    }
}

/// Text made of what line protocol is made of, so that the parser gets far.
fn almost_lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "m",
        ",",
        "a",
        "=",
        " ",
        "f",
        "1",
        "i",
        "u",
        "\"",
        "\\",
        "\n",
        "\r",
        "\t",
        "#",
        "e",
        "-",
        "+",
        ".",
        "t",
        "true",
        "m f=1",
        "m,a=b f=\"x",
        "time",
        "9223372036854775807",
        "\0",
        "ü",
        "NaN",
        "m,a=b c=1 1\n",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }

    #[test]
    fn no_almost_lines_make_it_panic(mut bytes in almost_lines(), wrong in any::<(usize, u8)>()) {
        fuzz(&bytes);
        if !bytes.is_empty() {
            let at = wrong.0 % bytes.len();
            bytes[at] = wrong.1;
            fuzz(&bytes);
        }
    }

    #[test]
    fn every_line_is_accepted_or_refused_alone_as_in_company(lines in prop::collection::vec(almost_lines(), 1..8)) {
        // Lines without quotes and newlines are independent, but for the types that they set.
        let lines: Vec<String> = lines
            .into_iter()
            .map(|line| String::from_utf8(line).unwrap().replace(['"', '\n'], "1"))
            .collect();
        let together = parse(lines.join("\n").as_bytes(), &NoColumns, &Options::default());
        let conflicts = together.rejected.iter().filter(|rejected| rejected.error.is_conflict()).count();
        let alone: usize =
            lines.iter().map(|line| parse(line.as_bytes(), &NoColumns, &Options::default()).lines).sum();
        prop_assert!(together.lines <= alone && alone <= together.lines + conflicts, "{:?}", lines);
    }
}
