//! Rules for Rust files: how they open, how long they are, what they are called, what they must not contain.

use super::Violation;
use super::lexer::{closing, code_only, line_of, word_offsets};
use super::rules::{
    EMPTY_NAMES, FILE_LINES, FUNCTION_LINES, IMPURE_PATHS, INLINE_TEST_LINES, MEDIAN_LINES, PROST_HOME,
};
use super::tree::Tree;

/// A Rust file, taken apart.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    code: String,
    /// Whether all of it is for tests.
    is_test: bool,
    /// Byte ranges of items under `#[cfg(test)]` or `#[test]`.
    test_items: Vec<(usize, usize)>,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let code = code_only(text);
        let test_items = test_items(&code);
        let is_test = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing" | "testing.rs"));
        Self { path, text, code, is_test, test_items }
    }

    /// The modules that are only there for tests (`#[cfg(test)] mod name;`), as paths without `.rs`.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let declared = self.test_items.iter().filter_map(|(start, end)| {
            let (_, name) = self.code[*start..*end].rsplit_once("mod ")?;
            name.strip_suffix(';')
        });
        declared.map(move |name| format!("{folder}/{}", name.trim()))
    }

    fn in_test(&self, offset: usize) -> bool {
        self.is_test || self.test_items.iter().any(|(start, end)| (*start..*end).contains(&offset))
    }

    /// Lines that are not in a test module.
    fn lines(&self) -> usize {
        let tests: usize = self.test_items.iter().map(|(start, end)| self.text[*start..*end].lines().count()).sum();
        self.text.lines().count() - if self.is_test { 0 } else { tests }
    }

    fn at(&self, offset: usize, what: impl Into<String>) -> Violation {
        Violation::new(self.path, line_of(self.text, offset), what)
    }
}

/// All Rust files of the tree.
fn sources(tree: &Tree) -> Vec<Source<'_>> {
    let mut sources: Vec<Source> = tree.ending(".rs").map(|file| Source::new(&file.path, &file.text)).collect();
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let belongs = |module: &String| {
            source.path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        source.is_test |= modules.iter().any(belongs);
    }
    sources
}

/// Everything that is wrong with the Rust files.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let sources = sources(tree);
    let mut violations: Vec<Violation> = sources.iter().flat_map(check_source).collect();
    let median = median_lines(&sources);
    if median > MEDIAN_LINES {
        let what = format!("the median file has {median} lines, over {MEDIAN_LINES}");
        violations.push(Violation::new("Cargo.toml", 1, what));
    }
    violations
}

/// The sizes of the files, in one line.
pub fn sizes(tree: &Tree) -> String {
    let sources = sources(tree);
    let (mut lines, mut tests) = (0, 0);
    for source in &sources {
        let all = source.text.lines().count();
        let code = if source.is_test { 0 } else { source.lines() };
        lines += code;
        tests += all - code;
    }
    let (count, median) = (sources.len(), median_lines(&sources));
    format!("{count} Rust files: {lines} lines and {tests} lines of tests; median file {median} lines")
}

fn median_lines(sources: &[Source]) -> usize {
    let mut lines: Vec<usize> = sources.iter().filter(|source| !source.is_test).map(Source::lines).collect();
    lines.sort_unstable();
    lines.get(lines.len() / 2).copied().unwrap_or(0)
}

fn check_source(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    opening(source, &mut violations);
    caps(source, &mut violations);
    functions(source, &mut violations);
    names(source, &mut violations);
    contents(source, &mut violations);
    violations
}

fn opening(source: &Source, violations: &mut Vec<Violation>) {
    if !source.text.starts_with("//!") {
        violations.push(source.at(0, "does not open with `//!`: say what the file is for"));
    }
    let is_root = ["/src/lib.rs", "/src/main.rs"].iter().any(|end| source.path.ends_with(end));
    let doc: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if is_root && !doc.iter().any(|line| line.trim_end() == "//! # Invariants") {
        violations.push(source.at(0, "the crate's doc has no `# Invariants`"));
    }
}

