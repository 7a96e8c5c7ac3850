//! The cells of a bench: one kind of load at one setting, with the systems that take it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use wharf_benches::load::{
    Bound, Churn, Datagrams, Echo, Handshakes, Outcome, PIPELINED, Probe, RedisBenchmark, Sink,
    Source, TlsBulk, TlsEcho, Wrk,
};
use wharf_benches::mode::Service;
use wharf_benches::request::REQUEST;

use crate::arguments::{Arguments, Bench};
use crate::systems::{self, System};

/// One table.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) work: Work,
    pub(crate) systems: Vec<System>,
}

/// A kind of load at one setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Echo(Echo),
    Chatty(Echo),
    Churn(Churn),
    Sink,
    Source,
    TlsEcho(TlsEcho),
    Handshakes(Handshakes),
    TlsBulk(TlsBulk),
    Datagrams(Datagrams),
    Resp(RedisBenchmark),
    Http(Wrk),
}

impl Work {
    pub(crate) fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        match self {
            Self::Echo(load) | Self::Chatty(load) => load.run(server, warm_up, bound, probe),
            Self::Churn(load) => load.run(server, warm_up, bound, probe),
            Self::Sink => Sink.run(server, warm_up, bound, probe),
            Self::Source => Source.run(server, warm_up, bound, probe),
            Self::TlsEcho(load) => load.run(server, warm_up, bound, probe),
            Self::Handshakes(load) => load.run(server, warm_up, bound, probe),
            Self::TlsBulk(load) => load.run(server, warm_up, bound, probe),
            Self::Datagrams(load) => load.run(server, warm_up, bound, probe),
            Self::Resp(load) => load.run(server, warm_up, bound, probe),
            Self::Http(load) => load.run(server, warm_up, bound, probe),
        }
    }

    /// What one operation is called.
    pub(crate) fn unit(&self) -> &'static str {
        match self {
            Self::Echo(_) | Self::TlsEcho(_) => "message",
            Self::Chatty(_) | Self::Resp(_) | Self::Http(_) => "request",
            Self::Churn(_) | Self::Handshakes(_) => "connection",
            Self::Sink | Self::Source | Self::TlsBulk(_) => "MiB",
            Self::Datagrams(_) => "datagram",
        }
    }

    /// MiB that one message has; nothing where that says nothing new.
    pub(crate) fn mib(&self) -> Option<f64> {
        match self {
            Self::Echo(load) | Self::Chatty(load) => Some(load.size as f64 / (1024.0 * 1024.0)),
            Self::TlsEcho(load) => Some(load.size as f64 / (1024.0 * 1024.0)),
            Self::Datagrams(load) => Some(load.size as f64 / (1024.0 * 1024.0)),
            _ => None,
        }
    }

    /// Whether latencies were recorded.
    pub(crate) fn is_timed(&self) -> bool {
        !matches!(
            self,
            Self::Sink
                | Self::Source
                | Self::TlsBulk(_)
                | Self::Datagrams(_)
                | Self::Resp(_)
                | Self::Http(_)
        )
    }

    /// Two fixed amounts of work for counting, the smaller the beginning of the greater.
    pub(crate) fn amounts(&self) -> [u64; 2] {
        match self {
            Self::Echo(Echo { size, .. }) | Self::TlsEcho(TlsEcho { size, .. }) if *size > 4096 => {
                [200, 1200]
            }
            Self::Echo(_) | Self::Chatty(_) | Self::TlsEcho(_) => [2000, 12_000],
            // wrk has no amounts; its cells are not counted.
            Self::Resp(_) | Self::Http(_) => [2000, 12_000],
            Self::Churn(_) => [500, 2500],
            Self::Handshakes(_) => [50, 250],
            Self::Sink | Self::Source | Self::TlsBulk(_) => [64, 256],
            // Powers of two, as trains and answers are.
            Self::Datagrams(_) => [8192, 65_536],
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, load) = match self {
            Self::Echo(load) => ("echo", load),
            Self::Chatty(load) => ("chatty", load),
            Self::Churn(load) => return write!(f, "churn, {} at a time", load.connections),
            Self::Sink => return write!(f, "bulk into a sink"),
            Self::Source => return write!(f, "bulk out of a source, 1 KiB a write"),
            Self::TlsEcho(TlsEcho { connections, size }) => {
                return write!(f, "TLS echo, {connections} x {size} B");
            }
            Self::Handshakes(Handshakes { connections, resumed }) => {
                let kind = if *resumed { "resumed" } else { "full" };
                return write!(f, "TLS handshakes, {kind}, {connections} at a time");
            }
            Self::TlsBulk(TlsBulk::Sink) => return write!(f, "TLS bulk into a sink"),
            Self::TlsBulk(TlsBulk::Source) => {
                return write!(f, "TLS bulk out of a source, 1 KiB a write");
            }
            Self::Datagrams(load) => return describe(load, f),
            Self::Resp(RedisBenchmark { depth }) => return write!(f, "redis-benchmark -P {depth}"),
            Self::Http(Wrk { connections, pipelined }) => {
                let depth = if *pipelined { PIPELINED } else { 1 };
                return write!(f, "wrk, {connections} connections, depth {depth}");
            }
        };
        write!(f, "{name}, {} x {} B, depth {}", load.connections, load.size, load.depth)
    }
}

fn describe(load: &Datagrams, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let service = match load.service {
        Service::Echo => "echo",
        Service::Sink => "one way",
    };
    let peers = if load.peers == 1 { "one peer".into() } else { format!("{} peers", load.peers) };
    write!(f, "UDP {service}, {} B, {peers}, ", load.size)?;
    match load.train {
        1 => write!(f, "single"),
        train => write!(f, "trains of {train}"),
    }
}

