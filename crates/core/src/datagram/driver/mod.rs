//! [`DatagramDriver`]: the one implementation of a datagram transport.
//!
//! It moves datagrams between a [`DatagramIo`] and a protocol and has no decisions of its own: those are
//! [`DatagramState`](super::DatagramState)'s.
//! It works as the [`StreamDriver`](crate::driver::StreamDriver) does: every entry ends in settling, which flushes what
//! can be flushed and tells what is untold, one thing at a time, until nothing is left; then the poll interest is made
//! to agree.
//! No part of the driver is borrowed while a callback runs (rule T3).

mod contract;
mod inner;
mod receive;
mod transport;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

pub use contract::{
    DatagramAccess, DatagramIo, DatagramOptions, DatagramStatistics, DropPolicy, Target,
};
use inner::{EMPTY_RECEIVES, Inner};
use receive::Delivery;

use super::shared::EndpointProtocol;
use super::state::{Notice, Phase};
use crate::driver::{Host, Readiness, Traffic, drop_guarded};
use crate::guard::{self, Caught, FaultReport};
use crate::handle::DatagramTransportRef;
use crate::lost::{Fault, Lost};
use crate::observe::Moment;
use crate::transport::{DatagramTransport, TransportId};

/// How many things settling tells in one go.
const STEPS: usize = 32;

/// How soon the system is asked again where polling says that it would take more, or has something, and that is not so;
/// twice as late each time, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_millis(64);

/// How long to wait before the system is asked again that has been asked in vain `often` times.
fn retry_delay(often: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << often.min(16)).min(LONGEST_RETRY)
}

/// A datagram endpoint: an I/O object, its state, and its protocol.
pub struct DatagramDriver<I: DatagramIo, H: Host> {
    inner: RefCell<Inner<I>>,
    delivery: Delivery,
    host: H,
    id: TransportId,
    me: Weak<Self>,
    /// Whether a callback of this protocol, or the settling after it, is running.
    busy: Cell<bool>,
    /// Whether the loop will settle this before the turn ends.
    enlisted: Cell<bool>,
}

/// What settling does next.
enum Step {
    Tell(Notice),
    Deliver,
    Rest,
}

/// Has the driver settled later when settling does not come to its end.
struct EnlistOnUnwind<'a, I: DatagramIo, H: Host>(&'a DatagramDriver<I, H>);

impl<I: DatagramIo, H: Host> Drop for EnlistOnUnwind<'_, I, H> {
    fn drop(&mut self) {
        self.0.settle_soon();
    }
}

