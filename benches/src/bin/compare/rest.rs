//! What connections cost that do nothing: idle ones, and a source whose reader has stopped.

use std::io;
use std::time::Duration;

use wharf_benches::child::Server;
use wharf_benches::load::{self, Idle, Rest, SlowReader};
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
    let load = Idle { connections, rest: arguments.time };
    let name = format!("idle, {connections} connections");
    at_rest(&name, systems::IDLE, arguments, &|server| load.run(server.address(), server.pid()))
}

/// The same over TLS.
pub(crate) fn tls_idle(arguments: &Arguments) -> io::Result<()> {
    let connections = arguments.connections.first().copied().unwrap_or(TLS_CONNECTIONS);
    let name = format!("TLS idle, {connections} connections");
    at_rest(&name, systems::TLS_CHURN, arguments, &|server| {
        load::tls_idle(connections, arguments.time, server.address(), server.pid())
    })
}

fn at_rest(
    name: &str,
    systems: &[systems::System],
    arguments: &Arguments,
    measure: &dyn Fn(&Server) -> io::Result<Rest>,
) -> io::Result<()> {
    let systems = systems::present(systems, arguments);
    let mut results: Vec<Vec<Rest>> = vec![Vec::new(); systems.len()];
    for _ in 0..arguments.rounds {
        for (system, results) in systems.iter().zip(&mut results) {
            let server = Server::start(system.binary, system.mode, &[])?;
            results.push(measure(&server)?);
        }
    }
    let mut rows = vec![row![
        "system",
        "bytes per connection",
        "wake-ups at rest",
        "before, KiB",
        "with them, KiB",
        "after, KiB"
    ]];
    for (system, results) in systems.iter().zip(&results) {
        let of = |value: fn(&Rest) -> f64| {
            Spread::of(results.iter().map(value)).map_or_else(String::new, |spread| spread.full())
        };
        rows.push(row![
            system.name,
            of(|rest| rest.each),
            results.iter().map(|rest| rest.wake_ups).max().unwrap_or(0),
            of(|rest| rest.before as f64 / 1024.0),
            of(|rest| rest.full as f64 / 1024.0),
            of(|rest| rest.after as f64 / 1024.0),
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
