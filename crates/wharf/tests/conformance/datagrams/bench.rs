//! [`Bench`]: endpoints of ours against raw peers, over one kind of datagrams, turn by turn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use wharf::datagram::QueueLimits;
use wharf::datagram::driver::{DatagramOptions, Target};
use wharf::guard::FaultReport;
use wharf::memory::{ManualClock, Stage};
use wharf::udp::DropPolicy;
use wharf::{
    Address, DatagramTransportRef, EventLoop, FaultPolicy, IntoDatagramProtocol, UnixAddress, udp,
};

use super::log::Log;
use super::peer::Peer;
use crate::support::{Folder, loop_builder};

/// How long a turn waits for something to do. A test never depends on it: it only spares the processor.
const PATIENCE: Duration = Duration::from_millis(1);

/// After this many turns a condition is taken never to come true.
const TURNS: usize = 5_000;

/// After this many turns in a row without anything to do, nothing is taken to be on its way.
const QUIET: usize = 5;

/// The kind of datagrams under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Memory,
    Udp4,
    Udp6,
    Unix,
}

impl Over {
    /// An address of this family where nothing is.
    fn nowhere(self) -> &'static str {
        if self == Self::Udp6 { "[::1]:0" } else { "127.0.0.1:0" }
    }
}

/// The settings of an endpoint, as far as the tests change them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) connected: bool,
    pub(crate) limits: QueueLimits,
    pub(crate) policy: DropPolicy,
    pub(crate) budget: Option<usize>,
}

enum Ground {
    Stage(Stage),
    Loop(Box<EventLoop>),
}

/// Where a test runs: a loop, its clock, and the way to put endpoints on it.
pub(crate) struct Bench {
    over: Over,
    ground: Ground,
    clock: ManualClock,
    folder: Folder,
    names: Cell<usize>,
    logs: RefCell<Vec<Log>>,
    faults: Rc<RefCell<Vec<FaultReport>>>,
}

/// Gives a builder the settings.
macro_rules! set {
    ($open:expr, $settings:expr) => {{
        let mut open = $open
            .write_buffer_limits($settings.limits.bytes)
            .datagram_limits($settings.limits.datagrams)
            .drop_policy($settings.policy);
        if let Some(budget) = $settings.budget {
            open = open.read_budget(budget);
        }
        open
    }};
}

impl Bench {
    pub(crate) fn new(over: Over) -> Self {
        let (ground, clock) = if over == Over::Memory {
            let stage = Stage::new();
            let clock = stage.clock().clone();
            (Ground::Stage(stage), clock)
        } else {
            let clock = ManualClock::new();
            let ev = loop_builder().clock(clock.clone()).build().expect("a loop can be made");
            (Ground::Loop(Box::new(ev)), clock)
        };
        Self {
            over,
            ground,
            clock,
            folder: Folder::new(),
            names: Cell::new(0),
            logs: RefCell::default(),
            faults: Rc::default(),
        }
    }

    /// Takes the loop down; every protocol has then come to its end and has been let go of.
    pub(crate) fn finish(self) {
        drop(self.ground);
        for log in self.logs.take() {
            log.assert_whole();
        }
    }

    pub(crate) fn over(&self) -> Over {
        self.over
    }

    // ---- endpoints ----

    /// A log that [`finish`](Self::finish) looks at.
    pub(crate) fn log(&self) -> Log {
        let log = Log::new();
        self.logs.borrow_mut().push(log.clone());
        log
    }

    /// An endpoint of a logging protocol that hears everybody, and a peer.
    pub(crate) fn open(&mut self) -> (Log, DatagramTransportRef, Peer) {
        self.open_with(Settings::default())
    }

    /// The same, connected to the peer.
    pub(crate) fn connect(&mut self) -> (Log, DatagramTransportRef, Peer) {
        self.open_with(Settings { connected: true, ..Settings::default() })
    }

    pub(crate) fn open_with(&mut self, settings: Settings) -> (Log, DatagramTransportRef, Peer) {
        let log = self.log();
        let (transport, peer) = self.put(log.plain(), settings);
        (log, transport, peer)
    }

