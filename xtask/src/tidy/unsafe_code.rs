//! Unsafe code stands where docs/unsafe.md says, and nowhere else.
//!
//! A row of that list names the file, the reason, the invariant that makes it sound, and a test.

use super::finding::Finding;
use super::table;
use super::tree::Tree;

const LIST: &str = "docs/unsafe.md";
const FORBIDS: &str = "#![forbid(unsafe_code)]";

/// Roots of crates that forbid it to themselves.
const FORBIDDING: [&str; 6] = [
    "crates/core/src/lib.rs",
    "crates/tls/src/lib.rs",
    "crates/wharf/src/lib.rs",
    "crates/echo-examples/src/lib.rs",
    "examples/src/lib.rs",
    "xtask/src/main.rs",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.text(LIST) else {
        return vec![Finding::error(LIST, 0, "missing: the list of files with unsafe code")];
    };
    let mut findings = Vec::new();
    let mut listed = Vec::new();
    for row in table::rows(list).into_iter().filter(|row| row.cells[0].contains(".rs")) {
        let [file, reason, invariant, test] = row.cells[..] else {
            findings.push(Finding::error(
                LIST,
                row.line,
                "a row is `file`, reason, invariant, `test`",
            ));
            continue;
        };
        let file = file.trim_matches('`');
        if reason.is_empty() || invariant.is_empty() {
            findings.push(Finding::error(
                LIST,
                row.line,
                format!("{file} has no reason or no invariant"),
            ));
        }
        findings.extend(missing_tests(tree, row.line, file, test));
        listed.push((row.line, file));
    }
    for source in &tree.sources {
        let first = source.words().find(|word| word.text == "unsafe");
        let row = listed.iter().find(|(_, file)| *file == source.path);
        match (first, row) {
            (Some(word), None) => {
                let message = format!("unsafe code in a file that {LIST} does not list");
                findings.push(Finding::error(&source.path, word.line, message));
            }
            (None, Some((line, file))) => {
                findings.push(Finding::error(
                    LIST,
                    *line,
                    format!("{file} has no unsafe code any more"),
                ));
            }
            _ => {}
        }
        if FORBIDDING.contains(&source.path.as_str()) && !source.text.contains(FORBIDS) {
            findings.push(Finding::error(
                &source.path,
                1,
                format!("this crate must say `{FORBIDS}`"),
            ));
        }
    }
    for (line, file) in listed {
        if !tree.texts.contains_key(file) {
            findings.push(Finding::error(LIST, line, format!("{file} does not exist")));
        }
    }
    findings
}

/// The tests that a row names and nobody wrote; what no user builds may say in words how it is shown.
fn missing_tests(tree: &Tree, line: usize, file: &str, cell: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tests = tree.tests();
    let is_library = tree.library_sources().any(|source| source.path == file);
    if cell.is_empty() || (is_library && table::quoted(cell).next().is_none()) {
        findings.push(Finding::error(LIST, line, "a row names its test, in backticks"));
    }
    for name in table::quoted(cell).filter(|name| !tests.contains(table::last_part(name))) {
        findings.push(Finding::error(LIST, line, format!("there is no test `{name}`")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: (&str, &str) = ("crates/reactor/tests/it/poll.rs", "fn a_poll_ends() {}");

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn unsafe_code_needs_a_row() {
        let listed = "| `crates/reactor/src/poll.rs` | registering | owned | `a_poll_ends` |";
        let poll = ("crates/reactor/src/poll.rs", "fn a() { unsafe { b() } }");
        assert_eq!(messages(&[(LIST, listed), poll, TEST]), [""; 0]);
        assert_eq!(
            messages(&[(LIST, ""), poll]),
            [
                "error: crates/reactor/src/poll.rs:1: unsafe code in a file that docs/unsafe.md does not list"
            ]
        );
    }

    #[test]
    fn the_word_in_prose_and_in_lints_is_not_unsafe_code() {
        assert_eq!(messages(&[(LIST, ""), ("a.rs", "//! unsafe\n#![warn(unsafe_code)]")]), [""; 0]);
    }

    #[test]
    fn a_row_that_nothing_needs_any_more_is_found() {
        let listed = "| `a.rs` | why | owned | `a_poll_ends` |";
        assert_eq!(
            messages(&[(LIST, listed), ("a.rs", ""), TEST]),
            ["error: docs/unsafe.md:1: a.rs has no unsafe code any more"]
        );
        assert_eq!(
            messages(&[(LIST, listed), TEST]),
            ["error: docs/unsafe.md:1: a.rs does not exist"]
        );
    }

    #[test]
    fn a_row_is_complete_and_its_test_exists() {
        let a = ("a.rs", "unsafe fn a() {}");
        for (row, expected) in [
            ("| `a.rs` | why | | `a_poll_ends` |", "a.rs has no reason or no invariant"),
            ("| `a.rs` | why | owned | |", "a row names its test, in backticks"),
            ("| `a.rs` | why | owned | `nobody` |", "there is no test `nobody`"),
        ] {
            assert_eq!(
                messages(&[(LIST, row), a, TEST]),
                [format!("error: docs/unsafe.md:1: {expected}")]
            );
        }
    }

    #[test]
    fn a_crate_without_unsafe_code_forbids_it() {
        assert_eq!(messages(&[(LIST, ""), ("crates/core/src/lib.rs", "//! Core.")]).len(), 1);
        assert_eq!(messages(&[(LIST, ""), ("crates/core/src/lib.rs", FORBIDS)]), [""; 0]);
    }
}
