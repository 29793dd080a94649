//! Tests of YAML: scalars, positions, and what is refused.

use crate::rules::document::{MAX_DEPTH, MAX_DOCUMENT, Node, Value, read_yaml};

fn message(text: &str) -> String {
    read_yaml(text).expect_err(text).to_string()
}

#[test]
fn scalars_are_those_of_the_core_schema() {
    let text = |text: &str| Value::Text(text.to_owned());
    for (source, value) in [
        ("~", Value::Null),
        ("null", Value::Null),
        ("true", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("17", Value::Int(17)),
        ("-0017", Value::Int(-17)),
        ("+5", Value::Int(5)),
        ("0x1F", Value::Int(31)),
        ("0o17", Value::Int(15)),
        ("1.5", Value::Float(1.5)),
        ("-.5", Value::Float(-0.5)),
        ("1e3", Value::Float(1_000.0)),
        (".inf", Value::Float(f64::INFINITY)),
        ("-.INF", Value::Float(f64::NEG_INFINITY)),
        ("yes", text("yes")),
        ("no", text("no")),
        ("5m", text("5m")),
        ("1.2.3", text("1.2.3")),
        ("2026-01-01", text("2026-01-01")),
        ("1e", text("1e")),
        (".", text(".")),
        ("0x", text("0x")),
        ("0x-1", text("0x-1")),
        ("'17'", text("17")),
        ("\"true\"", text("true")),
        ("\"\"", text("")),
        ("\"a\\u00e4\\n\"", text("aä\n")),
        ("|\n  a\n  b\n", text("a\nb\n")),
        (">-\n  1\n", text("1")),
        ("a # not b", text("a")),
    ] {
        assert_eq!(read_yaml(source).unwrap().value, value, "{source}");
    }
}

#[test]
fn places_are_those_of_the_text() {
    let tree = read_yaml("# first\na: 1\nbb:\n  - ä: [x,\n     y]\n").unwrap();
    let Value::Map(entries) = tree.value else { panic!("no map") };
    let places: Vec<_> = entries.iter().map(|(key, node)| (key.line, key.column, node.line, node.column)).collect();
    assert_eq!(places, [(2, 1, 2, 4), (3, 1, 4, 3)]);
    let Value::List(items) = &entries[1].1.value else { panic!("no list") };
    assert_eq!((items[0].line, items[0].column), (4, 5));
    let Value::Map(entries) = &items[0].value else { panic!("no map") };
    let Value::List(items) = &entries[0].1.value else { panic!("no list") };
    assert_eq!(items.iter().map(|item| (item.line, item.column)).collect::<Vec<_>>(), [(4, 9), (5, 6)]);
    let windows = read_yaml("\u{feff}a: 1\r\nb: 2\r\n").unwrap();
    let Value::Map(entries) = windows.value else { panic!("no map") };
    assert_eq!(entries.iter().map(|(key, _)| (key.line, key.column)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
}

#[test]
fn what_makes_documents_hard_to_read_is_refused() {
    let alias = "anchors and aliases are not taken: write text that begins with * or & in quotes, such as \"*\" ";
    assert_eq!(message("a: &x 1"), format!("a: {alias}(line 1)"));
    assert_eq!(message("database: *"), format!("{alias}(line 1, column 11)"));
    assert_eq!(message("a:\n  - *b"), format!("{alias}(line 2, column 5)"));
    let tag = "tags (!) are not taken: write the value alone, or text that begins with ! in quotes (line 1)";
    assert_eq!(message("a: !!int 5"), format!("a: {tag}"));
    assert_eq!(message("a: [b, ! 5]"), format!("a[1]: {tag}"));
    assert_eq!(message("a: !x {}"), format!("a: {tag}"));
    assert_eq!(message("b:\n  a: 1\n  c: 2\n  a: 3"), "b.a: stands twice, first on line 2: remove one (line 4)");
    assert_eq!(
        message("a: 1\n---\nb: 2"),
        "a second document begins: write one document, without --- between its lines (line 2, column 1)"
    );
    assert_eq!(
        message("[a]: 1"),
        "a list or map stands where the name of a field is needed: write a name and a colon (line 1, column 1)"
    );
    assert_eq!(
        message("a: 1\nb: \"\0\""),
        "the character '\\0' is not allowed: remove it, or escape it in \"…\" (line 2, column 5)"
    );
    for nothing in ["", "\n\n", "# only a comment\n", "...\n"] {
        assert_eq!(
            message(nothing),
            "the document is empty: write at least database: and the name of a database (line 1, column 1)",
            "{nothing:?}"
        );
    }
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    for (text, line, column) in [
        ("a: [1", 2, 1),
        ("a: 1\n\tb: 2", 1, 4),
        ("a: \"x\nb: 1", 1, 4),
        ("a: 1\n b: 2", 2, 3),
        ("a: }", 1, 4),
        ("@a", 1, 1),
    ] {
        let problem = read_yaml(text).expect_err(text);
        assert!(problem.message.starts_with("this is no YAML: "), "{problem}");
        assert_eq!((problem.line, problem.column), (Some(line), Some(column)), "{text:?}: {problem}");
    }
}

#[test]
fn depth_and_length_have_limits() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read_yaml(&nested(MAX_DEPTH)).is_ok());
    let problem = read_yaml(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(problem.message, "lists and maps lie more than 16 deep: no field needs that");
    assert_eq!((problem.line, problem.column), (Some(1), Some(17)));
    let long = |bytes: usize| format!("a: {}", "x".repeat(bytes - 3));
    assert!(read_yaml(&long(MAX_DOCUMENT)).is_ok());
    assert_eq!(message(&long(MAX_DOCUMENT + 1)), "the document has 262145 bytes: at most 262144 are allowed");
}

#[test]
fn hostile_texts_end_soon() {
    for piece in [
        "[",
        "{",
        "- ",
        "? ",
        "{a: ",
        "[[],",
        "a: ",
        "!a ",
        "&a ",
        "---\n",
        "...\n",
        "%TAG ! a\n",
        "\n",
        "\"",
        "|\n",
        "a\n",
        "? - ",
    ] {
        let _ = read_yaml(&piece.repeat(MAX_DOCUMENT / piece.len()));
    }
    let keys: String = (0..20_000).map(|n| format!("k{n}: 1\n")).collect();
    let Node { value: Value::Map(entries), .. } = read_yaml(&keys).unwrap() else { panic!("no map") };
    assert_eq!(entries.len(), 20_000);
}
