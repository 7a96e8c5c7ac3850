//! Check the library crates with the oldest compiler that they promise to support.
//!
//! The promise is `rust-version` in Cargo.toml.
//! The compiler is `$WHARF_MSRV_RUSTC`, or rustup's tool chain of that version; without one the check is skipped.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::tidy::layers;
use crate::{Result, cli};

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let promised = &project.metadata.package("wharf")?.rust_version;
    let Some(rustc) = compiler(project, promised) else {
        return Outcome::skipped(format!(
            "no rustc {promised}; install it with rustup, or set WHARF_MSRV_RUSTC"
        ));
    };
    let sh = &project.sh;
    let found = cmd!(sh, "{rustc} --version").read()?;
    if !found.starts_with(&format!("rustc {promised}.")) {
        return Err(format!("{rustc} is {found}, and the promise is {promised}").into());
    }
    let mut libraries = Vec::new();
    for package in &project.metadata.packages {
        if layers::is_library(&package.folder) {
            libraries.extend(["-p", &package.name]);
        }
    }
    let target = project.target_for("msrv");
    let check = cmd!(sh, "cargo check --locked --lib {libraries...} --target-dir {target}");
    check.env("RUSTC", rustc).run()?;
    Ok(Outcome::Done)
}

fn compiler(project: &Project, version: &str) -> Option<String> {
    let installed = || {
        let which = cmd!(project.sh, "rustup which --toolchain {version} rustc");
        which.quiet().ignore_stderr().read().ok()
    };
    std::env::var("WHARF_MSRV_RUSTC").ok().or_else(installed)
}
