//! What a table must say about where it comes from: machine, kernel, commit, command.

use std::env;
use std::fs;
use std::process::Command;

/// One line.
pub(crate) fn header() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let cpu = names
        .next()
        .map_or("unknown CPU", |name| name.trim_start_matches(['\t', ':', ' ']))
        .to_owned();
    let count = names.count() + 1;
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown\n".into());
    let command = env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("{count} x {cpu}, Linux {}, commit {}, `compare {command}`", kernel.trim(), commit())
}

/// The commit, marked when the work tree differs from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short", "HEAD"]) else { return "none".into() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => hash,
        _ => format!("{hash} with changes"),
    }
}