fn caps(source: &Source, violations: &mut Vec<Violation>) {
    let lines = source.lines();
    if lines > FILE_LINES {
        violations.push(source.at(0, format!("{lines} lines, over {FILE_LINES}: split it by purpose")));
    }
    if source.is_test {
        return;
    }
    for (start, end) in &source.test_items {
        let lines = source.text[*start..*end].lines().count();
        if lines > INLINE_TEST_LINES {
            let what = format!("{lines} lines of tests in the file, over {INLINE_TEST_LINES}: move them to `tests.rs`");
            violations.push(source.at(*start, what));
        }
    }
}

fn functions(source: &Source, violations: &mut Vec<Violation>) {
    for offset in word_offsets(&source.code, "fn").filter(|offset| !source.in_test(*offset)) {
        let after = &source.code[offset + 2..];
        let name: String = after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // Without a name it is a function pointer's type; without a body, a trait's promise.
        let ItemEnd::Body(open) = item_end(&source.code, offset) else { continue };
        if name.is_empty() {
            continue;
        }
        let end = closing(&source.code, open);
        let lines = line_of(&source.code, end) - line_of(&source.code, offset) + 1;
        if lines > FUNCTION_LINES {
            violations.push(source.at(offset, format!("`{name}` has {lines} lines, over {FUNCTION_LINES}")));
        }
    }
}

fn names(source: &Source, violations: &mut Vec<Violation>) {
    let in_path = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    if let Some(name) = in_path.clone().find(|part| EMPTY_NAMES.contains(part)) {
        violations.push(source.at(0, format!("`{name}` says nothing: name the file by its purpose")));
    }
    for offset in word_offsets(&source.code, "mod") {
        let name = source.code[offset + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').find(|s| !s.is_empty());
        if let Some(name) = name.filter(|name| EMPTY_NAMES.contains(name)) {
            violations.push(source.at(offset, format!("`mod {name}` says nothing: name it by its purpose")));
        }
    }
}

fn contents(source: &Source, violations: &mut Vec<Violation>) {
    for (offset, _) in source.code.match_indices(".unwrap()").filter(|(offset, _)| !source.in_test(*offset)) {
        violations.push(source.at(offset, "`unwrap()` outside tests: return the error, or `expect` why it can't be"));
    }
    let pure = ["proto/types/src/", "server/batch/src/", "server/ingest/src/"];
    if pure.iter().any(|folder| source.path.starts_with(folder)) {
        for name in IMPURE_PATHS {
            for (offset, _) in source.code.match_indices(name).filter(|(offset, _)| !source.in_test(*offset)) {
                violations.push(source.at(offset, format!("`{name}` in a pure crate")));
            }
        }
    }
    let (folder, home) = PROST_HOME;
    if source.path.starts_with(folder) && !source.path.starts_with(home) {
        for offset in word_offsets(&source.code, "prost").filter(|offset| !source.in_test(*offset)) {
            violations.push(source.at(offset, format!("prost stays inside {home}")));
        }
    }
}

/// Byte ranges of items under `#[cfg(test)]` or `#[test]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items: Vec<(usize, usize)> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test", "#[test]"] {
        for (start, _) in code.match_indices(attribute) {
            let mut at = closing(code, start + 1);
            while code[at..].trim_start().starts_with("#[") {
                at = closing(code, at + code[at..].find("#[").unwrap_or(0) + 1);
            }
            items.push((
                start,
                match item_end(code, at) {
                    ItemEnd::Body(open) => closing(code, open),
                    ItemEnd::Semicolon(end) => end,
                },
            ));
        }
    }
    items.sort_unstable();
    // A test within a test module is part of it.
    let mut outer: Vec<(usize, usize)> = Vec::new();
    for item in items {
        if outer.last().is_none_or(|last| item.0 >= last.1) {
            outer.push(item);
        }
    }
    outer
}

/// What an item ends with.
enum ItemEnd {
    /// A body, whose brace opens here.
    Body(usize),
    /// A semicolon (or the file), which ends here.
    Semicolon(usize),
}

