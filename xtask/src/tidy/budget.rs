//! A file is one idea: six hundred lines is a smell, a thousand needs a reason.
//!
//! The reason stands in the file's header, on a line that begins with `//! Length:`.

use super::finding::Finding;
use super::tree::Tree;

const SMELL: usize = 600;
const LIMIT: usize = 1000;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let lines = source.text.lines().count();
        let header = source.text.lines().take_while(|line| line.starts_with("//!"));
        let explained = header.into_iter().any(|line| line.starts_with("//! Length:"));
        if lines > LIMIT && !explained {
            let message = format!(
                "{lines} lines; split it, or give the reason in its header as `//! Length: ..`"
            );
            findings.push(Finding::error(&source.path, 0, message));
        } else if lines > SMELL && !explained {
            findings.push(Finding::warning(
                &source.path,
                0,
                format!("{lines} lines; is it one idea?"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Weight;
    use super::*;

    fn weights(lines: usize, header: &str) -> Vec<Weight> {
        let text = header.to_owned() + &"\n".repeat(lines);
        check(&Tree::of(&[("a.rs", &text)])).into_iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn long_files_are_warned_of_and_longer_ones_refused() {
        assert_eq!(weights(600, "//! A file."), []);
        assert_eq!(weights(601, "//! A file."), [Weight::Warning]);
        assert_eq!(weights(1001, "//! A file."), [Weight::Error]);
    }

    #[test]
    fn a_reason_in_the_header_is_accepted() {
        assert_eq!(weights(1001, "//! A file.\n//! Length: one table, in one piece.\n"), []);
        assert_eq!(weights(1001, "//! A file.\n\n//! Length: too far down.\n"), [Weight::Error]);
    }
}
