//! [`StreamDriver`]: the one implementation of a byte-stream transport.
//!
//! It moves bytes between a [`StreamIo`] and a protocol and has no decisions of its own: those are
//! [`StreamState`](crate::stream::StreamState)'s.
//! A socket on the reactor and a pipe in memory are driven by this same code, so what is tested in memory is what runs.
//!
//! Every entry ends in settling: flush what can be flushed, tell what is untold, one thing at a
//! time, until nothing is left; then make the poll interest agree.
//! No part of the driver is borrowed while a callback runs (rule T3).

mod contract;
mod inner;
mod log;
mod receive;
mod sharing;
mod tag;
mod transport;

use std::any::Any;
use std::cell::{Ref, RefCell, RefMut};
use std::rc::{Rc, Weak};

pub use contract::{
    Anchor, Host, IoAccess, Outflow, Owner, Readiness, Seat, StreamIo, StreamOptions, Traffic,
};
use inner::Inner;
use tag::Tag;
pub use transport::TRAY;

use crate::guard::{self, Caught, FaultReport};
use crate::handle::TransportRef;
use crate::lost::{Fault, Lost};
use crate::observe::Moment;
use crate::protocol::KeepOpen;
use crate::schedule::Scheduler;
use crate::shared::{Reception, StreamProtocol};
use crate::stream::{Notice, Phase};
use crate::transport::{Transport, TransportId};

/// A byte stream: an I/O object, its state, and its protocol.
pub struct StreamDriver<I: StreamIo> {
    inner: RefCell<Inner<I>>,
    tag: Tag,
    // Given back after the I/O object has been dropped, which it is the place of.
    seat: I::Seat,
}

/// What settling does next.
enum Step {
    Tell(Notice),
    Deliver,
    Log,
    Rest,
}

/// How many things settling tells in one go.
const STEPS: usize = 32;

/// Has the driver settled later when settling does not come to its end.
struct EnlistOnUnwind<'a, I: StreamIo>(&'a Rc<StreamDriver<I>>);

impl<I: StreamIo> Drop for EnlistOnUnwind<'_, I> {
    fn drop(&mut self) {
        self.0.settle_soon();
    }
}

impl<I: StreamIo> StreamDriver<I> {
    /// A driver that nobody has told anything yet. [`begin`](Self::begin) starts it.
    ///
    /// It lies where a driver was that its host has kept, if nobody has a handle on that one, or a way to one.
    pub fn new(
        io: I,
        seat: I::Seat,
        id: TransportId,
        protocol: StreamProtocol,
        options: Rc<StreamOptions>,
    ) -> Rc<Self> {
        let driver = Self::assemble(io, seat, id, protocol, options);
        if let Some(mut former) = driver.host().former::<Self>() {
            if let Some(place) = Rc::get_mut(&mut former) {
                // Part by part, so that none is moved twice.
                let Self { inner, tag, seat } = driver;
                place.inner = inner;
                place.tag = tag;
                place.seat = seat;
                return former;
            }
        }
        Rc::new(driver)
    }

    /// The same on a host that does not know its drivers.
    pub fn anchored<H: Host>(
        io: I,
        host: H,
        id: TransportId,
        protocol: StreamProtocol,
        options: Rc<StreamOptions>,
    ) -> Rc<Self>
    where
        I: StreamIo<Seat = Anchor<H>>,
    {
        Rc::new_cyclic(|me| {
            let seat = Anchor::new(host, Weak::<Self>::clone(me));
            Self::assemble(io, seat, id, protocol, options)
        })
    }

    fn assemble(
        io: I,
        seat: I::Seat,
        id: TransportId,
        protocol: StreamProtocol,
        options: Rc<StreamOptions>,
    ) -> Self {
        let tag = Tag::new(id);
        tag.put(Tag::PLAIN, protocol.reception() == Reception::Plain);
        tag.put(Tag::ROOMY, options.limits.high_mark() >= TRAY);
        Self { inner: RefCell::new(Inner::new(io, protocol, options)), tag, seat }
    }

    #[inline(always)]
    fn host(&self) -> &<I::Seat as Seat>::Host {
        self.seat.host()
    }

    /// The place that it has on its host.
    #[inline]
    #[must_use]
    pub fn seat(&self) -> &I::Seat {
        &self.seat
    }

    /// A handle on the transport.
    #[must_use]
    pub fn handle(self: &Rc<Self>) -> TransportRef {
        TransportRef::new(Rc::clone(self) as Rc<dyn Transport>)
    }

    /// A handle on the transport, for one who has no `Rc` of it; `None` when it is lost.
    #[must_use]
    pub fn transport(&self) -> Option<TransportRef> {
        self.me().map(|me| me.handle())
    }

