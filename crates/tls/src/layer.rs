//! [`Layer`]: TLS as the protocol of the transport below. It moves records between the session and the two streams.
//!
//! Below is any transport; above is core's own stream driver, with the session as its I/O object.
//! So the stream above behaves as every stream does, by the same code; the layer adds the handshake before it and the
//! goodbye after it.
//!
//! The engine is never borrowed while a callback runs: the driver reads plaintext out of the session into a buffer, and
//! the borrow has ended when it calls the protocol (rule T3).

mod passage;
mod waiting;

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use wharf_core::driver::{Readiness, StreamDriver, StreamOptions};
use wharf_core::extra::WritingPaused;
use wharf_core::guard::{self, FaultReport};
use wharf_core::observe::Moment;
use wharf_core::schedule::Settle;
use wharf_core::shared::{self, Reception};
use wharf_core::{KeepOpen, Lost, Scheduler, StreamProtocol, Transport, TransportRef};

use passage::{Outcome, Outset, Passage};

use crate::admission::Admission;
use crate::engine::Rustls;
use crate::error::Error;
use crate::host::LayerHost;
use crate::io::{Place, TlsIo};
use crate::session::Session;
use crate::side::Side;
use crate::state::Phase;

/// How often the stream above is told in one go that it may read: once for the bytes, once for the end behind them.
const ROUNDS: usize = 2;

type Driver = StreamDriver<TlsIo>;

/// TLS between two transports.
pub(crate) struct Layer {
    parts: RefCell<Parts>,
}

struct Parts {
    /// While there is a transport below.
    stream: Option<Stream>,
    /// While it begins, and while it ends: what an idle connection does without.
    passage: Option<Box<Passage>>,
}

#[derive(Clone)]
struct Stream {
    driver: Rc<Driver>,
}

impl Stream {
    fn session(&self) -> &Session {
        &self.driver.seat().0
    }
}

impl Layer {
    /// A layer for `protocol` that has no transport below it yet.
    pub(crate) fn new(side: Arc<Side>, protocol: StreamProtocol) -> Rc<Self> {
        Rc::new_cyclic(|me| {
            let passage = Passage {
                outset: Some(Outset { layer: Weak::clone(me), side, protocol }),
                outcome: Outcome::Pending(None),
                ..Passage::default()
            };
            Self { parts: RefCell::new(Parts { stream: None, passage: Some(Box::new(passage)) }) }
        })
    }

    /// Begins on `below`. With `leftover` the protocol above has been that of `below`, and goes on; somebody may await the
    /// outcome then.
    pub(crate) fn begin(
        &self,
        below: &TransportRef,
        engine: Result<Rustls, Error>,
        leftover: Option<&[u8]>,
    ) {
        let Some(outset) = self.take(|passage| passage.outset.take()) else { return };
        let Outset { layer, side, protocol } = outset;
        let engine = match engine {
            Ok(engine) => engine,
            Err(error) => {
                self.tell_outcome(Err(error));
                below.abort();
                return;
            }
        };
        let host = LayerHost::new(below.scheduler());
        let handshake = side.timeouts().handshake;
        let session = Session::new(engine, below, host.clone(), side, layer);
        let options =
            StreamOptions { limits: below.write_buffer_limits(), ..StreamOptions::default() };
        let options = options.shared(host.resources());
        let io = TlsIo(Rc::clone(&session));
        let driver =
            StreamDriver::new(io, Place(Rc::clone(&session)), below.id(), protocol, options);
        // The driver is found by it.
        self.parts.borrow_mut().stream = Some(Stream { driver: Rc::clone(&driver) });
        if leftover.is_some() {
            self.with_passage(|passage| (passage.took_over, passage.awaited) = (true, true));
            if !below.is_reading() {
                // The user's pause is about plaintext; the handshake goes on.
                driver.handle().pause_reading();
                below.resume_reading();
            }
            driver.take_over(below.extra::<WritingPaused>().is_some());
        }
        session.begin(leftover.unwrap_or_default());
        self.set_timer(&session, handshake);
        if leftover.is_some_and(|leftover| !leftover.is_empty()) {
            self.enlist();
        }
    }

