//! The conformance table and the tests say the same: docs/conformance.md against the functions.
//!
//! A row of the table begins with its id and ends with its tests in backticks, or with the reason why there is none:
//! `| W-05 | behaviour | .. | a test's name, or why none |`.
//! A test whose name begins with the id of a row (`w_05_`) must be listed.

use std::collections::{BTreeMap, HashSet};

use super::finding::Finding;
use super::table;
use super::tree::Tree;

const DOCUMENT: &str = "docs/conformance.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.text(DOCUMENT) else {
        return vec![Finding::error(
            DOCUMENT,
            0,
            "missing: the table of behaviours and their tests",
        )];
    };
    let mut findings = Vec::new();
    let mut ids = BTreeMap::new();
    let tests = tree.tests();
    let mut listed = HashSet::new();
    for row in table::rows(document).into_iter().filter(|row| is_id(row.cells[0])) {
        let id = row.cells[0];
        if let Some(first) = ids.insert(prefix_of(id), row.line) {
            findings.push(Finding::error(
                DOCUMENT,
                row.line,
                format!("{id} stands already in line {first}"),
            ));
        }
        let last = row.cells[row.cells.len() - 1];
        if row.cells.len() < 3 || last.is_empty() {
            findings.push(Finding::error(
                DOCUMENT,
                row.line,
                format!("{id} names no test and gives no reason"),
            ));
        }
        for name in table::quoted(last).filter(|name| is_test_name(name)) {
            let test = table::last_part(name);
            if !tests.contains(test) {
                findings.push(Finding::error(
                    DOCUMENT,
                    row.line,
                    format!("{id}: there is no test `{name}`"),
                ));
            }
            listed.insert(test);
        }
    }
    for source in &tree.sources {
        for test in source.functions().filter(|test| test.in_test) {
            let named_after_row = ids.keys().any(|prefix| test.text.starts_with(prefix));
            if (named_after_row || looks_like_row(test.text)) && !listed.contains(test.text) {
                let message = format!("`{}` is not listed in {DOCUMENT}", test.text);
                findings.push(Finding::error(&source.path, test.line, message));
            }
        }
    }
    findings
}

/// `W-05`: capitals, a dash, two digits or more.
fn is_id(cell: &str) -> bool {
    cell.split_once('-').is_some_and(|(letters, digits)| {
        (1..=3).contains(&letters.len())
            && letters.chars().all(|c| c.is_ascii_uppercase())
            && digits.len() >= 2
            && digits.chars().all(|c| c.is_ascii_digit())
    })
}

/// How the name of a test for this row begins.
fn prefix_of(id: &str) -> String {
    id.to_lowercase().replace('-', "_") + "_"
}

/// Whether a function's name begins as if there were a row for it.
fn looks_like_row(name: &str) -> bool {
    let mut parts = name.splitn(3, '_');
    let (Some(letters), Some(digits), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    is_id(&format!("{}-{digits}", letters.to_uppercase()))
}

/// What stands in backticks may also be a bit of code in a reason.
fn is_test_name(quoted: &str) -> bool {
    quoted.contains('_')
        && quoted.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(document: &str, tests: &str) -> Vec<String> {
        let tree =
            Tree::of(&[(DOCUMENT, document), ("crates/wharf/tests/conformance/main.rs", tests)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    const ROW: &str = "| W-05 | order is kept | | `w_05_order_is_kept` |";

    #[test]
    fn a_listed_test_that_exists_is_fine() {
        assert_eq!(messages(ROW, "fn w_05_order_is_kept() {}"), [""; 0]);
        let shared = "| W-05 | a | | `w_05_order_is_kept`, `close::plain_test` |";
        assert_eq!(messages(shared, "fn w_05_order_is_kept() {}\nfn plain_test() {}"), [""; 0]);
    }

    #[test]
    fn a_row_may_say_why_it_has_no_test() {
        assert_eq!(messages("| U-01 | datagrams | | waits for `udp` |", ""), [""; 0]);
        assert_eq!(
            messages("| U-01 | datagrams | | |", ""),
            ["error: docs/conformance.md:1: U-01 names no test and gives no reason"]
        );
    }

    #[test]
    fn a_listed_test_that_nobody_wrote_is_found() {
        assert_eq!(
            messages(ROW, ""),
            ["error: docs/conformance.md:1: W-05: there is no test `w_05_order_is_kept`"]
        );
    }

    #[test]
    fn a_test_that_is_named_after_a_row_and_not_listed_is_found() {
        let unlisted = "fn w_05_order_is_kept() {}\nfn w_06_is_new() {}\nfn t_shirts_are_sold() {}";
        assert_eq!(
            messages(ROW, unlisted),
            [
                "error: crates/wharf/tests/conformance/main.rs:2: `w_06_is_new` is not listed in docs/conformance.md"
            ]
        );
    }

    #[test]
    fn a_row_stands_once() {
        let twice = format!("{ROW}\n{ROW}");
        assert_eq!(
            messages(&twice, "fn w_05_order_is_kept() {}"),
            ["error: docs/conformance.md:2: W-05 stands already in line 1"]
        );
    }

    #[test]
    fn the_document_must_be_there() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
