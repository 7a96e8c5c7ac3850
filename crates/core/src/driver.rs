//! [`StreamDriver`]: the one implementation of a byte-stream transport.
//!
//! It moves bytes between a [`StreamIo`] and a protocol and has no decisions of its own: those are
//! [`StreamState`]'s.
//! A socket on the reactor and a pipe in memory are driven by this same code, so what is tested in memory is what runs.
//!
//! Every entry ends in [`settle`](StreamDriver::settle): flush what can be flushed, tell what is untold, one thing at a
//! time, until nothing is left; then make the poll interest agree.
//! No part of the driver is borrowed while a callback runs (rule T3).

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::{MAX_SLICES, WriteQueue};
use crate::extra::Request;
use crate::flow::{Flow, Limits};
use crate::guard::{self, Caught, FaultReport};
use crate::handle::TransportRef;
use crate::lost::{Fault, Lost};
use crate::protocol::KeepOpen;
use crate::schedule::{Scheduler, Settle, Timer};
use crate::shared::{Reception, StreamProtocol};
use crate::stream::{Interest, Notice, Phase, StreamState};
use crate::transport::{BaseTransport, ReadTransport, Transport, TransportId, WriteTransport};

/// From this size on a chunk goes straight to the system when nothing is queued before it: the copy that gathering
/// costs outweighs the system call that it saves.
const DIRECT: usize = 16 * 1024;

/// How much an outflow may send in one go before other connections get their turn.
const OUTFLOW_BUDGET: usize = 1024 * 1024;

/// What a stream driver moves bytes over.
///
/// Nothing here blocks: what cannot be done now answers [`ErrorKind::WouldBlock`].
pub trait StreamIo: Sized + 'static {
    /// Reads into `buffer`; zero is the peer's end.
    ///
    /// # Errors
    /// The system's.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `bytes`.
    ///
    /// # Errors
    /// The system's. A peer that is gone is an error and never a signal.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes from several slices.
    ///
    /// # Errors
    /// The system's.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts our direction down.
    ///
    /// # Errors
    /// The system's.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// The error that waits on the descriptor, if one does.
    ///
    /// # Errors
    /// When it cannot be asked for.
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;

    /// Polls for exactly this from now on. Called only when the interest has changed.
    ///
    /// # Errors
    /// When the poller refuses the descriptor.
    fn set_interest(&mut self, interest: Interest) -> io::Result<()>;

    /// Stops polling and closes. With `keep_facts` somebody may still ask for addresses.
    fn close(&mut self, keep_facts: bool);

    /// Answers a question for a fact.
    fn provide(&self, request: &mut Request<'_>, access: &dyn Fn() -> Rc<dyn IoAccess<Self>>);
}

/// A way back to the I/O object of a live driver, for facts that are views of it.
pub trait IoAccess<I> {
    /// Lends the I/O object to `view`, unless it has been closed.
    fn with_io(&self, view: &mut dyn FnMut(&mut I));

    /// Sends `outflow` after everything that is queued and before everything that is written later.
    ///
    /// # Errors
    /// When the stream does not take writes any more, or another outflow is under way; the outflow comes back.
    fn send_outflow(&self, outflow: Box<dyn Outflow<I>>) -> Result<(), Box<dyn Outflow<I>>>;

    /// Takes the outflow that is under way out of the stream, if there is one.
    fn cancel_outflow(&self);
}

/// Bytes that go from elsewhere straight to the I/O object, in their place between queued writes: a file, for example.
pub trait Outflow<I> {
    /// Sends some, no more than `budget` bytes; zero when all has been sent.
    ///
    /// # Errors
    /// `WouldBlock` when the system takes no more for now. Any other error ends the connection.
    fn send(&mut self, io: &mut I, budget: usize) -> io::Result<usize>;

    /// It is over: all sent, an error of the connection, or the connection ended before. Must not call user code.
    fn finish(self: Box<Self>, result: io::Result<()>);
}

/// What a stream driver needs of the loop it lives on.
pub trait Host: Scheduler + Clone {
    /// Takes the loop's read buffer for the time of one read and its callback.
    fn take_read_buffer(&self) -> Box<[u8]>;

