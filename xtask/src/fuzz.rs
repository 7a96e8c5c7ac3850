//! Fuzz each target of fuzz/ for some seconds (60 unless told).
//!
//! It needs a nightly tool chain and cargo-fuzz, and is skipped without them.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};

/// What stands in `fuzz/fuzz_targets`.
const TARGETS: [&str; 4] = ["stream_state", "control_messages", "codec", "tls_records"];

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let seconds = cli::word(&mut args)?.unwrap_or_else(|| "60".to_owned());
    let seconds: u32 = seconds.parse().map_err(|_| lexopt::Error::from("how many seconds?"))?;
    cli::nothing_more(args)?;
    fuzz_for(project, seconds)
}

pub(crate) fn fuzz_for(project: &Project, seconds: u32) -> Result<Outcome> {
    let sh = &project.sh;
    if !project.has_nightly() {
        return Outcome::skipped("no nightly tool chain");
    }
    if cmd!(sh, "cargo +nightly fuzz --version").quiet().ignore_stderr().read().is_err() {
        return Outcome::skipped("no cargo-fuzz");
    }
    let seconds = seconds.to_string();
    for target in TARGETS {
        // `--release` leaves it to the manifest whose assertions are checked.
        let run = ["run", "--release", target];
        cmd!(sh, "cargo +nightly fuzz {run...} -- -max_total_time={seconds} -verbosity=0").run()?;
    }
    Ok(Outcome::Done)
}
