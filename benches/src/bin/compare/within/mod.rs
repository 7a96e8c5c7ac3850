//! The comparisons that need no server: cross-thread messages, timers, deferred calls, children.

mod children;
mod deferred;
mod timers;
mod wakeup;

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wharf_benches::allocations;
use wharf_benches::spread::{Figure, Spread};

use crate::arguments::Arguments;
use crate::bystanders::rounds;
use crate::table::{self, row};
use children::Measure;

/// One way of doing the work.
struct Contender {
    name: &'static str,
    /// Does it and gives how long it took, preparation left out.
    run: Box<dyn Fn() -> io::Result<Duration>>,
}

fn contender(name: &'static str, run: impl Fn() -> io::Result<Duration> + 'static) -> Contender {
    Contender { name, run: Box::new(run) }
}

/// What one operation cost.
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

impl Contender {
    fn cost(&self, operations: u64) -> io::Result<Cost> {
        let allocated = allocations::so_far().count;
        let took = (self.run)()?;
        let allocated = allocations::so_far().count - allocated;
        Ok(Cost {
            nanoseconds: took.as_nanos() as f64 / operations as f64,
            allocations: allocated as f64 / operations as f64,
        })
    }
}

/// Cross-thread posts, and one message that goes to and fro.
pub(crate) fn wakeup(arguments: &Arguments) -> io::Result<()> {
    compare(
        "cross-thread messages, sent without a pause",
        wakeup::MESSAGES,
        wakeup::posts(),
        arguments,
    )?;
    compare(
        "cross-thread round trips, a CPU each",
        wakeup::TRIPS,
        wakeup::round_trips(1),
        arguments,
    )?;
    compare("cross-thread round trips on one CPU", wakeup::TRIPS, wakeup::round_trips(0), arguments)
}

/// Timers that are cancelled and armed again, and calls that are put off to the next turn.
pub(crate) fn timers(arguments: &Arguments) -> io::Result<()> {
    for outstanding in [1000, 100_000] {
        let heading = format!("timers, cancel and arm one of {outstanding}");
        compare(&heading, timers::OPERATIONS, timers::contenders(outstanding), arguments)?;
    }
    let heading = format!("deferred calls, {} a turn", deferred::BATCH);
    compare(&heading, deferred::CALLS, deferred::contenders(), arguments)
}

/// Children that are started and waited for, and data through one.
pub(crate) fn subprocess(arguments: &Arguments) -> io::Result<()> {
    for megabytes in [0, 500] {
        // Every page of it is touched, so that a start which copies page tables would show.
        let resident = vec![1_u8; megabytes * 1024 * 1024];
        for (measure, what) in [(Measure::Own, "own CPU"), (Measure::Wall, "by the clock")] {
            let heading = format!("start and wait, {megabytes} MB resident, {what}");
            compare(&heading, children::CHILDREN, children::starts(measure), arguments)?;
        }
        std::hint::black_box(resident);
    }
    for (measure, what) in [(Measure::Own, "own CPU"), (Measure::Wall, "by the clock")] {
        let heading = format!("MiB through cat, {what}");
        compare(&heading, children::MIB, children::through(measure), arguments)?;
    }
    Ok(())
}

/// Runs the contenders in turn and prints nanoseconds per operation, the ratio inside each round, and allocations.
fn compare(
    heading: &str,
    operations: u64,
    contenders: Vec<Contender>,
    arguments: &Arguments,
) -> io::Result<()> {
    let wanted = |(at, contender): &(usize, Contender)| *at == 0 || arguments.wants(contender.name);
    let contenders: Vec<Contender> =
        contenders.into_iter().enumerate().filter(wanted).map(|(_, contender)| contender).collect();
    let measured = rounds(arguments.rounds, || {
        let costs = contenders.iter().map(|contender| contender.cost(operations));
        costs.collect::<io::Result<Vec<_>>>()
    })?;
    let rounds = measured.kept;
    let mut rows = vec![row!["system", "ns each", "ratio", "allocations each"]];
    for (at, contender) in contenders.iter().enumerate() {
        let time = Spread::of(rounds.iter().map(|round| round[at].nanoseconds));
        let ratio =
            Spread::of(rounds.iter().map(|round| round[at].nanoseconds / round[0].nanoseconds));
        let allocations = Spread::of(rounds.iter().map(|round| round[at].allocations));
        rows.push(row![
            contender.name,
            time.map_or_else(String::new, |time| time.full()),
            ratio.map_or_else(String::new, |ratio| ratio.full()),
            allocations
                .map_or_else(String::new, |allocations| Figure(allocations.median).to_string()),
        ]);
    }
    table::print(&format!("{heading} ({} rounds of {operations})", arguments.rounds), &rows);
    println!("\n{}", measured.remark);
    Ok(())
}

/// How long `work` takes by the clock on the wall: for what waits for another thread.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let made = work();
    (start.elapsed(), made)
}

/// How much CPU time of this thread `work` takes: a busy machine makes it no longer.
fn worked<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = cpu_time();
    let made = work();
    (cpu_time().saturating_sub(start), made)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A contender that did something else than it was asked to.
fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
