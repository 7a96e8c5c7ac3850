//! Every name of asyncio that docs/asyncio.md translates is found by rustdoc's search.
//!
//! It is the name of an item of ours, or a `#[doc(alias)]` of one; a row without a counterpart asks for nothing.

use std::collections::HashSet;

use super::finding::Finding;
use super::table;
use super::tree::Tree;

const NAMES: &str = "docs/asyncio.md";

const ITEMS: [&str; 7] = ["const", "enum", "fn", "mod", "struct", "trait", "type"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(NAMES) else { return Vec::new() };
    let known = searchable(tree);
    let mut findings = Vec::new();
    for row in table::rows(text) {
        let [theirs, ours, ..] = row.cells[..] else { continue };
        if table::quoted(ours).next().is_none() {
            continue;
        }
        for name in table::quoted(theirs).filter_map(name).filter(|name| !known.contains(name)) {
            let message =
                format!("`{name}` is translated, and no item of ours has it as its alias");
            findings.push(Finding::error(NAMES, row.line, message));
        }
    }
    findings
}

/// The names of items, and their aliases.
fn searchable(tree: &Tree) -> HashSet<&str> {
    let mut known = HashSet::new();
    for source in tree.library_sources() {
        known.extend(source.items(&ITEMS).map(|(_, name)| name.text));
        let attributes = source.text.lines().map(str::trim);
        known.extend(attributes.filter_map(|line| {
            line.strip_prefix("#[doc(alias = \"").and_then(|rest| rest.strip_suffix("\")]"))
        }));
    }
    known
}

/// The name in a piece of Python: of a call, of a keyword argument, of an attribute.
fn name(python: &str) -> Option<&str> {
    let head = python.split(['(', '=']).next()?;
    head.rsplit(['.', ' ']).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(table: &str, code: &str) -> Vec<String> {
        let tree = Tree::of(&[(NAMES, table), ("crates/tcp/src/lib.rs", code)]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_translated_name_is_an_item_or_an_alias() {
        let table = "| `loop.create_server(factory)`, `sock=` | `tcp::listen(..)` | |";
        let alias = "#[doc(alias = \"create_server\")]\npub fn listen() {}\npub fn sock() {}";
        assert_eq!(found(table, alias), [""; 0]);
        assert_eq!(found(table, "pub fn listen() {}").len(), 2);
        assert!(found(table, "pub fn create_server() {}")[0].contains("`sock`"));
    }

    #[test]
    fn what_has_no_counterpart_needs_no_alias() {
        assert_eq!(found("| `get_loop()` | | you have it |", ""), [""; 0]);
        assert_eq!(found("| `all_errors=` | always | |", ""), [""; 0]);
    }

    #[test]
    fn the_name_is_the_last_one_before_the_arguments() {
        for (python, expected) in [
            ("await process.wait()", Some("wait")),
            ("stdin=PIPE", Some("stdin")),
            ("asyncio.run(main())", Some("run")),
            ("(\"sockname\")", None),
        ] {
            assert_eq!(name(python), expected, "{python}");
        }
    }
}