    /// Gives it back.
    fn put_read_buffer(&self, buffer: Box<[u8]>);

    /// Borrows a write queue; it is empty.
    fn take_queue(&self) -> Box<WriteQueue>;

    /// Gives it back, empty.
    fn put_queue(&self, queue: Box<WriteQueue>);

    /// A callback of `transport` has returned: the moment to see whether it was slow.
    fn callback_returned(&self, transport: TransportId, callback: &'static str);

    /// User code failed.
    fn report(&self, report: FaultReport);

    /// Bytes have moved, or a connection was lost: for the loop's counters.
    fn count(&self, traffic: Traffic);
}

/// What the counters of a loop are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Bytes were read.
    Read(usize),
    /// Bytes were written.
    Written(usize),
    /// A connection was lost, for the cause with this [`Lost::index`].
    Lost(usize),
}

/// Who wants to know that a connection is over: the server it belongs to.
pub trait Owner {
    /// The connection was lost, and its descriptor is closed.
    fn connection_lost(&self, transport: TransportId, why: &Lost);
}

/// The settings of a stream; a server shares one set among its connections.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The limits of the write buffer.
    pub limits: Limits,
    /// How long a close may go without progress before it becomes an abort (rule T13); `None` waits for ever.
    pub close_timeout: Option<Duration>,
    /// How many bytes are read from one connection before others get their turn (rule T12).
    pub read_budget: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            // Long enough for a peer that lost its network for a moment, short enough that a stalled one does not hold
            // a server's shutdown for minutes.
            close_timeout: Some(Duration::from_secs(30)),
            // The size of asyncio's largest read.
            read_budget: 256 * 1024,
        }
    }
}

/// What is ready on an I/O object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Reading would not block; an error or a hang-up counts.
    pub read: bool,
    /// Writing would not block; an error or a hang-up counts.
    pub write: bool,
}

/// A byte stream: an I/O object, its state, and its protocol.
pub struct StreamDriver<I: StreamIo, H: Host> {
    inner: RefCell<Inner<I>>,
    protocol: RefCell<Option<StreamProtocol>>,
    owner: RefCell<Option<Rc<dyn Owner>>>,
    host: H,
    id: TransportId,
    me: Weak<Self>,
    /// Whether a callback of this protocol, or the settling after it, is running.
    busy: Cell<bool>,
    /// Whether the loop will settle this before the turn ends.
    enlisted: Cell<bool>,
}

struct Inner<I> {
    io: I,
    state: StreamState,
    queue: Option<Box<WriteQueue>>,
    options: Rc<StreamOptions>,
    /// What was registered last.
    interest: Interest,
    /// Changes whenever the system takes something.
    progress: u32,
    rare: Option<Box<Rare<I>>>,
}

/// What few connections have at any moment.
struct Rare<I> {
    /// Bytes that a protocol switch handed over, to be delivered before anything else.
    leftover: Bytes,
    /// What is being sent from elsewhere, and how many queued bytes go out before it.
    outflow: Option<(Box<dyn Outflow<I>>, usize)>,
    /// The deadline of a draining close, and `progress` when it was set.
    drain: Option<(Box<dyn Timer>, u32)>,
}

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Self { leftover: Bytes::new(), outflow: None, drain: None }
    }
}

impl<I> Inner<I> {
    fn rare(&mut self) -> &mut Rare<I> {
        self.rare.get_or_insert_default()
    }

    fn has_leftover(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.leftover.is_empty())
    }

    /// Whether to read: nothing that was read before is waiting.
    #[inline]
    fn may_receive(&self) -> bool {
        self.state.may_read() && !self.has_leftover()
    }
}

/// What settling does next.
enum Step {
    Tell(Notice),
    Deliver(Bytes),
    Rest,
}

