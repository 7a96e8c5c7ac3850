//! Check formatting, clippy and documentation, with warnings as errors, and packaging.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let sh = &project.sh;
    step("rustfmt", || cmd!(sh, "cargo fmt --all --check").run())?;
    step("clippy", || {
        cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()
    })?;
    step("rustdoc", || {
        cmd!(sh, "cargo doc --no-deps --locked").env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    step("package", || {
        // Offline, because the steps above have fetched what is needed; unverified, because they have built it.
        cmd!(sh, "cargo package --workspace --no-verify --allow-dirty --offline --quiet").run()
    })
}
