//! Run the tests of the loop and its transports under AddressSanitizer and ThreadSanitizer.
//!
//! It needs a nightly tool chain, and is skipped without one.
//! ThreadSanitizer wants a standard library of its own: cargo builds it where nightly has its `rust-src`, and else it is
//! made from the one that is there.
//! `cargo xtask sanitize address` or `thread` runs one of the two.

mod bitcode;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

/// Tests that let a leak happen on purpose: a task that is woken after its loop is gone leaves its empty shell behind.
const LEAKS: &str = "leak:tasks_that_are_woken_while_the_loop_is_dropped_are_dropped\n";

/// The crates by themselves, without the test of the heap, in whose place a sanitizer has its own.
const CRATES: &str = "--lib --test it -p wharf-reactor -p wharf-tcp -p wharf-udp -p wharf-subprocess -p wharf-streams";

/// All of them together. What is skipped counts the descriptors and the system calls of this process, to which a sanitizer
/// adds its own.
const TOGETHER: &str = "-p wharf --test conformance --test corners -- \
    --skip sp_25_what_is_passed --skip sp_40_a_start --skip sp_40_a_message";

struct Sanitizer {
    name: &'static str,
    /// Whether the standard library has to be built with it.
    /// ThreadSanitizer takes every lock for a race whose code it has not instrumented.
    with_std: bool,
    /// What cargo is to test.
    tests: &'static [&'static str],
}

const SANITIZERS: [Sanitizer; 2] = [
    // Some protocols of the conformance suite hold their own transports, and are leaks to this one.
    Sanitizer { name: "address", with_std: false, tests: &[CRATES] },
    Sanitizer { name: "thread", with_std: true, tests: &[CRATES, TOGETHER] },
];

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let only = cli::word(&mut args)?;
    cli::nothing_more(args)?;
    let is_asked_for = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if !SANITIZERS.iter().any(|sanitizer| is_asked_for(sanitizer.name)) {
        return Err(lexopt::Error::from("the sanitizers are `address` and `thread`").into());
    }
    if !project.has_nightly() {
        return Outcome::skipped("no nightly tool chain");
    }
    let mut outcome = Outcome::Done;
    for sanitizer in SANITIZERS.iter().filter(|sanitizer| is_asked_for(sanitizer.name)) {
        let title = format!("{} sanitizer", sanitizer.name);
        if let Outcome::Skipped(why) = step(&title, || sanitizer.test(project))? {
            outcome = Outcome::Skipped(format!("{title}: {why}"));
        }
    }
    Ok(outcome)
}

impl Sanitizer {
    fn test(&self, project: &Project) -> Result<Outcome> {
        let sh = &project.sh;
        let name = self.name;
        let target = project.target_for(&format!("sanitize-{name}"));
        let host = host(project)?;
        let mut flags = vec![OsString::from(format!("-Zsanitizer={name}"))];
        let mut std = None;
        if self.with_std {
            let sysroot = cmd!(sh, "rustc +nightly --print sysroot").quiet().read()?;
            let sysroot = PathBuf::from(sysroot);
            if sysroot.join("lib/rustlib/src/rust/library").exists() {
                println!("cargo builds the standard library with it");
                std = Some("-Zbuild-std");
            } else {
                println!("no rust-src: the standard library is made from its own bitcode");
                let tools = match bitcode::Tools::find(sh, &sysroot, &host) {
                    Ok(tools) => tools,
                    Err(missing) => return Outcome::skipped(format!("{missing} is missing, too")),
                };
                flags = tools.make_std(project, &target.join("std"))?;
            }
        }
        // Naming the target keeps the flags away from build scripts and procedural macros.
        let place = ["--target", &host, "--target-dir", &target.to_string_lossy()];
        let flags = flags.join("\x1f".as_ref());
        let folder = sh.create_temp_dir()?;
        let leaks = folder.path().join("leaks");
        sh.write_file(&leaks, LEAKS)?;
        for tests in self.tests {
            let tests = tests.split(' ');
            cmd!(sh, "cargo +nightly {std...} test --locked {place...} {tests...}")
                .env("CARGO_ENCODED_RUSTFLAGS", &flags)
                .env("LSAN_OPTIONS", format!("suppressions={}", leaks.display()))
                .run()?;
        }
        Ok(Outcome::Done)
    }
}

/// The triple of this machine, as rustc says it.
fn host(project: &Project) -> Result<String> {
    let version = cmd!(project.sh, "rustc +nightly -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say its host")?.to_owned())
}
