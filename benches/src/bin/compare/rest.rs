//! What connections cost that do nothing: idle ones, and a source whose reader has stopped.

use std::io;
use std::time::Duration;

use wharf_benches::child::Server;
use wharf_benches::load::{self, Closing, Idle, Rest, SlowReader};
use wharf_benches::spread::{Figure, Spread};

use crate::arguments::Arguments;
use crate::systems;
use crate::table::{self, row};

/// Idle connections, unless the user says how many.
const CONNECTIONS: usize = 8000;

/// Over TLS each takes both sides a handshake.
const TLS_CONNECTIONS: usize = 2000;

/// Idle connections: bytes each, wake-ups at rest, and what remains after they have gone.
pub(crate) fn idle(arguments: &Arguments) -> io::Result<()> {
    let connections = arguments.connections.first().copied().unwrap_or(CONNECTIONS);
    let name = format!("idle, {connections} connections");
    at_rest(&name, systems::IDLE, arguments, &|server, closing| {
        let load = Idle { connections, rest: arguments.time, closing };
        load.run(server.address(), server.pid())
    })
}

/// The same over TLS.
pub(crate) fn tls_idle(arguments: &Arguments) -> io::Result<()> {
    let connections = arguments.connections.first().copied().unwrap_or(TLS_CONNECTIONS);
    let name = format!("TLS idle, {connections} connections");
    at_rest(&name, systems::TLS_CHURN, arguments, &|server, closing| {
        let load = Idle { connections, rest: arguments.time, closing };
        load::tls_idle(load, server.address(), server.pid())
    })
}

fn at_rest(
    name: &str,
    systems: &[systems::System],
    arguments: &Arguments,
    measure: &dyn Fn(&Server, Closing) -> io::Result<Rest>,
) -> io::Result<()> {
    let systems = systems::present(systems, arguments);
    let mut results: Vec<Vec<(Closing, Rest)>> = vec![Vec::new(); systems.len()];
    for _ in 0..arguments.rounds {
        for (system, results) in systems.iter().zip(&mut results) {
            for closing in Closing::ALL {
                let server = Server::start(system.binary, system.mode, &[])?;
                results.push((closing, measure(&server, closing)?));
            }
        }
    }
    let mut rows = vec![row![
        "system",
        "bytes per connection",
        "wake-ups at rest",
        "before, KiB",
        "with them, KiB",
        "after, KiB",
        "closed in reverse",
        "in no order"
    ]];
    for (system, results) in systems.iter().zip(&results) {
        let spread = |values: &mut dyn Iterator<Item = f64>| {
            Spread::of(values).map_or_else(String::new, |spread| spread.full())
        };
        let of = |value: fn(&Rest) -> f64| spread(&mut results.iter().map(|(_, rest)| value(rest)));
        let after = |closing: Closing| {
            let rests = results.iter().filter(|(order, _)| *order == closing);
            spread(&mut rests.map(|(_, rest)| rest.after as f64 / 1024.0))
        };
        rows.push(row![
            system.name,
            of(|rest| rest.each),
            results.iter().map(|(_, rest)| rest.wake_ups).max().unwrap_or(0),
            of(|rest| rest.before as f64 / 1024.0),
            of(|rest| rest.full as f64 / 1024.0),
            after(Closing::Opening),
            after(Closing::Reverse),
            after(Closing::Shuffled),
        ]);
    }
    let seconds = arguments.time.as_secs_f64();
    table::print(&format!("{name}, {seconds} s at rest ({} rounds)", arguments.rounds), &rows);
    Ok(())
}

/// How much a source grows while its reader does not read.
pub(crate) fn slow_reader(arguments: &Arguments) -> io::Result<()> {
    let load = SlowReader { pause: Duration::from_secs(1) };
    let mut rows = vec![row!["system", "growth, KiB"]];
    for system in systems::present(systems::SOURCE, arguments) {
        let server = Server::start(system.binary, system.mode, &[])?;
        let growth = load.run(server.address(), server.pid())?;
        rows.push(row![system.name, Figure(growth as f64 / 1024.0)]);
    }
    table::print("a source whose reader stops for 1 s", &rows);
    Ok(())
}
