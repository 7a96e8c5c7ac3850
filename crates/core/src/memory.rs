//! Transports in memory: the way to test a protocol without I/O and without waiting.
//!
//! A [`Stage`] is an event loop without descriptors, under a [`ManualClock`].
//! On it stand either two protocols joined by a [`pair`](Stage::pair), or one protocol and a [`Wire`], the raw other
//! end that a test holds in its hand: it can trickle bytes, refuse them, end, or reset at any chosen point.
//! The protocol of a pipe stands alone, too, with a wire for the other end: [`read_pipe`](Stage::read_pipe) and
//! [`write_pipe`](Stage::write_pipe).
//! Datagram protocols are joined by a [`datagram_pair`](Stage::datagram_pair), or meet a [`DatagramWire`].
//! The drivers and their state machines are those of the real transports.
//!
//! ```
//! use wharf_core::memory::Stage;
//! use wharf_core::{Protocol, TransportRef};
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! let stage = Stage::new();
//! let (_transport, _echo, wire) = stage.wire(Echo);
//! wire.limit_reads(1); // byte by byte
//! wire.send(b"hello");
//! stage.run();
//! assert_eq!(wire.take(), b"hello");
//! ```

mod link;
mod post;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use link::{CAPACITY, Link, MemoryIo};
pub use link::{LinkRef, Seen, Wire};
use post::Post;
pub use post::{DatagramWire, Letter, PostRef};

use crate::buffer::WriteQueue;
use crate::datagram::{Inbox, IntoDatagramProtocol, Outbox};
use crate::driver::{Host, IoAccess, Readiness, StreamDriver, StreamOptions, TRAY, Traffic};
use crate::guard::{self, FaultReport};
use crate::handle::{DatagramTransportRef, ReadTransportRef, TransportRef, WriteTransportRef};
use crate::pipe::{IntoReadPipeProtocol, IntoWritePipeProtocol};
use crate::resource::Resources;
use crate::schedule::{Clock, Scheduler, Settle, Timer};
use crate::shared::{IntoProtocol, StreamProtocol};
use crate::trace;
use crate::transport::TransportId;
use crate::tray::Tray;

/// How often a turn settles what settling enlists.
const SETTLE_ROUNDS: usize = 16;

/// A stage that is still busy after this many turns is taken to be caught in a circle.
const TURNS: usize = 100_000;

/// What one receive can bring on a stage: a few of the greatest datagrams.
const INBOX: usize = 256 * 1024;

/// A clock that moves when it is told to.
#[derive(Clone, Debug)]
pub struct ManualClock(Rc<Cell<Instant>>);

impl ManualClock {
    /// A clock that stands still. Where it starts means nothing, but an `Instant` can only be had from the system, so the
    /// epoch is read once; the clock never looks again.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn is_manual(&self) -> bool {
        true
    }
}

/// Where protocols are tested: a loop without descriptors. Dropping it tells every protocol on it that it is lost.
pub struct Stage {
    shared: StageRef,
}

/// The stage, as those who live on it refer to it.
#[derive(Clone)]
struct StageRef(Rc<StageState>);

struct StageState {
    clock: ManualClock,
    ready: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    timers: RefCell<BTreeMap<TimerKey, Box<dyn FnOnce()>>>,
    enlisted: RefCell<VecDeque<Rc<dyn Settle>>>,
    actors: RefCell<Vec<Rc<dyn Actor>>>,
    post: Rc<RefCell<Post>>,
    read_buffer: RefCell<Box<[u8]>>,
    tray: Rc<Tray>,
    faults: RefCell<Vec<FaultReport>>,
    contain: Cell<bool>,
    panicked: RefCell<Option<Box<dyn Any + Send>>>,
    resources: Resources,
    next: Cell<u64>,
    running: Cell<bool>,
    /// Set when the stage is dropped: what comes later is dropped too.
    closed: Cell<bool>,
}

/// Deadline, and order of insertion.
type TimerKey = (Instant, u64);

/// A driver as its stage sees it.
trait Actor {
    /// Lets it act on what is ready; says whether anything was.
    fn act(self: Rc<Self>) -> bool;
    fn is_lost(&self) -> bool;
    fn shut(self: Rc<Self>);
}

type MemoryDriver<const ONE_WAY: bool> = StreamDriver<MemoryIo<ONE_WAY>>;

