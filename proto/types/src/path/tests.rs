//! Tests of path elements.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use proptest::prelude::*;

use super::*;

#[test]
fn fixed_elements() {
    let long = "x".repeat(121);
    let cut = format!("{}~{:032x}", "x".repeat(80), twox_hash::XxHash3_128::oneshot(long.as_bytes()));
    for (name, element) in [
        ("cpu", "cpu"),
        ("2026-11-22", "2026-11-22"),
        ("disk_io.v2", "disk_io.v2"),
        ("", "~"),
        ("~", "%7E"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "%2E.%2E"),
        (".hidden", "%2Ehidden"),
        ("dot.", "dot%2E"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("eu|web|2026-11-22T06", "eu%7Cweb%7C2026-11-22%5406"),
        ("100%", "100%25"),
        ("%2E", "%252%45"),
        ("CPU", "%43%50%55"),
        ("Zürich", "%5A%C3%BCrich"),
        ("nul", "%6Eul"),
        ("com7.log", "%63om7.log"),
        ("com77", "com77"),
        ("null", "null"),
        ("\0", "%00"),
        (long.as_str(), cut.as_str()),
    ] {
        assert_eq!(encode_element(name), element, "{name:?}");
        if name != long {
            assert_eq!(decode_element(element).as_deref(), Ok(name));
        }
    }
    assert_eq!(encode_element(&"x".repeat(120)), "x".repeat(120), "120 bytes fit");
    assert_eq!(decode_element(&cut), Err(ElementError::Shortened(cut.clone())));
    for foreign in
        ["", ".", "..", "a/b", "A", "%", "%2", "%2e", "%41x%", "a%62", "%FF", "%2Ea%", "nul", "a.", ".a", "é", "~~"]
    {
        assert!(decode_element(foreign).is_err(), "{foreign:?}");
    }
}

#[test]
fn keys_keep_their_upper_case_letters() {
    for (key, element) in [
        ("2026-11-22T06", "2026-11-22T06"),
        ("eu|web|2026-11-22T06", "eu%7Cweb%7C2026-11-22T06"),
        ("EU|é/", "EU%7C%C3%A9%2F"),
        ("CON", "%43ON"),
        ("nul.T", "%6Eul.T"),
        (".T.", "%2ET%2E"),
        ("", "~"),
    ] {
        assert_eq!(encode_key_element(key), element, "{key:?}");
    }
    assert!(encode_key_element(&"X".repeat(121)).ends_with(&encode_element(&"X".repeat(121))[81..]), "the same hash");
}

#[test]
fn a_long_element_is_cut_between_escapes() {
    for lead in 0..3 {
        let name = format!("{}{}", "a".repeat(lead), "ü".repeat(40));
        let element = encode_element(&name);
        let (kept, hash) = element.split_once('~').unwrap();
        assert_eq!(hash, format!("{:032x}", twox_hash::XxHash3_128::oneshot(name.as_bytes())));
        assert_eq!(kept.len(), lead + (80 - lead) / 3 * 3);
        assert!(kept.ends_with("%C3") || kept.ends_with("%BC"));
    }
}

/// Names that try to leave their folder, or to be something else on some store, alone and around others.
fn hostile() -> Vec<String> {
    let seeds = [
        "",
        ".",
        "..",
        "../..",
        "/",
        "//",
        "\\",
        "..\\..",
        "/etc/passwd",
        "C:",
        "C:\\x",
        "~",
        "~root",
        "%",
        "%2e%2e",
        "%2F",
        "%00",
        "\0",
        "\n",
        "\r\n",
        "\u{7f}",
        " ",
        "  ",
        "a ",
        " a",
        ".a",
        "a.",
        "-",
        "--",
        "-rf",
        "*",
        "?",
        "<",
        ">",
        "|",
        ":",
        "\"",
        "'",
        "`",
        "$HOME",
        "${x}",
        "con",
        "CON",
        "nul.txt",
        "aux",
        "prn",
        "com1",
        "lpt9",
        "CON ",
        "é",
        "e\u{301}",
        "ﬀ",
        "İ",
        "ı",
        "K",
        "\u{202e}",
        "\u{feff}",
        "😀",
        "CPU",
        "cpu",
        "Cpu",
        "a#1",
        "#",
        "&",
        "=",
        "+",
        ";",
        ",",
        "@",
        "a\tb",
        "{}",
        "[]",
        "^",
        "!",
        ".DS_Store",
    ];
    let mut names: Vec<String> = seeds.iter().map(|seed| (*seed).to_owned()).collect();
    for one in seeds {
        for other in ["..", "/", "x", ".", "~", "%2E", "\0", "A"] {
            names.push(format!("{one}{other}"));
            names.push(format!("{other}{one}"));
            names.push(format!("{one}/{other}"));
            names.push(one.repeat(60) + other);
        }
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn hostile_names_stay_in_their_folder() {
    let names = hostile();
    assert!(names.len() > 1_000, "{}", names.len());
    let mut names_by_element = BTreeMap::new();
    for name in &names {
        let element = encode_element(name);
        assert_safe(&element);
        // As a store that ignores case would see it.
        let before = names_by_element.insert(element.to_ascii_lowercase(), name);
        assert_eq!(before, None, "{name:?}");
    }
}

fn assert_safe(element: &str) {
    assert!(!element.is_empty() && element.len() <= MAX_ELEMENT, "{element:?}");
    assert!(
        element.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.%~ABCDEF".contains(&b)),
        "{element:?}"
    );
    assert!(!element.starts_with('.') && !element.ends_with('.'), "{element:?}");
    assert!(!is_device(element), "{element:?}");
    let components: Vec<_> = Path::new(element).components().collect();
    assert_eq!(components, [Component::Normal(element.as_ref())]);
}

proptest! {
    #[test]
    fn elements_are_safe_and_read_back(name in prop_oneof![any::<String>(), "[a-z.~%A]{0,130}", "[cnou.l1]{1,5}"]) {
        let element = encode_element(&name);
        assert_safe(&element);
        match decode_element(&element) {
            Ok(decoded) => prop_assert_eq!(decoded, name),
            Err(error) => {
                prop_assert!(name.len() * 3 > MAX_ELEMENT);
                prop_assert_eq!(error, ElementError::Shortened(element));
            }
        }
    }

    #[test]
    fn different_names_have_different_elements(one in "[aA.~%/]{0,6}|a{119,125}", other in "[aA.~%/]{0,6}|a{119,125}") {
        let same = encode_element(&one).eq_ignore_ascii_case(&encode_element(&other));
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn different_keys_have_different_elements(one in "[aA.~%/T]{0,6}|A{119,125}", other in "[aA.~%/T]{0,6}|A{119,125}") {
        let (first, second) = (encode_key_element(&one), encode_key_element(&other));
        prop_assert_eq!(first == second, one == other);
        prop_assert!(!first.starts_with('.') && !first.ends_with('.') && first.len() <= MAX_ELEMENT);
        prop_assert!(first.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.%~".contains(&b)));
    }

    #[test]
    fn decoding_answers_any_text(text in prop_oneof![any::<String>(), "[a%2Ef~]{0,9}"]) {
        if let Ok(name) = decode_element(&text) {
            prop_assert_eq!(encode_element(&name), text);
        }
    }
}
