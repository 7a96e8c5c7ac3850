//! Run a bench: `bench NAME` side by side with the peers, `bench parts`, `bench list`.
//!
//! `NAME` is a side-by-side run of benches/: every system is built alike (profile `peer`), and the runs are
//! interleaved, so that ratios mean something on a noisy machine.
//! `parts` are criterion's benches of the parts, without the kernel; `list` prints the names.
//! Further arguments are passed on.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};

/// What benches/src/bin/compare knows.
const SIDE_BY_SIDE: [&str; 7] = ["echo", "chatty", "churn", "idle", "bulk", "wakeup", "timers"];

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let name = cli::word(&mut args)?;
    let args = cli::passed_on(&mut args)?;
    let sh = &project.sh;
    match name.as_deref() {
        Some("list") => println!("{}\nparts", SIDE_BY_SIDE.join("\n")),
        Some("parts") => cmd!(sh, "cargo bench --locked -p wharf-benches -- {args...}").run()?,
        Some(name) if SIDE_BY_SIDE.contains(&name) => {
            cmd!(sh, "cargo build --locked --profile peer -p wharf-benches --bins").run()?;
            let compare = project.metadata.target_directory.join("peer/compare");
            cmd!(sh, "{compare} {name} {args...}").run()?;
        }
        _ => return Err(lexopt::Error::from("which bench? `bench list` names them").into()),
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_compare_knows() {
        let compare = include_str!("../../benches/src/bin/compare/arguments.rs");
        let known = compare.lines().filter_map(|line| line.trim().strip_prefix("Some(\""));
        let known: Vec<_> = known.filter_map(|line| line.split_once("\") => Bench::")).collect();
        assert_eq!(known.iter().map(|(name, _)| *name).collect::<Vec<_>>(), SIDE_BY_SIDE);
    }
}
