//! Tests of partition templates and keys.

mod kinds;
mod vectors;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::key::{MAX_KEY, MAX_PART};
use super::*;

const DAY: i64 = 86_400_000_000_000;

fn name(text: &str) -> ColumnName {
    ColumnName::new(text).unwrap()
}

fn table(text: &str) -> TableName {
    TableName::new(text).unwrap()
}

fn time(format: &str) -> Part {
    Part::Time(TimeFormat::new(format).unwrap())
}

fn bucket(tag: &str, count: u32) -> Part {
    Part::Bucket { tag: name(tag), count }
}

fn regex(tag: &str, pattern: &str) -> Part {
    Part::Regex { tag: name(tag), pattern: TagPattern::new(pattern).unwrap() }
}

fn template(parts: Vec<Part>) -> Template {
    Template::new(parts).unwrap()
}

fn key(template: &Template, tags: &[(&str, &str)], time: i64) -> PartitionKey {
    let tags: BTreeMap<&str, &str> = tags.iter().copied().collect();
    template.key(&table("cpu|0"), &|name| tags.get(name).copied(), time)
}

fn exact(text: &str) -> TextValue {
    TextValue::Exact(text.to_owned())
}

#[test]
fn fixed_keys() {
    // 2026-11-22T06:07:08.009Z
    let at = 1_795_327_628_009_000_000;
    let full = template(vec![
        Part::Table,
        Part::Tag(name("region")),
        bucket("host", 16),
        regex("host", "^([a-z]+)"),
        time("%Y-%m-%dT%H"),
    ]);
    let vectors: [(&[(&str, &str)], &str); 6] = [
        (&[("region", "eu"), ("host", "web-17")], "cpu%7C0|eu|4|web|2026-11-22T06"),
        (&[("region", ""), ("host", "17")], "cpu%7C0|^|4|!|2026-11-22T06"),
        (&[], "cpu%7C0|!|!|!|2026-11-22T06"),
        (&[("region", "!")], "cpu%7C0|%21|!|!|2026-11-22T06"),
        (&[("region", "a|b^c#d%e/f g\n")], "cpu%7C0|a%7Cb%5Ec%23d%25e/f g%0A|!|!|2026-11-22T06"),
        (&[("region", "Zürich")], "cpu%7C0|Z%C3%BCrich|!|!|2026-11-22T06"),
    ];
    for (tags, text) in vectors {
        assert_eq!(key(&full, tags, at).as_str(), text, "{tags:?}");
    }
    assert_eq!(key(&Template::default(), &[], at).as_str(), "2026-11-22");
    assert_eq!(key(&template(vec![]), &[], at).as_str(), "");
    assert_eq!(template(vec![]).parse_key(&PartitionKey::new("").unwrap()), Ok(vec![]));
}

#[test]
fn long_values_are_cut_between_characters() {
    let by_region = template(vec![Part::Tag(name("region"))]);
    let of = |value: &str| key(&by_region, &[("region", value)], 0).to_string();
    assert_eq!(of(&"a".repeat(200)), "a".repeat(200), "200 bytes fit");
    assert_eq!(of(&"a".repeat(201)), format!("{}#", "a".repeat(199)));
    // 33 characters of 6 bytes make 198; the 34th has no room.
    assert_eq!(of(&"ü".repeat(34)), format!("{}#", "%C3%BC".repeat(33)));
    assert_eq!(of(&format!("{}😀", "a".repeat(190))), format!("{}#", "a".repeat(190)));
    assert_eq!(of(&format!("{}😀", "a".repeat(188))), format!("{}%F0%9F%98%80", "a".repeat(188)), "200 bytes fit");
    let parsed = by_region.parse_key(&PartitionKey::new(&of(&"ü".repeat(34))).unwrap()).unwrap();
    assert_eq!(parsed, [PartValue::Tag(TextValue::Prefix("ü".repeat(33)))]);
    assert!(by_region.may_hold_tag(&parsed, "region", Some(&"ü".repeat(40))));
    assert!(!by_region.may_hold_tag(&parsed, "region", Some(&"ü".repeat(33))), "the value itself would not be cut");
    assert!(!by_region.may_hold_tag(&parsed, "region", Some("ü")));
    assert!(!by_region.may_hold_tag(&parsed, "region", None));
}

