//! [`Bench`]: protocols of ours against raw peers, over one kind of transport, turn by turn.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wharf::guard::FaultReport;
use wharf::memory::{ManualClock, Stage};
use wharf::tls::{self, ServerConfig, Tls, rustls};
use wharf::{
    EventLoop, EventLoopBuilder, FaultPolicy, IntoProtocol, Limits, LoopHandle, Scheduler,
    TransportRef,
};

use super::authority::{Authority, BOTH};
use super::log::Log;
use super::over::Over;
use super::peer::Peer;
use super::tls_peer::TlsPeer;

/// How long a turn waits for something to do. A test never depends on it: it only spares the processor.
const PATIENCE: Duration = Duration::from_millis(1);

/// After this many turns a condition is taken never to come true.
const TURNS: usize = 5_000;

/// After this many turns in a row without anything to do, nothing is taken to be on its way.
const QUIET: usize = 5;

/// The same for the acknowledgements of TCP, which may come late, and make room.
const QUIET_ACKS: usize = 60;

/// The builder of every loop in the tests: `WHARF_POLL=portable` makes it wait by the portable path, and a panic in a
/// callback fails the test.
pub(crate) fn loop_builder() -> EventLoopBuilder {
    let portable = std::env::var_os("WHARF_POLL").is_some_and(|poll| poll == "portable");
    EventLoop::builder().portable_poll(portable).fault_policy(FaultPolicy::Resume)
}

/// A loop of [`loop_builder`], with the system's clock.
pub(crate) fn new_loop() -> EventLoop {
    loop_builder().build().expect("a loop can be made")
}

/// `len` bytes that tell where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    pattern_from(0, len)
}

/// `len` bytes of the pattern from place `start` on.
pub(crate) fn pattern_from(start: usize, len: usize) -> Vec<u8> {
    // 251 is prime, so it divides no buffer size and a shifted piece does not fit.
    (start..start + len).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}

/// A connection that has been asked for, to be polled by hand.
pub(crate) type Starting<T = TransportRef> = Pin<Box<dyn Future<Output = io::Result<T>>>>;

/// A connection that has begun, and whose layers may not stand yet.
pub(crate) struct Laid<S> {
    /// The transport below all that was put on it.
    pub(crate) lowest: TransportRef,
    pub(crate) peer: Peer,
    /// What connecting would give. It may hold the connection, and ends it when it is dropped too early.
    pub(crate) established: Starting<(TransportRef, S)>,
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

enum Ground {
    Stage(Stage),
    Loop(Box<EventLoop>),
}

/// Where a test runs: a loop, its clock, and the way to put connections on it.
pub(crate) struct Bench {
    over: Over,
    ground: Ground,
    clock: ManualClock,
    logs: RefCell<Vec<Log>>,
    faults: Rc<RefCell<Vec<FaultReport>>>,
    /// Who trusts whom, where there is TLS.
    ends: Rc<OnceCell<Ends>>,
    /// Those who may have more to send than the kernel took.
    tls_peers: RefCell<Vec<Weak<TlsPeer>>>,
}

/// The two ends of TLS connections, which do not wait for goodbyes, as TCP does not.
struct Ends {
    server: ServerConfig,
    client: Arc<rustls::ClientConfig>,
}

impl Default for Ends {
    fn default() -> Self {
        let authority = Authority::new();
        Self {
            server: authority.server().shutdown_timeout(Duration::ZERO),
            client: Arc::new(authority.rustls_client(BOTH)),
        }
    }
}

impl Ends {
    fn serve<P: IntoProtocol>(&self, protocol: P) -> Tls<P> {
        let mut protocol = Some(protocol);
        tls::server(self.server.clone(), || protocol.take().expect("one connection"))()
    }

    fn client(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.client)
    }
}