/// The cells that the arguments ask for.
pub(crate) fn of(arguments: &Arguments) -> Vec<Cell> {
    let counted = arguments.syscalls || arguments.instructions;
    let with =
        |work, systems: &[System]| Cell { work, systems: systems::present(systems, arguments) };
    match arguments.bench {
        Bench::Echo => {
            let settings: &[(usize, usize, usize)] = if counted {
                &[(16, 64, 1), (1, 64, 1)]
            } else {
                &[(64, 64, 1), (1, 64, 1), (64, 64, 16), (64, 16_384, 1), (8, 262_144, 1)]
            };
            echoes(arguments, settings)
                .map(|load| {
                    // Counts of a loop that polls depend on how long it waits.
                    let alone = load.connections == 1 && !counted;
                    let systems = if alone { systems::ECHO_ALONE } else { systems::ECHO };
                    with(Work::Echo(load), systems)
                })
                .collect()
        }
        Bench::Chatty => {
            let settings: &[(usize, usize, usize)] =
                if counted { &[(16, REQUEST, 1)] } else { &[(64, REQUEST, 1), (64, REQUEST, 16)] };
            echoes(arguments, settings)
                .map(|load| with(Work::Chatty(Echo { size: REQUEST, ..load }), systems::CHATTY))
                .collect()
        }
        Bench::Churn => {
            let at_a_time = if counted { 8 } else { 32 };
            or(&arguments.connections, at_a_time)
                .into_iter()
                .map(|connections| with(Work::Churn(Churn { connections }), systems::CHURN))
                .collect()
        }
        Bench::Udp => datagrams(arguments),
        Bench::Bulk => vec![with(Work::Sink, systems::SINK), with(Work::Source, systems::SOURCE)],
        Bench::Tls => tls(counted).map(|(work, systems)| with(work, systems)).collect(),
        Bench::Apps => apps(arguments),
        Bench::Idle
        | Bench::TlsIdle
        | Bench::Wakeup
        | Bench::Timers
        | Bench::Subprocess
        | Bench::List => Vec::new(),
    }
}

/// Everything over TLS but idle connections.
fn tls(counted: bool) -> impl Iterator<Item = (Work, &'static [System])> {
    let connections = if counted { 16 } else { 64 };
    let at_a_time = if counted { 8 } else { 32 };
    let echo = move |size| Work::TlsEcho(TlsEcho { connections, size });
    let handshakes =
        move |resumed| Work::Handshakes(Handshakes { connections: at_a_time, resumed });
    [
        (handshakes(false), systems::TLS_CHURN),
        (handshakes(true), systems::TLS_CHURN),
        (echo(64), systems::TLS_ECHO),
        (echo(16_384), systems::TLS_ECHO),
        (Work::TlsBulk(TlsBulk::Sink), systems::TLS_SINK),
        (Work::TlsBulk(TlsBulk::Source), systems::TLS_SOURCE),
    ]
    .into_iter()
}

/// The generators that are there, plain and pipelined.
fn apps(arguments: &Arguments) -> Vec<Cell> {
    let mut cells = Vec::new();
    for depth in or_all(&arguments.depths, &[1, PIPELINED]) {
        let systems = systems::present(systems::RESP, arguments);
        cells.push(Cell { work: Work::Resp(RedisBenchmark { depth }), systems });
    }
    for depth in or_all(&arguments.depths, &[1, PIPELINED]) {
        let load = Wrk { connections: 64, pipelined: depth > 1 };
        let systems = systems::present(systems::HTTP, arguments);
        cells.push(Cell { work: Work::Http(load), systems });
    }
    cells.retain(|cell| match cell.work {
        Work::Resp(_) => systems::is_installed("redis-benchmark"),
        _ => systems::is_installed("wrk"),
    });
    cells
}

/// The settings (connections, size, depth), or every combination of those given on the command line.
fn echoes(arguments: &Arguments, settings: &[(usize, usize, usize)]) -> impl Iterator<Item = Echo> {
    let mut chosen = settings.to_vec();
    if !(arguments.connections.is_empty()
        && arguments.sizes.is_empty()
        && arguments.depths.is_empty())
    {
        let (connections, size, depth) = settings[0];
        chosen.clear();
        for &size in &or(&arguments.sizes, size) {
            for &connections in &or(&arguments.connections, connections) {
                chosen.extend(
                    or(&arguments.depths, depth)
                        .into_iter()
                        .map(|depth| (connections, size, depth)),
                );
            }
        }
    }
    chosen.into_iter().map(|(connections, size, depth)| Echo { connections, size, depth })
}

/// Of datagrams: both services, both sizes, singly and in trains, from one peer and from a thousand.
fn datagrams(arguments: &Arguments) -> Vec<Cell> {
    let mut cells = Vec::new();
    for service in [Service::Echo, Service::Sink] {
        for size in or_all(&arguments.sizes, &[64, 1200]) {
            for peers in or_all(&arguments.connections, &[1, 1000]) {
                // The most that fits one message from one peer; a thousand have less to say each.
                let most = if peers == 1 { 64.min(60_000 / size) } else { 16 };
                for train in or_all(&arguments.depths, &[1, most]) {
                    let load = Datagrams { service, peers, size, train };
                    let systems = systems::datagrams(service, train > 1);
                    let systems = systems::present(&systems, arguments);
                    cells.push(Cell { work: Work::Datagrams(load), systems });
                }
            }
        }
    }
    cells
}

fn or_all(given: &[usize], otherwise: &[usize]) -> Vec<usize> {
    if given.is_empty() { otherwise.to_vec() } else { given.to_vec() }
}

fn or(given: &[usize], otherwise: usize) -> Vec<usize> {
    if given.is_empty() { vec![otherwise] } else { given.to_vec() }
}