#[test]
fn malformed_keys_are_refused() {
    let too_long = "a".repeat(201);
    let cut_short = "a#";
    for text in [
        "a||b",
        "|",
        "a|",
        "a!",
        "!!",
        "^^",
        "a^",
        "#",
        cut_short,
        "ü",
        "\n",
        "%",
        "%4",
        "%4a",
        "%7c",
        "%41",
        "%FF",
        &too_long,
        "1|2|3|4|5|6|7|8|9",
    ] {
        assert!(matches!(PartitionKey::new(text), Err(KeyError::Malformed { .. })), "{text:?}");
    }
    let parts = template(vec![bucket("host", 16), time("%Y-%m-%d")]);
    for text in [
        "",
        "1",
        "1|2026-01-01|2",
        "16|2026-01-01",
        "01|2026-01-01",
        "+1|2026-01-01",
        "^|2026-01-01",
        "1|!",
        "1|2026-02-30",
        "1|2026-1-01",
        "1|2026-01-01 ",
        "1|9999-01-01",
    ] {
        assert!(parts.parse_key(&PartitionKey::new(text).unwrap()).is_err(), "{text:?}");
    }
    let by_table = template(vec![Part::Table]);
    let error = by_table.parse_key(&PartitionKey::new("!").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "part 1 of partition key \"!\" is malformed: a table always has a name");
}

#[test]
fn templates_are_checked() {
    let tag = |n: usize| Part::Tag(name(&n.to_string()));
    assert!(Template::new((0..8).map(tag).collect()).is_ok());
    assert_eq!(Template::new((0..9).map(tag).collect()), Err(TemplateError::Parts(9)));
    assert_eq!(Template::new(vec![tag(1), Part::Table, tag(1)]), Err(TemplateError::Twice(3)));
    assert_eq!(Template::new(vec![Part::Tag(name("time"))]), Err(TemplateError::TimeAsTag(1)));
    assert_eq!(Template::new(vec![Part::Table, bucket("host", 0)]), Err(TemplateError::Buckets { part: 2, count: 0 }));
    assert!(Template::new(vec![bucket("host", 100_000)]).is_ok());
    assert!(Template::new(vec![bucket("host", 100_001)]).is_err());
}

