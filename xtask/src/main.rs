//! The project's own commands, run as `cargo xtask NAME`.
//!
//! One command is one file, and the header of that file is what `cargo xtask help` prints of it.

#![forbid(unsafe_code)]
// A command-line program talks to its terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod bench;
mod ci;
mod cli;
mod conform;
mod demo;
mod examples;
mod fuzz;
mod lint;
mod loom;
mod metadata;
mod msrv;
mod project;
mod sanitize;
mod step;
mod test;
mod tidy;

use std::process::ExitCode;

use cli::{Command, Request};
use project::Project;
use step::Outcome;

/// Whatever ends a command early; it is printed and nothing else is done with it.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Error>;

/// In the order in which `help` lists them.
const COMMANDS: &[Command] = &[
    Command::new("demo", include_str!("demo.rs"), demo::run),
    Command::new("test", include_str!("test.rs"), test::run),
    Command::new("lint", include_str!("lint.rs"), lint::run),
    Command::new("tidy", include_str!("tidy.rs"), tidy::run),
    Command::new("examples", include_str!("examples.rs"), examples::run),
    Command::new("conform", include_str!("conform.rs"), conform::run),
    Command::new("api", include_str!("api.rs"), api::run),
    Command::new("bench", include_str!("bench.rs"), bench::run),
    Command::new("loom", include_str!("loom.rs"), loom::run),
    Command::new("sanitize", include_str!("sanitize.rs"), sanitize::run),
    Command::new("fuzz", include_str!("fuzz.rs"), fuzz::run),
    Command::new("msrv", include_str!("msrv.rs"), msrv::run),
    Command::new("ci", include_str!("ci.rs"), ci::run),
];

fn main() -> ExitCode {
    match obey() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is::<lexopt::Error>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn obey() -> Result {
    match cli::parse(COMMANDS, std::env::args_os().skip(1))? {
        Request::Overview => println!("{}", cli::overview(COMMANDS)),
        Request::HelpOn(command) => println!("{}", command.help()),
        Request::Run(command, args) => match (command.run)(&Project::open()?, args)? {
            Outcome::Done => {}
            Outcome::Skipped(why) => println!("{} is skipped: {why}", command.name),
        },
    }
    Ok(())
}
