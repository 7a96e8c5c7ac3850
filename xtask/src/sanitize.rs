//! Run the tests of the loop and of TCP under AddressSanitizer and ThreadSanitizer.
//!
//! It needs a nightly tool chain and is skipped without one.
//! `cargo xtask sanitize address` or `thread` runs one of the two.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

/// What looks like a race because the standard library is not instrumented: the last owner of an `Arc` synchronises by a
/// fence, which the sanitizer does not see, and the test harness sends its results through std's channels.
const NO_RACES: &str = "race:alloc::sync::Arc*Drop>::drop\nrace:test::run_test\nrace:test::event\n";

const SANITIZERS: [(&str, &str); 2] = [
    ("address", "-Zsanitizer=address"),
    // The standard library is not rebuilt, and rustc wants to hear that we know.
    ("thread", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"),
];

pub(crate) fn run(project: &Project, mut args: Parser) -> Result<Outcome> {
    let only = cli::word(&mut args)?;
    cli::nothing_more(args)?;
    if let Some(name) = &only {
        if !SANITIZERS.iter().any(|(known, _)| name == known) {
            return Err(lexopt::Error::from(format!("no sanitizer `{name}`")).into());
        }
    }
    if !project.has_nightly() {
        return Outcome::skipped("no nightly tool chain");
    }
    for (name, flags) in SANITIZERS {
        if only.as_deref().is_none_or(|only| only == name) {
            step(&format!("{name} sanitizer"), || under(project, name, flags))?;
        }
    }
    Ok(Outcome::Done)
}

fn under(project: &Project, name: &str, flags: &str) -> Result {
    let target = project.target_for(&format!("sanitize-{name}"));
    let host = host(project)?;
    let folder = project.sh.create_temp_dir()?;
    let no_races = folder.path().join("no-races");
    project.sh.write_file(&no_races, NO_RACES)?;
    // Naming the target keeps the flags away from build scripts and procedural macros.
    let test = cmd!(
        project.sh,
        "cargo +nightly test --locked --tests -p wharf-reactor -p wharf-tcp
            --target {host} --target-dir {target}"
    );
    let options = format!("suppressions={}", no_races.display());
    Ok(test.env("RUSTFLAGS", flags).env("TSAN_OPTIONS", options).run()?)
}

/// The triple of this machine, as rustc says it.
fn host(project: &Project) -> Result<String> {
    let version = cmd!(project.sh, "rustc +nightly -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say its host")?.to_owned())
}