#[test]
fn canonical_text_and_id() {
    let full = template(vec![
        Part::Table,
        Part::Tag(name("a \"quoted\" \\ tag\n")),
        bucket("host", 16),
        regex("host", "^([a-z]+)\\."),
        time("%Y-%m-%d"),
    ]);
    let text = r#"[{"table":{}},{"tag":"a \"quoted\" \\ tag\u000a"},{"bucket":{"tag":"host","count":16}},{"regex":{"tag":"host","pattern":"^([a-z]+)\\."}},{"time":"%Y-%m-%d"}]"#;
    assert_eq!(full.to_string(), text);
    assert_eq!(text.parse::<Template>().unwrap(), full);
    assert_eq!(Template::default().to_string(), r#"[{"time":"%Y-%m-%d"}]"#);
    assert_eq!(Template::default().id(), twox_hash::XxHash3_64::oneshot(br#"[{"time":"%Y-%m-%d"}]"#));
    assert_ne!(Template::default().id(), full.id());
    assert_eq!("[]".parse::<Template>().unwrap(), template(vec![]));
    for text in [
        "",
        "[",
        "[]]",
        "[ ]",
        "[,]",
        r#"[{"table":{}},]"#,
        r#"[{"table":{}}{"tag":"a"}]"#,
        r#"[{"tag":"a}]"#,
        r#"[{"tag":"\u0041"}]"#,
        r#"[{"tag":"\n"}]"#,
        "[{\"tag\":\"\n\"}]",
        r#"[{"bucket":{"tag":"a","count":016}}]"#,
        r#"[{"bucket":{"count":16,"tag":"a"}}]"#,
        r#"[{"tag":""}]"#,
        r#"[{"time":"%s"}]"#,
        r#"[{"nothing":{}}]"#,
    ] {
        assert!(text.parse::<Template>().is_err(), "{text:?}");
    }
    let error = "[{\"tag\":5}]".parse::<Template>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a partition template's text \"[{\\\"tag\\\":5}]\" is malformed at byte 8: a string was expected"
    );
}

#[test]
fn time_formats_name_one_range_of_time() {
    for (format, unit) in [
        ("%Y", TimeUnit::Year),
        ("%Y%m", TimeUnit::Month),
        ("%F", TimeUnit::Day),
        ("%Y-%j", TimeUnit::Day),
        ("%FT%H", TimeUnit::Hour),
        ("%F %R", TimeUnit::Minute),
        ("%Y/%m/%d %H:%M:%S", TimeUnit::Second),
        ("%F %T", TimeUnit::Second),
        ("%Y-%m-%d %H:00:00", TimeUnit::Hour),
        ("y%Y", TimeUnit::Year),
    ] {
        assert_eq!(TimeFormat::new(format).unwrap().unit(), unit, "{format}");
    }
    for format in ["%m", "%Y-%d", "%d.%m.%Y", "%Y%Y", "%F%d", "%Y-%m-%j", "%Y%H", "%T", "%F%M", "%Y%j%d"] {
        assert!(matches!(TimeFormat::new(format), Err(TimeFormatError::Nesting { .. })), "{format}");
    }
    for format in ["%s", "%Y-%U", "%", "%Y%", "%y", "%-d", "%%", "%é"] {
        assert!(matches!(TimeFormat::new(format), Err(TimeFormatError::Specifier { .. })), "{format}");
    }
    for format in ["%Y|%m", "%Y!", "^%Y", "%Y#", "%Y\"", "%Y\\", "%Y\n", "%Yé"] {
        assert!(matches!(TimeFormat::new(format), Err(TimeFormatError::Literal { .. })), "{format}");
    }
    assert_eq!(TimeFormat::new("always"), Err(TimeFormatError::NoUnit("always".into())));
    assert_eq!(TimeFormat::new(""), Err(TimeFormatError::NoUnit(String::new())));
    assert!(matches!(TimeFormat::new(&"x".repeat(65)), Err(TimeFormatError::TooLong { length: 65, .. })));
    assert_eq!(
        TimeFormat::new("%Y-%d").unwrap_err().to_string(),
        "time format \"%Y-%d\" has %d in the wrong place: write units from the year on, coarse to fine, none left out, each once, such as %Y-%m-%dT%H"
    );
}

#[test]
fn windows_at_the_ends_of_time() {
    let window = |format: &str, at| TimeFormat::new(format).unwrap().window(at);
    for format in ["%Y", "%Y%m", "%F", "%Y%j", "%F%H", "%F%R", "%F%T"] {
        let (first, last) = (window(format, i64::MIN), window(format, i64::MAX));
        assert_eq!(first.first, i64::MIN, "{format}");
        assert_eq!(last.last, i64::MAX, "{format}");
        let format = TimeFormat::new(format).unwrap();
        assert_eq!(format.parse(&format.render(i64::MIN)), Some(first));
        assert_eq!(format.parse(&format.render(i64::MAX)), Some(last));
    }
    let days = TimeFormat::new("%F").unwrap();
    assert_eq!((days.render(i64::MIN), days.render(i64::MAX)), ("1677-09-21".to_owned(), "2262-04-11".to_owned()));
    assert_eq!(days.parse("1677-09-20"), None, "no time is in it");
    assert_eq!(days.parse("2262-04-12"), None);
    assert_eq!(days.window(-1), TimeWindow { first: -DAY, last: -1 });
    assert_eq!(days.window(0), TimeWindow { first: 0, last: DAY - 1 });
    assert_eq!(
        TimeFormat::new("%Y").unwrap().parse("2024").unwrap(),
        TimeWindow { first: 1_704_067_200_000_000_000, last: 1_735_689_599_999_999_999 }
    );
    let february = TimeFormat::new("%Y-%m").unwrap().parse("2024-02").unwrap();
    assert_eq!(february.last - february.first + 1, 29 * DAY);
    let december = TimeFormat::new("%Y-%m").unwrap().parse("2023-12").unwrap();
    assert_eq!(december.last - december.first + 1, 31 * DAY);
    assert_eq!(TimeFormat::new("%Y-%j").unwrap().parse("2024-366").unwrap(), days.parse("2024-12-31").unwrap());
    assert_eq!(TimeFormat::new("%Y-%j").unwrap().parse("2023-366"), None);
    assert_eq!(TimeFormat::new("%F %H").unwrap().parse("2023-01-01 24"), None);
    assert_eq!(TimeFormat::new("%F %T").unwrap().parse("2016-12-31 23:59:60"), None, "UTC without leap seconds");
}

#[test]
fn pruning_by_tag_and_time() {
    let parts = template(vec![
        bucket("host", 16),
        regex("host", "^([a-z]+)"),
        Part::Tag(name("region")),
        time("%Y"),
        Part::Time(TimeFormat::new("%F").unwrap()),
    ]);
    let values = parts.parse_key(&key(&parts, &[("host", "web-17")], 0)).unwrap();
    assert_eq!(
        values[..3],
        [PartValue::Bucket(Some(4)), PartValue::Regex(exact("web")), PartValue::Tag(TextValue::Null)]
    );
    assert!(parts.may_hold_tag(&values, "host", Some("web-17")));
    assert!(!parts.may_hold_tag(&values, "host", Some("db-17")), "another capture");
    assert!(!parts.may_hold_tag(&values, "host", None));
    assert!(parts.may_hold_tag(&values, "region", None));
    assert!(!parts.may_hold_tag(&values, "region", Some("eu")));
    assert!(parts.may_hold_tag(&values, "rack", Some("any")), "the key doesn't tell");
    assert_eq!(parts.time_window(&values), Some(TimeWindow { first: 0, last: DAY - 1 }));
    let nowhere = parts.parse_key(&PartitionKey::new("4|web|!|1971|1970-01-01").unwrap()).unwrap();
    assert_eq!(parts.time_window(&nowhere), None);
    let by_regex = template(vec![regex("host", "^([a-z]+)")]);
    assert!(by_regex.may_hold_tag(&[PartValue::Regex(exact("x"))], "host", Some("é")), "classes of such may change");
}

fn values() -> impl Strategy<Value = Option<String>> {
    let text = prop_oneof![
        Just(String::new()),
        "[a-c|!^#%]{0,3}",
        any::<String>(),
        "[a-z]{190,210}",
        "[aü😀%]{15,80}",
        "[a-z]{1,4}[0-9]{1,3}",
    ];
    proptest::option::of(text)
}

fn times() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0..3 * DAY, select(vec![i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX])]
}