    fn me(&self) -> Option<Rc<Self>> {
        self.seat.driver()
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
        // Mostly it has done nothing.
        if !self.inner.borrow_mut().begins_to_read(&self.seat) {
            self.settle_now();
        }
        outcome
    }

    /// Starts without `connection_made`: the protocol has heard it from the transport below, and `paused` says whether it
    /// was told to pause writing there. What follows is told before the turn ends.
    pub fn take_over(&self, paused: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.state.taken_over(paused);
        inner.note_below();
        drop(inner);
        self.settle_soon();
    }

    /// Ends the stream because what is below it has ended.
    pub fn fail_below(self: &Rc<Self>, cause: Lost) {
        drop(self.inner.borrow_mut().fail(cause));
        self.settle_now();
    }

    /// Takes back a stream that has not begun: closes it, and nobody is told anything. Says whether it could.
    pub fn abandon(&self) -> bool {
        let protocol = {
            let mut inner = self.inner.borrow_mut();
            if inner.state.untold() != Some(Notice::Made) {
                return false;
            }
            inner.state.abandon();
            inner.io.close(&self.seat, false);
            inner.protocol.take()
        };
        drop_guarded(protocol, self.host());
        let owner = self.inner.borrow().owner();
        if let Some(owner) = owner {
            owner.connection_lost(self.tag.id(), &Lost::Aborted);
        }
        true
    }

    /// Whether the connection is over and the protocol knows.
    pub fn is_lost(&self) -> bool {
        self.inner.borrow().state.phase() == Phase::Lost
    }

    /// Where it is in its life, for the tests that hold the drawings to it.
    #[cfg(test)]
    pub(crate) fn phase(&self) -> Phase {
        self.inner.borrow().state.phase()
    }

    /// Who owns the connection, by identity.
    pub fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool {
        let inner = self.inner.borrow();
        let mine = inner.options.owner.as_ref();
        mine.is_some_and(|mine| std::ptr::addr_eq(mine.as_ptr(), Rc::as_ptr(owner)))
    }

    /// The I/O object is ready.
    #[inline]
    pub fn ready(self: &Rc<Self>, readiness: Readiness) {
        if readiness.write {
            self.writable();
        }
        if readiness.read && self.receive() && self.inner.borrow_mut().send_tray(self.host()) {
            return;
        }
        // Mostly there is nothing to tell.
        if !self.comes_to_rest() {
            self.settle_now();
        }
    }

    /// Whether nothing has happened but writes, and the system takes them.
    #[inline(never)]
    fn comes_to_rest(&self) -> bool {
        self.inner.borrow_mut().comes_to_rest(self.host())
    }

