//! Every dependency of a library crate has a line in docs/architecture.md that says why.

use super::finding::Finding;
use super::layers;
use super::source::words;
use super::table;
use super::tree::Tree;

const DOCUMENT: &str = "docs/architecture.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let document = tree.text(DOCUMENT).unwrap_or_default();
    let rows = table::rows(document);
    let explained =
        |name: &str| rows.iter().any(|row| row.cells.iter().any(|cell| mentions(cell, name)));
    let mut findings = Vec::new();
    for package in tree.packages.iter().filter(|package| layers::is_library(&package.folder)) {
        for name in package.shipped_dependencies() {
            if name != "wharf" && !name.starts_with("wharf-") && !explained(name) {
                let message = format!("no table says why `{}` needs `{name}`", package.name);
                findings.push(Finding::error(DOCUMENT, 0, message));
            }
        }
    }
    findings
}

/// Whether a cell names the crate, as a word of its own.
fn mentions(cell: &str, name: &str) -> bool {
    let joined = cell.replace('-', "_");
    let name = name.replace('-', "_");
    words(&joined).any(|(_, word)| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Kind, Package};

    fn found(document: &str, kind: Kind) -> usize {
        let dependency = Dependency { name: "async-task".into(), kind };
        let package = Package {
            folder: "crates/reactor".into(),
            dependencies: vec![dependency],
            ..Package::default()
        };
        check(&Tree::of(&[(DOCUMENT, document)]).with(vec![package])).len()
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        assert_eq!(found("async-task is mentioned, but in no table.", Kind::Normal), 1);
        assert_eq!(found("| `async-task-2` | another one |", Kind::Normal), 1);
        assert_eq!(found("| reactor | `async-task` | futures on the loop |", Kind::Normal), 0);
        assert_eq!(found("", Kind::Dev), 0);
    }
}
