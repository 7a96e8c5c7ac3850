//! The layer table, against what cargo says: who may stand on whom.
//!
//! The drawing is in docs/architecture.md.
//! Invariants L1 (core stands on two crates, and on tracing where that is asked for, and does no I/O), L2 (tls knows no reactor),
//! L3 (transport crates do not know each other); the leaves carry nobody.

use super::finding::Finding;
use super::tree::Tree;

/// A library crate and what it may stand on.
struct Layer {
    folder: &'static str,
    package: &'static str,
    /// Of our own crates.
    ours: &'static [&'static str],
    /// Of everyone else's; where nothing is said, docs/architecture.md decides.
    theirs: Theirs,
}

enum Theirs {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const CORE: &str = "wharf-core";
const REACTOR: &str = "wharf-reactor";

const LAYERS: &[Layer] = &[
    Layer {
        folder: "crates/core",
        package: CORE,
        ours: &[],
        // The third one is a feature, and none of what the facade brings without features.
        theirs: Theirs::Only(&["bytes", "thiserror", "tracing"]),
    },
    Layer {
        folder: "crates/reactor",
        package: REACTOR,
        ours: &[CORE],
        theirs: Theirs::AllBut(&[]),
    },
    transport("crates/tcp", "wharf-tcp"),
    transport("crates/udp", "wharf-udp"),
    transport("crates/subprocess", "wharf-subprocess"),
    Layer {
        folder: "crates/tls",
        package: "wharf-tls",
        ours: &[CORE],
        theirs: Theirs::AllBut(&["libc", "mio", "nix", "polling", "rustix", "socket2", "tokio"]),
    },
    Layer {
        folder: "crates/codec",
        package: "wharf-codec",
        ours: &[CORE],
        theirs: Theirs::AllBut(&[]),
    },
    Layer {
        folder: "crates/streams",
        package: "wharf-streams",
        ours: &[CORE],
        theirs: Theirs::AllBut(&["libc", "mio", "nix", "polling", "rustix", "socket2"]),
    },
    Layer {
        folder: "crates/tokio",
        package: "wharf-tokio",
        ours: &[CORE],
        theirs: Theirs::Only(&["tokio"]),
    },
    Layer {
        folder: "crates/wharf",
        package: "wharf",
        ours: &[
            CORE,
            REACTOR,
            "wharf-tcp",
            "wharf-udp",
            "wharf-subprocess",
            "wharf-tls",
            "wharf-codec",
            "wharf-streams",
            "wharf-tokio",
        ],
        theirs: Theirs::Only(&[]),
    },
];

/// Nothing depends on these.
const LEAVES: [&str; 5] =
    ["wharf-echo-examples", "wharf-examples", "wharf-benches", "xtask", "xtask-listing"];

/// What does I/O, starts threads or talks to the system; data such as addresses is none of it.
const IO: [&str; 18] = [
    "std::fs",
    "process::Command",
    "process::Child",
    "process::exit",
    "process::abort",
    "process::id",
    "thread::spawn",
    "thread::sleep",
    "thread::Builder",
    "std::env",
    "std::os::unix",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "extern",
];

const fn transport(folder: &'static str, package: &'static str) -> Layer {
    Layer { folder, package, ours: &[CORE, REACTOR], theirs: Theirs::AllBut(&[]) }
}

/// Whether users depend on the crate in this folder.
pub(crate) fn is_library(folder: &str) -> bool {
    LAYERS.iter().any(|layer| layer.folder == folder)
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        for dependency in &package.dependencies {
            if LEAVES.contains(&dependency.name.as_str()) {
                let message = format!("`{}` is a leaf; nothing depends on it", dependency.name);
                findings.push(Finding::error(&manifest, 0, message));
            }
        }
        if LEAVES.contains(&package.name.as_str()) {
            continue;
        }
        let Some(layer) = LAYERS.iter().find(|layer| layer.package == package.name) else {
            findings.push(Finding::error(
                &manifest,
                0,
                "this crate has no place in tidy's layer table",
            ));
            continue;
        };
        for name in package.shipped_dependencies().filter(|name| !layer.may_use(name)) {
            let message = format!("`{}` must not depend on `{name}`", package.name);
            findings.push(Finding::error(&manifest, 0, message));
        }
    }
    findings.extend(io_in_core(tree));
    findings
}

