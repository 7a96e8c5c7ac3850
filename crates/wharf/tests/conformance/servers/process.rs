//! Tests that need a process of their own: for limits, descriptors and dispositions, which a process has once.

use std::process::{Command, Stdio};

/// Set in the process that runs one test alone, to that test's name.
const ALONE: &str = "WHARF_TEST_ALONE";

/// Runs `body` in a process in which no other test runs. `module` is the caller's `module_path!()`.
#[track_caller]
pub(crate) fn alone(module: &str, test: &str, body: impl FnOnce()) {
    if is_alone(test) {
        return body();
    }
    run(command(module, test));
}

/// Whether this process is there for `test` only.
pub(crate) fn is_alone(test: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|name| name == test)
}

/// This program, to run one test.
pub(crate) fn command(module: &str, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(module, test)).env(ALONE, test).stdin(Stdio::null());
    command
}

/// What makes this program run one test, so that it is in the process's only thread and talks to the terminal.
pub(crate) fn arguments(module: &str, test: &str) -> [String; 4] {
    let (_, module) = module.split_once("::").unwrap();
    let [exact, shown, threads] = ["--exact", "--nocapture", "--test-threads=1"].map(str::to_owned);
    [format!("{module}::{test}"), exact, shown, threads]
}

/// Runs a command that ran one test, and passes its failure on.
#[track_caller]
pub(crate) fn run(mut command: Command) {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{}\n{told}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The open descriptors of this process, with what they are.
pub(crate) fn descriptors() -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let number = entry.file_name().to_string_lossy().parse().unwrap();
        if let Ok(target) = entry.path().read_link() {
            let target = target.to_string_lossy().into_owned();
            // The one that lists them is gone when the list is there.
            if !target.starts_with("/proc/") || !target.ends_with("/fd") {
                found.push((number, target));
            }
        }
    }
    found
}

/// How many descriptors are open.
pub(crate) fn open() -> usize {
    descriptors().len()
}
