//! Who depends on whom: inward only, and each heavy dependency in its place.

use std::process::Command;

use serde_json::Value;

use super::Violation;
use super::rules::{DOUBLES, IMPURE, INWARD, PURE, RESERVED};
use super::tree::Tree;

/// One line of a crate's manifest.
struct Dependency {
    user: String,
    used: String,
    /// Only for tests.
    dev: bool,
}

/// Every dependency that points the wrong way.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(&tree.root)
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(metadata.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata answers in JSON");
    let mut violations = Vec::new();
    for package in list(&metadata, "packages") {
        let user = text(package, "name");
        // Violations carry the manifest's place from the root.
        let manifest = text(package, "manifest_path");
        let file = tree
            .files
            .iter()
            .map(|file| file.path.as_str())
            .find(|path| manifest.ends_with(&format!("/{path}")) && path.contains('/'));
        for dependency in list(package, "dependencies") {
            let dependency = Dependency {
                user: user.clone(),
                used: text(dependency, "name"),
                dev: text(dependency, "kind") == "dev",
            };
            if let Some(what) = wrong(&dependency) {
                violations.push(Violation::new(
                    file.unwrap_or("Cargo.toml"),
                    line_of(tree, file, &dependency.used),
                    what,
                ));
            }
        }
        if !INWARD.iter().any(|(name, _)| *name == user) {
            let what = format!("crate `{user}` has no place among the layers: add it to tests/tidy/rules.rs");
            violations.push(Violation::new(file.unwrap_or("Cargo.toml"), 1, what));
        }
    }
    violations
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// The line of a manifest that names a dependency.
fn line_of(tree: &Tree, file: Option<&str>, used: &str) -> usize {
    let manifest = tree.files.iter().find(|candidate| Some(candidate.path.as_str()) == file);
    manifest
        .and_then(|manifest| manifest.text.lines().position(|line| line.starts_with(used)))
        .map_or(1, |index| index + 1)
}

/// What is wrong with a dependency, if anything is.
fn wrong(Dependency { user, used, dev }: &Dependency) -> Option<String> {
    let inward = INWARD.iter().find(|(name, _)| name == user).map_or(&[][..], |(_, inward)| inward);
    let ours = INWARD.iter().any(|(name, _)| name == used);
    if used == DOUBLES {
        return (!dev).then(|| format!("`{used}` is for tests: make it a dev-dependency"));
    }
    if ours {
        // A crate's own features may be switched on for its tests.
        let fine = inward.contains(&used.as_str()) || (*dev && user == used);
        return (!fine).then(|| format!("`{user}` must not depend on `{used}`: dependencies point inward only"));
    }
    if *dev {
        return None;
    }
    if PURE.contains(&user.as_str()) && IMPURE.contains(&used.as_str()) {
        return Some(format!("`{user}` is pure and must not depend on `{used}`"));
    }
    let reserved = RESERVED.iter().find(|(name, _)| name == used)?;
    (!reserved.1.contains(&user.as_str())).then(|| format!("`{used}` may only be used by {:?}", reserved.1))
}

#[test]
fn a_wrong_direction_is_named() {
    let ask = |user: &str, used: &str, dev: bool| wrong(&Dependency { user: user.into(), used: used.into(), dev });
    assert_eq!(ask("ochre-store", "ochre-log", false), None);
    assert_eq!(
        ask("ochre-log", "ochre-store", false).as_deref(),
        Some("`ochre-log` must not depend on `ochre-store`: dependencies point inward only")
    );
    assert!(ask("ochre-batch", "ochre-env", false).is_some(), "batch is pure");
    assert!(ask("ochre-ingest", "tokio", false).is_some(), "ingest is pure");
    assert_eq!(ask("ochre-batch", "ochre-batch", true), None);
    assert!(ask("ochre-log", "ochre-doubles", false).is_some());
    assert_eq!(ask("ochre-log", "ochre-doubles", true), None);
    assert!(ask("ochre", "datafusion", false).is_some());
    assert_eq!(ask("ochre-query", "datafusion", false), None);
    assert!(ask("ochre-log", "prost", false).is_some());
    assert!(ask("ochre-store", "anyhow", false).is_some());
}
