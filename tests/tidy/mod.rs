//! Checks of the tree itself: what the compiler and clippy do not look at, but whoever carries on relies on.
//!
//! ```text
//!   git ls-files --> Tree --> sources  (openings, caps, names, placeholders)
//!                        |--> docs     (links, anchors)
//!                        |--> settings (the page has every setting as it is in the code)
//!                         \-> words    (what no file may contain)
//!   cargo metadata ---------> dependencies (who may use whom, and what)
//!   cargo tree -------------> builds (nothing is built twice)
//! ```
//!
//! All violations are printed at once, each with its file and line. Every rule has a test of its own that sees it fail.

mod builds;
mod dependencies;
mod docs;
mod lexer;
mod rules;
mod settings;
mod sources;
mod tree;
mod words;

use std::fmt;

use tree::Tree;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl Violation {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn the_tree_is_tidy() {
    let tree = Tree::load();
    let mut violations = sources::check(&tree);
    violations.extend(docs::check(&tree));
    violations.extend(settings::check(&tree));
    violations.extend(words::check(&tree));
    violations.extend(dependencies::check(&tree));
    violations.extend(builds::check(&tree));
    println!("{}", sources::sizes(&tree));
    violations.sort();
    violations.dedup();
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}