impl<const ONE_WAY: bool> Actor for MemoryDriver<ONE_WAY> {
    fn act(self: Rc<Self>) -> bool {
        let mut readiness = Readiness::default();
        self.with_io(&mut |io| readiness = io.readiness());
        let ready = readiness != Readiness::default();
        if ready {
            self.ready(readiness);
        }
        ready
    }

    fn is_lost(&self) -> bool {
        Self::is_lost(self)
    }

    fn shut(self: Rc<Self>) {
        Self::shut(&self);
    }
}

impl Stage {
    /// An empty stage. A panic in a callback comes out of [`turn`](Self::turn), so that an `assert!` in a protocol
    /// fails its test.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: StageRef(Rc::new(StageState {
                clock: ManualClock::new(),
                ready: RefCell::default(),
                timers: RefCell::default(),
                enlisted: RefCell::default(),
                actors: RefCell::default(),
                post: Rc::default(),
                read_buffer: RefCell::new(vec![0; CAPACITY].into()),
                tray: Rc::new(Tray::new(TRAY)),
                faults: RefCell::default(),
                contain: Cell::new(false),
                panicked: RefCell::default(),
                resources: Resources::default(),
                next: Cell::new(1),
                running: Cell::new(false),
                closed: Cell::new(false),
            })),
        }
    }

    /// Keeps panics of callbacks for [`take_faults`](Self::take_faults) from now on, in the place of resuming them.
    pub fn contain_faults(&self) {
        self.shared.0.contain.set(true);
    }

    /// The faults that were reported since the last call.
    #[must_use]
    pub fn take_faults(&self) -> Vec<FaultReport> {
        self.shared.0.faults.take()
    }

    /// The stage's clock.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.shared.0.clock
    }

    /// The stage's scheduler.
    #[must_use]
    pub fn scheduler(&self) -> Rc<dyn Scheduler> {
        Rc::new(self.shared.clone())
    }

    /// Joins two protocols. Their `connection_made` comes in the next turn, the first one's first.
    pub fn pair<P: IntoProtocol, Q: IntoProtocol>(&self, first: P, second: Q) -> Pair<P, Q> {
        self.pair_with(first, second, &StreamOptions::default())
    }

    /// Joins two protocols by streams with these settings.
    pub fn pair_with<P: IntoProtocol, Q: IntoProtocol>(
        &self,
        first: P,
        second: Q,
        options: &StreamOptions,
    ) -> Pair<P, Q> {
        let link = Link::new();
        let (first_transport, first) = self.enter(first, &link, 0, options);
        let (second_transport, second) = self.enter(second, &link, 1, options);
        Pair {
            first: (first_transport, first),
            second: (second_transport, second),
            link: LinkRef(link),
        }
    }

    /// Puts one protocol on the stage and gives the other end to the test.
    pub fn wire<P: IntoProtocol>(&self, protocol: P) -> (TransportRef, P::Shared, Wire) {
        self.wire_with(protocol, &StreamOptions::default())
    }

    /// Puts one protocol on the stage, by a stream with these settings.
    pub fn wire_with<P: IntoProtocol>(
        &self,
        protocol: P,
        options: &StreamOptions,
    ) -> (TransportRef, P::Shared, Wire) {
        let link = Link::new();
        let (transport, shared) = self.enter(protocol, &link, 0, options);
        (transport, shared, Wire { link: LinkRef(link) })
    }

    /// Puts the protocol of a pipe that is read on the stage. The wire is the writer, which leaves by
    /// [`close`](Wire::close).
    pub fn read_pipe<P: IntoReadPipeProtocol>(
        &self,
        protocol: P,
    ) -> (ReadTransportRef, P::Shared, Wire) {
        let (shared, protocol) = protocol.share_read();
        let (driver, wire) = self.pipe(protocol);
        (driver.handle().into(), shared, wire)
    }

    /// Puts the protocol of a pipe that is written on the stage. The wire is the reader, which leaves by
    /// [`close`](Wire::close).
    pub fn write_pipe<P: IntoWritePipeProtocol>(
        &self,
        protocol: P,
    ) -> (WriteTransportRef, P::Shared, Wire) {
        let (shared, protocol) = protocol.share_write();
        let (driver, wire) = self.pipe(protocol);
        (driver.handle().into(), shared, wire)
    }

    fn pipe(&self, protocol: StreamProtocol) -> (Rc<MemoryDriver<true>>, Wire) {
        let link = Link::new();
        let driver = self.drive(protocol, MemoryIo::new(&link, 0), &StreamOptions::default());
        (driver, Wire { link: LinkRef(link) })
    }

    fn enter<P: IntoProtocol>(
        &self,
        protocol: P,
        link: &Rc<RefCell<Link>>,
        side: usize,
        options: &StreamOptions,
    ) -> (TransportRef, P::Shared) {
        let (shared, protocol) = protocol.share();
        let driver = self.drive::<false>(protocol, MemoryIo::new(link, side), options);
        (driver.handle(), shared)
    }

    fn drive<const ONE_WAY: bool>(
        &self,
        protocol: StreamProtocol,
        io: MemoryIo<ONE_WAY>,
        options: &StreamOptions,
    ) -> Rc<MemoryDriver<ONE_WAY>> {
        let id = TransportId::new(self.shared.number());
        let driver =
            StreamDriver::anchored(io, self.shared.clone(), id, protocol, Rc::new(options.clone()));
        self.shared.0.actors.borrow_mut().push(Rc::clone(&driver) as Rc<dyn Actor>);
        let begun = Rc::clone(&driver);
        self.shared.call_soon(Box::new(move || drop(begun.begin())));
        driver
    }

    /// Runs `callback` in the next turn.
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) {
        self.shared.call_soon(Box::new(callback));
    }

    /// Takes one turn: what was queued before it, then what is ready, then what is due, then what is untold. Says
    /// whether there was anything.
    ///
    /// # Panics
    /// From inside a callback (rule T10), and with the panic of a callback unless faults are contained.
    pub fn turn(&self) -> bool {
        let stage = &*self.shared.0;
        assert!(
            !stage.running.replace(true),
            "a stage cannot take a turn from inside one of its callbacks"
        );
        let running = ResetOnDrop(&stage.running);
        let mut busy = self.shared.settle();
        let round = stage.ready.borrow().len();
        for _ in 0..round {
            let callback = stage.ready.borrow_mut().pop_front();
            if let Some(callback) = callback {
                busy = true;
                self.shared.run("call_soon", callback);
            }
        }
        let actors = stage.actors.borrow().clone();
        for actor in actors {
            busy |= actor.act();
        }
        // A timer that is set by a timer waits for the next turn.
        let last = stage.next.get();
        while let Some(callback) = self.shared.next_due(last) {
            busy = true;
            self.shared.run("call_later", callback);
        }
        busy |= self.shared.settle();
        stage.actors.borrow_mut().retain(|actor| !actor.is_lost());
        drop(running);
        let panicked = stage.panicked.take();
        if let Some(payload) = panicked {
            std::panic::resume_unwind(payload);
        }
        busy
    }

    /// Takes turns until there is nothing left to do.
    ///
    /// # Panics
    /// When the protocols never come to rest, and as [`turn`](Self::turn) does.
    pub fn run(&self) {
        for _ in 0..TURNS {
            if !self.turn() {
                return;
            }
        }
        panic!("the stage did not come to rest in {TURNS} turns");
    }

    /// Moves the clock on, then runs what that brings.
    ///
    /// # Panics
    /// As [`run`](Self::run) does.
    pub fn advance(&self, by: Duration) {
        self.shared.0.clock.advance(by);
        self.run();
    }

    /// How many connections are on the stage.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.0.actors.borrow().len()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let actors = self.shared.0.actors.take();
        for actor in actors {
            actor.shut();
        }
        self.shared.0.closed.set(true);
        self.shared.0.ready.take();
        self.shared.0.timers.take();
        self.shared.0.enlisted.take();
        let panicked = self.shared.0.panicked.take();
        if let Some(payload) = panicked.filter(|_| !std::thread::panicking()) {
            std::panic::resume_unwind(payload);
        }
    }
}

