//! Words that must not be committed: unfinished work in code, paths of somebody's machine anywhere.

use super::finding::Finding;
use super::tree::Tree;

/// Stand-ins for work, and switched-off tests.
const UNFINISHED: [&str; 4] = ["todo!", "unimplemented!", "dbg!", concat!("#", "[ignore")];

/// Where machines keep what is theirs; written in two parts, so that this file is not found itself.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/"), concat!("/", "Users/")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for word in UNFINISHED {
            for line in source.lines_with(word) {
                findings.push(Finding::error(
                    &source.path,
                    line,
                    format!("`{word}` must not be committed"),
                ));
            }
        }
    }
    for (path, text) in &tree.texts {
        for (index, line) in text.lines().enumerate() {
            for word in MACHINE_PATHS.iter().filter(|word| holds_path(line, word)) {
                let message = format!("`{word}..` is a path of one machine");
                findings.push(Finding::error(path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether an absolute path begins here; inside of a longer path or an address the same letters are harmless.
fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn unfinished_work_is_found_in_tests_too() {
        for word in UNFINISHED {
            assert_eq!(found("a.rs", &format!("{word}();")), 1, "{word}");
            assert_eq!(
                found("a.rs", &format!("#[cfg(test)] mod tests {{ {word}(); }}")),
                1,
                "{word}"
            );
        }
    }

    #[test]
    fn words_in_prose_are_no_work() {
        assert_eq!(found("a.rs", "//! todo! is a macro.\nfn a() -> &str { \"dbg!\" }"), 0);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_any_text() {
        for path in MACHINE_PATHS {
            assert_eq!(found("docs/a.md", &format!("see {path}x")), 1, "{path}");
            assert_eq!(found("a.rs", &format!("fn a() -> &str {{ \"{path}x\" }}")), 1, "{path}");
            assert_eq!(
                found("a.toml", &format!("url = \"https://example.org{path}x\"")),
                0,
                "{path}"
            );
        }
    }
}