/// How the item that begins at `from` ends.
fn item_end(code: &str, from: usize) -> ItemEnd {
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'{' => return ItemEnd::Body(at),
            b';' => return ItemEnd::Semicolon(at + 1),
            b'(' | b'[' => at = closing(code, at),
            _ => at += 1,
        }
    }
    ItemEnd::Semicolon(code.len())
}

#[cfg(test)]
mod tests {
    use super::super::tree::TextFile;
    use super::*;

    fn whats(path: &str, text: &str) -> Vec<String> {
        check_source(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tidy_file_passes() {
        let text = "//! Adds.\n\n/// Sum.\nfn add(a: [u8; 2], f: fn(u8) -> u8) -> u8 { f(a[0]) }\n\n\
                    #[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { Some(1).unwrap(); }\n}\n";
        assert_eq!(whats("server/log/src/add.rs", text), [""; 0]);
    }

    #[test]
    fn a_module_that_is_only_for_tests_is_known_by_its_declaration() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let tree = Tree {
            root: "".into(),
            files: vec![
                file("a/src/lib.rs", "//! A.\n//! # Invariants\nmod real;\n#[cfg(test)]\nmod double;\n"),
                file("a/src/double.rs", "//! A.\nfn f() {\n    g().unwrap()\n}\n"),
                file("a/src/real.rs", "//! A.\nfn f() {\n    g().unwrap()\n}\n#[cfg(test)]\npub(crate) mod inner;\n"),
                file("a/src/real/inner/deep.rs", "//! A.\nfn f() {\n    g().unwrap()\n}\n"),
            ],
        };
        let found: Vec<_> = check(&tree).into_iter().map(|violation| (violation.file, violation.line)).collect();
        assert_eq!(found, [("a/src/real.rs".to_owned(), 3)]);
    }

    #[test]
    fn each_rule_is_seen_to_fail() {
        let long = |lines: usize| "    x();\n".repeat(lines);
        let function = format!("//! A.\nfn ok() {{\n{}}}\nfn over() {{\n{}}}\n", long(68), long(69));
        assert_eq!(whats("a.rs", &function), ["a.rs:72: `over` has 71 lines, over 70"]);
        let file = format!("//! A.\n{}", "const A: u8 = 1;\n".repeat(1000));
        assert_eq!(whats("a.rs", &file), ["a.rs:1: 1001 lines, over 1000: split it by purpose"]);
        let tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    const A: u8 = 1;\n".repeat(148));
        let over = "151 lines of tests in the file, over 150: move them to `tests.rs`";
        assert_eq!(whats("a.rs", &tests), [format!("a.rs:2: {over}")]);
        assert_eq!(whats("a.rs", "fn a() {}\n"), ["a.rs:1: does not open with `//!`: say what the file is for"]);
        assert_eq!(
            whats("server/x/src/lib.rs", "//! A.\n"),
            ["server/x/src/lib.rs:1: the crate's doc has no `# Invariants`"]
        );
        assert_eq!(
            whats("src/utils.rs", "//! A.\n"),
            ["src/utils.rs:1: `utils` says nothing: name the file by its purpose"]
        );
        assert_eq!(
            whats("a.rs", "//! A.\nmod helpers {}\n"),
            ["a.rs:2: `mod helpers` says nothing: name it by its purpose"]
        );
        let unwrap = whats("a.rs", "//! A.\nfn a() {\n    \".unwrap()\".get(0).unwrap();\n}\n");
        assert_eq!(unwrap, ["a.rs:3: `unwrap()` outside tests: return the error, or `expect` why it can't be"]);
        assert_eq!(
            whats("proto/types/src/a.rs", "//! A.\nuse std::fs;\n"),
            ["proto/types/src/a.rs:2: `std::fs` in a pure crate"]
        );
        let prost = whats("server/store/src/chunk.rs", "//! A.\nuse prost::Message;\n");
        assert_eq!(prost, ["server/store/src/chunk.rs:2: prost stays inside server/store/src/catalog"]);
        assert_eq!(whats("server/store/src/catalog/wire.rs", "//! A.\nuse prost::Message;\n"), [""; 0]);
    }
}
