//! Every invariant of docs/architecture.md is named by exactly one test.
//!
//! The document says it in bold, as `**T1**` or `**T1.`; the test says `// invariant: T1`.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::tree::Tree;

const DOCUMENT: &str = "docs/architecture.md";

/// The invariants there must be: T1 to T13 and L1 to L7; the document may add more of either kind.
const REQUIRED: [(char, usize); 2] = [('L', 7), ('T', 13)];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.text(DOCUMENT) else {
        return vec![Finding::error(DOCUMENT, 0, "missing: layers, dependencies and invariants")];
    };
    let mut findings = Vec::new();
    let stated = stated(document);
    for (kind, count) in REQUIRED {
        for id in (1..=count).map(|number| format!("{kind}{number}")) {
            if !stated.contains_key(&id) {
                findings.push(Finding::error(
                    DOCUMENT,
                    0,
                    format!("does not state the invariant {id}"),
                ));
            }
        }
    }
    let mut named: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for source in &tree.sources {
        for (line, comment, in_test) in source.comment_lines() {
            let Some(ids) = comment.strip_prefix("// invariant:") else {
                continue;
            };
            if !in_test && !followed_by_test(&source.text, line) {
                findings.push(Finding::error(
                    &source.path,
                    line,
                    "an invariant is named by a test",
                ));
            }
            for id in ids.split(',').map(str::trim) {
                named.entry(id.to_owned()).or_default().push((&source.path, line));
            }
        }
    }
    for (id, line) in &stated {
        if !named.contains_key(id) {
            findings.push(Finding::error(
                DOCUMENT,
                *line,
                format!("no test names the invariant {id}"),
            ));
        }
    }
    for (id, places) in &named {
        if !stated.contains_key(id) {
            let (path, line) = places[0];
            findings.push(Finding::error(
                path,
                line,
                format!("{DOCUMENT} does not state the invariant {id}"),
            ));
        }
        for (path, line) in &places[1..] {
            let (first, at) = places[0];
            let message = format!("{id} is named by one test only, and that is at {first}:{at}");
            findings.push(Finding::error(path, *line, message));
        }
    }
    findings
}

/// Ids in bold, with the line on which each stands first.
fn stated(document: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (index, line) in document.lines().enumerate() {
        for (at, _) in line.match_indices("**") {
            let rest = &line[at + 2..];
            let digits =
                rest.get(1..).unwrap_or_default().chars().take_while(char::is_ascii_digit).count();
            if rest.starts_with(['T', 'L']) && digits > 0 {
                ids.entry(rest[..=digits].to_owned()).or_insert(index + 1);
            }
        }
    }
    ids
}

/// A mark may stand above the attribute of its test as well as below.
fn followed_by_test(text: &str, line: usize) -> bool {
    let mut below = text.lines().skip(line).map(str::trim);
    let next = below.find(|line| !line.starts_with("//"));
    next.is_some_and(|line| line.starts_with("#[test]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document and a test file in which everything is as it should be.
    fn sound() -> (String, String) {
        let (mut document, mut tests) = (String::new(), String::new());
        for (kind, count) in REQUIRED {
            for number in 1..=count {
                document += &format!("- **{kind}{number}** holds.\n");
                tests += &format!("// invariant: {kind}{number}\n#[test]\nfn a() {{}}\n");
            }
        }
        (document, tests)
    }

    fn messages(document: &str, path: &str, tests: &str) -> Vec<String> {
        let tree = Tree::of(&[(DOCUMENT, document), (path, tests)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    const TESTS: &str = "crates/wharf/tests/rules/main.rs";

    #[test]
    fn a_sound_pair_passes() {
        let (document, tests) = sound();
        assert_eq!(messages(&document, TESTS, &tests), [""; 0]);
        assert_eq!(
            messages(&document.replace("1** holds.", "1.** holds."), TESTS, &tests),
            [""; 0]
        );
    }

    #[test]
    fn either_side_alone_is_found() {
        let (document, tests) = sound();
        let unstated = document.replace("**T13**", "T13");
        assert_eq!(
            messages(&unstated, TESTS, &tests),
            [
                "error: docs/architecture.md: does not state the invariant T13".to_owned(),
                format!("error: {TESTS}:58: docs/architecture.md does not state the invariant T13"),
            ]
        );
        let unnamed = tests.replace("invariant: T13", "invariant T13");
        assert_eq!(
            messages(&document, TESTS, &unnamed),
            ["error: docs/architecture.md:20: no test names the invariant T13"]
        );
    }

    #[test]
    fn a_second_test_for_one_invariant_is_found() {
        let (document, tests) = sound();
        assert_eq!(
            messages(&document, TESTS, &(tests + "// invariant: L1\n")),
            [format!("error: {TESTS}:61: L1 is named by one test only, and that is at {TESTS}:1")]
        );
    }

    #[test]
    fn a_mark_outside_of_a_test_is_found() {
        let (document, tests) = sound();
        let bare = tests.replacen("#[test]\n", "", 1);
        assert_eq!(
            messages(&document, "crates/core/src/lib.rs", &bare),
            ["error: crates/core/src/lib.rs:1: an invariant is named by a test"]
        );
    }

    #[test]
    fn a_mark_in_a_string_is_none() {
        let (document, tests) = sound();
        assert_eq!(
            messages(&document, TESTS, &(tests + "const A: &str = \"\n// invariant: L1\n\";")),
            [""; 0]
        );
    }
}
