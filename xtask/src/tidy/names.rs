//! Names say what a thing is; some words never do.

use super::finding::Finding;
use super::tree::Tree;

/// What every program is full of, and what therefore names nothing.
const EMPTY: [&str; 10] = [
    "handler", "handlers", "manager", "managers", "context", "util", "utils", "helper", "helpers",
    "misc",
];

/// Names that we did not choose: asyncio's, which its users look for.
const ASYNCIO: [&str; 5] = [
    "add_signal_handler",
    "remove_signal_handler",
    "set_exception_handler",
    "get_exception_handler",
    "call_exception_handler",
];

const ITEMS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "union", "mod"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if let Some(word) = empty_word(stem) {
            findings.push(Finding::error(
                &source.path,
                0,
                format!("`{word}` in a file's name says nothing"),
            ));
        }
        for (keyword, name) in source.items(&ITEMS) {
            // The name of a test is a sentence, and sentences may use any word.
            if (keyword == "fn" && name.in_test) || ASYNCIO.contains(&name.text) {
                continue;
            }
            if let Some(word) = empty_word(name.text) {
                let message = format!("`{word}` in `{}` says nothing; name what it is", name.text);
                findings.push(Finding::error(&source.path, name.line, message));
            }
        }
    }
    findings
}

/// The first empty word of a name, in snake or camel case.
fn empty_word(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split(['_', '-']).find_map(|part| EMPTY.into_iter().find(|empty| *empty == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&Tree::of(&[("crates/tcp/src/a.rs", text)])).len()
    }

    #[test]
    fn empty_words_are_found_in_whatever_case() {
        for text in [
            "struct ConnectionManager;",
            "trait EventHandler {}",
            "mod util { }",
            "type MiscMap = ();",
            "fn handler_for(x: u8) {}",
            "enum Context {}",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        assert_eq!(check(&Tree::of(&[("crates/tcp/src/helpers.rs", "")])).len(), 1);
    }

    #[test]
    fn uses_of_foreign_names_and_longer_words_are_free() {
        for text in
            ["use std::task::Context;", "struct Contextual;", "fn poll(cx: &mut Context<'_>) {}"]
        {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn names_of_asyncio_and_sentences_of_tests_are_free() {
        assert_eq!(found("fn add_signal_handler() {}"), 0);
        assert_eq!(found("#[test]\nfn the_handler_runs_in_the_loop() {}"), 0);
        assert_eq!(found("#[cfg(test)]\nmod tests { struct Helper; }"), 1);
    }
}
