//! Transports in memory: the way to test a protocol without I/O and without waiting.
//!
//! A [`Stage`] is an event loop without descriptors, under a [`ManualClock`].
//! On it stand either two protocols joined by a [`pair`](Stage::pair), or one protocol and a [`Wire`], the raw other
//! end that a test holds in its hand: it can trickle bytes, refuse them, end, or reset at any chosen point.
//! The stream driver and its state machine are those of the real transports.
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

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::address::UnixAddress;
use crate::buffer::WriteQueue;
use crate::driver::{Host, IoAccess, Readiness, StreamDriver, StreamIo, StreamOptions, Traffic};
use crate::extra::{LocalAddr, PeerAddr, Request};
use crate::guard::{self, FaultReport};
use crate::handle::TransportRef;
use crate::schedule::{Clock, Scheduler, Settle, Timer};
use crate::shared::IntoProtocol;
use crate::stream::Interest;
use crate::transport::TransportId;

/// How many bytes one direction holds unless a test says otherwise: about what a socket does.
const CAPACITY: usize = 64 * 1024;

/// A stage that is still busy after this many turns is taken to be caught in a circle.
const TURNS: usize = 100_000;

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
    enlisted: RefCell<Vec<Rc<dyn Settle>>>,
    actors: RefCell<Vec<Rc<dyn Actor>>>,
    read_buffer: Cell<Box<[u8]>>,
    faults: RefCell<Vec<FaultReport>>,
    contain: Cell<bool>,
    panicked: RefCell<Option<Box<dyn Any + Send>>>,
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

type MemoryDriver = StreamDriver<MemoryIo, StageRef>;

impl Actor for MemoryDriver {
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
                read_buffer: Cell::new(vec![0; CAPACITY].into()),
                faults: RefCell::default(),
                contain: Cell::new(false),
                panicked: RefCell::default(),
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

    fn enter<P: IntoProtocol>(
        &self,
        protocol: P,
        link: &Rc<RefCell<Link>>,
        side: usize,
        options: &StreamOptions,
    ) -> (TransportRef, P::Shared) {
        let (shared, protocol) = protocol.share();
        let io =
            MemoryIo { link: Rc::clone(link), side, interest: Interest::default(), noticed: false };
        let id = TransportId::new(self.shared.number());
        let driver =
            StreamDriver::new(io, self.shared.clone(), id, protocol, Rc::new(options.clone()));
        let transport = driver.handle();
        self.shared.0.actors.borrow_mut().push(Rc::clone(&driver) as Rc<dyn Actor>);
        self.shared.call_soon(Box::new(move || drop(driver.begin())));
        (transport, shared)
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

    /// Settles what was enlisted; what that enlists in its turn waits for the next.
    fn settle(&self) -> bool {
        let items = self.0.enlisted.take();
        let any = !items.is_empty();
        for item in items {
            item.settle();
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
            self.0.enlisted.borrow_mut().push(item);
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
    fn take_read_buffer(&self) -> Box<[u8]> {
        self.0.read_buffer.take()
    }

    fn put_read_buffer(&self, buffer: Box<[u8]>) {
        self.0.read_buffer.set(buffer);
    }

    fn take_queue(&self) -> Box<WriteQueue> {
        Box::default()
    }

    fn put_queue(&self, queue: Box<WriteQueue>) {
        drop(queue);
    }

    fn callback_returned(&self, _: TransportId, _: &'static str) {}

    fn report(&self, mut report: FaultReport) {
        if self.0.contain.get() {
            self.0.faults.borrow_mut().push(report);
        } else {
            let fault = report.fault.to_string();
            let payload = report.payload.take().unwrap_or_else(|| Box::new(fault));
            self.0.panicked.borrow_mut().get_or_insert(payload);
        }
    }

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

/// The link between two ends, to be made worse than a real one.
#[derive(Clone)]
pub struct LinkRef(Rc<RefCell<Link>>);

impl LinkRef {
    /// No read gives more than `bytes`; zero lets none through until it is raised again.
    pub fn limit_reads(&self, bytes: usize) {
        self.each_lane(|lane| lane.max_read = bytes);
    }

    /// No write takes more than `bytes`; zero refuses all until it is raised again.
    pub fn limit_writes(&self, bytes: usize) {
        self.each_lane(|lane| lane.max_write = bytes);
    }

    /// Each direction holds `bytes` at most.
    pub fn set_capacity(&self, bytes: usize) {
        self.each_lane(|lane| lane.capacity = bytes);
    }

    /// Breaks the link: after what is on its way, both ends meet a reset.
    pub fn reset(&self) {
        self.each_lane(|lane| lane.reset = true);
    }

    fn each_lane(&self, change: impl FnMut(&mut Lane)) {
        self.0.borrow_mut().lanes.iter_mut().for_each(change);
    }
}

impl fmt::Debug for LinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRef").finish_non_exhaustive()
    }
}

/// The raw other end of a protocol's stream, in the hand of a test.
#[derive(Debug)]
pub struct Wire {
    link: LinkRef,
}

/// How the stream looks from the wire, after the bytes that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// More may come.
    Open,
    /// The transport has ended its direction.
    Eof,
    /// The transport was closed with bytes of ours unread.
    Reset,
}

impl Wire {
    /// Sends `bytes` to the protocol, past any capacity.
    pub fn send(&self, bytes: &[u8]) {
        self.link.0.borrow_mut().lanes[1].bytes.extend(bytes);
    }

    /// Takes what the protocol has sent so far.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.link.0.borrow_mut().lanes[0].bytes.drain(..).collect()
    }

    /// How many bytes the protocol has sent and nobody has taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.0.borrow().lanes[0].bytes.len()
    }