impl Bench {
    pub(crate) fn new(over: Over) -> Self {
        let (ground, clock) = if over.lowest() == Over::Memory {
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
            logs: RefCell::default(),
            faults: Rc::default(),
            ends: Rc::default(),
            tls_peers: RefCell::default(),
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

    /// Whether there is TLS below the protocol.
    pub(crate) fn is_tls(&self) -> bool {
        self.over.layers() > 0
    }

    /// Whether there is no event loop and no descriptor.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.ground, Ground::Stage(_))
    }

    // ---- connections ----

    /// A log that [`finish`](Self::finish) looks at.
    pub(crate) fn log(&self) -> Log {
        let log = Log::new();
        self.logs.borrow_mut().push(log.clone());
        log
    }

    /// A connection of a logging protocol that has heard `connection_made`.
    pub(crate) fn connect(&mut self) -> (Log, TransportRef, Peer) {
        let log = self.log();
        let (transport, peer) = self.open(log.plain());
        (log, transport, peer)
    }

    /// The same with a buffered protocol whose buffer has `size` bytes.
    pub(crate) fn connect_buffered(&mut self, size: usize) -> (Log, TransportRef, Peer) {
        let log = self.log();
        let (transport, peer) = self.open(log.buffered(size));
        (log, transport, peer)
    }

    /// Puts `protocol` on a connection and runs until it has heard `connection_made`.
    pub(crate) fn open<P: IntoProtocol + 'static>(&mut self, protocol: P) -> (TransportRef, Peer) {
        self.open_after(protocol, |_| {})
    }

