//! Build every example, run it against a scripted peer, and compare what both sides see.
//!
//! The scripts are a table: examples/table.rs.
//! `cargo xtask examples NAME..` runs only these.

mod process;
mod script;
mod table;
mod wire;

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let mut only = Vec::new();
    while let Some(name) = cli::word(&mut args)? {
        if !table::EXAMPLES.iter().any(|example| example.program == name) {
            return Err(lexopt::Error::from(format!("no example `{name}`")).into());
        }
        only.push(name);
    }
    let sh = &project.sh;
    if let Some(name) = programs(project)?.iter().find(|name| !is_played(name)) {
        return Err(format!("`{name}` has no script in xtask/src/examples/table.rs").into());
    }
    let packages = ["-p", "wharf-echo-examples", "-p", "wharf-examples"];
    cmd!(sh, "cargo build --locked {packages...} --bins").run()?;
    let programs = project.metadata.target_directory.join("debug");
    for example in table::EXAMPLES {
        if only.is_empty() || only.iter().any(|name| name == example.program) {
            let folder = sh.create_temp_dir()?;
            step(example.program, || script::play(example, &programs, folder.path()))?;
        }
    }
    Ok(Outcome::Done)
}

/// The names of all example programs.
fn programs(project: &Project) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["crates/echo-examples/src/bin", "examples/src/bin"] {
        for path in project.sh.read_dir(folder)? {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}

/// Whether a script says what must be seen of it; the demo has a command of its own and checks itself.
fn is_played(name: &str) -> bool {
    name == "demo" || table::EXAMPLES.iter().any(|example| example.plays(name))
}
