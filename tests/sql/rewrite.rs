//! The rows of a file of line protocol, and other writes that come to the same table in the end.
//!
//! Knows as much line protocol as the data files use: escapes, quotes, a timestamp on every line.

use std::collections::BTreeMap;

/// The fields of every key: (measurement and tags, time) -> field -> value, all as written.
pub type Folded = BTreeMap<(String, i64), BTreeMap<String, String>>;

/// Splits where `at` stands outside of quotes and is not escaped.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut escaped, mut quoted) = (false, false);
    for (index, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if c == at && !quoted {
            parts.push(&text[start..index]);
            start = index + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Folds lines: per key and field, the last value counts.
pub fn fold(lines: &str) -> Folded {
    let mut folded = Folded::new();
    for line in lines.lines() {
        let parts = split(line, ' ');
        let [key, fields, time] = parts.as_slice() else { panic!("not a line of a data file: {line}") };
        let row = folded.entry(((*key).to_owned(), time.parse().unwrap())).or_default();
        for field in split(fields, ',') {
            let sides = split(field, '=');
            row.insert(sides[0].to_owned(), sides[1].to_owned());
        }
    }
    folded
}

/// A value of the same type that is in no data file.
fn decoy(value: &str) -> &'static str {
    let last = value.chars().next_back();
    match last {
        Some('"') => "\"decoy\"",
        Some('i') => "-7i",
        Some('u') => "77u",
        _ if value.starts_with(['t', 'T']) => "false",
        _ if value.starts_with(['f', 'F']) => "true",
        _ => "99999.25",
    }
}

fn line((key, time): &(String, i64), fields: impl Iterator<Item = (String, String)>) -> Option<String> {
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
    (!fields.is_empty()).then(|| format!("{key} {} {time}", fields.join(",")))
}

/// Three writes that leave what `folded` says, if they are applied in this order. The first two hold wrong values for
/// what a later one sets; rows come in other orders than in the files, and none of the writes has all fields of all
/// rows:
/// 1. wrong values for every row, latest keys first, without the last of several fields;
/// 2. right values of every second field, wrong ones of the others, in a shuffled order;
/// 3. right values of those others, in the order of the keys.
pub fn overlapping(folded: &Folded) -> [String; 3] {
    let mut writes: [Vec<String>; 3] = Default::default();
    for (key, fields) in folded.iter().rev() {
        let kept = fields.iter().take(fields.len().max(2) - 1);
        writes[0].extend(line(key, kept.map(|(name, value)| (name.clone(), decoy(value).to_owned()))));
    }
    let mut shuffled: Vec<_> = folded.iter().enumerate().collect();
    shuffled.sort_by_key(|(index, _)| (index * 7919) % 1009);
    for (_, (key, fields)) in shuffled {
        let value = |(index, (name, value)): (usize, (&String, &String))| {
            (name.clone(), if index % 2 == 1 { value.clone() } else { decoy(value).to_owned() })
        };
        writes[1].extend(line(key, fields.iter().enumerate().map(value)));
    }
    for (key, fields) in folded {
        let even = fields.iter().enumerate().filter(|(index, _)| index % 2 == 0);
        writes[2].extend(line(key, even.map(|(_, (name, value))| (name.clone(), value.clone()))));
    }
    writes.map(|lines| lines.join("\n"))
}

#[test]
fn the_three_writes_come_to_the_same_rows() {
    let lines = "t,a=1 x=1i,y=2.5 10\nt,a=1 y=3,z=\"a, b\" 10\nt,a=b\\ c s=\"q\\\" \\\\\",b=t 11\nt,a=1 only=1u 12";
    let folded = fold(lines);
    let row = &folded[&("t,a=1".to_owned(), 10)];
    assert_eq!(row.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(), ["x=1i", "y=3", "z=\"a, b\""]);
    let writes = overlapping(&folded);
    assert_eq!(fold(&writes.join("\n")), folded);
    assert_ne!(fold(&writes[..2].join("\n")), folded);
    assert_eq!(writes[0].lines().next(), Some("t,a=b\\ c b=false 11"));
}