    /// What the driver guards, for whoever only asks from outside: what the callback that runs has written so far is
    /// queued by then. A layer may ask while it is asked itself.
    fn look(&self) -> Ref<'_, Inner<I>> {
        if self.tag.is(Tag::GATHERS) {
            drop(self.enter());
        }
        self.inner.borrow()
    }

    /// The same, for whoever changes anything.
    #[inline]
    fn enter(&self) -> RefMut<'_, Inner<I>> {
        let mut inner = self.inner.borrow_mut();
        if self.tag.take(Tag::GATHERS) {
            inner.queue_tray(self.host());
        }
        inner
    }

    #[inline(never)]
    fn writable(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.state.writable();
        inner.note_below();
    }

    /// Ends the connection at once and tells so before returning: the loop is going away.
    pub fn shut(self: &Rc<Self>) {
        if self.abandon() {
            return;
        }
        self.inner.borrow_mut().fail(Lost::Aborted);
        self.settle_now();
    }

    // ---- settling ----

    /// Flushes what can be flushed and tells what is untold, until nothing is left.
    #[inline(never)]
    fn settle_now(self: &Rc<Self>) {
        if self.tag.is(Tag::BUSY) {
            return;
        }
        // A protocol that its user holds lets nothing be told (rule T11); what is owed is told in a later turn.
        let unwinding = EnlistOnUnwind(self);
        for _ in 0..STEPS {
            match self.next_step() {
                // A fault has been reported, and the state knows of it.
                Step::Tell(notice) => {
                    let _ = self.tell(notice);
                    // Nothing comes after the loss.
                    if notice == Notice::Lost {
                        return std::mem::forget(unwinding);
                    }
                }
                Step::Deliver => self.deliver(),
                Step::Log => self.write_log(),
                Step::Rest => return std::mem::forget(unwinding),
            }
        }
        // Two callbacks that keep each other busy; others get their turn first. Dropping the guard enlists.
    }

    fn next_step(self: &Rc<Self>) -> Step {
        let mut inner = self.inner.borrow_mut();
        if inner.state.may_flush() || inner.state.wants_shutdown() {
            inner.flush(self.host());
        }
        if inner.state.is_at_rest() {
            return Step::Rest;
        }
        if inner.logs().is_some_and(|logs| logs.is_due()) {
            return Step::Log;
        }
        if inner.state.phase() == Phase::Lost {
            return Step::Rest;
        }
        let untold = inner.state.untold();
        let ends = untold == Some(Notice::Lost) && inner.state.phase() == Phase::Closing;
        if I::LAYERED && ends && !inner.io.say_goodbye() {
            return Step::Rest;
        }
        // What was handed over was read before the peer's end.
        if matches!(untold, None | Some(Notice::Eof))
            && inner.state.has_leftover()
            && inner.state.may_deliver()
        {
            return Step::Deliver;
        }
        if let Some(notice) = untold {
            return Step::Tell(notice);
        }
        if inner.update_interest(&self.seat).is_err() {
            return inner.state.untold().map_or(Step::Rest, Step::Tell);
        }
        if inner.state.is_draining() {
            self.watch_drain(&mut inner);
        }
        Step::Rest
    }

    #[inline(always)]
    fn tell(self: &Rc<Self>, notice: Notice) -> Result<(), Fault> {
        let Some(protocol) = self.protocol() else { return Ok(()) };
        // Before anything is noted as told.
        protocol.assert_free();
        self.observe(notice);
        let told = match notice {
            Notice::Made => self.tell_with(
                &protocol,
                notice,
                "connection_made",
                StreamProtocol::connection_made,
            ),
            Notice::PauseWriting => {
                self.tell_with(&protocol, notice, "pause_writing", StreamProtocol::pause_writing)
            }
            Notice::ResumeWriting => {
                self.tell_with(&protocol, notice, "resume_writing", StreamProtocol::resume_writing)
            }
            Notice::Eof => {
                let mut answer = KeepOpen::No;
                let told =
                    self.tell_with(&protocol, notice, "eof_received", |protocol, transport| {
                        answer = protocol.eof_received(transport);
                    });
                let mut inner = self.inner.borrow_mut();
                if !inner.io.can_half_close() {
                    answer = KeepOpen::No;
                }
                inner.state.eof_answered(answer);
                drop(inner);
                told
            }
            Notice::Lost => {
                self.end(protocol);
                return Ok(());
            }
        };
        self.release(protocol);
        told
    }

    /// Says what is about to be told. The making of a layer is its layer's to say; the loss is said when it was told.
    #[inline]
    fn observe(&self, notice: Notice) {
        let moment = match notice {
            Notice::Made if I::LAYERED => return,
            Notice::Made => Moment::Made,
            Notice::PauseWriting => Moment::WritingPaused,
            Notice::ResumeWriting => Moment::WritingResumed,
            Notice::Eof => Moment::Eof,
            Notice::Lost => return,
        };
        self.host().observe(self, &moment);
    }

    fn tell_with(
        self: &Rc<Self>,
        protocol: &StreamProtocol,
        notice: Notice,
        name: &'static str,
        callback: impl FnOnce(&StreamProtocol, &TransportRef),
    ) -> Result<(), Fault> {
        self.inner.borrow_mut().state.told(notice);
        self.call(protocol, name, |transport| callback(protocol, transport))
    }

    /// Refuses a protocol that its user holds (rule T11); what is owed by then is told and sent in a later turn.
    fn assert_free(self: &Rc<Self>, protocol: &StreamProtocol) {
        let unwinding = EnlistOnUnwind(self);
        protocol.assert_free();
        std::mem::forget(unwinding);
    }

    /// Delivers bytes that a protocol switch handed over.
    #[inline(never)]
    fn deliver(self: &Rc<Self>) {
        let Some(protocol) = self.protocol() else { return };
        protocol.assert_free();
        let name = match protocol.reception() {
            Reception::Plain => "data_received",
            Reception::Buffered => "buffer_updated",
        };
        let bytes = self.inner.borrow_mut().take_leftover();
        let mut taken = 0;
        let called =
            self.call(&protocol, name, |transport| taken = protocol.feed(transport, &bytes));
        if called.is_ok() && taken == 0 {
            self.refuse_empty_buffer(&protocol);
        }
        if taken < bytes.len() {
            // A switch within the call put its own leftover first; what this protocol did not take comes after it.
            let mut inner = self.inner.borrow_mut();
            let newer = inner.take_leftover();
            inner.put_leftover(bytes.slice(taken..));
            inner.put_leftover(newer);
        }
    }

    /// Tells the loss, lets go of the protocol, and closes.
    fn end(self: &Rc<Self>, protocol: StreamProtocol) {
        let (end, rare) = {
            let mut inner = self.inner.borrow_mut();
            inner.state.told(Notice::Lost);
            (inner.state.end(), inner.rare.take())
        };
        let (logs, cause) = rare.map_or((None, None), |rare| rare.end());
        let why = end.cause().unwrap_or_else(|| cause.unwrap_or(Lost::Aborted));
        // The state is at its end, so whatever the callback does, and a panic too, changes nothing any more.
        let _ = self.call(&protocol, "connection_lost", |transport| {
            protocol.connection_lost(transport, &why);
        });
        drop(protocol);
        self.host().observe(&**self, &Moment::Lost(&why));
        let (protocol, owner) = {
            let mut inner = self.inner.borrow_mut();
            inner.return_queue(self.host());
            // The loop's reference and the caller's; any more are users' handles.
            inner.io.close(&self.seat, Rc::strong_count(self) > 2);
            (inner.protocol.take(), inner.owner())
        };
        self.host().count(Traffic::Lost(why.index()));
        if let Some(owner) = owner {
            owner.connection_lost(self.tag.id(), &why);
        }
        if let Some(logs) = logs {
            self.finish_logs(logs, &why);
        }
        // Last, because dropping it may run user code.
        drop_guarded(protocol, self.host());
        self.host().retire(Rc::clone(self) as Rc<dyn Any>);
    }

    /// Calls the protocol, which is known to be free: not nested, with nothing of ours held, and with panics caught.
    #[inline]
    fn call(
        self: &Rc<Self>,
        protocol: &StreamProtocol,
        name: &'static str,
        callback: impl FnOnce(&TransportRef),
    ) -> Result<(), Fault> {
        let called = self.call_with(&self.handle(), protocol, name, callback);
        self.tag.unset(Tag::BUSY);
        called
    }

    /// The same, with the handle that the callback is given; leaves the driver [busy](Tag::BUSY), and the caller settles.
    #[inline(always)]
    fn call_with<R>(
        self: &Rc<Self>,
        transport: &TransportRef,
        protocol: &StreamProtocol,
        name: &'static str,
        callback: impl FnOnce(&TransportRef) -> R,
    ) -> Result<R, Fault> {
        self.tag.set(Tag::BUSY);
        match self.host().inside(self.tag.id(), || guard::call(name, || callback(transport))) {
            Ok(answer) => {
                self.host().callback_returned(self.tag.id(), name);
                Ok(answer)
            }
            Err(caught) => Err(self.note_fault(protocol, name, caught)),
        }
    }

    /// Lets go of a protocol that was called. Another may have taken its place meanwhile, and then its end is here.
    #[inline]
    fn release(&self, protocol: StreamProtocol) {
        if protocol.is_unshared() {
            drop_guarded(Some(protocol), self.host());
        }
    }

    fn protocol(&self) -> Option<StreamProtocol> {
        self.inner.borrow().protocol.clone()
    }

    #[cold]
    fn note_fault(&self, protocol: &StreamProtocol, name: &'static str, caught: Caught) -> Fault {
        self.host().callback_returned(self.tag.id(), name);
        let fault = caught.fault.clone();
        self.enter().fail(Lost::Fault(fault.clone()));
        self.host()
            .report(FaultReport::caught(caught).concerning(self.tag.id(), protocol.type_name()));
        fault
    }

    /// Settles after a call from the user: at once when the callback it came from is our own, else before the turn
    /// ends.
    #[inline]
    fn settle_soon(&self) {
        if !self.tag.is(Tag::BUSY | Tag::ENLISTED) {
            self.tag.set(Tag::ENLISTED);
            if let Some(me) = self.me() {
                self.host().enlist(me);
            }
        }
    }

    // ---- the end of a close that makes no progress ----

    #[inline(never)]
    fn watch_drain(self: &Rc<Self>, inner: &mut Inner<I>) {
        let Some(timeout) = inner.options.close_timeout else { return };
        if inner.rare().drain.is_some() {
            return;
        }
        let me = Rc::downgrade(self);
        let timer = self.host().call_later(
            timeout,
            Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.drain_timed_out();
                }
            }),
        );
        let left = inner.left();
        inner.rare().drain = Some((timer, left));
    }

    fn drain_timed_out(self: &Rc<Self>) {
        {
            let mut inner = self.inner.borrow_mut();
            let Some((_, left)) = inner.rare().drain.take() else { return };
            // Any progress buys another timeout, so a close ends between one and two of them after the last byte.
            if inner.state.is_draining() && inner.left() == left {
                inner.fail(Lost::TimedOut);
            }
        }
        // Not here: a timer runs inside a guard, and what is told must not.
        self.settle_soon();
    }
}

/// Drops a protocol; what its `drop` does wrong is reported like any other fault.
pub(crate) fn drop_guarded<P, H: Host>(protocol: Option<P>, host: &H) {
    if let Err(caught) = guard::call("drop", || drop(protocol)) {
        host.report(FaultReport::caught(caught));
    }
}
