//! Invariant L4: each platform difference stands in one file; `polling` occurs in one.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut users = Vec::new();
    for source in tree.library_sources() {
        let lines =
            ["polling::", "use polling"].map(|pattern| source.shipped_lines_with(pattern).min());
        if let Some(line) = lines.into_iter().flatten().min() {
            users.push((source.path.as_str(), line));
        }
    }
    let Some(((first, _), others)) = users.split_first() else {
        return Vec::new();
    };
    let message = format!("`polling` occurs in one file, and that is {first}");
    others.iter().map(|(path, line)| Finding::error(path, *line, message.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: L4
    #[test]
    fn a_second_file_that_names_polling_is_found() {
        let one = ("crates/reactor/src/poll.rs", "use polling::Poller;");
        let prose = ("crates/reactor/src/lib.rs", "//! polling:: is hidden.\nmod poll;");
        let test = ("crates/reactor/tests/it/main.rs", "use polling::Poller;");
        assert_eq!(check(&Tree::of(&[one, prose, test])), []);
        let other = ("crates/tcp/src/lib.rs", "fn a() -> polling::Event {}");
        let found = check(&Tree::of(&[one, prose, other]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/tcp/src/lib.rs");
    }
}