    fn stream(&self) -> Option<Stream> {
        self.parts.borrow().stream.clone()
    }

    /// The protocol above, until the loss.
    fn protocol(&self) -> Option<StreamProtocol> {
        match self.stream() {
            Some(stream) => stream.driver.protocol(),
            None => self.take(|passage| Some(passage.outset.as_ref()?.protocol.clone())),
        }
    }

    /// The driver of the stream above, while there is a transport below.
    pub(crate) fn driver(&self) -> Option<Rc<Driver>> {
        self.stream().map(|stream| stream.driver)
    }

    // ---- what it has for a while ----

    /// Changes the passage, which there is from now on.
    fn with_passage<R>(&self, change: impl FnOnce(&mut Passage) -> R) -> R {
        change(self.parts.borrow_mut().passage.get_or_insert_default())
    }

    /// Takes something out of the passage, if there is one and it has that.
    fn take<T>(&self, take: impl FnOnce(&mut Passage) -> Option<T>) -> Option<T> {
        self.parts.borrow_mut().passage.as_deref_mut().and_then(take)
    }

    /// Whether the protocol above knew the transport below before, and the handshake is not over.
    fn took_over(&self) -> bool {
        self.take(|passage| passage.took_over.then_some(())).is_some()
    }

    /// Lets go of the passage when nothing is in it.
    fn leave_passage(&self) {
        let passage = &mut self.parts.borrow_mut().passage;
        if passage.as_deref().is_some_and(Passage::is_over) {
            *passage = None;
        }
    }

    /// Has the layer settled before the turn ends. Says whether it will be: one that is over has nothing to settle.
    pub(crate) fn enlist(&self) -> bool {
        let Some(stream) = self.stream() else { return false };
        let session = stream.session();
        let Some(me) = session.layer() else { return false };
        if session.note_enlisted(true) {
            session.host().enlist(me);
        }
        true
    }

    // ---- moving on ----

