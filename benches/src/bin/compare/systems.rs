//! The rows of the tables: which binary, in which mode, under which name; the first is the limit.

use wharf_benches::child;
use wharf_benches::foreign::{self, Foreign};
use wharf_benches::mode::{Mode, Service, Way};

use crate::arguments::Arguments;

/// A row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) mode: Mode,
}

const fn epoll(name: &'static str, mode: Mode) -> System {
    System { name, binary: "server-epoll", mode }
}

const fn tokio(name: &'static str, mode: Mode) -> System {
    System { name, binary: "server-tokio", mode }
}

const fn wharf(mode: Mode) -> System {
    System { name: "wharf", binary: "server-wharf", mode }
}

pub(crate) const ECHO: &[System] =
    &[epoll("epoll", Mode::Echo), tokio("tokio", Mode::Echo), wharf(Mode::Echo)];

/// One connection alone, whose server has a CPU for itself.
pub(crate) const ECHO_ALONE: &[System] = &[
    epoll("epoll", Mode::Echo),
    tokio("tokio", Mode::Echo),
    wharf(Mode::Echo),
    System { name: "wharf, busy_poll", ..wharf(Mode::EchoBusy) },
];

pub(crate) const CHATTY: &[System] = &[
    epoll("epoll, one send", Mode::ChattyBuffered),
    epoll("epoll, eight sends", Mode::Chatty),
    tokio("tokio", Mode::Chatty),
    tokio("tokio, BufWriter + flush", Mode::ChattyBuffered),
    wharf(Mode::Chatty),
];

pub(crate) const CHURN: &[System] =
    &[epoll("epoll", Mode::Churn), tokio("tokio", Mode::Churn), wharf(Mode::Churn)];

pub(crate) const IDLE: &[System] = &[
    epoll("epoll", Mode::Idle),
    tokio("tokio", Mode::Idle),
    tokio("tokio, lean by hand", Mode::IdleLean),
    wharf(Mode::Idle),
];

pub(crate) const SINK: &[System] =
    &[epoll("epoll", Mode::Sink), tokio("tokio", Mode::Sink), wharf(Mode::Sink)];

pub(crate) const SOURCE: &[System] = &[
    epoll("epoll, writev of 64", Mode::SourceBuffered),
    epoll("epoll, send per chunk", Mode::Source),
    tokio("tokio", Mode::Source),
    tokio("tokio, BufWriter", Mode::SourceBuffered),
    wharf(Mode::Source),
];

const fn foreign(name: &'static str, binary: &'static str, mode: Mode) -> System {
    System { name, binary, mode }
}

pub(crate) const RESP: &[System] = &[
    epoll("epoll", Mode::Resp),
    tokio("tokio", Mode::Resp),
    foreign("redis-server", "redis-server", Mode::Resp),
    foreign("wharf, examples/redis", "redis", Mode::Resp),
];

pub(crate) const HTTP: &[System] = &[
    epoll("epoll", Mode::Http),
    tokio("tokio", Mode::Http),
    tokio("hyper on tokio", Mode::HttpHyper),
    foreign("nginx", "nginx", Mode::Http),
    foreign("wharf, examples/http", "http", Mode::Http),
];

/// The first one stands for what servers have today, the second for what rustls permits.
const fn over_tls(mode: Mode) -> [System; 4] {
    [
        System { name: "OpenSSL on epoll", binary: "server-openssl", mode },
        epoll("rustls on epoll", mode),
        tokio("tokio-rustls", mode),
        wharf(mode),
    ]
}

pub(crate) const TLS_ECHO: &[System] = &over_tls(Mode::TlsEcho);
pub(crate) const TLS_CHURN: &[System] = &over_tls(Mode::TlsChurn);
pub(crate) const TLS_SINK: &[System] = &over_tls(Mode::TlsSink);
pub(crate) const TLS_SOURCE: &[System] = &over_tls(Mode::TlsSource);

/// The systems that take datagrams; the limit is what fits the load.
pub(crate) fn datagrams(service: Service, trains: bool) -> Vec<System> {
    let by_hand =
        |name, way| System { name, binary: "server-udp", mode: Mode::Datagrams(service, way) };
    let mode = Mode::Datagrams(service, Way::Plain);
    let mut systems = vec![
        by_hand("recvmmsg + sendmmsg", Way::Batched),
        by_hand("GRO + GSO", Way::Trains),
        by_hand("recvfrom + sendto", Way::Plain),
        tokio("tokio", mode),
        wharf(mode),
    ];
    if trains {
        systems.swap(0, 1);
    }
    systems
}

/// Those of `systems` that were built and that the user wants; the limit is always among them.
pub(crate) fn present(systems: &[System], arguments: &Arguments) -> Vec<System> {
    let wanted = |(at, system): &(usize, &System)| *at == 0 || arguments.wants(system.name);
    let chosen = systems.iter().enumerate().filter(wanted).map(|(_, system)| *system);
    chosen.filter(|system| is_there(system.binary)).collect()
}

/// Whether a server was built or is installed; says so when it should be and is not.
fn is_there(binary: &str) -> bool {
    let there = child::exists(binary);
    if !there && matches!(Foreign::named(binary), Some(Foreign::Redis | Foreign::Nginx)) {
        println!("{binary} is not installed: it is left out");
    }
    there
}

/// Whether a generator is installed; says so when not.
pub(crate) fn is_installed(tool: &str) -> bool {
    let there = foreign::installed(tool).is_ok();
    if !there {
        println!("{tool} is not installed: what it measures is skipped");
    }
    there
}
