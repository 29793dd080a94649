//! Where a refused line ends, and which number it has.

use ochre_batch::NoColumns;
use ochre_ingest::line_protocol::{Options, parse};
use proptest::prelude::*;

use crate::dump::dump;

/// The accepted rows, and number and text of the refused lines.
fn split(body: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    assert_eq!(parsed.rejected.len(), parsed.rejected_total);
    (dump(&parsed.batch), parsed.rejected.into_iter().map(|r| (r.line_number, r.text)).collect())
}

/// A body, its rows, and number and text of its refused lines.
type Case = (&'static str, &'static [&'static str], &'static [(usize, &'static str)]);

#[test]
fn refused_lines_have_the_number_of_their_first_physical_line() {
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("m f=1 1\nbad\nm f=2 2\n", &["m||f=1.0|1", "m||f=2.0|2"], &[(2, "bad")]),
        ("\n# c\n\n  bad\r\nm f=1 1", &["m||f=1.0|1"], &[(4, "bad")]),
        // A string over three physical lines before a bad line.
        ("m f=\"a\n\nb\" 1\nbad\n", &["m||f=\"a\\n\\nb\"|1"], &[(4, "bad")]),
        // The bad line itself has strings with newlines, wherever it is bad.
        ("m,a= f=\"a\nb\" 1\nbad\n", &[], &[(1, "m,a= f=\"a\nb\" 1"), (3, "bad")]),
        ("m f=x,g=\"a\nb\" 1\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=x,g=\"a\nb\" 1")]),
        ("m f=\"a\nb\" x\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=\"a\nb\" x")]),
        ("m f=\"a\nb\"c\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=\"a\nb\"c")]),
        ("m f=\"a\\\"\nb\" x\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=\"a\\\"\nb\" x")]),
        // A quote that nothing closes takes only its physical line.
        ("m f=\"a 1\nm f=2 2\nm f=3 3\n", &["m||f=2.0|2", "m||f=3.0|3"], &[(1, "m f=\"a 1")]),
        ("m f=1 1\nm f=\"a\\\" 1\nm f=2 2", &["m||f=1.0|1", "m||f=2.0|2"], &[(2, "m f=\"a\\\" 1")]),
        // Quotes mean nothing in measurements, tags, keys and comments, nor within a value that is no string.
        ("m,a=\"x\nm f=2 2", &["m||f=2.0|2"], &[(1, "m,a=\"x")]),
        ("\"m\nm f=2 2", &["m||f=2.0|2"], &[(1, "\"m")]),
        ("# \"\nm f=2 2\n# =\"", &["m||f=2.0|2"], &[]),
        ("m \"f\nm f=2 2", &["m||f=2.0|2"], &[(1, "m \"f")]),
        ("m \"f=x\nm f=2 2", &["m||f=2.0|2"], &[(1, "m \"f=x")]),
        ("m f=a\"b\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=a\"b")]),
        ("m f\\=\"=x\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f\\=\"=x")]),
        // A backslash does not take the newline with it.
        ("m,a=x\\\nm f=2 2", &["m||f=2.0|2"], &[(1, "m,a=x\\")]),
        ("m f=x\\\nm f=2 2", &["m||f=2.0|2"], &[(1, "m f=x\\")]),
    ];
    for (body, rows, rejected) in cases {
        let (found_rows, found_rejected) = split(body);
        assert_eq!(found_rows, *rows, "{body:?}");
        let found: Vec<(usize, &str)> = found_rejected.iter().map(|(number, text)| (*number, text.as_str())).collect();
        assert_eq!(found, *rejected, "{body:?}");
    }
}

/// A good line, a bad line or a line that is none, and how many physical lines it has.
fn piece() -> impl Strategy<Value = (&'static str, bool)> {
    prop_oneof![
        Just(("m f=1 1", true)),
        Just(("s,a=x f=\"one\ntwo\" 1", true)),
        Just(("s f=\"\n\n\n\",g=1i", true)),
        Just(("# comment \"", true)),
        Just(("", true)),
        Just(("bad", false)),
        Just(("m,a= f=1", false)),
        Just(("m f=\"one\ntwo\" x", false)),
        Just(("m f=1,f=\"\n\"", false)),
    ]
}

proptest! {
    #[test]
    fn numbers_are_right_around_strings_of_several_lines(pieces in prop::collection::vec(piece(), 0..30)) {
        let (mut body, mut expected, mut line) = (String::new(), Vec::new(), 1);
        for (text, is_good) in &pieces {
            if !is_good {
                expected.push((line, (*text).to_owned()));
            }
            line += 1 + text.matches('\n').count();
            body.push_str(text);
            body.push('\n');
        }
        prop_assert_eq!(split(&body).1, expected);
    }
}
