//! Run the project's main job: the demo of crates/echo-examples, optimised.
//!
//! Arguments are passed on to the demo: `cargo xtask demo -- --help` asks the demo itself.

use std::process::{self, Command};

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let args = cli::passed_on(&mut args)?;
    let run = cmd!(project.sh, "cargo run --release --locked -p wharf-echo-examples --bin demo --");
    let status = Command::from(run.args(args)).status()?;
    match status.code() {
        Some(0) => Ok(Outcome::Done),
        // The demo has said what is wrong, and its status says of which kind.
        Some(code) => process::exit(code),
        None => Err(format!("the demo was ended: {status}").into()),
    }
}
