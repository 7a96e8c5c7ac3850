//! Runs the same work on raw epoll, tokio and wharf in turn and prints the ratios.

// A table on standard output is what this program is for.
#![allow(clippy::print_stdout)]

mod arguments;
mod bystanders;
mod cells;
mod counts;
mod machine;
mod rest;
mod rounds;
mod systems;
mod table;
mod within;

use std::io;
use std::process::ExitCode;

use arguments::{Arguments, Bench};
use wharf_benches::affinity;
use wharf_benches::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    match Arguments::read().map(run) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error.to_string()),
        Err(usage) => fail(&usage),
    }
}

// The one place that speaks on standard error.
#[allow(clippy::print_stderr)]
fn fail(what: &str) -> ExitCode {
    eprintln!("compare: {what}");
    ExitCode::FAILURE
}

fn run(arguments: Arguments) -> io::Result<()> {
    if arguments.bench == Bench::List {
        println!("{}", arguments::USAGE);
        return Ok(());
    }
    if arguments.bench == Bench::Subprocess {
        // Children run where there is room, as they do for users.
        println!("{}", machine::header());
        return within::subprocess(&arguments);
    }
    affinity::pin(affinity::GENERATOR_CPU).map_err(|error| {
        io::Error::new(error.kind(), format!("two CPUs are needed, one for each side: {error}"))
    })?;
    println!("{}", machine::header());
    let counted = arguments.syscalls || arguments.instructions;
    match arguments.bench {
        Bench::Idle => rest::idle(&arguments),
        Bench::TlsIdle => rest::tls_idle(&arguments),
        Bench::Wakeup => within::wakeup(&arguments),
        Bench::Timers => within::timers(&arguments),
        _ => {
            for cell in cells::of(&arguments) {
                if arguments.bench == Bench::Apps && counted {
                    return Err(io::Error::other("others' generators are measured in time only"));
                }
                if arguments.syscalls || arguments.instructions {
                    counts::run(&cell, &arguments)?;
                } else {
                    rounds::run(&cell, &arguments)?;
                }
            }
            if arguments.bench == Bench::Bulk && !arguments.syscalls && !arguments.instructions {
                rest::slow_reader(&arguments)?;
            }
            if arguments.bench == Bench::Tls && !arguments.syscalls && !arguments.instructions {
                rest::tls_idle(&arguments)?;
            }
            Ok(())
        }
    }
}
