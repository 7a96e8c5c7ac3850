//! Run everything that gates, in sections that print their time; here as in CI.
//!
//! The first failure ends it.
//! With `CI_FULL=1` the sanitizers and a short fuzz run follow, where a nightly tool chain is present.
//! What the machine lacks is skipped, and the closing lines say so.

use lexopt::Parser;

use crate::cli::Run;
use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, api, cli, conform, examples, fuzz, lint, loom, sanitize, test};

/// A command, what runs it, and its arguments.
type Section = (&'static str, Run, &'static [&'static str]);

const ALWAYS: &[Section] = &[
    ("lint", lint::run, &[]),
    ("test", test::run, &[]),
    ("loom", loom::run, &[]),
    ("examples", examples::run, &[]),
    ("conform", conform::run, &[]),
    ("api", api::run, &[]),
];

const WHEN_FULL: &[Section] = &[("sanitize", sanitize::run, &[]), ("fuzz", fuzz::run, &["30"])];

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let full = std::env::var_os("CI_FULL").is_some_and(|value| value == "1");
    let sections = ALWAYS.iter().chain(if full { WHEN_FULL } else { &[] });
    let mut skipped = Vec::new();
    for (name, run, args) in sections {
        let ended = step(name, || run(project, Parser::from_args(*args)));
        match ended.map_err(|error| format!("ci ends at `{name}`: {error}"))? {
            Outcome::Done => {}
            Outcome::Skipped(why) => skipped.push(format!("{name} was skipped: {why}")),
        }
    }
    println!("\nci passed");
    for line in skipped {
        println!("notice: {line}");
    }
    Ok(Outcome::Done)
}