    /// Takes everything as far as it goes, now that something has changed: `writable`, if it may be how much the transport
    /// below takes. To look for that after each read would cost every message.
    fn pump(&self, mut writable: bool) {
        let Some(stream) = self.stream() else { return };
        let (session, driver) = (stream.session(), &stream.driver);
        if session.phase() == Phase::Handshaking {
            if self.has_expired() {
                session.abort();
                return self.fail(Error::HandshakeTimedOut);
            }
            if !self.is_admitted(session) {
                return;
            }
            match session.shake_hands() {
                Ok(true) => {
                    self.establish(&stream);
                    writable = true;
                }
                Ok(false) => return,
                Err(error) => {
                    session.refuse();
                    return self.fail(error);
                }
            }
        }
        let mut more = true;
        for _ in 0..ROUNDS {
            driver.ready(Readiness { read: true, write: writable && !session.is_full() });
            more = session.tidy_up();
            if !more {
                break;
            }
        }
        if more {
            // The budget of this turn is spent: others first.
            let me = Weak::clone(session.weak_layer());
            session.host().call_soon(Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.enlist();
                }
            }));
        }
        if self.has_expired() {
            self.give_up(&stream);
        }
    }

    /// A server's handshake waits for its turn.
    fn is_admitted(&self, session: &Session) -> bool {
        let Side::Server(config) = session.side() else { return true };
        if self.parts.borrow().passage.as_deref().is_some_and(|passage| passage.ticket.is_some()) {
            return true;
        }
        let ticket =
            Admission::of(session.host()).admit(session.weak_layer(), config, session.host());
        let admitted = ticket.is_some();
        if admitted {
            config.statistics.count_started();
            self.with_passage(|passage| passage.ticket = ticket);
        }
        session.set_queued(!admitted);
        admitted
    }

    /// The handshake is over: the protocol is told its transport, and whoever waits is given it.
    fn establish(&self, stream: &Stream) {
        self.cancel_timer();
        drop(self.take(|passage| passage.ticket.take()));
        if let Side::Server(config) = stream.session().side() {
            config.statistics.count_finished();
        }
        stream.session().set_limits(stream.driver.handle().write_buffer_limits());
        stream.session().host().observe(&*stream.driver, &Moment::Established);
        let mut outcome = Ok(stream.driver.handle());
        if !self.took_over() {
            if let Err(fault) = stream.driver.begin() {
                outcome = Err(Error::Fault(fault));
            }
        }
        if self.tell_outcome(outcome) {
            stream.session().hold();
        }
    }

    /// The handshake has failed: the protocol hears of it only if it knew the transport below.
    fn fail(&self, error: Error) {
        self.fail_with(error.clone(), Lost::Io(error.into()));
    }

    fn fail_with(&self, error: Error, lost: Lost) {
        self.cancel_timer();
        drop(self.take(|passage| passage.ticket.take()));
        let Some(stream) = self.stream() else { return };
        stream.session().host().observe(&*stream.driver, &Moment::Failed(&error));
        if let Side::Server(config) = stream.session().side() {
            config.statistics.count_failed();
            if let Some(hook) = &config.on_failure {
                let peer = stream.session().below().peer_addr();
                let told = guard::call("on_handshake_failure", || hook(peer.as_ref(), &error));
                if let Err(caught) = told {
                    stream.session().host().report(FaultReport::caught(caught));
                }
            }
        }
        if self.took_over() {
            stream.driver.fail_below(lost);
        } else {
            stream.driver.abandon();
        }
        self.tell_outcome(Err(error));
    }

    /// Gives the outcome to whoever waits. Says whether somebody does, who has yet to take it.
    fn tell_outcome(&self, outcome: Result<TransportRef, Error>) -> bool {
        if let Some(callback) = self.take(|passage| passage.callback.take()) {
            let told = guard::call("on_established", || callback(outcome.as_ref()));
            if let (Err(caught), Some(stream)) = (told, self.stream()) {
                stream.session().host().report(FaultReport::caught(caught));
            }
        }
        let waiter = self.with_passage(|passage| {
            passage.took_over = false;
            passage.settle(outcome)
        });
        self.leave_passage();
        waiter.map(Waker::wake).is_some()
    }

    // ---- deadlines ----

    /// Whether a deadline has passed since this was asked last.
    fn has_expired(&self) -> bool {
        self.take(|passage| std::mem::take(&mut passage.expired).then_some(())).is_some()
    }

    fn set_timer(&self, session: &Session, after: Duration) {
        let timer = session.set_timer(after);
        self.with_passage(|passage| passage.timer = Some(timer));
    }

    fn cancel_timer(&self) {
        if let Some(timer) = self.take(|passage| passage.timer.take()) {
            timer.cancel();
        }
    }

    /// A timer has run. What follows is told when the layer is settled, not inside of the timer's guard.
    pub(crate) fn deadline_passed(&self) {
        let timer = self.with_passage(|passage| {
            passage.expired = true;
            passage.timer.take()
        });
        drop(timer);
        self.enlist();
    }

    /// Our goodbye has been said: the peer's is waited for, but not for ever.
    pub(crate) fn goodbye_said(&self) {
        if let Some(stream) = self.stream() {
            self.await_goodbye(stream.session());
        }
        self.enlist();
    }

    /// Gives the peer's goodbye its time.
    fn await_goodbye(&self, session: &Session) {
        let unsent = session.unsent();
        self.with_passage(|passage| passage.unsent = unsent);
        if !session.patience().is_zero() {
            self.set_timer(session, session.patience());
        }
    }

    /// The peer has not answered our goodbye in time. One that still takes our bytes is given more.
    fn give_up(&self, stream: &Stream) {
        let session = stream.session();
        if session.phase() != Phase::Farewell {
            return self.leave_passage();
        }
        let before = self.take(|passage| Some(passage.unsent)).unwrap_or_default();
        if (1..before).contains(&session.unsent()) {
            return self.await_goodbye(session);
        }
        session.abort();
        stream.driver.fail_below(Lost::TimedOut);
    }
}

impl Settle for Layer {
    fn settle(self: Rc<Self>) {
        if let Some(stream) = self.stream() {
            stream.session().note_enlisted(false);
            self.pump(true);
        }
    }
}

impl shared::Layer for Layer {
    fn assert_free(&self) {
        let protocol = self.stream().and_then(|stream| stream.driver.protocol());
        if let Some(protocol) = protocol {
            protocol.assert_free();
        }
    }

