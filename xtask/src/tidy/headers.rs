//! Every Rust file begins with a `//!` line that says what it is.

use super::finding::Finding;
use super::tree::Tree;

/// Shorter than this, a line says nothing.
const WORDS: usize = 3;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let silent = tree.sources.iter().filter(|source| !speaks(&source.text));
    let message = "the first line must be `//!` and say what this file is";
    silent.map(|source| Finding::error(&source.path, 1, message)).collect()
}

fn speaks(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("//! ").is_some_and(|says| says.split_whitespace().count() >= WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_first_line_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! A queue that keeps its order.\n"),
            ("b.rs", "// Not a doc comment, whatever it says.\n"),
            ("c.rs", "\n//! Too late by one line."),
            ("d.rs", "//! Placeholder.\n"),
            ("e.rs", ""),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["b.rs", "c.rs", "d.rs", "e.rs"]);
    }
}