struct ResetOnDrop<'a>(&'a Cell<bool>);

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl StageRef {
    fn number(&self) -> u64 {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        number
    }

    fn run(&self, name: &'static str, callback: Box<dyn FnOnce()>) {
        if let Err(caught) = guard::call(name, callback) {
            self.report(FaultReport::caught(caught));
        }
    }

    /// Settles what was enlisted, and what that enlists in its turn, as layers do; a circle waits for the next turn.
    fn settle(&self) -> bool {
        let mut any = false;
        for _ in 0..SETTLE_ROUNDS {
            let round = self.0.enlisted.borrow().len();
            if round == 0 {
                break;
            }
            any = true;
            // One at a time: a protocol that its user holds (rule T11) leaves the others where they are.
            for _ in 0..round {
                let item = self.0.enlisted.borrow_mut().pop_front();
                if let Some(item) = item {
                    item.settle();
                }
            }
        }
        any
    }

    /// Takes out the first timer that is due and was set before the number `last` was given.
    fn next_due(&self, last: u64) -> Option<Box<dyn FnOnce()>> {
        let now = self.0.clock.now();
        let mut timers = self.0.timers.borrow_mut();
        let due = timers.keys().take_while(|key| key.0 <= now).find(|key| key.1 < last).copied()?;
        timers.remove(&due)
    }
}

