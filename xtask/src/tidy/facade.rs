//! Invariant L5: the facade holds no logic, it only names what others made.

use super::finding::Finding;
use super::tree::Tree;

const LOGIC: [&str; 9] =
    ["fn", "impl", "struct", "enum", "trait", "union", "const", "static", "macro_rules"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.starts_with("crates/wharf/src/"))
    {
        for word in source.words().filter(|word| !word.in_test && LOGIC.contains(&word.text)) {
            let message = format!("`{}`: the facade only re-exports", word.text);
            findings.push(Finding::error(&source.path, word.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    // invariant: L5
    #[test]
    fn logic_in_the_facade_is_found() {
        let facade = "crates/wharf/src/lib.rs";
        assert_eq!(found(facade, "pub fn listen() {}"), 1);
        assert_eq!(found(facade, "pub struct Loop;\nimpl Loop {}"), 2);
        assert_eq!(
            found(facade, "//! fn main() {}\npub use wharf_core::*;\npub mod tcp { pub use a; }"),
            0
        );
        assert_eq!(found("crates/tcp/src/lib.rs", "pub fn listen() {}"), 0);
    }
}