impl<I: StreamIo, H: Host> StreamDriver<I, H> {
    /// A driver that nobody has told anything yet. [`begin`](Self::begin) starts it.
    pub fn new(
        io: I,
        host: H,
        id: TransportId,
        protocol: StreamProtocol,
        options: Rc<StreamOptions>,
        owner: Option<Rc<dyn Owner>>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            inner: RefCell::new(Inner {
                io,
                state: StreamState::new(),
                queue: None,
                options,
                interest: Interest::default(),
                progress: 0,
                rare: None,
            }),
            protocol: RefCell::new(Some(protocol)),
            owner: RefCell::new(owner),
            host,
            id,
            me: me.clone(),
            busy: Cell::new(false),
            enlisted: Cell::new(false),
        })
    }

    /// A handle on the transport.
    #[must_use]
    pub fn handle(self: &Rc<Self>) -> TransportRef {
        TransportRef::new(Rc::clone(self) as Rc<dyn Transport>)
    }

    /// A handle on the transport, for one who has no `Rc` of it; `None` while the last one is being dropped.
    #[must_use]
    pub fn transport(&self) -> Option<TransportRef> {
        self.me.upgrade().map(|me| me.handle())
    }

    /// Tells `connection_made` and starts reading. Called by the loop, never from a user's call.
    ///
    /// # Errors
    /// When `connection_made` panicked; the connection is lost by then.
    pub fn begin(self: &Rc<Self>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        if self.inner.borrow().state.untold() == Some(Notice::Made) {
            outcome = self.tell(Notice::Made);
        }
        self.settle_now();
        outcome
    }

    /// Takes back a stream that has not begun: closes it, and nobody is told anything. Says whether it could.
    pub fn abandon(&self) -> bool {
        let protocol = {
            let mut inner = self.inner.borrow_mut();
            if inner.state.untold() != Some(Notice::Made) {
                return false;
            }
            inner.state.abandon();
            inner.io.close(false);
            self.protocol.take()
        };
        drop_guarded(protocol, &self.host);
        if let Some(owner) = self.owner.take() {
            owner.connection_lost(self.id, &Lost::Aborted);
        }
        true
    }

    /// Whether the connection is over and the protocol knows.
    pub fn is_lost(&self) -> bool {
        self.inner.borrow().state.phase() == Phase::Lost
    }

    /// Who owns the connection, by identity.
    pub fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool {
        let mine = self.owner.borrow();
        mine.as_ref().is_some_and(|mine| std::ptr::addr_eq(Rc::as_ptr(mine), Rc::as_ptr(owner)))
    }

    /// The I/O object is ready.
    #[inline]
    pub fn ready(self: &Rc<Self>, readiness: Readiness) {
        if readiness.write {
            self.inner.borrow_mut().state.writable();
        }
        if readiness.read {
            self.receive();
        }
        self.settle_now();
    }

    /// Ends the connection at once and tells so before returning: the loop is going away.
    pub fn shut(self: &Rc<Self>) {
        if self.abandon() {
            return;
        }
        self.inner.borrow_mut().state.fail(Lost::Aborted);
        self.settle_now();
    }

    // ---- reading ----

    /// Reads once, and again as long as the buffer was filled and the budget lasts.
    #[inline]
    fn receive(self: &Rc<Self>) {
        let mut total = 0;
        while let Some(protocol) = self.reader(total) {
            let (count, filled) = match protocol.reception() {
                Reception::Plain => self.receive_plain(&protocol),
                Reception::Buffered => self.receive_buffered(&protocol),
            };
            if !filled {
                return;
            }
            total += count;
        }
        if total == 0 {
            self.look_for_error();
        }
    }

    /// Who is to be given more, after `total` bytes in this turn.
    #[inline]
    fn reader(&self, total: usize) -> Option<StreamProtocol> {
        let inner = self.inner.borrow();
        if inner.may_receive() && total < inner.options.read_budget {
            return self.protocol.borrow().clone();
        }
        None
    }

    /// Where nothing is read because the peer's end was kept open, a readable descriptor means an error.
    #[cold]
    fn look_for_error(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.state.watches_errors_only() {
            if let Ok(Some(error)) = inner.io.take_error() {
                inner.state.fail(Lost::Io(error));
            }
        }
    }

    #[inline]
    fn receive_plain(self: &Rc<Self>, protocol: &StreamProtocol) -> (usize, bool) {
        let mut buffer = self.host.take_read_buffer();
        let count = {
            let mut inner = self.inner.borrow_mut();
            let outcome = inner.io.read(&mut buffer);
            self.note_read(&mut inner, outcome)
        };
        if count > 0 {
            // What a fault changes, the state knows.
            let _ = self.call(protocol, "data_received", |transport| {
                protocol.data_received(transport, &buffer[..count]);
            });
        }
        let filled = count == buffer.len();
        self.host.put_read_buffer(buffer);
        (count, filled)
    }

    fn receive_buffered(self: &Rc<Self>, protocol: &StreamProtocol) -> (usize, bool) {
        let mut count = 0;
        let mut room = 0;
        let called = self.call(protocol, "get_buffer", |_| {
            protocol.get_buffer(None, &mut |buffer| {
                room = buffer.len();
                if room > 0 {
                    let mut inner = self.inner.borrow_mut();
                    // What `get_buffer` did to the transport by a handle of its own counts already.
                    if inner.state.may_read() {
                        let outcome = inner.io.read(buffer);
                        count = self.note_read(&mut inner, outcome);
                    }
                }
            });
        });
        if called.is_ok() && room == 0 {
            self.refuse_empty_buffer(protocol);
        }
        if count > 0 {
            let _ = self.call(protocol, "buffer_updated", |transport| {
                protocol.buffer_updated(transport, count)
            });
        }
        (count, count > 0 && count == room)
    }

    /// Tells the state what a read met; says how many bytes came.
    #[inline]
    fn note_read(&self, inner: &mut Inner<I>, outcome: io::Result<usize>) -> usize {
        match outcome {
            Ok(0) => inner.state.eof(),
            Ok(count) => {
                self.host.count(Traffic::Read(count));
                return count;
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => inner.state.fail(Lost::Io(error)),
        }
        0
    }

    #[cold]
    fn refuse_empty_buffer(&self, protocol: &StreamProtocol) {
        let fault = Fault::new("get_buffer", "the buffer is empty");
        self.host.report(
            FaultReport::broken_rule(fault.clone()).concerning(self.id, protocol.type_name()),
        );
        self.inner.borrow_mut().state.fail(Lost::Fault(fault));
    }

    // ---- settling ----

    /// Flushes what can be flushed and tells what is untold, until nothing is left.
    #[inline]
    fn settle_now(self: &Rc<Self>) {
        if self.busy.get() {
            return;
        }
        loop {
            match self.next_step() {
                // A fault has been reported, and the state knows of it.
                Step::Tell(notice) => {
                    let _ = self.tell(notice);
                }
                Step::Deliver(bytes) => self.deliver(&bytes),
                Step::Rest => return,
            }
        }
    }

    #[inline]
    fn next_step(self: &Rc<Self>) -> Step {
        let mut inner = self.inner.borrow_mut();
        inner.flush(&self.host);
        if inner.state.phase() == Phase::Lost {
            return Step::Rest;
        }
        let untold = inner.state.untold();
        // What was handed over was read before the peer's end.
        if matches!(untold, None | Some(Notice::Eof))
            && inner.has_leftover()
            && inner.state.may_deliver()
        {
            return Step::Deliver(std::mem::take(&mut inner.rare().leftover));
        }
        if let Some(notice) = untold {
            return Step::Tell(notice);
        }
        if inner.update_interest().is_err() {
            return inner.state.untold().map_or(Step::Rest, Step::Tell);
        }
        if inner.state.is_draining() {
            self.watch_drain(&mut inner);
        }
        Step::Rest
    }

    fn tell(self: &Rc<Self>, notice: Notice) -> Result<(), Fault> {
        if notice == Notice::Lost {
            self.end();
            return Ok(());
        }
        self.inner.borrow_mut().state.told(notice);
        let Some(protocol) = self.protocol.borrow().clone() else { return Ok(()) };
        match notice {
            Notice::Made => self.call(&protocol, "connection_made", |transport| {
                protocol.connection_made(transport)
            }),
            Notice::PauseWriting => {
                self.call(&protocol, "pause_writing", |transport| protocol.pause_writing(transport))
            }
            Notice::ResumeWriting => self
                .call(&protocol, "resume_writing", |transport| protocol.resume_writing(transport)),
            Notice::Eof => {
                let mut answer = KeepOpen::No;
                let told = self.call(&protocol, "eof_received", |transport| {
                    answer = protocol.eof_received(transport)
                });
                self.inner.borrow_mut().state.eof_answered(answer);
                told
            }
            Notice::Lost => Ok(()),
        }
    }

    /// Delivers bytes that a protocol switch handed over.
    fn deliver(self: &Rc<Self>, bytes: &Bytes) {
        let Some(protocol) = self.protocol.borrow().clone() else { return };
        let name = match protocol.reception() {
            Reception::Plain => "data_received",
            Reception::Buffered => "buffer_updated",
        };
        let mut taken = 0;
        let called =
            self.call(&protocol, name, |transport| taken = protocol.feed(transport, bytes));
        if called.is_ok() && taken == 0 {
            self.refuse_empty_buffer(&protocol);
        }
        if taken < bytes.len() {
            // A switch within the call put its own leftover first; what this protocol did not take comes after it.
            let mut inner = self.inner.borrow_mut();
            let newer = std::mem::take(&mut inner.rare().leftover);
            let rest = bytes.slice(taken..);
            inner.rare().leftover =
                if newer.is_empty() { rest } else { Bytes::from([&newer[..], &rest[..]].concat()) };
        }
    }

    /// Tells the loss, lets go of the protocol, and closes.
    fn end(self: &Rc<Self>) {
        let (why, rare) = {
            let mut inner = self.inner.borrow_mut();
            inner.state.told(Notice::Lost);
            (inner.state.take_cause(), inner.rare.take())
        };
        if let Some(rare) = rare {
            if let Some((timer, _)) = rare.drain {
                timer.cancel();
            }
            if let Some((outflow, _)) = rare.outflow {
                outflow.finish(Err(ErrorKind::ConnectionAborted.into()));
            }
        }
        let protocol = self.protocol.borrow().clone();
        if let Some(protocol) = protocol {
            // The state is at its end, so whatever the callback does, and a panic too, changes nothing any more.
            let _ = self.call(&protocol, "connection_lost", |transport| {
                protocol.connection_lost(transport, &why)
            });
        }
        let protocol = self.protocol.take();
        {
            let mut inner = self.inner.borrow_mut();
            inner.return_queue(&self.host);
            // The loop's reference and the caller's; any more are users' handles.
            inner.io.close(Rc::strong_count(self) > 2);
        }
        self.host.count(Traffic::Lost(why.index()));
        if let Some(owner) = self.owner.take() {
            owner.connection_lost(self.id, &why);
        }
        // Last, because dropping it may run user code.
        drop_guarded(protocol, &self.host);
    }

    /// Calls the protocol: not nested, not while it is borrowed, with nothing of ours held, and with panics caught.
    #[inline]
    fn call(
        self: &Rc<Self>,
        protocol: &StreamProtocol,
        name: &'static str,
        callback: impl FnOnce(&TransportRef),
    ) -> Result<(), Fault> {
        protocol.assert_free();
        let transport = self.handle();
        self.busy.set(true);
        let outcome = guard::call(name, || callback(&transport));
        self.busy.set(false);
        self.host.callback_returned(self.id, name);
        match outcome {
            Ok(()) => Ok(()),
            Err(caught) => Err(self.note_fault(protocol, caught)),
        }
    }

    #[cold]
    fn note_fault(&self, protocol: &StreamProtocol, caught: Caught) -> Fault {
        let fault = caught.fault.clone();
        self.inner.borrow_mut().state.fail(Lost::Fault(fault.clone()));
        self.host.report(FaultReport::caught(caught).concerning(self.id, protocol.type_name()));
        fault
    }

    /// Settles after a call from the user: at once when the callback it came from is our own, else before the turn
    /// ends.
    #[inline]
    fn settle_soon(&self) {
        if !self.busy.get() && !self.enlisted.replace(true) {
            if let Some(me) = self.me.upgrade() {
                self.host.enlist(me);
            }
        }
    }

    // ---- the end of a close that makes no progress ----

    fn watch_drain(self: &Rc<Self>, inner: &mut Inner<I>) {
        let Some(timeout) = inner.options.close_timeout else { return };
        if inner.rare().drain.is_some() {
            return;
        }
        let me = self.me.clone();
        let timer = self.host.call_later(
            timeout,
            Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.drain_timed_out();
                }
            }),
        );
        let progress = inner.progress;
        inner.rare().drain = Some((timer, progress));
    }

    fn drain_timed_out(self: &Rc<Self>) {
        {
            let mut inner = self.inner.borrow_mut();
            let Some((_, progress)) = inner.rare().drain.take() else { return };
            // Any progress buys another timeout, so a close ends between one and two of them after the last byte.
            if inner.state.is_draining() && inner.progress == progress {
                inner.state.fail(Lost::TimedOut);
            }
        }
        self.settle_now();
    }

    // ---- writing ----

    /// The one path of every write: `push` queues what `direct` could not send at once.
    #[inline]
    fn write_with(
        &self,
        len: usize,
        direct: impl FnOnce(&mut I) -> io::Result<usize>,
        push: impl FnOnce(&mut WriteQueue, usize),
    ) -> Flow {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if !inner.state.admits_write(&inner.options.limits) {
            if inner.state.phase() == Phase::Closed {
                self.settle_soon();
            }
            return Flow::Closed;
        }
        let mut sent = 0;
        if len >= DIRECT && inner.queue.is_none() && inner.may_send_directly() {
            match direct(&mut inner.io) {
                Ok(count) => {
                    sent = count;
                    self.host.count(Traffic::Written(count));
                    if count < len {
                        inner.state.blocked();
                    }
                }
                Err(error) if is_transient(&error) => inner.state.blocked(),
                Err(error) => {
                    inner.state.fail(Lost::Io(error));
                    self.settle_soon();
                    return Flow::Closed;
                }
            }
        }
        if sent < len {
            let queue = inner.queue.get_or_insert_with(|| self.host.take_queue());
            push(queue, sent);
            inner.state.wrote(len - sent, &inner.options.limits);
            if inner.state.flow() == Flow::Full {
                // Full of what was gathered, perhaps, and not of what the system would not take.
                inner.flush(&self.host);
            }
            self.settle_soon();
        }
        inner.state.answer_write()
    }
}

