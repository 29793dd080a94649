//! The settings page: each setting of the server has a row, with the flag and the default that it has in the code.

use super::Violation;
use super::lexer::line_of;
use super::tree::Tree;

const CODE: &str = "server/app/src/config/concerns.rs";
const PAGE: &str = "docs/configuration.md";

/// Every setting whose row is missing or says something else, and every row without a setting.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let text = |path: &str| tree.files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    compare(text(CODE), text(PAGE))
}

fn compare(code: &str, page: &str) -> Vec<Violation> {
    let wanted: Vec<(usize, String)> =
        code.lines().enumerate().filter_map(|(i, line)| Some((i + 1, row(line)?))).collect();
    let mut violations = Vec::new();
    if wanted.is_empty() {
        violations.push(Violation::new(CODE, 1, "no settings found: has the form of the list changed?"));
    }
    for (line, row) in wanted.iter().filter(|(_, row)| !page.contains(row)) {
        violations.push(Violation::new(CODE, *line, format!("{PAGE} has no row that begins with: {row}")));
    }
    for (at, _) in
        page.match_indices("\n| `").filter(|(at, _)| page[*at..].lines().nth(1).is_some_and(|l| l.contains("` | `--")))
    {
        let line = page[at + 1..].lines().next().unwrap_or("");
        if !wanted.iter().any(|(_, row)| line.starts_with(row)) {
            violations.push(Violation::new(PAGE, line_of(page, at + 1), format!("no setting is like this: {line}")));
        }
    }
    violations
}

/// The beginning of the row of a setting, made from its line: `name: Type = "default", "flag", "key", "unit"…`.
fn row(line: &str) -> Option<String> {
    let (head, values) = line.split_once(" = \"")?;
    let plain =
        head.trim().split_once(": ").is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let mut values = values.split("\", \"");
    let (default, flag, key) = (values.next()?, values.next()?, values.next()?);
    values.next()?;
    let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
    plain.then(|| format!("| `{key}` | `--{flag}` | {default} |"))
}

#[test]
fn a_setting_and_its_row_agree() {
    let code = "        /// The name.\n        id: NodeId = \"ochre\", \"node-id\", \"node.id\", \"name\";\n        \
                url: String = \"\", \"url\", \"http.url\", \"url\", switch;\n";
    let page = "# Page\n| `node.id` | `--node-id` | `ochre` | The name. |\n| `http.url` | `--url` | none | It. |\n";
    assert_eq!(compare(code, page), []);
    let lines =
        |code: &str, page: &str| compare(code, page).iter().map(|v| (v.file.clone(), v.line)).collect::<Vec<_>>();
    assert_eq!(lines(code, &page.replace("`ochre`", "`other`")), [(CODE.to_owned(), 2), (PAGE.to_owned(), 2)]);
    assert_eq!(lines(code, "# Page\n"), [(CODE.to_owned(), 2), (CODE.to_owned(), 3)]);
    assert_eq!(lines("", ""), [(CODE.to_owned(), 1)]);
}
