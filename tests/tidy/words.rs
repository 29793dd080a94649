//! Words that no file may contain: paths of somebody's machine, and promises instead of work.

use super::Violation;
use super::lexer::word_offsets;
use super::tree::Tree;

/// Placeholders, as whole words. Written in two halves, as this file is checked as well.
const PLACEHOLDERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Macros that put work off.
const MACROS: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];
/// Folders of one machine, at the beginning of a path.
const FOLDERS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("../sha", "red"),
    concat!(".libr", "ary"),
];
/// Hosts of package registries: docs name packages, and the tools know where those are.
const REGISTRIES: [&str; 5] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Every forbidden word of the tree.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let generated = |path: &str| path.ends_with(".lock");
    tree.files
        .iter()
        .filter(|file| !generated(&file.path))
        .flat_map(|file| check_text(&file.path, &file.text))
        .collect()
}

fn check_text(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut found = |what: String| violations.push(Violation::new(path, index + 1, what));
        for word in PLACEHOLDERS.iter().filter(|word| word_offsets(line, word).next().is_some()) {
            found(format!("`{word}`: do it, or open an issue"));
        }
        for name in MACROS.iter().filter(|name| line.contains(**name)) {
            found(format!("`{name}…)`: finish it, or refuse the input with a clear error"));
        }
        for folder in FOLDERS.iter().filter(|folder| names_folder(line, folder)) {
            found(format!("`{folder}` is a place on one machine: the project stands alone"));
        }
        if path.ends_with(".md") {
            for host in REGISTRIES.iter().filter(|host| line.contains(**host)) {
                found(format!("`{host}`: name the package, not the host of its registry"));
            }
        }
    }
    violations
}

/// Whether `folder` stands in `line` where a path begins.
fn names_folder(line: &str, folder: &str) -> bool {
    let inside_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | ')');
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(inside_path))
}

#[test]
fn each_word_is_seen() {
    let lines = |text: &str| check_text("docs/a.md", text).iter().map(|v| v.line).collect::<Vec<_>>();
    for word in PLACEHOLDERS.iter().chain(&MACROS).chain(&REGISTRIES) {
        assert_eq!(lines(&format!("fine\n// {word} later")), [2], "{word}");
    }
    for folder in FOLDERS {
        assert_eq!(lines(&format!("cd {folder}a")), [1], "{folder}");
    }
    let fine =
        ["mktemp XXXXXXXX", concat!("docs/wo", "rk/a"), concat!("$HOME/ro", "ot/a"), "todo: nothing", "a TODOS list"];
    for text in fine {
        assert_eq!(lines(text), [0; 0], "{text}");
    }
    assert_eq!(check_text("deny.toml", REGISTRIES[0]), []);
}
