//! Run all tests: once, again over the portable wait, each feature alone, then tidy.
//!
//! The steps are
//!
//! 1. `cargo test` over the workspace's default members, doctests included;
//! 2. the stories and the conformance suite once more with `WHARF_POLL=portable`, so that the waiting path of
//!    other platforms is tested on this one;
//! 3. what watches a loop, with the feature `tracing`, which no other test has;
//! 4. `cargo check` of the facade with each of its features alone;
//! 5. `cargo xtask tidy`.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli, tidy};

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let sh = &project.sh;
    step("all tests", || cmd!(sh, "cargo test --locked --no-fail-fast").run())?;
    // Named by target and not by package: another choice of packages is another choice of features, and a new build.
    step("tests over the portable wait", || {
        let test = cmd!(sh, "cargo test --locked --no-fail-fast --test it --test conformance");
        test.env("WHARF_POLL", "portable").run()
    })?;
    step("tests with tracing", || {
        let package = ["-p", "wharf", "--features", "full,tracing"];
        cmd!(sh, "cargo test --locked --no-fail-fast {package...} --test observing").run()
    })?;
    step("each feature alone", || {
        for feature in &project.metadata.package("wharf")?.features {
            cmd!(sh, "cargo check --locked -p wharf --no-default-features --features {feature}")
                .run()?;
        }
        cmd!(sh, "cargo check --locked -p wharf --no-default-features")
            .run()
            .map_err(crate::Error::from)
    })?;
    step("tidy", || tidy::check(project))
}