    /// How the stream looks after what [`take`](Self::take) gives.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let link = self.link.0.borrow();
        match &link.lanes[0] {
            Lane { reset: true, .. } => Seen::Reset,
            Lane { ended: true, .. } => Seen::Eof,
            _ => Seen::Open,
        }
    }

    /// Ends our direction.
    pub fn shutdown(&self) {
        self.link.0.borrow_mut().lanes[1].ended = true;
    }

    /// Closes both directions; with bytes unread the protocol meets a reset, as with a socket.
    pub fn close(&self) {
        self.link.0.borrow_mut().close(1);
    }

    /// Resets the connection; the protocol still gets what was sent before.
    pub fn reset(&self) {
        let mut link = self.link.0.borrow_mut();
        link.lanes[1].reset = true;
        link.closed[1] = true;
    }

    /// No read of the protocol's transport gives more than `bytes`. See [`LinkRef::limit_reads`].
    pub fn limit_reads(&self, bytes: usize) {
        self.link.limit_reads(bytes);
    }

    /// No write of the protocol's transport takes more than `bytes`. See [`LinkRef::limit_writes`].
    pub fn limit_writes(&self, bytes: usize) {
        self.link.limit_writes(bytes);
    }

    /// The stream holds `bytes` at most before writes would block.
    pub fn set_capacity(&self, bytes: usize) {
        self.link.set_capacity(bytes);
    }
}

/// Two lanes, one for each direction: lane 0 carries what side 0 writes.
struct Link {
    lanes: [Lane; 2],
    closed: [bool; 2],
}

struct Lane {
    bytes: VecDeque<u8>,
    capacity: usize,
    max_read: usize,
    max_write: usize,
    ended: bool,
    reset: bool,
}

impl Link {
    fn new() -> Rc<RefCell<Self>> {
        let lane = || Lane {
            bytes: VecDeque::new(),
            capacity: CAPACITY,
            max_read: usize::MAX,
            max_write: usize::MAX,
            ended: false,
            reset: false,
        };
        Rc::new(RefCell::new(Self { lanes: [lane(), lane()], closed: [false; 2] }))
    }

    fn close(&mut self, side: usize) {
        if !self.lanes[1 - side].bytes.is_empty() {
            self.lanes[side].reset = true;
        }
        self.lanes[side].ended = true;
        self.closed[side] = true;
    }
}

/// One end of a link, as a stream driver moves bytes over it.
struct MemoryIo {
    link: Rc<RefCell<Link>>,
    side: usize,
    interest: Interest,
    /// Whether the one notice of a broken link that comes without any interest has been given.
    noticed: bool,
}