impl Layer {
    fn may_use(&self, name: &str) -> bool {
        if name == "wharf" || name.starts_with("wharf-") {
            return self.ours.contains(&name);
        }
        match self.theirs {
            Theirs::Only(list) => list.contains(&name),
            Theirs::AllBut(list) => !list.contains(&name),
        }
    }
}

fn io_in_core(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.starts_with("crates/core/src/")) {
        for pattern in IO {
            for line in source.shipped_lines_with(pattern) {
                findings.push(Finding::error(
                    &source.path,
                    line,
                    format!("`{pattern}`: core does no I/O"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Kind, Package};

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependencies = dependencies.iter();
        let dependencies =
            dependencies.map(|(name, kind)| Dependency { name: (*name).into(), kind: *kind });
        Package { name: name.into(), dependencies: dependencies.collect(), ..Package::default() }
    }

    fn allowed(user: &str, used: &str) -> bool {
        check(&Tree::of(&[]).with(vec![package(user, &[(used, Kind::Normal)])])).is_empty()
    }

    // invariant: L1
    #[test]
    fn core_stands_on_two_crates_and_does_no_io() {
        assert!(allowed(CORE, "bytes") && allowed(CORE, "thiserror"));
        assert!(!allowed(CORE, "libc") && !allowed(CORE, REACTOR));
        let core = |text: &str| check(&Tree::of(&[("crates/core/src/lib.rs", text)])).len();
        assert_eq!(core("use std::fs::File;"), 1);
        assert_eq!(core("use std::net::TcpStream;"), 1);
        assert_eq!(core("fn a() { std::thread::spawn(b); }"), 1);
        assert_eq!(core("fn a() -> bool { std::thread::panicking() }"), 0);
        assert_eq!(core("use std::net::SocketAddr;\nuse std::io;"), 0);
        assert_eq!(core("#[cfg(test)]\nmod tests { fn a() { std::thread::spawn(b); } }"), 0);
    }

    // invariant: L2
    #[test]
    fn tls_stands_on_core_and_knows_no_socket() {
        assert!(allowed("wharf-tls", CORE) && allowed("wharf-tls", "rustls"));
        assert!(!allowed("wharf-tls", REACTOR) && !allowed("wharf-tls", "socket2"));
    }

    // invariant: L3
    #[test]
    fn transports_do_not_know_each_other() {
        assert!(
            allowed("wharf-tcp", CORE)
                && allowed("wharf-tcp", REACTOR)
                && allowed("wharf-tcp", "nix")
        );
        assert!(!allowed("wharf-tcp", "wharf-udp") && !allowed("wharf-subprocess", "wharf-tcp"));
    }

    #[test]
    fn leaves_carry_nobody_and_strangers_are_asked() {
        assert!(!allowed("wharf-examples", "wharf-echo-examples"));
        assert!(!allowed("wharf-harbour", "bytes"));
        assert!(allowed("wharf-examples", "anything"));
    }

    #[test]
    fn what_only_tests_use_is_free() {
        let tree = Tree::of(&[]).with(vec![package(CORE, &[("proptest", Kind::Dev)])]);
        assert_eq!(check(&tree), []);
        let tree = Tree::of(&[]).with(vec![package(CORE, &[("xtask", Kind::Dev)])]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn libraries_are_told_by_their_folder() {
        assert!(
            is_library("crates/tcp") && !is_library("crates/echo-examples") && !is_library("xtask")
        );
    }
}