impl<I: StreamIo> Inner<I> {
    fn may_send_directly(&self) -> bool {
        // A stream that waits for the system to take more has something queued; a file in the middle does not show
        // in the queue.
        self.rare.as_ref().is_none_or(|rare| rare.outflow.is_none())
    }

    /// Sends what is queued until the system takes no more, then shuts our direction down if that is wanted.
    #[inline]
    fn flush<H: Host>(&mut self, host: &H) {
        if self.state.may_flush() {
            self.send_all(host);
        }
        if self.state.wants_shutdown() {
            match self.io.shutdown_write() {
                Ok(()) => self.state.shut_down(),
                Err(error) => self.state.fail(Lost::Io(error)),
            }
        }
    }

    #[inline]
    fn send_all<H: Host>(&mut self, host: &H) {
        loop {
            match self.send_some() {
                Ok(count) => host.count(Traffic::Written(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.state.blocked(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.state.fail(Lost::Io(error)),
            }
            if !self.state.may_flush() {
                break;
            }
        }
        if self.state.queued() == 0 {
            self.return_queue(host);
        }
    }

    /// One system call's worth of sending.
    #[inline]
    fn send_some(&mut self) -> io::Result<usize> {
        let ahead = self.rare.as_deref().and_then(|rare| rare.outflow.as_ref()).map(|(_, ahead)| *ahead);
        if ahead == Some(0) {
            return self.send_from_outflow();
        }
        let limit = ahead.unwrap_or(usize::MAX);
        let Some(queue) = self.queue.as_deref_mut() else { return Ok(0) };
        let (wanted, count) = match queue.single() {
            Some(bytes) if bytes.len() <= limit => (bytes.len(), self.io.write(bytes)?),
            _ => send_slices(&mut self.io, queue, limit)?,
        };
        queue.advance(count);
        self.progress = self.progress.wrapping_add(1);
        self.state.sent(count, &self.options.limits);
        if count < wanted {
            // A part was taken, so the next call would block: spare it.
            self.state.blocked();
        }
        if ahead.is_some() {
            if let Some((_, ahead)) = self.rare().outflow.as_mut() {
                *ahead -= count;
            }
        }
        Ok(count)
    }

    #[cold]
    fn send_from_outflow(&mut self) -> io::Result<usize> {
        let Some((outflow, _)) = self.rare.as_mut().and_then(|rare| rare.outflow.as_mut()) else { return Ok(0) };
        let outcome = outflow.send(&mut self.io, OUTFLOW_BUDGET);
        match &outcome {
            Ok(0) => self.end_outflow(Ok(())),
            // There may be more, and the poller will say so at once; others get their turn first.
            Ok(_) => {
                self.progress = self.progress.wrapping_add(1);
                self.state.blocked();
            }
            Err(error) if is_transient(error) => {}
            Err(error) => self.end_outflow(Err(same_error(error))),
        }
        outcome
    }

    fn end_outflow(&mut self, result: io::Result<()>) {
        if let Some((outflow, _)) = self.rare.as_mut().and_then(|rare| rare.outflow.take()) {
            self.state.set_outflow(false);
            outflow.finish(result);
        }
    }

    fn return_queue<H: Host>(&mut self, host: &H) {
        if let Some(mut queue) = self.queue.take() {
            if !queue.is_empty() {
                queue.clear();
            }
            host.put_queue(queue);
        }
    }

    /// Makes what is polled for agree with the state.
    #[inline]
    fn update_interest(&mut self) -> io::Result<()> {
        let wanted = self.state.interest();
        if wanted != self.interest {
            if let Err(error) = self.io.set_interest(wanted) {
                self.state.fail(Lost::Io(error));
                return Err(ErrorKind::Other.into());
            }
            self.interest = wanted;
        }
        Ok(())
    }
}

#[inline]
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends several pieces, or a part of one; says how much there was and how much was taken.
fn send_slices<I: StreamIo>(io: &mut I, queue: &WriteQueue, limit: usize) -> io::Result<(usize, usize)> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = queue.slices(&mut slices, limit);
    let wanted = slices[..filled].iter().map(|slice| slice.len()).sum();
    Ok((wanted, io.write_vectored(&slices[..filled])?))
}

/// The same error once more, for the second of two who want to know.
fn same_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Drops a protocol; what its `drop` does wrong is reported like any other fault.
fn drop_guarded<H: Host>(protocol: Option<StreamProtocol>, host: &H) {
    if let Err(caught) = guard::call("drop", || drop(protocol)) {
        host.report(FaultReport::caught(caught));
    }
}

impl<I: StreamIo, H: Host> Settle for StreamDriver<I, H> {
    fn settle(self: Rc<Self>) {
        self.enlisted.set(false);
        self.settle_now();
    }
}

impl<I: StreamIo, H: Host> IoAccess<I> for StreamDriver<I, H> {
    fn with_io(&self, view: &mut dyn FnMut(&mut I)) {
        let mut inner = self.inner.borrow_mut();
        if inner.state.phase() != Phase::Lost {
            view(&mut inner.io);
        }
    }

    fn send_outflow(&self, outflow: Box<dyn Outflow<I>>) -> Result<(), Box<dyn Outflow<I>>> {
        let mut inner = self.inner.borrow_mut();
        if inner.state.flow() == Flow::Closed || !inner.may_send_directly() {
            return Err(outflow);
        }
        let ahead = inner.state.queued();
        inner.rare().outflow = Some((outflow, ahead));
        inner.state.set_outflow(true);
        self.settle_soon();
        Ok(())
    }

    fn cancel_outflow(&self) {
        let mut inner = self.inner.borrow_mut();
        if let Some((outflow, _)) = inner.rare.as_mut().and_then(|rare| rare.outflow.take()) {
            inner.state.set_outflow(false);
            drop(outflow);
            self.settle_soon();
        }
    }
}

impl<I: StreamIo, H: Host> BaseTransport for StreamDriver<I, H> {
    fn id(&self) -> TransportId {
        self.id
    }

    fn close(&self) {
        self.inner.borrow_mut().state.close();
        self.settle_soon();
    }

    fn abort(&self) {
        self.inner.borrow_mut().state.fail(Lost::Aborted);
        self.settle_soon();
    }

    fn fail(&self, error: Box<dyn Error>) {
        self.inner.borrow_mut().state.fail(Lost::Failed(error));
        self.settle_soon();
    }

    fn is_closing(&self) -> bool {
        self.inner.borrow().state.is_closing()
    }

    fn provide(&self, request: &mut Request<'_>) {
        let access =
            || self.me.upgrade().expect("a driver that is asked is alive") as Rc<dyn IoAccess<I>>;
        self.inner.borrow().io.provide(request, &access);
    }

    fn scheduler(&self) -> Rc<dyn Scheduler> {
        Rc::new(self.host.clone())
    }
}

impl<I: StreamIo, H: Host> ReadTransport for StreamDriver<I, H> {
    fn is_reading(&self) -> bool {
        self.inner.borrow().state.is_reading()
    }

    fn pause_reading(&self) {
        self.inner.borrow_mut().state.pause_reading();
        self.settle_soon();
    }

    fn resume_reading(&self) {
        self.inner.borrow_mut().state.resume_reading();
        self.settle_soon();
    }
}

impl<I: StreamIo, H: Host> WriteTransport for StreamDriver<I, H> {
    #[inline]
    fn write(&self, data: &[u8]) -> Flow {
        self.write_with(data.len(), |io| io.write(data), |queue, sent| queue.push(&data[sent..]))
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.write_with(
            data.len(),
            |io| io.write(&data),
            |queue, sent| queue.push_bytes(data.slice(sent..)),
        )
    }

    fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow {
        let len = chunks.iter().map(|chunk| chunk.len()).sum();
        self.write_with(
            len,
            |io| io.write_vectored(&chunks[..chunks.len().min(MAX_SLICES)]),
            |queue, mut sent| {
                for chunk in chunks {
                    let skipped = sent.min(chunk.len());
                    sent -= skipped;
                    queue.push(&chunk[skipped..]);
                }
            },
        )
    }

    fn write_eof(&self) {
        self.inner.borrow_mut().state.write_eof();
        self.settle_soon();
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    fn write_buffer_len(&self) -> usize {
        self.inner.borrow().state.queued()
    }

    fn write_buffer_limits(&self) -> Limits {
        self.inner.borrow().options.limits
    }

    fn set_write_buffer_limits(&self, limits: Limits) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        Rc::make_mut(&mut inner.options).limits = limits;
        inner.state.limits_changed(&limits);
        self.settle_soon();
    }
}

impl<I: StreamIo, H: Host> Transport for StreamDriver<I, H> {
    fn protocol(&self) -> Option<StreamProtocol> {
        self.protocol.borrow().clone()
    }

    fn replace_protocol(
        &self,
        protocol: StreamProtocol,
        leftover: &[u8],
    ) -> Option<StreamProtocol> {
        let mut inner = self.inner.borrow_mut();
        if inner.state.phase() == Phase::Lost {
            return None;
        }
        inner.state.protocol_changed();
        if !leftover.is_empty() {
            let older = std::mem::take(&mut inner.rare().leftover);
            inner.rare().leftover = Bytes::from([leftover, &older[..]].concat());
        }
        self.settle_soon();
        self.protocol.replace(Some(protocol))
    }
}

impl<I: StreamIo, H: Host> fmt::Debug for StreamDriver<I, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDriver")
            .field("id", &self.id)
            .field("state", &self.inner.borrow().state)
            .finish_non_exhaustive()
    }
}