    /// The same, after the peer has done something.
    pub(crate) fn open_after<P: IntoProtocol + 'static>(
        &mut self,
        protocol: P,
        before: impl FnOnce(&Peer),
    ) -> (TransportRef, Peer) {
        let (outcome, peer) = self.try_open(protocol, before);
        let (transport, _) = outcome.expect("a connection can be made");
        (transport, peer)
    }

    /// The same; fails as connecting does, and gives what the user would keep.
    pub(crate) fn try_open<P: IntoProtocol + 'static>(
        &mut self,
        protocol: P,
        before: impl FnOnce(&Peer),
    ) -> (io::Result<(TransportRef, P::Shared)>, Peer) {
        let ends = Rc::clone(&self.ends);
        let ends = || ends.get_or_init(Ends::default);
        match self.over.layers() {
            0 => self.try_open_plain(protocol, before),
            1 => {
                let laid = self.lay_lowest(ends().serve(protocol));
                self.shake_hands(laid, &[ends().client()], before)
            }
            _ => {
                let laid = self.lay_lowest(ends().serve(ends().serve(protocol)));
                self.shake_hands(laid, &[ends().client(), ends().client()], before)
            }
        }
    }

    fn try_open_plain<P: IntoProtocol>(
        &mut self,
        protocol: P,
        before: impl FnOnce(&Peer),
    ) -> (io::Result<(TransportRef, P::Shared)>, Peer) {
        match &mut self.ground {
            Ground::Stage(stage) => {
                let (transport, shared, wire) = stage.wire(protocol);
                let peer = Peer::wire(wire);
                before(&peer);
                stage.turn();
                (Ok((transport, shared)), peer)
            }
            Ground::Loop(ev) => {
                let (shared, protocol) = protocol.share();
                let (connecting, peer) = self.over.connecting(ev.handle(), protocol);
                before(&peer);
                (ev.block_on(connecting).map(|transport| (transport, shared)), peer)
            }
        }
    }

    /// Takes the handshakes of a connection to their end, the peer's by `configs`. What the peer does `before` comes with its
    /// last word of them.
    fn shake_hands<S>(
        &mut self,
        laid: Laid<S>,
        configs: &[Arc<rustls::ClientConfig>],
        before: impl FnOnce(&Peer),
    ) -> (io::Result<(TransportRef, S)>, Peer) {
        let Laid { peer, mut established, .. } = laid;
        let mut peer = peer;
        for config in configs {
            peer = Peer::tls(self.tls_client(peer, config));
        }
        self.until_established(&peer);
        before(&peer);
        peer.flush();
        for _ in 0..TURNS {
            if let Poll::Ready(outcome) = poll(&mut established) {
                return (outcome, peer);
            }
            self.turn();
        }
        panic!("the handshake does not end");
    }

    /// Takes turns until the peer's handshakes are over.
    pub(crate) fn until_established(&mut self, peer: &Peer) {
        for _ in 0..TURNS {
            if peer.is_established() {
                return;
            }
            peer.flush();
            self.turn();
            peer.read();
        }
        panic!("the handshake does not end");
    }

    /// Puts `protocol`, which may be a layer, on a connection of the lowest kind.
    fn lay_lowest<P: IntoProtocol + 'static>(&mut self, protocol: P) -> Laid<P::Shared> {
        match &mut self.ground {
            Ground::Stage(stage) => {
                let (lowest, shared, wire) = stage.wire(protocol);
                let layer = lowest.protocol().expect("it has just been put there");
                let (below, mut shared) = (lowest.clone(), Some(shared));
                let established = std::future::poll_fn(move |cx| {
                    let outcome = std::task::ready!(layer.poll_established(&below, cx));
                    Poll::Ready(outcome.map(|above| (above, shared.take().expect("it ends once"))))
                });
                Laid { lowest, peer: Peer::wire(wire), established: Box::pin(established) }
            }
            Ground::Loop(ev) => {
                let (over, handle) = (self.over, ev.handle().clone());
                let (ours, peer) = over.pair();
                let before = connections(&handle);
                let adopt = handle.clone();
                let adopting = async move { over.adopt(&adopt, ours, || protocol).await };
                let mut established: Starting<(TransportRef, P::Shared)> = Box::pin(adopting);
                assert!(poll(&mut established).is_pending(), "it begins in a turn");
                ev.turn(Some(PATIENCE)).expect("the poller works");
                let mut new = connections(&handle);
                new.retain(|transport| !before.contains(transport));
                let lowest = new.pop().expect("it has begun");
                peer.set_transport(lowest.clone());
                Laid { lowest, peer, established }
            }
        }
    }

    /// Puts `protocol`, which may be a layer, on a connection, without waiting for that to stand.
    pub(crate) fn lay<P: IntoProtocol + 'static>(&mut self, protocol: P) -> Laid<P::Shared> {
        assert!(self.over.layers() < 2, "one layer of TLS below is enough");
        if !self.is_tls() {
            return self.lay_lowest(protocol);
        }
        let ends = Rc::clone(&self.ends);
        let ends = ends.get_or_init(Ends::default);
        let Laid { lowest, peer, established } = self.lay_lowest(ends.serve(protocol));
        let peer = Peer::tls(self.tls_client(peer, &ends.client()));
        self.until_established(&peer);
        peer.flush();
        self.run_until(|| lowest.uppermost() != lowest);
        Laid { lowest: lowest.uppermost(), peer, established }
    }

    /// A client of TLS on `below`.
    pub(crate) fn tls_client(
        &self,
        below: Peer,
        config: &Arc<rustls::ClientConfig>,
    ) -> Rc<TlsPeer> {
        self.attend(TlsPeer::client(below, Arc::clone(config)))
    }

    /// Has what `peer` sends sent to its end, as turns are taken.
    pub(crate) fn attend(&self, peer: Rc<TlsPeer>) -> Rc<TlsPeer> {
        self.tls_peers.borrow_mut().push(Rc::downgrade(&peer));
        peer
    }

    /// Sends what the kernel did not take before. Says whether any of it went.
    fn push(&self) -> bool {
        let peers = self.tls_peers.borrow();
        peers.iter().filter_map(Weak::upgrade).filter(|peer| peer.push()).count() > 0
    }

    /// Begins to put `protocol` on a connection, without taking a turn.
    pub(crate) fn start(&mut self, protocol: impl IntoProtocol + 'static) -> (Starting, Peer) {
        let (mut starting, peer): (Starting, Peer) = match &self.ground {
            Ground::Stage(stage) => {
                let (transport, _, wire) = stage.wire(protocol);
                (Box::pin(std::future::ready(Ok(transport))), Peer::wire(wire))
            }
            Ground::Loop(ev) => self.over.connecting(ev.handle(), protocol.share().1),
        };
        if let Poll::Ready(outcome) = poll(&mut starting) {
            starting = Box::pin(std::future::ready(outcome));
        }
        (starting, peer)
    }

    /// Writes a [`pattern`] until the kernel takes no more and some of it stays buffered, below the default marks. Says
    /// how much it was.
    pub(crate) fn fill(&mut self, transport: &TransportRef) -> usize {
        const CHUNK: usize = 32 * 1024;
        for round in 0..TURNS {
            transport.write(&pattern_from(round * CHUNK, CHUNK));
            self.turn();
            if transport.write_buffer_len() > 0 {
                self.settle_for(self.quiet());
            }
            if transport.write_buffer_len() > 0 {
                return (round + 1) * CHUNK;
            }
        }
        panic!("the kernel takes everything");
    }

    // ---- turns ----

    /// Takes one turn.
    pub(crate) fn turn(&mut self) {
        self.push();
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
        self.settle_for(QUIET);
    }

    /// After how many quiet turns the kernel is surely at rest.
    fn quiet(&self) -> usize {
        if self.over.lowest() == Over::Tcp { QUIET_ACKS } else { QUIET }
    }

    #[track_caller]
    fn settle_for(&mut self, turns: usize) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            quiet = if self.stirs() { 0 } else { quiet + 1 };
            if quiet == turns {
                return;
            }
        }
        panic!("there is always something to do, after {TURNS} turns");
    }

    /// In how many of twenty turns there is something to do, once the kernel has come to rest: any number but zero is a
    /// spin.
    #[track_caller]
    pub(crate) fn stirrings(&mut self) -> usize {
        self.settle_for(self.quiet());
        (0..20).filter(|_| self.stirs()).count()
    }

    /// Takes one turn; says whether there was anything to do.
    pub(crate) fn stirs(&mut self) -> bool {
        let pushed = self.push();
        pushed
            || match &mut self.ground {
                Ground::Stage(stage) => stage.turn(),
                Ground::Loop(ev) => {
                    let before = ev.statistics().events;
                    let queued = ev.next_timeout() == Some(Duration::ZERO);
                    ev.turn(Some(PATIENCE)).expect("the poller works");
                    queued || ev.statistics().events > before
                }
            }
    }

    /// Moves the clock on, then takes turns until nothing happens any more.
    #[track_caller]
    pub(crate) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.settle();
    }

    // ---- the loop ----

    pub(crate) fn scheduler(&self) -> Rc<dyn Scheduler> {
        match &self.ground {
            Ground::Stage(stage) => stage.scheduler(),
            Ground::Loop(ev) => Rc::new(ev.handle().clone()),
        }
    }

    pub(crate) fn call_soon(&self, callback: impl FnOnce() + 'static) {
        self.scheduler().call_soon(Box::new(callback));
    }

    /// The stage in memory.
    pub(crate) fn stage(&self) -> &Stage {
        match &self.ground {
            Ground::Stage(stage) => stage,
            Ground::Loop(_) => panic!("sockets are on an event loop"),
        }
    }

    /// The event loop under sockets.
    pub(crate) fn event_loop(&mut self) -> &mut EventLoop {
        match &mut self.ground {
            Ground::Stage(_) => panic!("memory has no event loop"),
            Ground::Loop(ev) => ev,
        }
    }

    /// How many connections, and other things, are on the loop.
    pub(crate) fn sources(&self) -> usize {
        match &self.ground {
            Ground::Stage(stage) => stage.connections(),
            Ground::Loop(ev) => ev.statistics().sources,
        }
    }

    /// Drops the loop under the connections and puts a new one in its place.
    pub(crate) fn drop_loop(&mut self) {
        let fresh = Self::new(self.over);
        self.clock = fresh.clock;
        self.ground = fresh.ground;
    }

    // ---- faults ----

    /// Keeps panics of callbacks for [`faults`](Self::faults) from now on; otherwise they fail the test.
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

    /// The faults that were reported since the last call.
    pub(crate) fn faults(&self) -> Vec<FaultReport> {
        match &self.ground {
            Ground::Stage(stage) => stage.take_faults(),
            Ground::Loop(_) => self.faults.take(),
        }
    }

    /// The names of the callbacks that failed since the last call.
    pub(crate) fn failed_callbacks(&self) -> Vec<&'static str> {
        self.faults().iter().map(|report| report.fault.callback()).collect()
    }
}

/// The connections on a loop, below all layers.
fn connections(handle: &LoopHandle) -> Vec<TransportRef> {
    let sources = handle.sources();
    let connections = sources.iter().filter_map(|source| source.as_connection());
    connections.filter_map(|connection| connection.transport()).collect()
}

/// Both marks.
pub(crate) fn limits(high: usize, low: usize) -> Limits {
    Limits::new(high, low).expect("low is not above high")
}
