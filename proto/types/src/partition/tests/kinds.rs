//! What holds of each kind of part by itself: its key reads back, two values share a key only where they must, and what
//! a query leaves out by the key could not have held the value.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The one part of the key of a template with one part.
fn read_one(template: &Template, key: &PartitionKey) -> PartValue {
    let mut values = template.parse_key(&PartitionKey::new(key.as_str()).unwrap()).unwrap();
    assert_eq!(values.len(), 1);
    values.remove(0)
}

fn key_of(template: &Template, value: Option<&str>) -> PartitionKey {
    template.key(&table("t"), &|_| value, 0)
}

/// Whether the text part was cut.
fn is_cut(key: &PartitionKey) -> bool {
    key.as_str().ends_with('#')
}

/// Values that differ late: beyond the place where a part is cut, or just before it.
fn long_values() -> impl Strategy<Value = String> {
    let tail = "[ab|ü]{0,4}";
    prop_oneof![
        (190..210usize, tail).prop_map(|(length, tail)| "x".repeat(length) + &tail),
        (30..36usize, tail).prop_map(|(length, tail)| "ü".repeat(length) + &tail),
        (15..18usize, tail).prop_map(|(length, tail)| "😀".repeat(length) + &tail),
    ]
}

fn any_value() -> impl Strategy<Value = Option<String>> {
    prop_oneof![2 => values(), 1 => long_values().prop_map(Some)]
}

fn any_table() -> impl Strategy<Value = TableName> {
    prop_oneof!["\\PC{1,80}", long_values()].prop_filter_map("no table name", |name| TableName::new(name).ok())
}