    /// Puts `protocol` on an endpoint, and runs until it has heard `connection_made`.
    pub(crate) fn put<P: IntoDatagramProtocol + 'static>(
        &mut self,
        protocol: P,
        settings: Settings,
    ) -> (DatagramTransportRef, Peer) {
        let mut peer = match self.over {
            Over::Memory => None,
            over => Some(self.socket_peer(over)),
        };
        let at = self.name();
        match &mut self.ground {
            Ground::Stage(stage) => {
                let (transport, _, wire) = stage.datagram_wire_with(protocol, |peer| {
                    let defaults = DatagramOptions::default();
                    DatagramOptions {
                        target: if settings.connected {
                            Target::Connected(Some(peer.clone()))
                        } else {
                            Target::None
                        },
                        limits: settings.limits,
                        drop_policy: settings.policy,
                        read_budget: settings.budget.unwrap_or(defaults.read_budget),
                        ..defaults
                    }
                });
                stage.turn();
                (transport, Peer::Memory(wire))
            }
            Ground::Loop(ev) => {
                let mut peer = peer.take().expect("made above");
                let handle = ev.handle().clone();
                let factory = || protocol;
                let opened = match peer.address() {
                    Address::Ip(to) => {
                        let open = if settings.connected {
                            udp::connect(&handle, to, factory)
                        } else {
                            udp::bind(&handle, self.over.nowhere(), factory)
                        };
                        ev.block_on(set!(open, settings).into_future())
                    }
                    Address::Unix(to) => {
                        let open = if settings.connected {
                            udp::unix::connect(&handle, to, factory).local_addr(at)
                        } else {
                            udp::unix::bind(&handle, at, factory)
                        };
                        ev.block_on(set!(open, settings).into_future())
                    }
                    other => panic!("{other} is of no family"),
                };
                let (transport, _) = opened.expect("an endpoint can be opened");
                peer.aim(transport.local_addr().expect("an endpoint has an address"));
                (transport, peer)
            }
        }
    }

    /// Another peer of the endpoint that `peer` is one of.
    pub(crate) fn another(&self, peer: &Peer) -> Peer {
        match peer {
            Peer::Memory(wire) => Peer::Memory(wire.another()),
            Peer::Udp { to, .. } | Peer::Unix { to, .. } => {
                let mut other = self.socket_peer(self.over);
                other.aim(to.clone());
                other
            }
        }
    }

    fn socket_peer(&self, over: Over) -> Peer {
        match over {
            Over::Memory => panic!("a wire comes with its endpoint"),
            Over::Udp4 | Over::Udp6 => {
                let nowhere = over.nowhere();
                Peer::udp(nowhere, Address::Ip(nowhere.parse().expect("it is an address")))
            }
            Over::Unix => {
                let path = self.folder.join(&self.new_name());
                Peer::unix(path, Address::Unix(UnixAddress::Unnamed))
            }
        }
    }

    fn new_name(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("s{}", self.names.get())
    }

    /// A name for a Unix endpoint.
    pub(crate) fn name(&self) -> UnixAddress {
        UnixAddress::from(self.folder.join(&self.new_name()))
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Sends `len`-byte datagrams to `peer`, which reads nothing, until some stay queued. Says how many it were.
    pub(crate) fn block(
        &mut self,
        transport: &DatagramTransportRef,
        peer: &Peer,
        len: usize,
    ) -> usize {
        if let Peer::Memory(wire) = peer {
            wire.set_capacity(16 * 1024);
        }
        let to = peer.address();
        let data = vec![b'x'; len];
        for sent in 1..=TURNS {
            transport.send_to(&data, Some(&to)).expect("a datagram can be sent");
            self.turn();
            if transport.queued_datagrams() > 0 {
                return sent;
            }
        }
        panic!("the peer takes everything");
    }

    // ---- turns ----

    pub(crate) fn turn(&mut self) {
        match &mut self.ground {
            Ground::Stage(stage) => drop(stage.turn()),
            Ground::Loop(ev) => ev.turn(Some(PATIENCE)).expect("the poller works"),
        }
    }

    /// Takes turns until `condition` is true.
    #[track_caller]
    pub(crate) fn run_until(&mut self, mut condition: impl FnMut() -> bool) {
        for _ in 0..TURNS {
            if condition() {
                return;
            }
            self.turn();
        }
        panic!("the condition did not come true in {TURNS} turns");
    }

    /// Takes turns until nothing happens any more.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            quiet = if self.stirs() { 0 } else { quiet + 1 };
            if quiet == QUIET {
                return;
            }
        }
        panic!("there is always something to do, after {TURNS} turns");
    }

    /// In how many of twenty turns there is something to do, once all has come to rest: any number but zero is a spin.
    #[track_caller]
    pub(crate) fn stirrings(&mut self) -> usize {
        self.settle();
        (0..20).filter(|_| self.stirs()).count()
    }

    fn stirs(&mut self) -> bool {
        match &mut self.ground {
            Ground::Stage(stage) => stage.turn(),
            Ground::Loop(ev) => {
                let before = ev.statistics().events;
                let queued = ev.next_timeout() == Some(Duration::ZERO);
                ev.turn(Some(PATIENCE)).expect("the poller works");
                queued || ev.statistics().events > before
            }
        }
    }

    /// Moves the clock on, and takes a turn for what that brings.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.turn();
    }

    // ---- the loop ----

    pub(crate) fn event_loop(&mut self) -> &mut EventLoop {
        match &mut self.ground {
            Ground::Stage(_) => panic!("memory has no event loop"),
            Ground::Loop(ev) => ev,
        }
    }

    /// How many endpoints, and other things, are on the loop.
    pub(crate) fn sources(&self) -> usize {
        match &self.ground {
            Ground::Stage(stage) => stage.connections(),
            Ground::Loop(ev) => ev.statistics().sources,
        }
    }

    /// Drops the loop under the endpoints and puts a new one in its place.
    pub(crate) fn drop_loop(&mut self) {
        let fresh = Self::new(self.over);
        self.clock = fresh.clock;
        self.ground = fresh.ground;
    }

    /// Keeps panics of callbacks for [`failed_callbacks`](Self::failed_callbacks) from now on; otherwise they fail the
    /// test.
    pub(crate) fn contain_faults(&self) {
        match &self.ground {
            Ground::Stage(stage) => stage.contain_faults(),
            Ground::Loop(ev) => {
                let faults = Rc::clone(&self.faults);
                let report = move |report| faults.borrow_mut().push(report);
                ev.set_fault_policy(FaultPolicy::report(report));
            }
        }
    }

    /// The names of the callbacks that failed since the last call.
    pub(crate) fn failed_callbacks(&self) -> Vec<&'static str> {
        let faults = match &self.ground {
            Ground::Stage(stage) => stage.take_faults(),
            Ground::Loop(_) => self.faults.take(),
        };
        faults.iter().map(|report| report.fault.callback()).collect()
    }
}

/// Makes the tests `name::memory`, `name::udp4`, `name::udp6` and `name::unix` of the function `name` over a [`Bench`].
///
/// `datagrams_over!(name on unix: "why")` restricts it to some of them and says why.
macro_rules! datagrams_over {
    ($name:ident) => {
        datagrams_over!($name on memory, udp4, udp6, unix: "every endpoint behaves so");
    };
    ($name:ident on $($over:ident),+ : $why:literal) => {
        mod $name {
            $(
                #[test]
                fn $over() {
                    $crate::datagrams::bench::$over(super::$name);
                }
            )+
        }
    };
}
pub(crate) use datagrams_over;

pub(crate) fn memory(test: fn(&mut Bench)) {
    run(Over::Memory, test);
}

pub(crate) fn udp4(test: fn(&mut Bench)) {
    run(Over::Udp4, test);
}

pub(crate) fn udp6(test: fn(&mut Bench)) {
    run(Over::Udp6, test);
}

pub(crate) fn unix(test: fn(&mut Bench)) {
    run(Over::Unix, test);
}

fn run(over: Over, test: fn(&mut Bench)) {
    let mut bench = Bench::new(over);
    test(&mut bench);
    bench.finish();
}