impl<I: DatagramIo, H: Host> DatagramDriver<I, H> {
    /// A driver that nobody has told anything yet. [`begin`](Self::begin) starts it.
    pub fn new(
        io: I,
        host: H,
        id: TransportId,
        protocol: EndpointProtocol,
        options: DatagramOptions,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            inner: RefCell::new(Inner::new(io, protocol, options)),
            delivery: Delivery::default(),
            host,
            id,
            me: me.clone(),
            busy: Cell::new(false),
            enlisted: Cell::new(false),
        })
    }

    /// A handle on the transport.
    #[must_use]
    pub fn handle(self: &Rc<Self>) -> DatagramTransportRef {
        DatagramTransportRef::new(Rc::clone(self) as Rc<dyn DatagramTransport>)
    }

    /// Tells `connection_made` and starts receiving. Called by the loop, never from a user's call.
    ///
    /// # Errors
    /// When `connection_made` panicked; the endpoint is lost by then.
    pub fn begin(self: &Rc<Self>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        if self.inner.borrow().state.untold() == Some(Notice::Made) {
            outcome = self.tell(Notice::Made);
        }
        self.settle_now();
        outcome
    }

    /// Takes back an endpoint that has not begun: closes it, and nobody is told anything. Says whether it could.
    pub fn abandon(&self) -> bool {
        let protocol = {
            let mut inner = self.inner.borrow_mut();
            if inner.state.untold() != Some(Notice::Made) {
                return false;
            }
            inner.state.abandon();
            inner.io.close(false);
            inner.protocol.take()
        };
        drop_guarded(protocol, &self.host);
        true
    }

    /// Whether the endpoint is over and the protocol knows.
    pub fn is_lost(&self) -> bool {
        self.inner.borrow().state.phase() == Phase::Lost
    }

    /// The I/O object is ready.
    pub fn ready(self: &Rc<Self>, readiness: Readiness) {
        if readiness.write {
            let mut inner = self.inner.borrow_mut();
            inner.state.writable();
            inner.promised = Some(inner.progress);
        }
        if readiness.read {
            self.receive();
        }
        self.settle_now();
    }

    /// Ends the endpoint at once and tells so before returning: the loop is going away.
    pub fn shut(self: &Rc<Self>) {
        if self.abandon() {
            return;
        }
        self.inner.borrow_mut().state.fail(Lost::Aborted);
        self.settle_now();
    }

    // ---- settling ----

    /// Flushes what can be flushed and tells what is untold, until nothing is left.
    fn settle_now(self: &Rc<Self>) {
        if self.busy.get() {
            return;
        }
        // A protocol that its user holds lets nothing be told (rule T11); what is owed is told in a later turn.
        let unwinding = EnlistOnUnwind(self);
        for _ in 0..STEPS {
            match self.next_step() {
                // A fault has been reported, and the state knows of it.
                Step::Tell(notice) => {
                    let _ = self.tell(notice);
                }
                Step::Deliver => self.deliver_rest(),
                Step::Rest => {
                    std::mem::forget(unwinding);
                    return;
                }
            }
        }
        // Callbacks that keep each other busy; others get their turn first. Dropping the guard enlists.
    }

    fn next_step(self: &Rc<Self>) -> Step {
        let mut inner = self.inner.borrow_mut();
        inner.flush(&self.host);
        if inner.state.phase() == Phase::Lost {
            return Step::Rest;
        }
        if let Some(notice) = inner.state.untold() {
            return Step::Tell(notice);
        }
        if inner.rest.is_some() {
            if inner.state.may_deliver() {
                return Step::Deliver;
            }
            if inner.state.is_closing() {
                inner.rest = None;
            }
        }
        self.watch_stall(&mut inner);
        self.watch_silence(&mut inner);
        if inner.update_interest().is_err() {
            return inner.state.untold().map_or(Step::Rest, Step::Tell);
        }
        if inner.state.is_draining() {
            self.watch_drain(&mut inner);
        }
        Step::Rest
    }

    fn tell(self: &Rc<Self>, notice: Notice) -> Result<(), Fault> {
        let Some(protocol) = self.protocol_now() else { return Ok(()) };
        // Before anything is noted as told.
        protocol.assert_free();
        if notice == Notice::Lost {
            self.end(protocol);
            return Ok(());
        }
        self.observe(notice);
        self.inner.borrow_mut().state.told(notice);
        let told = match notice {
            Notice::Made => self.call(&protocol, "connection_made", |transport| {
                protocol.connection_made(transport);
            }),
            Notice::Error => self.tell_error(&protocol),
            Notice::PauseWriting => {
                self.call(&protocol, "pause_writing", |transport| protocol.pause_writing(transport))
            }
            Notice::ResumeWriting => self.call(&protocol, "resume_writing", |transport| {
                protocol.resume_writing(transport);
            }),
            Notice::Lost => unreachable!("told above"),
        };
        self.release(protocol);
        if let (Notice::Made, Err(fault)) = (notice, &told) {
            // Nobody can be served by a protocol that has not begun.
            self.inner.borrow_mut().state.fail(Lost::Fault(fault.clone()));
        }
        told
    }

    /// Says what is about to be told; the rest is said where it is known.
    fn observe(&self, notice: Notice) {
        let moment = match notice {
            Notice::Made => Moment::Made,
            Notice::PauseWriting => Moment::WritingPaused,
            Notice::ResumeWriting => Moment::WritingResumed,
            Notice::Error | Notice::Lost => return,
        };
        self.host.observe(self, &moment);
    }

    fn tell_error(self: &Rc<Self>, protocol: &EndpointProtocol) -> Result<(), Fault> {
        let error = self.inner.borrow_mut().error.take();
        let error = error.unwrap_or_else(|| io::ErrorKind::Other.into());
        self.host.observe(&**self, &Moment::Error(&error));
        self.call(protocol, "error_received", |transport| {
            protocol.error_received(transport, &error);
        })
    }

    /// Tells the loss, lets go of the protocol, and closes.
    fn end(self: &Rc<Self>, protocol: EndpointProtocol) {
        let why = {
            let mut inner = self.inner.borrow_mut();
            inner.state.told(Notice::Lost);
            inner.rest = None;
            inner.error = None;
            let drain = inner.drain.take().map(|drain| drain.0);
            let timers = [drain, inner.retry.take(), inner.listen.take()];
            timers.into_iter().flatten().for_each(|timer| timer.cancel());
            inner.state.take_cause()
        };
        // The state is at its end, so whatever the callback does, and a panic too, changes nothing any more.
        let _ = self.call(&protocol, "connection_lost", |transport| {
            protocol.connection_lost(transport, &why);
        });
        drop(protocol);
        self.host.observe(&**self, &Moment::Lost(&why));
        let protocol = {
            let mut inner = self.inner.borrow_mut();
            inner.return_outbox(&self.host);
            // The loop's reference and the caller's; any more are users' handles.
            inner.io.close(Rc::strong_count(self) > 2);
            inner.protocol.take()
        };
        self.host.count(Traffic::Lost(why.index()));
        // Last, because dropping it may run user code.
        drop_guarded(protocol, &self.host);
    }

    /// Calls the protocol, which is known to be free: not nested, with nothing of ours held, and with panics caught.
    fn call(
        self: &Rc<Self>,
        protocol: &EndpointProtocol,
        name: &'static str,
        callback: impl FnOnce(&DatagramTransportRef),
    ) -> Result<(), Fault> {
        let transport = self.handle();
        self.busy.set(true);
        let outcome = self.host.inside(self.id, || guard::call(name, || callback(&transport)));
        self.busy.set(false);
        self.host.callback_returned(self.id, name);
        outcome.map_err(|caught| self.report(protocol, caught))
    }

    #[cold]
    fn report(&self, protocol: &EndpointProtocol, caught: Caught) -> Fault {
        let fault = caught.fault.clone();
        self.host.report(FaultReport::caught(caught).concerning(self.id, protocol.type_name()));
        fault
    }

    /// Lets go of a protocol that was called. Another may have taken its place meanwhile, and then its end is here.
    fn release(&self, protocol: EndpointProtocol) {
        if protocol.is_unshared() {
            drop_guarded(Some(protocol), &self.host);
        }
    }

    fn protocol_now(&self) -> Option<EndpointProtocol> {
        self.inner.borrow().protocol.clone()
    }

    /// Settles after a call from the user: at once when the callback it came from is our own, else before the turn
    /// ends.
    #[inline]
    fn settle_soon(&self) {
        if !self.busy.get() && !self.enlisted.replace(true) {
            self.enlist();
        }
    }

    fn enlist(&self) {
        if let Some(me) = self.me.upgrade() {
            self.host.enlist(me);
        }
    }

    // ---- what only time can tell ----

    /// A peer of an unconnected Unix socket that does not read blocks a send while the poller says that the socket can
    /// be written to, for ever. A timer asks again in the poller's place.
    fn watch_stall(&self, inner: &mut Inner<I>) {
        let promised = inner.promised.take();
        if !inner.state.is_blocked() || promised != Some(inner.progress) {
            if promised.is_some() {
                inner.retries = 0;
            }
            return;
        }
        inner.state.stalled();
        let delay = retry_delay(inner.retries);
        inner.retries = inner.retries.saturating_add(1);
        let me = self.me.clone();
        let retry = move || {
            if let Some(me) = me.upgrade() {
                let mut inner = me.inner.borrow_mut();
                inner.retry = None;
                inner.state.writable();
                inner.promised = Some(inner.progress);
                drop(inner);
                me.settle_soon();
            }
        };
        inner.retry = Some(self.host.call_later(delay, Box::new(retry)));
    }

    /// A socket that somebody has shut down through a duplicate is readable for ever and never gives anything, or seldom.
    /// A timer has the poller asked again.
    fn watch_silence(&self, inner: &mut Inner<I>) {
        if !inner.state.is_misled() || inner.listen.is_some() {
            return;
        }
        let me = self.me.clone();
        let listen = move || {
            if let Some(me) = me.upgrade() {
                let mut inner = me.inner.borrow_mut();
                inner.listen = None;
                inner.state.trusts();
                drop(inner);
                me.settle_soon();
            }
        };
        let delay = retry_delay(inner.empty.saturating_sub(EMPTY_RECEIVES));
        inner.listen = Some(self.host.call_later(delay, Box::new(listen)));
    }

    fn watch_drain(&self, inner: &mut Inner<I>) {
        let Some(timeout) = inner.options.close_timeout else { return };
        if inner.drain.is_some() {
            return;
        }
        let me = self.me.clone();
        let expire = move || {
            if let Some(me) = me.upgrade() {
                me.drain_timed_out();
            }
        };
        let timer = self.host.call_later(timeout, Box::new(expire));
        inner.drain = Some((timer, inner.progress));
    }

    fn drain_timed_out(&self) {
        {
            let mut inner = self.inner.borrow_mut();
            let Some((_, progress)) = inner.drain.take() else { return };
            // Any progress buys another timeout, so a close ends between one and two of them after the last datagram.
            if inner.state.is_draining() && inner.progress == progress {
                inner.state.fail(Lost::TimedOut);
            }
        }
        // Not here: a timer runs inside a guard, and what is told must not.
        self.settle_soon();
    }
}