impl MemoryIo {
    fn readiness(&mut self) -> Readiness {
        let link = self.link.borrow();
        let inbound = &link.lanes[1 - self.side];
        let outbound = &link.lanes[self.side];
        let broken = link.closed[1 - self.side] || inbound.reset;
        let readable = match inbound.bytes.len() {
            0 => inbound.ended || inbound.reset,
            _ => inbound.max_read > 0,
        };
        let writable =
            (outbound.bytes.len() < outbound.capacity && outbound.max_write > 0) || broken;
        if self.interest == Interest::default() && inbound.reset && !self.noticed {
            // As a poller does for a descriptor that is polled for nothing.
            self.noticed = true;
            return Readiness { read: true, write: false };
        }
        Readiness { read: self.interest.read && readable, write: self.interest.write && writable }
    }
}

impl StreamIo for MemoryIo {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut link = self.link.borrow_mut();
        let lane = &mut link.lanes[1 - self.side];
        if !lane.bytes.is_empty() {
            let count = buffer.len().min(lane.bytes.len()).min(lane.max_read);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            for (slot, byte) in buffer.iter_mut().zip(lane.bytes.drain(..count)) {
                *slot = byte;
            }
            return Ok(count);
        }
        match lane {
            Lane { reset: true, .. } => Err(ErrorKind::ConnectionReset.into()),
            Lane { ended: true, .. } => Ok(0),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut link = self.link.borrow_mut();
        if link.lanes[1 - self.side].reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if link.closed[1 - self.side] {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let lane = &mut link.lanes[self.side];
        let room = lane.capacity.saturating_sub(lane.bytes.len());
        let count = bytes.len().min(room).min(lane.max_write);
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        lane.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut total = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.write(slice) {
                Ok(count) => {
                    total += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut link = self.link.borrow_mut();
        if link.lanes[1 - self.side].reset {
            return Err(ErrorKind::NotConnected.into());
        }
        link.lanes[self.side].ended = true;
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        let link = self.link.borrow();
        Ok(link.lanes[1 - self.side].reset.then(|| ErrorKind::ConnectionReset.into()))
    }

    fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.interest = interest;
        self.noticed = false;
        Ok(())
    }

    fn close(&mut self, _keep_facts: bool) {
        self.interest = Interest::default();
        self.link.borrow_mut().close(self.side);
    }

    fn provide(&self, request: &mut Request<'_>, _: &dyn Fn() -> Rc<dyn IoAccess<Self>>) {
        request
            .provide(|| LocalAddr(UnixAddress::Unnamed.into()))
            .provide(|| PeerAddr(UnixAddress::Unnamed.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flow, KeepOpen, Limits, Lost, Protocol};

    #[derive(Default)]
    struct Log {
        lines: Vec<String>,
        keep_open: KeepOpen,
        echo: bool,
    }

    impl Protocol for Log {
        fn connection_made(&mut self, _: &TransportRef) {
            self.lines.push("made".into());
        }
        fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
            self.lines.push(format!("data {}", data.escape_ascii()));
            if self.echo {
                transport.write(data);
            }
        }
        fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
            self.lines.push("eof".into());
            self.keep_open
        }
        fn pause_writing(&mut self, _: &TransportRef) {
            self.lines.push("pause".into());
        }
        fn resume_writing(&mut self, _: &TransportRef) {
            self.lines.push("resume".into());
        }
        fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
            self.lines.push(format!("lost {why}"));
        }
    }

    #[test]
    fn a_conversation_in_order() {
        let stage = Stage::new();
        let (_, log, wire) = stage.wire(Log { echo: true, ..Log::default() });
        assert!(log.borrow().lines.is_empty(), "nothing is told before the first turn");
        wire.limit_reads(2);
        wire.send(b"abc");
        wire.shutdown();
        stage.run();
        assert_eq!(
            log.borrow().lines,
            ["made", "data ab", "data c", "eof", "lost ended by the peer"]
        );
        assert_eq!((wire.take(), wire.seen()), (b"abc".to_vec(), Seen::Eof));
        assert_eq!(stage.connections(), 0);
    }

    #[test]
    fn bytes_before_a_reset_are_delivered_first() {
        let stage = Stage::new();
        let (_, log, wire) = stage.wire(Log::default());
        wire.send(b"data");
        wire.reset();
        stage.run();
        assert_eq!(log.borrow().lines, ["made", "data data", "lost connection reset"]);
    }

    #[test]
    fn a_full_stream_pauses_and_a_drained_one_resumes() {
        let stage = Stage::new();
        let (transport, log, wire) = stage.wire(Log::default());
        stage.run();
        wire.set_capacity(10);
        transport.set_write_buffer_limits(Limits::high(4));
        assert_eq!(transport.write(&[7; 20]), Flow::Full);
        stage.run();
        assert_eq!(transport.write_buffer_len(), 10);
        assert_eq!(wire.take().len(), 10);
        stage.run();
        assert_eq!(log.borrow().lines, ["made", "pause", "resume"]);
        transport.close();
        stage.run();
        assert_eq!(wire.take().len(), 10);
        assert_eq!(wire.seen(), Seen::Eof);
    }

    /// A relay waits for `resume_writing` once it was answered `Full`, even if the system had room again before anybody
    /// was told.
    #[test]
    fn a_write_that_was_answered_full_is_followed_by_resume() {
        struct Relay(TransportRef);
        impl Protocol for Relay {
            fn data_received(&mut self, from: &TransportRef, data: &[u8]) {
                assert_eq!(self.0.write(data), Flow::Full);
                from.pause_reading();
            }
        }
        let stage = Stage::new();
        let (upstream, log, upstream_wire) = stage.wire(Log::default());
        stage.run();
        let (_, _, wire) = stage.wire(Relay(upstream.clone()));
        stage.run();
        // Blocked below the high mark, and room again in the turn in which the relay fills it.
        upstream_wire.set_capacity(0);
        upstream.write(&[1; 60_000]);
        stage.run();
        upstream_wire.set_capacity(1_000_000);
        upstream_wire.limit_writes(0);
        wire.send(&[2; 10_000]);
        let actors = stage.shared.0.actors.borrow().clone();
        actors[1].clone().act();
        upstream_wire.limit_writes(usize::MAX);
        actors[0].clone().act();
        stage.run();
        assert_eq!(log.borrow().lines, ["made", "pause", "resume"]);
    }

    #[test]
    fn a_close_without_progress_times_out() {
        let stage = Stage::new();
        let (transport, log, wire) = stage.wire(Log::default());
        wire.limit_writes(0);
        stage.run();
        transport.write(b"never");
        transport.close();
        stage.run();
        stage.advance(Duration::from_secs(29));
        assert_eq!(log.borrow().lines, ["made"]);
        stage.advance(Duration::from_secs(1));
        assert_eq!(log.borrow().lines, ["made", "lost timed out"]);
    }

    #[test]
    fn dropping_the_stage_tells_everybody() {
        let stage = Stage::new();
        let pair = stage.pair(Log::default(), Log::default());
        stage.run();
        let logs = [pair.first.1, pair.second.1];
        drop(stage);
        for log in logs {
            assert_eq!(log.borrow().lines.last().map(String::as_str), Some("lost aborted by us"));
        }
    }

    #[test]
    fn a_panic_comes_out_of_the_turn_unless_it_is_contained() {
        struct Clumsy;
        impl Protocol for Clumsy {
            fn data_received(&mut self, _: &TransportRef, _: &[u8]) {
                panic!("clumsy");
            }
        }
        let stage = Stage::new();
        let (_, _, wire) = stage.wire(Clumsy);
        wire.send(b"x");
        let panic =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.run())).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"clumsy"));

        stage.contain_faults();
        let (transport, _, wire) = stage.wire(Clumsy);
        wire.send(b"x");
        stage.run();
        assert!(transport.is_closing());
        let faults = stage.take_faults();
        assert_eq!((faults.len(), faults[0].transport), (1, Some(transport.id())));
    }
}
