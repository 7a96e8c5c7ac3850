//! Compare the public API of each library crate with its listing in docs/api.
//!
//! `cargo xtask api --write` writes the listings anew; a change of the surface is then a visible diff.
//! A listing holds one item a line, with every feature on.
//!
//! It needs the compiler whose documentation format the tool reads, and is skipped with another.

use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser};
use xshell::cmd;

use crate::Result;
use crate::project::Project;
use crate::step::Outcome;
use crate::tidy::layers;

/// The format of rustdoc's JSON changes with the compiler; the tool reads that of this one.
const COMPILER: &str = "rustc 1.95.";

const LISTINGS: &str = "docs/api";

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let mut write = false;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("write") => write = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let sh = &project.sh;
    let compiler = cmd!(sh, "rustc --version").quiet().read()?;
    if !compiler.starts_with(COMPILER) {
        return Outcome::skipped(format!(
            "the listing is made with {COMPILER}x, this is {compiler}"
        ));
    }
    let folder = project.target_for("api");
    let rustdoc = unlocked_rustdoc(project, &folder)?;
    let mut changed = Vec::new();
    for package in &project.metadata.packages {
        if !layers::is_library(&package.folder) {
            continue;
        }
        let name = &package.name;
        let listing = list(project, name, &rustdoc)?;
        let committed = Path::new(LISTINGS).join(format!("{name}.txt"));
        if write {
            sh.write_file(&committed, &listing)?;
        } else if sh.read_file(&committed).ok().as_ref() != Some(&listing) {
            let fresh = folder.join(format!("{name}.txt"));
            sh.write_file(&fresh, &listing)?;
            // Its status only says that there is a difference.
            cmd!(sh, "git --no-pager diff --no-index {committed} {fresh}").ignore_status().run()?;
            changed.push(name.as_str());
        }
    }
    if changed.is_empty() {
        return Ok(Outcome::Done);
    }
    let changed = changed.join(", ");
    Err(format!("the public API of {changed} changed; `cargo xtask api --write` records it").into())
}

/// The public items of `package`, a line each.
fn list(project: &Project, package: &str, rustdoc: &Path) -> Result<String> {
    let sh = &project.sh;
    let of = ["--quiet", "--locked", "--lib", "--all-features", "-p", package];
    cmd!(sh, "cargo rustdoc {of...} -- -Zunstable-options --output-format json")
        .env("RUSTDOC", rustdoc)
        .quiet()
        .run()?;
    let json = project.target_for("doc").join(format!("{}.json", package.replace('-', "_")));
    let listing =
        cmd!(sh, "cargo run --quiet --locked -p xtask-listing -- {json}").quiet().read()?;
    Ok(listing + "\n")
}

/// A rustdoc that takes its unstable options, as JSON is one; the compiler is left as it is, so nothing is built anew.
fn unlocked_rustdoc(project: &Project, folder: &Path) -> Result<PathBuf> {
    let sh = &project.sh;
    let script = folder.join("rustdoc");
    sh.write_file(&script, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    cmd!(sh, "chmod +x {script}").quiet().run()?;
    Ok(script)
}