/// What a text part says of the values under it, and which others it rules out.
fn check_text(value: Option<&str>, other: Option<&str>, keys: [&PartitionKey; 2], found: &TextValue) {
    let same_key = keys[0] == keys[1];
    assert!(expected(value, found), "{value:?} was read as {found:?}");
    assert!(found.admits(value), "{found:?} rules {value:?} out");
    assert!(!same_key || found.admits(other), "{found:?} rules {other:?} out, which has the same key");
    match found {
        TextValue::Prefix(prefix) => {
            assert!(is_cut(keys[0]));
            let begins = |value: Option<&str>| value.is_some_and(|value| value.starts_with(prefix.as_str()));
            assert!(!same_key || (begins(value) && begins(other)), "one key, and not one beginning");
            assert_eq!(found.admits(other), begins(other) && other.is_some_and(|other| other.len() > prefix.len()));
        }
        TextValue::Null | TextValue::Exact(_) => {
            assert!(!is_cut(keys[0]));
            assert_eq!(same_key, value == other, "a key that is not cut has one value");
            assert_eq!(found.admits(other), value == other);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_a_table(one in any_table(), other in any_table()) {
        let by_table = template(vec![Part::Table]);
        let key = |table: &TableName| by_table.key(table, &|_| Some("nothing"), 1);
        let keys = [&key(&one), &key(&other)];
        let PartValue::Table(found) = read_one(&by_table, keys[0]) else { panic!("another kind") };
        check_text(Some(one.as_str()), Some(other.as_str()), keys, &found);
    }

    #[test]
    fn of_a_tag(one in any_value(), other in any_value()) {
        let by_tag = template(vec![Part::Tag(name("a"))]);
        let keys = [&key_of(&by_tag, one.as_deref()), &key_of(&by_tag, other.as_deref())];
        let PartValue::Tag(found) = read_one(&by_tag, keys[0]) else { panic!("another kind") };
        check_text(one.as_deref(), other.as_deref(), keys, &found);
        let found = [PartValue::Tag(found)];
        prop_assert!(by_tag.may_hold_tag(&found, "a", one.as_deref()));
        prop_assert!(by_tag.may_hold_tag(&found, "b", other.as_deref()), "of another tag, the key says nothing");
        if !is_cut(keys[0]) {
            prop_assert_eq!(by_tag.may_hold_tag(&found, "a", other.as_deref()), one == other);
        }
    }

    #[test]
    fn of_a_bucket(one in any_value(), other in any_value(), count in prop_oneof![1..8u32, Just(MAX_BUCKETS)]) {
        let by_bucket = template(vec![bucket("a", count)]);
        let number = |value: &Option<String>| value.as_deref().map(|value| bucket::of(value, count));
        let keys = [key_of(&by_bucket, one.as_deref()), key_of(&by_bucket, other.as_deref())];
        let found = read_one(&by_bucket, &keys[0]);
        prop_assert_eq!(&found, &PartValue::Bucket(number(&one)));
        prop_assert!(number(&one).is_none_or(|number| number < count));
        prop_assert_eq!(keys[0] == keys[1], number(&one) == number(&other));
        prop_assert_eq!(by_bucket.may_hold_tag(&[found], "a", other.as_deref()), keys[0] == keys[1]);
    }

    #[test]
    fn of_a_regex(
        one in any_value(),
        other in any_value(),
        pattern in select(vec!["^([a-z]*)[0-9]?", "^x|^.(.)", "^(.*)$", "^(?:ü|x)+(.*)", "^([^|]+)\\|"]),
    ) {
        let by_regex = template(vec![regex("a", pattern)]);
        let pattern = TagPattern::new(pattern).unwrap();
        let capture = |value: &Option<String>| value.as_deref().and_then(|v| pattern.capture(v)).map(str::to_owned);
        let (captured, other_captured) = (capture(&one), capture(&other));
        let keys = [&key_of(&by_regex, one.as_deref()), &key_of(&by_regex, other.as_deref())];
        let PartValue::Regex(found) = read_one(&by_regex, keys[0]) else { panic!("another kind") };
        check_text(captured.as_deref(), other_captured.as_deref(), keys, &found);
        let found = [PartValue::Regex(found)];
        prop_assert!(by_regex.may_hold_tag(&found, "a", one.as_deref()));
        prop_assert!(keys[0] != keys[1] || by_regex.may_hold_tag(&found, "a", other.as_deref()));
        if other.as_deref().is_some_and(|other| !other.is_ascii()) {
            prop_assert!(by_regex.may_hold_tag(&found, "a", other.as_deref()), "letters may change their class");
        } else if !is_cut(keys[0]) {
            prop_assert_eq!(by_regex.may_hold_tag(&found, "a", other.as_deref()), captured == other_captured);
        }
    }

    #[test]
    fn of_a_time(
        format in select(vec!["%Y", "%Y%m", "%F", "%Y-%j", "%FT%H", "%F %R", "%Y/%m/%d %T", "year %Y"]),
        one in times(),
        other in times(),
    ) {
        let by_time = template(vec![time(format)]);
        let key = |at| by_time.key(&table("t"), &|_| None, at);
        let PartValue::Time(window) = read_one(&by_time, &key(one)) else { panic!("another kind") };
        prop_assert!(window.contains(one));
        prop_assert_eq!(window.contains(other), key(one) == key(other));
        prop_assert_eq!(by_time.time_window(&[PartValue::Time(window)]), Some(window));
    }

    /// What several parts say together: two rows share a key if they share each part.
    #[test]
    fn of_all_together(one in (any_value(), any_value(), times()), other in (any_value(), any_value(), times())) {
        let parts = [Part::Table, Part::Tag(name("a")), bucket("b", 7), regex("b", "^([a-z]*)"), time("%F")];
        let all = template(parts.to_vec());
        let key = |template: &Template, (a, b, at): &(Option<String>, Option<String>, i64)| {
            template.key(&table("t"), &|tag| if tag == "a" { a.as_deref() } else { b.as_deref() }, *at)
        };
        let alone = parts.map(|part| template(vec![part]));
        let share_each = alone.iter().all(|part| key(part, &one) == key(part, &other));
        prop_assert_eq!(key(&all, &one) == key(&all, &other), share_each);
        let joined: Vec<String> = alone.iter().map(|part| key(part, &one).to_string()).collect();
        prop_assert_eq!(key(&all, &one).to_string(), joined.join("|"));
    }
}
