//! Run the project's main job: the demo of crates/echo-examples, optimised.
//!
//! Arguments are passed on to the demo: `cargo xtask demo -- --help` asks the demo itself.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let args = cli::passed_on(&mut args)?;
    cmd!(project.sh, "cargo run --release --locked -p wharf-echo-examples --bin demo -- {args...}")
        .run()?;
    Ok(Outcome::Done)
}
