//! Runs the systems of a cell in turn, for some rounds, and prints what came of it.

use std::io;
use std::time::Duration;

use wharf_benches::child::Server;
use wharf_benches::load::{Bound, Outcome};
use wharf_benches::process::cpu_time;
use wharf_benches::spread::{Figure, Spread};

use crate::arguments::Arguments;
use crate::bystanders::rounds;
use crate::cells::{Cell, Work};
use crate::systems::System;
use crate::table::{self, row};

/// Before each measurement.
const WARM_UP: Bound = Bound::Time(Duration::from_millis(150));

/// Measures a cell and prints its table.
pub(crate) fn run(cell: &Cell, arguments: &Arguments) -> io::Result<()> {
    let measured = rounds(arguments.rounds, || {
        let outcomes = cell
            .systems
            .iter()
            .map(|system| measure(cell.work, *system, Bound::Time(arguments.time)));
        outcomes.collect::<io::Result<Vec<_>>>()
    })?;
    report(cell, &measured.kept, arguments);
    println!("\n{}", measured.remark);
    Ok(())
}

/// One system, once, on a server of its own.
fn measure(work: Work, system: System, bound: Bound) -> io::Result<Outcome> {
    let server = Server::start(system.binary, system.mode, &[])?;
    let pid = server.pid();
    work.run(server.address(), WARM_UP, bound, &|| cpu_time(pid))
        .map_err(|error| io::Error::new(error.kind(), format!("{}, {work}: {error}", system.name)))
}

fn report(cell: &Cell, rounds: &[Vec<Outcome>], arguments: &Arguments) {
    let work = cell.work;
    let unit = work.unit();
    let mut titles = row![
        "system",
        format!("CPU us/{unit}"),
        "ratio",
        match work {
            Work::Sink | Work::Source => "MiB/s".to_owned(),
            _ => format!("{unit}s/s"),
        }
    ];
    if work.mib().is_some() {
        titles.push("MiB/s".into());
    }
    if work.is_timed() {
        titles.extend(["p50 us", "p99 us", "p99.9 us"].map(str::to_owned));
    }
    let mut rows = vec![titles];
    for (at, system) in cell.systems.iter().enumerate() {
        let of = |value: &dyn Fn(&Outcome) -> f64| {
            Spread::of(rounds.iter().map(|round| value(&round[at])))
        };
        let full = |value: &dyn Fn(&Outcome) -> f64| {
            of(value).map_or_else(String::new, |spread| spread.full())
        };
        let middle = |value: &dyn Fn(&Outcome) -> f64| {
            of(value).map_or_else(String::new, |spread| Figure(spread.median).to_string())
        };
        // The ratio is formed inside a round: what disturbs the machine disturbs both.
        let ratio =
            Spread::of(rounds.iter().map(|round| round[at].cpu_each() / round[0].cpu_each()));
        let mut cells = row![
            system.name,
            full(&Outcome::cpu_each),
            ratio.map_or_else(String::new, |spread| spread.full()),
            middle(&Outcome::rate),
        ];
        if let Some(mib) = work.mib() {
            cells.push(middle(&|outcome| outcome.rate() * mib));
        }
        if work.is_timed() {
            cells.extend(
                [0.5, 0.99, 0.999].map(|quantile| middle(&|outcome| outcome.latency(quantile))),
            );
        }
        rows.push(cells);
    }
    table::print(
        &format!("{work} ({} rounds of {} s)", arguments.rounds, arguments.time.as_secs_f64()),
        &rows,
    );
}
