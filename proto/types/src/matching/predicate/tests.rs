//! What predicates say, what is none, and that their text reads back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::matching::RowMatch;
use crate::name::TableName;

fn parse(text: &str) -> Predicate {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether the predicate is true, false or unknown of a row with these tags.
fn truth(text: &str, tags: &[(&str, &'static str)], time: i64) -> Option<bool> {
    let tags: BTreeMap<&str, &str> = tags.iter().copied().collect();
    parse(text).0.holds(&|name| tags.get(name).copied(), time)
}

#[test]
fn tests_of_tags_are_those_of_sql() {
    let row = [("host", "web-1"), ("region", "eu"), ("odd name", "a'b%\\")];
    for (text, expected) in [
        ("host = 'web-1'", Some(true)),
        ("host = 'WEB-1'", Some(false)),
        ("host <> 'web-1'", Some(false)),
        ("host != 'web-2'", Some(true)),
        ("host < 'web-10'", Some(true)),
        ("host <= 'web-1'", Some(true)),
        ("host > 'web-'", Some(true)),
        ("host >= 'web-10'", Some(false)),
        // By bytes: ü is above every letter of ASCII.
        ("host < 'ü'", Some(true)),
        ("Host = 'web-1'", None),
        ("host IN ('b', 'web-1', 'a')", Some(true)),
        ("host NOT IN ('b', 'a')", Some(true)),
        ("host IN ('b')", Some(false)),
        ("host BETWEEN 'web-0' AND 'web-1'", Some(true)),
        ("host NOT BETWEEN 'web-1' AND 'web-1'", Some(false)),
        ("host BETWEEN 'x' AND 'a'", Some(false)),
        ("host LIKE 'web-_'", Some(true)),
        ("host LIKE 'web'", Some(false)),
        ("host LIKE 'w%1'", Some(true)),
        ("host LIKE '%eb%'", Some(true)),
        ("host LIKE 'W%'", Some(false)),
        ("host LIKE 'web.1'", Some(false)),
        ("host NOT LIKE 'db%'", Some(true)),
        ("\"odd name\" LIKE 'a''b\\%\\\\'", Some(true)),
        ("\"odd name\" LIKE 'a''b\\_%'", Some(false)),
        ("\"odd name\" = 'a''b%\\'", Some(true)),
        ("host ~ 'b-[0-9]$'", Some(true)),
        ("host ~ '^eb'", Some(false)),
        ("host !~ '^eb'", Some(true)),
        ("host IS NULL", Some(false)),
        ("host is not null", Some(true)),
        ("rack IS NULL", Some(true)),
        ("TRUE", Some(true)),
        ("not false", Some(true)),
    ] {
        assert_eq!(truth(text, &row, 0), expected, "{text}");
    }
}

#[test]
fn absent_tags_are_unknown_as_in_sql() {
    let row = [("host", "a")];
    for unknown in ["r = 'x'", "r <> 'x'", "r IN ('x')", "r NOT IN ('x')", "r LIKE '%'", "r !~ 'x'", "NOT r = 'x'"] {
        assert_eq!(truth(unknown, &row, 0), None, "{unknown}");
        assert_eq!(truth(&format!("{unknown} OR host = 'a'"), &row, 0), Some(true));
        assert_eq!(truth(&format!("{unknown} OR host = 'b'"), &row, 0), None);
        assert_eq!(truth(&format!("{unknown} AND host = 'a'"), &row, 0), None);
        assert_eq!(truth(&format!("host = 'b' AND {unknown}"), &row, 0), Some(false));
        assert!(!parse(unknown).admits(&|_| None, 0), "{unknown}");
    }
}

#[test]
fn tests_of_time_are_in_nanoseconds() {
    const NEW_YEAR: i64 = 1_767_225_600_000_000_000;
    for text in [
        "time = '2026-01-01T00:00:00Z'",
        "time = '2026-01-01T01:00:00+01:00'",
        "time = '2026-01-01 00:00:00'",
        "time = '2026-01-01'",
        "\"time\" = TIMESTAMP '2026-01-01'",
        "time = timestamp '2026-01-01T00:00:00.000'",
        "time = 1767225600000000000",
        "time IN (0, '2026-01-01')",
        "time NOT BETWEEN 0 AND 1",
        "time >= '2025-12-31T23:59:59.999999999Z'",
        "time IS NOT NULL",
    ] {
        assert_eq!(truth(text, &[], NEW_YEAR), Some(true), "{text}");
    }
    assert_eq!(truth("time < '2026-01-01T00:00:00Z'", &[], NEW_YEAR - 1), Some(true));
    assert_eq!(truth("time < '2026-01-01T00:00:00Z'", &[], NEW_YEAR), Some(false));
    assert_eq!(truth("time = -9223372036854775808", &[], i64::MIN), Some(true));
    assert_eq!(truth("time IS NULL", &[], 0), Some(false));
}

#[test]
fn and_binds_tighter_than_or_and_not_tighter_than_both() {
    for (text, canonical) in [
        ("a='1' or b='2' and c='3'", "a = '1' OR b = '2' AND c = '3'"),
        ("(a='1' or b='2') and c='3'", "(a = '1' OR b = '2') AND c = '3'"),
        ("a='1' and (b='2' and (c='3'))", "a = '1' AND b = '2' AND c = '3'"),
        ("not a='1' and b='2'", "NOT a = '1' AND b = '2'"),
        ("not (a='1' and b='2')", "NOT (a = '1' AND b = '2')"),
        ("not not (a in ('2','1','2'))", "NOT a NOT IN ('1', '2')"),
        ("NOT a ~ 'x'", "a !~ 'x'"),
        (
            "\"a\" = 'it''s' AND \"Or\" = '' AND \"a\"\"b\" IS NOT NULL",
            "a = 'it''s' AND \"Or\" = '' AND \"a\"\"b\" IS NOT NULL",
        ),
        (
            "time>=0 and time not in (1)",
            "time >= '1970-01-01T00:00:00Z' AND time NOT IN ('1970-01-01T00:00:00.000000001Z')",
        ),
    ] {
        assert_eq!(parse(text).to_string(), canonical);
    }
    assert_eq!(truth("a='1' or b='2' and c='3'", &[("a", "1"), ("b", "2")], 0), Some(true));
    assert_eq!(truth("(a='1' or b='2') and c='x'", &[("a", "1"), ("b", "2"), ("c", "3")], 0), Some(false));
}

#[test]
fn what_is_none_is_refused_with_its_place() {
    let only = "a text in single quotes (only tags and time can be tested, and tags are texts)";
    for (text, message) in [
        ("", "a predicate has the end at byte 0, where a tag, time, NOT, TRUE, FALSE or ( is expected"),
        ("region", "a predicate has the end at byte 6, where a comparison, BETWEEN, IN, LIKE, ~, !~ or IS is expected"),
        ("a = 'b' c", "a predicate has c at byte 8, where AND, OR or the end is expected"),
        ("usage > 5", &format!("a predicate has 5 at byte 8, where {only} is expected")),
        ("a = \"b\"", &format!("a predicate has \"b\" at byte 4, where {only} is expected")),
        (
            "a = NULL",
            "a predicate has NULL at byte 4, where a text in single quotes (an absent tag is found by IS NULL) is expected",
        ),
        ("(a = 'b'", "a predicate has the end at byte 8, where ) is expected"),
        ("a IN ()", &format!("a predicate has ) at byte 6, where {only} is expected")),
        ("a NOT = 'b'", "a predicate has = at byte 6, where BETWEEN, IN or LIKE is expected"),
        (
            "time LIKE 'x'",
            "a predicate has LIKE at byte 5, where a comparison, BETWEEN, IN or IS after time is expected",
        ),
        ("a = 'b", "a predicate has a quote (') at byte 4 that nothing closes"),
        ("a; DROP", "a predicate has the character ';' at byte 1: quote names (\"\") and texts ('')"),
        (
            "time > 'noon'",
            "a predicate has \"noon\" at byte 7, which is no time between 1677-09-21 and 2262-04-11: write it as '2026-01-01T00:00:00Z', or as an integer of nanoseconds since 1970-01-01 UTC",
        ),
        (
            "time > 9223372036854775808",
            "a predicate has \"9223372036854775808\" at byte 7, which is no time between 1677-09-21 and 2262-04-11: write it as '2026-01-01T00:00:00Z', or as an integer of nanoseconds since 1970-01-01 UTC",
        ),
        ("a ~ '('", "a predicate has the pattern \"(\" at byte 4, which can't be used: unclosed group"),
        (
            "a LIKE 'x\\'",
            "a predicate has the pattern \"x\\\\\" at byte 7, which can't be used: it ends in a backslash: write \\\\ for a backslash",
        ),
        (
            "_stamp = 'x'",
            "a predicate has a name at byte 0 that no tag has: a column name \"_stamp\" is reserved: choose another name",
        ),
    ] {
        assert_eq!(text.parse::<Predicate>().unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn size_depth_and_patterns_are_bounded() {
    let nested = |depth: usize| format!("{}a = 'b'{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse(&nested(MAX_DEPTH)), parse("a = 'b'"));
    assert_eq!(nested(MAX_DEPTH + 1).parse::<Predicate>(), Err(PredicateError::TooDeep { offset: MAX_DEPTH + 1 }));
    let chain = vec!["a = 'b'"; 700].join(" OR ");
    assert_eq!(parse(&chain).to_string(), chain);
    assert_eq!("x".repeat(MAX_BYTES + 1).parse::<Predicate>(), Err(PredicateError::TooLong(MAX_BYTES + 1)));
    // Short as written, but its times grow to full length.
    let times = vec!["time=1"; 700].join(" OR ");
    assert!(times.len() <= MAX_BYTES);
    assert!(matches!(times.parse::<Predicate>(), Err(PredicateError::TooLong(_))));
    let patterns = |count| vec!["a ~ 'b'"; count].join(" OR ");
    assert!(patterns(MAX_PATTERNS).parse::<Predicate>().is_ok());
    assert!(matches!(patterns(MAX_PATTERNS + 1).parse::<Predicate>(), Err(PredicateError::TooManyPatterns { .. })));
    assert!(matches!("a ~ '(\\w{200}){200}'".parse::<Predicate>(), Err(PredicateError::Pattern { .. })));
}

#[test]
fn a_match_is_tables_and_predicate() {
    let both =
        RowMatch { tables: vec!["cpu*".parse().unwrap()], predicate: Some(parse("region = 'eu' AND time >= 5")) };
    let admits = |matching: &RowMatch, table: &str, region: Option<&'static str>, time| {
        let tag = |name: &str| region.filter(|_| name == "region");
        matching.admits(&TableName::new(table).unwrap(), &tag, time)
    };
    assert!(admits(&both, "cpu1", Some("eu"), 5));
    assert!(!admits(&both, "mem", Some("eu"), 5));
    assert!(!admits(&both, "cpu1", Some("us"), 5));
    assert!(!admits(&both, "cpu1", None, 5));
    assert!(!admits(&both, "cpu1", Some("eu"), 4));
    assert!(admits(&RowMatch::default(), "mem", None, 0));
    let tags = parse("b = '1' OR NOT (a IS NULL AND b ~ 'x') OR time > 0");
    assert_eq!(tags.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

fn values<V: Ord + Clone + fmt::Debug + 'static>(
    value: impl Strategy<Value = V> + Clone + 'static,
) -> impl Strategy<Value = ValueTest<V>> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let comparison = prop::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]);
    prop_oneof![
        (comparison, value.clone()).prop_map(|(comparison, value)| ValueTest::Compare(comparison, value)),
        (value.clone(), value.clone()).prop_map(|(low, high)| ValueTest::Between(low, high)),
        prop::collection::btree_set(value, 1..4).prop_map(|values| ValueTest::OneOf(values.into_iter().collect())),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    let name =
        prop_oneof!["[a-z_][a-zA-Z0-9_]{0,5}", "[a-z \"'.\n-]{1,4}", Just("OR".to_owned()), Just("ünï".to_owned())]
            .prop_filter("not the time", |name| name != TIME)
            .prop_map(|name| ColumnName::new(name).unwrap());
    let text = "[a-c'\"\\\\% \n]{0,4}".prop_map(String::into_boxed_str);
    let tag = prop_oneof![
        3 => values(text).prop_map(TagTest::Value),
        1 => "[a-c%_' ]{0,4}".prop_map(|text| TagTest::Like(TextPattern::like(&text).unwrap())),
        1 => "[a-c.*' ]{1,4}".prop_filter_map("an expression", |text| TextPattern::regex(&text).ok()).prop_map(TagTest::Matches),
        1 => Just(TagTest::Absent),
    ];
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Condition::Constant),
        2 => values(any::<i64>()).prop_map(Condition::Time),
        5 => (name, tag).prop_map(|(name, test)| Condition::Tag(name, test)),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let flat = |parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition| {
            let parts = parts.into_iter().flat_map(|part| match (part, join(Vec::new())) {
                (Condition::All(inner), Condition::All(_)) | (Condition::Any(inner), Condition::Any(_)) => inner,
                (part, _) => vec![part],
            });
            join(parts.collect())
        };
        prop_oneof![
            inner.clone().prop_map(|inner| Condition::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |parts| flat(parts, Condition::All)),
            prop::collection::vec(inner, 2..4).prop_map(move |parts| flat(parts, Condition::Any)),
        ]
    })
}

const TIME: &str = crate::TIME_COLUMN;

proptest! {
    #[test]
    fn every_predicate_reads_back_from_its_text(condition in conditions()) {
        let predicate = Predicate(condition);
        let text = predicate.to_string();
        prop_assume!(text.len() <= MAX_BYTES);
        let again: Predicate = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(&again, &predicate, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn no_text_panics_and_what_is_read_stays(text in "([a-c'\"=<>!~(), -]|NOT |AND |OR |IN|LIKE|time|TIMESTAMP|1|IS|NULL|TRUE|BETWEEN|ü){0,24}") {
        if let Ok(predicate) = text.parse::<Predicate>() {
            prop_assert_eq!(predicate.to_string().parse(), Ok(predicate));
        }
    }
}