    fn reception(&self) -> Reception {
        Reception::Buffered
    }

    fn type_name(&self) -> &'static str {
        let protocol = self.stream().and_then(|stream| stream.driver.protocol());
        protocol.map_or("TLS", |protocol| protocol.type_name())
    }

    fn connection_made(&self, below: &TransportRef) {
        let side = self.take(|passage| Some(Arc::clone(&passage.outset.as_ref()?.side)));
        if let Some(side) = side {
            self.begin(below, side.engine(), None);
        }
    }

    fn get_buffer(&self, _: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        match self.stream() {
            Some(stream) => stream.session().receive(read),
            // The engine could not be made, and the connection ends.
            None => drop(read(&mut [0; 1])),
        }
    }

    fn buffer_updated(&self, _: &TransportRef, _: usize) {
        self.pump(false);
    }

    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        if let Some(stream) = self.stream() {
            stream.session().end();
            self.pump(true);
        }
        // Whether our direction goes on is for the stream above to say.
        KeepOpen::Yes
    }

    fn pause_writing(&self, _: &TransportRef) {
        if let Some(stream) = self.stream() {
            stream.session().set_full(true);
        }
    }

    fn resume_writing(&self, _: &TransportRef) {
        if let Some(stream) = self.stream() {
            stream.session().set_full(false);
            if self.took_over() {
                // It may have been paused before TLS came in between, and is resumed before the handshake is over.
                stream.driver.ready(Readiness { read: false, write: true });
            }
            self.pump(true);
        }
    }

    fn connection_lost(&self, _: &TransportRef, why: &Lost) {
        let Some(stream) = self.stream() else {
            // It never began: whoever made it has given up.
            drop(self.take(|passage| passage.outset.take()));
            return;
        };
        if stream.session().phase() == Phase::Open {
            // What has come is delivered, though whoever waits for the transport may not have it yet: the peer's last words
            // may be among it.
            stream.session().release();
            for _ in 0..ROUNDS {
                stream.driver.ready(Readiness { read: true, write: false });
                stream.session().tidy_up();
            }
        }
        match stream.session().lose() {
            Phase::Handshaking => self.fail_with(Error::lost_below(why), translated(why)),
            phase => {
                let said_goodbye = matches!(phase, Phase::Farewell | Phase::Leaving);
                if said_goodbye && (why.is_clean() || stream.session().is_flushed()) {
                    // Everything has gone out, which a paused protocol hears first.
                    stream.driver.ready(Readiness { read: false, write: true });
                } else {
                    stream.driver.fail_below(translated(why));
                }
            }
        }
        self.cancel_timer();
        self.leave_passage();
        let stream = self.parts.borrow_mut().stream.take();
        drop(stream);
    }

    fn poll_established(
        &self,
        _: &TransportRef,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TransportRef>> {
        if let Some(protocol) = self.protocol() {
            drop(self.with_passage(|passage| passage.upper.replace(protocol)));
        }
        let outcome = ready!(self.poll_all(cx));
        drop(self.take(|passage| passage.upper.take()));
        drop(self.take(|passage| passage.above.take()));
        self.leave_passage();
        Poll::Ready(outcome)
    }

    fn above(&self) -> Option<TransportRef> {
        let driver = self.stream()?.driver;
        (!driver.is_lost()).then(|| driver.handle())
    }

    fn uppermost(&self, below: &TransportRef) -> TransportRef {
        self.established().map_or_else(|| below.clone(), |above| above.uppermost())
    }
}

/// What the loss of the transport below is to the stream above.
fn translated(why: &Lost) -> Lost {
    match why {
        // We ended it, past TLS: what was still to be said was not.
        Lost::Closed | Lost::Aborted => Lost::Aborted,
        Lost::Eof | Lost::Truncated => Lost::Truncated,
        Lost::TimedOut => Lost::TimedOut,
        Lost::Overflow => Lost::Overflow,
        Lost::Io(error) => Lost::Io(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        }),
        Lost::Fault(fault) => Lost::Fault(fault.clone()),
        other => Lost::Failed(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests;
