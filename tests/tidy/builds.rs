//! Nothing is built twice: the binary alone and the whole workspace with its tests take the same features of every
//! dependency. Cargo unifies features over what is built together, so one feature that only tests ask for is a second
//! build of everything above. See `docs/decisions/0004-test-util-in-every-build.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::Violation;
use super::tree::Tree;

/// A package with its version, and the features that it is built with.
type Builds = BTreeMap<String, BTreeSet<String>>;

/// Every dependency that tests want with other features than the binary.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let binary = builds(tree, &["-p", "ochre", "-e", "normal,build"]);
    let all = builds(tree, &["--workspace"]);
    compare(&binary, &all)
}

fn compare(binary: &Builds, all: &Builds) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (package, features) in binary {
        let more = all.get(package).map(|wanted| wanted.difference(features).cloned().collect::<Vec<_>>());
        if let Some(more) = more.filter(|more| !more.is_empty()) {
            let what = format!(
                "{package} is built twice, as only tests ask for its features {more:?}: switch them on in \
                 [dependencies] of server/app as well"
            );
            violations.push(Violation::new("Cargo.toml", 1, what));
        }
    }
    violations
}

fn builds(tree: &Tree, selection: &[&str]) -> Builds {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--offline", "--prefix", "none", "--format", "{p};{f}"])
        .args(selection)
        .current_dir(&tree.root)
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads lines such as `bytes v1.0.0;default,std (*)`. Our own crates, which are cheap to build, are left out.
fn parse(text: &str) -> Builds {
    let mut builds = Builds::new();
    for line in text.lines() {
        let Some((package, features)) = line.split_once(';') else { continue };
        if package.contains('/') {
            continue;
        }
        let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
        builds.entry(package.to_owned()).or_default().extend(features.map(str::to_owned));
    }
    builds
}

#[test]
fn a_feature_that_only_tests_ask_for_is_named() {
    let binary = parse("ochre v0.1.0 (/a/b);\nbytes v1.0.0;std\nmemchr v2.0.0;\n");
    let all = parse("bytes v1.0.0;default,std (*)\nmemchr v2.0.0; (*)\nproptest v1.0.0;std\n");
    let found = compare(&binary, &all);
    assert_eq!(found.len(), 1);
    assert!(found[0].what.starts_with("bytes v1.0.0 is built twice, as only tests ask for its features [\"default\"]"));
    assert_eq!(compare(&all, &all), []);
}
