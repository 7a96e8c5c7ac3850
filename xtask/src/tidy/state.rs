//! Invariant L6: no global state, so that two loops can live in one process.
//!
//! Every `static` counts, whatever its type: what never changes is a `const`.

use super::finding::Finding;
use super::tree::Tree;

/// File, name, and why it cannot be otherwise.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("crates/reactor/src/signal.rs", "OWNERS", "dispositions are the process's own"),
    ("crates/reactor/src/signal.rs", "DEFAULTED", "dispositions are the process's own"),
];

const MACROS: [&str; 2] = ["thread_local!", "lazy_static!"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    check_against(tree, ALLOWED)
}

fn check_against(tree: &Tree, allowed: &[(&str, &str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.library_sources() {
        for (_, name) in source.items(&["static"]).filter(|(_, name)| !name.in_test) {
            let is_this = |(path, allowed, _): &(&str, &str, &str)| {
                *path == source.path && *allowed == name.text
            };
            if !allowed.iter().any(is_this) {
                findings.push(global(&source.path, name.line, &format!("static {}", name.text)));
            }
        }
        for name in MACROS {
            let lines = source.shipped_lines_with(name);
            findings.extend(lines.map(|line| global(&source.path, line, name)));
        }
    }
    for (path, name, _) in allowed {
        let file = tree.sources.iter().filter(|source| source.path == *path);
        if !file.flat_map(|source| source.items(&["static"])).any(|(_, word)| word.text == *name) {
            let message = format!("`static {name}` is allowed and not there");
            findings.push(Finding::error(path, 0, message));
        }
    }
    findings
}

fn global(path: &str, line: usize, what: &str) -> Finding {
    Finding::error(path, line, format!("`{what}`: there is no global state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check_against(&Tree::of(&[(path, text)]), &[]).len()
    }

    #[test]
    fn global_state_is_found() {
        let path = "crates/reactor/src/signal.rs";
        assert_eq!(found(path, "static COUNT: AtomicUsize = AtomicUsize::new(0);"), 1);
        assert_eq!(found(path, "fn a() { static mut B: u8 = 0; }"), 1);
        assert_eq!(found(path, "thread_local! { static LOOP: RefCell<u8> = x; }"), 2);
        assert_eq!(found(path, "const A: &'static str = x;\nfn b<T: 'static>() {}"), 0);
        assert_eq!(found(path, "#[cfg(test)]\nmod tests { static A: u8 = 0; }"), 0);
        assert_eq!(found("benches/src/lib.rs", "static A: u8 = 0;"), 0);
    }

    #[test]
    fn an_exception_is_named_and_must_be_used() {
        let path = "crates/reactor/src/signal.rs";
        let tree = Tree::of(&[(path, "static PIPE: OnceLock<Pipe> = OnceLock::new();")]);
        assert_eq!(check_against(&tree, &[(path, "PIPE", "a process has one")]), []);
        assert_eq!(check_against(&tree, &[(path, "PIPE", "x"), (path, "GONE", "x")]).len(), 1);
    }
}