impl Scheduler for StageRef {
    fn now(&self) -> Instant {
        self.0.clock.now()
    }

    fn call_soon(&self, callback: Box<dyn FnOnce()>) {
        if !self.0.closed.get() {
            self.0.ready.borrow_mut().push_back(callback);
        }
    }

    fn call_at(&self, deadline: Instant, callback: Box<dyn FnOnce()>) -> Box<dyn Timer> {
        let key = (deadline, self.number());
        if !self.0.closed.get() {
            self.0.timers.borrow_mut().insert(key, callback);
        }
        Box::new(StageTimer { stage: Rc::downgrade(&self.0), key })
    }

    fn enlist(&self, item: Rc<dyn Settle>) {
        if !self.0.closed.get() {
            self.0.enlisted.borrow_mut().push_back(item);
        }
    }

    fn resources(&self) -> &Resources {
        &self.0.resources
    }

    fn report(&self, mut report: FaultReport) {
        trace::fault(self, &report);
        if self.0.contain.get() {
            self.0.faults.borrow_mut().push(report);
        } else {
            let fault = report.fault.to_string();
            let payload = report.payload.take().unwrap_or_else(|| Box::new(fault));
            self.0.panicked.borrow_mut().get_or_insert(payload);
        }
    }
}

struct StageTimer {
    stage: Weak<StageState>,
    key: TimerKey,
}

impl Timer for StageTimer {
    fn cancel(&self) {
        if let Some(stage) = self.stage.upgrade() {
            let callback = stage.timers.borrow_mut().remove(&self.key);
            // Dropped outside the borrow: it may own anything.
            drop(callback);
        }
    }
}

impl Host for StageRef {
    fn with_read_buffer<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R {
        read(&mut self.0.read_buffer.borrow_mut())
    }

    fn tray(&self) -> Option<&Rc<Tray>> {
        Some(&self.0.tray)
    }

    fn take_queue(&self) -> Box<WriteQueue> {
        Box::default()
    }

    fn put_queue(&self, queue: Box<WriteQueue>) {
        drop(queue);
    }

    fn take_inbox(&self) -> Rc<Inbox> {
        Rc::new(Inbox::with_capacity(INBOX))
    }

    fn put_inbox(&self, inbox: Rc<Inbox>) {
        drop(inbox);
    }

    fn take_outbox(&self) -> Box<Outbox> {
        Box::default()
    }

    fn put_outbox(&self, outbox: Box<Outbox>) {
        drop(outbox);
    }

    fn callback_returned(&self, _: TransportId, _: &'static str) {}

    fn count(&self, _: Traffic) {}
}

/// Two protocols and the link between them.
pub struct Pair<P: IntoProtocol, Q: IntoProtocol> {
    /// The first end: its transport and its protocol.
    pub first: (TransportRef, P::Shared),
    /// The second end.
    pub second: (TransportRef, Q::Shared),
    /// What lies between them.
    pub link: LinkRef,
}

impl<P: IntoProtocol, Q: IntoProtocol> fmt::Debug for Pair<P, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("first", &self.first.0)
            .field("second", &self.second.0)
            .finish_non_exhaustive()
    }
}

/// Two datagram protocols and the post between them.
pub struct DatagramPair<P: IntoDatagramProtocol, Q: IntoDatagramProtocol> {
    /// The first endpoint: its transport and its protocol.
    pub first: (DatagramTransportRef, P::Shared),
    /// The second endpoint.
    pub second: (DatagramTransportRef, Q::Shared),
    /// What each of them meets.
    pub posts: [PostRef; 2],
}

impl<P: IntoDatagramProtocol, Q: IntoDatagramProtocol> fmt::Debug for DatagramPair<P, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramPair")
            .field("first", &self.first.0)
            .field("second", &self.second.0)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod one_way;
#[cfg(test)]
mod tests;
