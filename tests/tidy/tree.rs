//! The files of the tree: what git tracks, and what it would track.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the tree.
pub struct TextFile {
    /// Its path from the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// Every text file that is tracked or would be (not ignored), by path.
pub struct Tree {
    /// The folder with the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// The files.
    pub files: Vec<TextFile>,
}

impl Tree {
    /// Reads the tree that this test was built from.
    pub fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .expect("the tidy test lists files with git: install git");
        assert!(listing.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listing.stderr));
        let mut files: Vec<TextFile> = String::from_utf8_lossy(&listing.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            // A tracked file that was removed, or one that is not text, is nobody's business here.
            .filter_map(|path| Some(TextFile { text: read_text(&root.join(path))?, path: path.to_owned() }))
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.len() > 10, "only {} files found below {}", files.len(), root.display());
        Self { root, files }
    }

    /// The files whose names end with `suffix`.
    pub fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a TextFile> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }
}

fn read_text(path: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(path).ok()?).ok()
}