/// What a value becomes in a key, said independently of how keys are written.
fn expected(value: Option<&str>, parsed: &TextValue) -> bool {
    let Some(value) = value else { return *parsed == TextValue::Null };
    let length = |text: &str| -> usize {
        text.bytes().map(|b| if b.is_ascii() && !b.is_ascii_control() && !b"|!^#%".contains(&b) { 1 } else { 3 }).sum()
    };
    if length(value) <= MAX_PART {
        return *parsed == exact(value);
    }
    match parsed {
        TextValue::Prefix(prefix) => {
            let next = value[prefix.len()..].chars().next().map_or(0, |c| length(c.encode_utf8(&mut [0; 4])));
            value.starts_with(prefix.as_str()) && length(prefix) < MAX_PART && length(prefix) + next >= MAX_PART
        }
        _ => false,
    }
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let all = vec![
        Part::Table,
        Part::Tag(name("a")),
        Part::Tag(name("b")),
        bucket("a", 7),
        bucket("a", 100_000),
        regex("b", "^([a-z]*)[0-9]?"),
        regex("b", "^x|^.(.)"),
        time("%Y"),
        time("%Y-%m"),
        time("%F"),
        time("%Y-%jT%H"),
        time("%F %H:%M"),
        time("%F %T"),
    ];
    proptest::sample::subsequence(all, 0..=MAX_PARTS).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_key_reads_back(parts in parts(), table_name in "\\PC{1,80}", a in values(), b in values(), at in times()) {
        let made = template(parts.clone());
        let tag = |tag: &str| match tag { "a" => a.as_deref(), _ => b.as_deref() };
        let key = made.key(&table(&table_name), &tag, at);
        prop_assert!(key.as_str().len() <= MAX_KEY && key.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert_eq!(PartitionKey::new(key.as_str()).unwrap(), key.clone());
        let values = made.parse_key(&key).unwrap();
        prop_assert_eq!(values.len(), parts.len());
        for (part, value) in parts.iter().zip(&values) {
            let of_tag = part.tag().and_then(|name| tag(name.as_str()));
            match (part, value) {
                (Part::Table, PartValue::Table(text)) => prop_assert!(expected(Some(&table_name), text)),
                (Part::Tag(_), PartValue::Tag(text)) => prop_assert!(expected(of_tag, text), "{:?}", text),
                (Part::Bucket { count, .. }, PartValue::Bucket(number)) => {
                    prop_assert_eq!(*number, of_tag.map(|value| bucket::of(value, *count)));
                }
                (Part::Regex { pattern, .. }, PartValue::Regex(text)) => {
                    prop_assert!(expected(of_tag.and_then(|value| pattern.capture(value)), text));
                }
                (Part::Time(format), PartValue::Time(window)) => {
                    prop_assert_eq!(*window, format.window(at));
                    prop_assert!(window.contains(at));
                }
                (part, value) => prop_assert!(false, "{part:?} was read as {value:?}"),
            }
        }
        prop_assert!(made.may_hold_tag(&values, "a", a.as_deref()) && made.may_hold_tag(&values, "b", b.as_deref()));
        prop_assert!(made.time_window(&values).unwrap().contains(at));
        prop_assert_eq!(made.to_string().parse::<Template>().unwrap(), made);
    }

    /// Injective unless cut: equal keys mean equal values, or long ones with a common beginning.
    #[test]
    fn different_values_have_different_keys(a in values(), b in values(), other_a in values(), other_b in values()) {
        let made = template(vec![Part::Tag(name("a")), Part::Tag(name("b"))]);
        let key = |a: &Option<String>, b: &Option<String>| {
            made.key(&table("t"), &|tag| if tag == "a" { a.as_deref() } else { b.as_deref() }, 0)
        };
        let (one, other) = (key(&a, &b), key(&other_a, &other_b));
        let cut = one.as_str().contains('#') || other.as_str().contains('#');
        prop_assert!(cut || (one == other) == ((&a, &b) == (&other_a, &other_b)));
    }

    #[test]
    fn a_window_is_exactly_what_renders_alike(
        format in select(vec!["%Y", "%Y-%m", "%F", "%Y-%j", "%FT%H", "%F %R", "%F %T"]),
        at in times(),
        other in times(),
    ) {
        let format = TimeFormat::new(format).unwrap();
        let window = format.window(at);
        let text = format.render(at);
        prop_assert!(window.contains(at));
        prop_assert_eq!(window.contains(other), format.render(other) == text);
        for inside in [window.first, window.last] {
            prop_assert_eq!(&format.render(inside), &text);
        }
        for outside in [window.first.checked_sub(1), window.last.checked_add(1)].into_iter().flatten() {
            prop_assert_ne!(&format.render(outside), &text);
        }
        prop_assert_eq!(format.parse(&text), Some(window));
        // Keys of one format sort by time.
        prop_assert_eq!(text.cmp(&format.render(other)), window.first.cmp(&format.window(other).first));
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), key in "[a|!^#%0-9F]{0,12}") {
        let _ = PartitionKey::new(&text);
        let _ = text.parse::<Template>();
        let _ = TimeFormat::new(&text);
        if let Ok(key) = PartitionKey::new(&key) {
            let _ = template(vec![Part::Tag(name("a")), bucket("a", 3)]).parse_key(&key);
        }
    }
}
