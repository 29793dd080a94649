//! Links of the Markdown files: every relative one leads to a file, every anchor to a heading.

use std::collections::BTreeMap;

use super::Violation;
use super::tree::Tree;

/// Every link that leads nowhere.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let pages: BTreeMap<&str, &str> = tree.ending(".md").map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let exists = |path: &str| tree.root.join(path).exists();
    pages.iter().flat_map(|(path, text)| check_page(path, text, &pages, &exists)).collect()
}

fn check_page(path: &str, text: &str, pages: &BTreeMap<&str, &str>, exists: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, target) in links(text) {
        let outside = target.contains("://") || target.starts_with("mailto:");
        if outside {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() { path.to_owned() } else { resolve(path, file) };
        if !exists(&file) {
            violations.push(Violation::new(path, line, format!("the link `{target}` leads to no file")));
        } else if let Some(page) = pages.get(file.as_str()).filter(|_| !anchor.is_empty())
            && !headings(page).any(|heading| heading == anchor)
        {
            violations.push(Violation::new(path, line, format!("the link `{target}` leads to no heading of {file}")));
        }
    }
    violations
}

/// The lines of a page that are not in a fenced block, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Every other piece between backticks is code; a link whose text is code has its target in the piece after.
        for piece in line.split('`').step_by(2) {
            let mut rest = piece;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, tail)) = after.split_once(')') else { break };
                links.push((number, target.split_whitespace().next().unwrap_or("")));
                rest = tail;
            }
        }
    }
    links
}

/// A link's path from the root, given the page that it stands on.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The anchors of a page's headings, as code hosts make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

#[test]
fn links_that_lead_nowhere_are_named() {
    let page = "# A b, `C`!\n[x](other.md) [y](other.md#two) [z](../README.md)\n```\n[code](no.md)\n```\n\
                `[code](no.md)` [self](#a-b-c) [web](https://example.org/no.md)\n";
    let pages = BTreeMap::from([("docs/page.md", page), ("docs/other.md", "## Two\n")]);
    let all = |path: &str| ["docs/page.md", "docs/other.md", "README.md"].contains(&path);
    assert_eq!(check_page("docs/page.md", page, &pages, &all), []);
    let broken = "[x](no.md)\n[y](other.md#three)\n[`z`](no.md)\n[s](#no)\n";
    let found = check_page("docs/page.md", broken, &pages, &all);
    assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [1, 2, 3, 4]);
}
