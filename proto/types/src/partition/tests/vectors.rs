//! The keys that `docs/formats.md` lists: the same on every platform and in every release.

use std::collections::BTreeMap;

use super::table;
use crate::partition::{PartitionKey, Template};

const PAGE: &str = include_str!("../../../../../docs/formats.md");

/// The cells of a table's line, without the code marks; a cell may hold several pieces of code.
fn cells(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("\\|", "\u{1}");
    let cells = line.trim().trim_matches('|').split('|');
    cells.map(|cell| cell.split('`').skip(1).step_by(2).map(|code| code.replace('\u{1}', "|")).collect()).collect()
}

#[test]
fn the_documented_keys_are_made_and_read() {
    let begin = PAGE.split("<!-- partition keys: begin -->").nth(1).unwrap();
    let listed = begin.split("<!-- partition keys: end -->").next().unwrap();
    let mut checked = 0;
    for line in listed.lines().filter(|line| line.starts_with("| `")) {
        let cells = cells(line);
        let [template, of, tags, time, key] = &cells[..] else { panic!("five cells are expected: {line}") };
        let template: Template = template[0].parse().unwrap();
        let tags: BTreeMap<&str, &str> = tags.iter().map(|tag| tag.split_once('=').unwrap()).collect();
        let time: i64 = time[0].parse().unwrap();
        let expected = key.first().map_or("", String::as_str);
        let made = template.key(&table(&of[0]), &|tag| tags.get(tag).copied(), time);
        assert_eq!(made.as_str(), expected, "{line}");
        let values = template.parse_key(&PartitionKey::new(expected).unwrap()).unwrap();
        assert!(template.time_window(&values).unwrap().contains(time), "{line}");
        for tag in template.parts().iter().filter_map(|part| part.tag()) {
            assert!(template.may_hold_tag(&values, tag.as_str(), tags.get(tag.as_str()).copied()), "{line}");
        }
        checked += 1;
    }
    assert_eq!(checked, 24, "rows of the table");
}
