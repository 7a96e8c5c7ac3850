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

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let name = cli::word(&mut args)?;
    let name = name.ok_or_else(|| lexopt::Error::from("which bench? `bench list` names them"))?;
    let args = cli::passed_on(&mut args)?;
    let sh = &project.sh;
    if name == "parts" {
        cmd!(sh, "cargo bench --locked -p wharf-benches -- {args...}").run()?;
    } else {
        let has_openssl =
            cmd!(sh, "pkg-config --exists openssl").quiet().ignore_stderr().run().is_ok();
        let features = if has_openssl { &["--features", "openssl"][..] } else { &[] };
        let benches = ["--locked", "--profile", "peer", "-p", "wharf-benches", "--bins"];
        cmd!(sh, "cargo build {benches...} {features...}").run()?;
        if name == "apps" {
            let examples = ["--bin", "redis", "--bin", "http"];
            cmd!(sh, "cargo build --locked --profile peer -p wharf-examples {examples...}")
                .run()?;
        }
        let compare = project.metadata.target_directory.join("peer/compare");
        cmd!(sh, "{compare} {name} {args...}").run()?;
    }
    Ok(Outcome::Done)
}
