//! What a user gets with a crate: everything that cargo would compile for it and link.
//!
//! The layer table looks at direct dependencies; this looks at those of the dependencies too, as `cargo tree` tells them.

use xshell::cmd;

use super::finding::Finding;
use crate::Result;
use crate::project::Project;

/// A choice of package and features, and what it must not go beyond.
struct Footprint {
    choice: &'static [&'static str],
    manifest: &'static str,
    rule: Rule,
}

enum Rule {
    /// Exactly these.
    Exactly(&'static [&'static str]),
    /// Anything but this one.
    Without(&'static str),
}

const FOOTPRINTS: [Footprint; 3] = [
    Footprint {
        choice: &["-p", "wharf-core"],
        manifest: "crates/core/Cargo.toml",
        rule: Rule::Exactly(&["bytes", "thiserror", "wharf-core"]),
    },
    Footprint {
        choice: &["-p", "wharf", "--no-default-features"],
        manifest: "crates/wharf/Cargo.toml",
        rule: Rule::Exactly(&["bytes", "thiserror", "wharf", "wharf-core"]),
    },
    Footprint {
        choice: &[
            "-p",
            "wharf",
            "--no-default-features",
            "--features",
            "tcp,udp,subprocess,tls,streams",
        ],
        manifest: "crates/wharf/Cargo.toml",
        rule: Rule::Without("tokio"),
    },
];

pub(super) fn check(project: &Project) -> Result<Vec<Finding>> {
    let sh = &project.sh;
    let mut findings = Vec::new();
    for footprint in &FOOTPRINTS {
        let choice = footprint.choice;
        // Procedural macros run in the compiler and are no part of the program.
        let tree =
            cmd!(sh, "cargo tree --locked {choice...} -e normal,no-proc-macro --prefix none");
        let tree = tree.quiet().ignore_stderr().read()?;
        findings.extend(judge(footprint, &names(&tree)));
    }
    Ok(findings)
}

/// The packages that a printed tree names, each once.
fn names(tree: &str) -> Vec<&str> {
    let mut names: Vec<_> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn judge(footprint: &Footprint, names: &[&str]) -> Option<Finding> {
    let choice = footprint.choice.join(" ");
    let message = match &footprint.rule {
        Rule::Exactly(expected) if names != *expected => {
            format!("`{choice}` brings {names:?}, and is to bring {expected:?}")
        }
        Rule::Without(unwanted) if names.contains(unwanted) => {
            format!("`{choice}` must not bring `{unwanted}`")
        }
        _ => return None,
    };
    Some(Finding::error(footprint.manifest, 0, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bites(rule: Rule, tree: &str) -> bool {
        let footprint = Footprint { choice: &["-p", "a"], manifest: "a/Cargo.toml", rule };
        judge(&footprint, &names(tree)).is_some()
    }

    #[test]
    fn what_a_dependency_brings_counts() {
        const TREE: &str =
            "a v0.1.0 (/somewhere/a)\nbytes v1.11.0\nserde v1.0.0\nbytes v1.11.0 (*)";
        assert!(!bites(Rule::Exactly(&["a", "bytes", "serde"]), TREE));
        assert!(bites(Rule::Exactly(&["a", "bytes"]), TREE));
        assert!(bites(Rule::Exactly(&["a", "bytes", "libc", "serde"]), TREE));
        assert!(!bites(Rule::Without("tokio"), TREE));
        assert!(!bites(Rule::Without("tokio"), "a v0.1.0\ntokio-util v0.7.0"));
        assert!(bites(Rule::Without("tokio"), "a v0.1.0\ntokio v1.50.0"));
    }
}
