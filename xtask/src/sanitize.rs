//! Run the tests of the loop, TCP and UDP under AddressSanitizer and ThreadSanitizer.
//!
//! It needs a nightly tool chain, and ThreadSanitizer its `rust-src` as well; what is missing is skipped.
//! `cargo xtask sanitize address` or `thread` runs one of the two.

use std::path::Path;

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

/// Tests that let a leak happen on purpose: a task that is woken after its loop is gone leaves its empty shell behind.
const LEAKS: &str = "leak:tasks_that_are_woken_while_the_loop_is_dropped_are_dropped\n";

struct Sanitizer {
    name: &'static str,
    /// Whether the standard library has to be built with it.
    /// ThreadSanitizer takes every lock for a race whose code it has not instrumented.
    with_std: bool,
}

const SANITIZERS: [Sanitizer; 2] =
    [Sanitizer { name: "address", with_std: false }, Sanitizer { name: "thread", with_std: true }];

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
        let sysroot = cmd!(sh, "rustc +nightly --print sysroot").quiet().read()?;
        if self.with_std && !Path::new(&sysroot).join("lib/rustlib/src/rust/library").exists() {
            return Outcome::skipped("nightly has no rust-src; rustup can add it");
        }
        let name = self.name;
        let std = self.with_std.then_some("-Zbuild-std");
        let target = project.target_for(&format!("sanitize-{name}"));
        // Naming the target keeps the flags away from build scripts and procedural macros.
        let host = host(project)?;
        let place = ["--target", &host, "--target-dir", &target.to_string_lossy()];
        let packages = ["-p", "wharf-reactor", "-p", "wharf-tcp", "-p", "wharf-udp"];
        let test =
            cmd!(sh, "cargo +nightly {std...} test --locked --tests {packages...} {place...}");
        let folder = sh.create_temp_dir()?;
        let leaks = folder.path().join("leaks");
        sh.write_file(&leaks, LEAKS)?;
        test.env("RUSTFLAGS", format!("-Zsanitizer={name}"))
            .env("LSAN_OPTIONS", format!("suppressions={}", leaks.display()))
            .run()?;
        Ok(Outcome::Done)
    }
}

/// The triple of this machine, as rustc says it.
fn host(project: &Project) -> Result<String> {
    let version = cmd!(project.sh, "rustc +nightly -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say its host")?.to_owned())
}
