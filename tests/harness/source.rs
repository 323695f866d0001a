//! Walks the repository's own Rust sources, for the tests that hold the walls between its rooms.

use crate::scratch::repository;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the repository's root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every `.rs` file of the workspace and of `fuzz/`, without build output.
///
/// # Panics
/// If the repository cannot be read.
pub fn rust_sources() -> Vec<Source> {
    let root = repository();
    let mut paths = Vec::new();
    for room in ["engine", "server", "loadgen", "tests", "benches", "fuzz"] {
        walk(&root.join(room), &mut paths);
    }
    paths.sort();
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    paths.into_iter().map(source).collect()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}
