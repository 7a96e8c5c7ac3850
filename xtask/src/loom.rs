//! Check the reactor's threads by model: every interleaving that loom can reach.
//!
//! The flag `--cfg loom` changes every build, so this one has a target directory of its own.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let target = project.target_for("loom");
    // Optimised: a model runs the same code some ten thousand times.
    let test = cmd!(
        project.sh,
        "cargo test --release --locked -p wharf-reactor --test loom --target-dir {target}"
    );
    test.env("RUSTFLAGS", "--cfg loom").run()?;
    Ok(Outcome::Done)
}
