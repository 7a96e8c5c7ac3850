//! [`Layer`]: TLS as the protocol of the transport below. It moves records between the session and the two streams.
//!
//! Below is any transport; above is core's own stream driver, with the session as its I/O object.
//! So the stream above behaves as every stream does, by the same code; the layer adds the handshake before it and the
//! goodbye after it.
//!
//! The engine is never borrowed while a callback runs: the driver reads plaintext out of the session into a buffer, and
//! the borrow has ended when it calls the protocol (rule T3).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use wharf_core::driver::{Readiness, StreamDriver, StreamOptions};
use wharf_core::extra::WritingPaused;
use wharf_core::guard::{self, FaultReport};
use wharf_core::observe::Moment;
use wharf_core::schedule::{Settle, Timer};
use wharf_core::shared::{self, Reception};
use wharf_core::{KeepOpen, Lost, Scheduler, StreamProtocol, Transport, TransportRef};

use crate::admission::{Admission, Ticket};
use crate::engine::Engine;
use crate::error::Error;
use crate::host::LayerHost;
use crate::io::TlsIo;
use crate::session::Session;
use crate::side::Side;
use crate::state::Phase;

/// How often the stream above is told in one go that it may read: once for the bytes, once for the end behind them.
const ROUNDS: usize = 2;

type Driver = StreamDriver<TlsIo>;

/// Runs once the handshake is over, or has failed.
pub(crate) type Established = Box<dyn FnOnce(Result<&TransportRef, &Error>)>;

/// TLS between two transports.
pub(crate) struct Layer {
    me: Weak<Self>,
    side: Arc<Side>,
    /// Until there is a transport below.
    upper: RefCell<Option<Box<Beginning>>>,
    /// While there is a transport below.
    stream: RefCell<Option<Stream>>,
    /// Whether the protocol above knew the transport below before.
    took_over: Cell<bool>,
    outcome: RefCell<Outcome>,
    /// The transport above, while whoever waits for it waits for a layer that is above it.
    above: RefCell<Option<TransportRef>>,
    callback: RefCell<Option<Established>>,
    ticket: RefCell<Option<Ticket>>,
    timer: RefCell<Option<Box<dyn Timer>>>,
    /// A deadline has passed, and was not looked at.
    expired: Cell<bool>,
    enlisted: Cell<bool>,
}

#[derive(Clone)]
struct Stream {
    session: Rc<Session>,
    driver: Rc<Driver>,
}

/// What a layer has before there is a transport below it.
struct Beginning {
    protocol: StreamProtocol,
    engine: Result<Box<dyn Engine>, Error>,
}

/// How the handshake ended, for whoever waits for it.
enum Outcome {
    Pending(Option<Waker>),
    Known(Result<TransportRef, Error>),
    Taken,
}

impl Layer {
    /// A layer for `protocol` that has no transport below it yet.
    pub(crate) fn new(side: Arc<Side>, protocol: StreamProtocol) -> Rc<Self> {
        let engine = side.engine();
        Rc::new_cyclic(|me| Self {
            me: me.clone(),
            side,
            upper: RefCell::new(Some(Box::new(Beginning { protocol, engine }))),
            stream: RefCell::default(),
            took_over: Cell::new(false),
            outcome: RefCell::new(Outcome::Pending(None)),
            above: RefCell::default(),
            callback: RefCell::default(),
            ticket: RefCell::default(),
            timer: RefCell::default(),
            expired: Cell::new(false),
            enlisted: Cell::new(false),
        })
    }

    /// Begins on `below`. With `leftover` the protocol above has been that of `below`, and goes on.
    pub(crate) fn begin(&self, below: &TransportRef, leftover: Option<&[u8]>) {
        let Some(beginning) = self.upper.take() else { return };
        let Beginning { protocol, engine } = *beginning;
        let engine = match engine {
            Ok(engine) => engine,
            Err(error) => {
                self.tell_outcome(Err(error));
                below.abort();
                return;
            }
        };
        let host = LayerHost::new(below.scheduler());
        let timeouts = self.side.timeouts();
        let session = Session::new(
            engine,
            below.clone(),
            host.clone(),
            Weak::clone(&self.me),
            timeouts.shutdown,
        );
        let options =
            StreamOptions { limits: below.write_buffer_limits(), ..StreamOptions::default() };
        let io = TlsIo(Rc::clone(&session));
        let driver = StreamDriver::anchored(io, host, below.id(), protocol, Rc::new(options));
        if leftover.is_some() {
            self.took_over.set(true);
            if !below.is_reading() {
                // The user's pause is about plaintext; the handshake goes on.
                driver.handle().pause_reading();
                below.resume_reading();
            }
            driver.take_over(below.extra::<WritingPaused>().is_some());
        }
        session.begin(leftover.unwrap_or_default());
        self.timer.replace(Some(session.set_timer(timeouts.handshake)));
        self.stream.replace(Some(Stream { session, driver }));
        if leftover.is_some_and(|leftover| !leftover.is_empty()) {
            self.enlist();
        }
    }

    fn stream(&self) -> Option<Stream> {
        self.stream.borrow().clone()
    }

    /// Has the layer settled before the turn ends. Says whether it will be: one that is over has nothing to settle.
    pub(crate) fn enlist(&self) -> bool {
        let (Some(me), Some(stream)) = (self.me.upgrade(), self.stream()) else { return false };
        if !self.enlisted.replace(true) {
            stream.session.host().enlist(me);
        }
        true
    }

    // ---- moving on ----

    /// Takes everything as far as it goes, now that something has changed.
    fn pump(&self) {
        let Some(stream) = self.stream() else { return };
        let Stream { session, driver } = &stream;
        if session.phase() == Phase::Handshaking {
            if self.expired.take() {
                session.abort();
                return self.fail(Error::HandshakeTimedOut);
            }
            if !self.is_admitted(session) {
                return;
            }
            match session.shake_hands() {
                Ok(true) => self.establish(&stream),
                Ok(false) => return,
                Err(error) => {
                    session.refuse();
                    return self.fail(error);
                }
            }
        }
        let mut more = true;
        for _ in 0..ROUNDS {
            driver.ready(Readiness { read: true, write: !session.is_full() });
            more = session.tidy_up();
            if !more {
                break;
            }
        }
        if more {
            // The budget of this turn is spent: others first.
            let me = Weak::clone(&self.me);
            session.host().call_soon(Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.enlist();
                }
            }));
        }
        if self.expired.take() {
            self.give_up(&stream);
        }
    }

    /// A server's handshake waits for its turn.
    fn is_admitted(&self, session: &Session) -> bool {
        let Side::Server(config) = &*self.side else { return true };
        if self.ticket.borrow().is_some() {
            return true;
        }
        let ticket = Admission::of(session.host()).admit(&self.me, config, session.host());
        let admitted = ticket.is_some();
        if admitted {
            config.statistics.count_started();
            self.ticket.replace(ticket);
        }
        session.set_queued(!admitted);
        admitted
    }

    /// The handshake is over: the protocol is told its transport, and whoever waits is given it.
    fn establish(&self, stream: &Stream) {
        self.cancel_timer();
        drop(self.ticket.take());
        if let Side::Server(config) = &*self.side {
            config.statistics.count_finished();
        }
        stream.session.set_limits(stream.driver.handle().write_buffer_limits());
        stream.session.host().observe(&*stream.driver, &Moment::Established);
        let mut outcome = Ok(stream.driver.handle());
        if !self.took_over.get() {
            if let Err(fault) = stream.driver.begin() {
                outcome = Err(Error::Fault(fault));
            }
        }
        if self.tell_outcome(outcome) {
            stream.session.hold();
        }
    }

    /// The handshake has failed: the protocol hears of it only if it knew the transport below.
    fn fail(&self, error: Error) {
        self.fail_with(error.clone(), Lost::Io(error.into()));
    }

    fn fail_with(&self, error: Error, lost: Lost) {
        self.cancel_timer();
        drop(self.ticket.take());
        let Some(stream) = self.stream() else { return };
        stream.session.host().observe(&*stream.driver, &Moment::Failed(&error));
        if let Side::Server(config) = &*self.side {
            config.statistics.count_failed();
            if let Some(hook) = &config.on_failure {
                let peer = stream.session.below().peer_addr();
                let told = guard::call("on_handshake_failure", || hook(peer.as_ref(), &error));
                if let Err(caught) = told {
                    stream.session.host().report(FaultReport::caught(caught));
                }
            }
        }
        if self.took_over.get() {
            stream.driver.fail_below(lost);
        } else {
            stream.driver.abandon();
        }
        self.tell_outcome(Err(error));
    }

    /// Gives the outcome to whoever waits. Says whether somebody does, who has yet to take it.
    fn tell_outcome(&self, outcome: Result<TransportRef, Error>) -> bool {
        let callback = self.callback.take();
        if let Some(callback) = callback {
            let told = guard::call("on_established", || callback(outcome.as_ref()));
            if let (Err(caught), Some(stream)) = (told, self.stream()) {
                stream.session.host().report(FaultReport::caught(caught));
            }
        }
        let before = self.outcome.replace(Outcome::Known(outcome));
        match before {
            Outcome::Pending(Some(waker)) => {
                waker.wake();
                true
            }
            _ => false,
        }
    }

    // ---- deadlines ----

    fn cancel_timer(&self) {
        let timer = self.timer.take();
        if let Some(timer) = timer {
            timer.cancel();
        }
    }

    /// A timer has run. What follows is told when the layer is settled, not inside of the timer's guard.
    pub(crate) fn deadline_passed(&self) {
        self.timer.take();
        self.expired.set(true);
        self.enlist();
    }

    /// Our goodbye has been said: the peer's is waited for, but not for ever.
    pub(crate) fn goodbye_said(&self) {
        if let Some(stream) = self.stream() {
            if !stream.session.patience().is_zero() {
                self.timer.replace(Some(stream.session.set_timer(stream.session.patience())));
            }
        }
        self.enlist();
    }

    /// The peer has not answered our goodbye in time.
    fn give_up(&self, stream: &Stream) {
        let Stream { session, driver } = stream;
        if session.phase() != Phase::Farewell {
            return;
        }
        if session.made_progress() {
            self.timer.replace(Some(session.set_timer(session.patience())));
            return;
        }
        session.abort();
        driver.fail_below(Lost::TimedOut);
    }

    // ---- whoever waits for the handshake ----

    pub(crate) fn on_established(&self, callback: Established) {
        self.callback.replace(Some(callback));
    }

    pub(crate) fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Result<TransportRef, Error>> {
        let mut outcome = self.outcome.borrow_mut();
        match std::mem::replace(&mut *outcome, Outcome::Taken) {
            Outcome::Known(known) => {
                drop(outcome);
                self.forget_waiter();
                Poll::Ready(known)
            }
            Outcome::Pending(_) => {
                *outcome = Outcome::Pending(Some(cx.waker().clone()));
                Poll::Pending
            }
            Outcome::Taken => Poll::Pending,
        }
    }

    /// Nobody waits any more: what has come is delivered.
    pub(crate) fn forget_waiter(&self) {
        if let Outcome::Pending(waker) = &mut *self.outcome.borrow_mut() {
            *waker = None;
        }
        if let Some(stream) = self.stream() {
            if stream.session.release() {
                self.enlist();
            }
        }
    }
}

impl Settle for Layer {
    fn settle(self: Rc<Self>) {
        self.enlisted.set(false);
        self.pump();
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
        shared::Layer::assert_free(self);
        Reception::Buffered
    }

    fn type_name(&self) -> &'static str {
        let protocol = self.stream().and_then(|stream| stream.driver.protocol());
        protocol.map_or("TLS", |protocol| protocol.type_name())
    }

    fn connection_made(&self, below: &TransportRef) {
        self.begin(below, None);
    }

    fn get_buffer(&self, _: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        match self.stream() {
            Some(stream) => stream.session.receive(read),
            // The engine could not be made, and the connection ends.
            None => drop(read(&mut [0; 1])),
        }
    }

    fn buffer_updated(&self, _: &TransportRef, _: usize) {
        self.pump();
    }

    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        if let Some(stream) = self.stream() {
            stream.session.end();
            self.pump();
        }
        // Whether our direction goes on is for the stream above to say.
        KeepOpen::Yes
    }

    fn pause_writing(&self, _: &TransportRef) {
        if let Some(stream) = self.stream() {
            stream.session.set_full(true);
        }
    }

    fn resume_writing(&self, _: &TransportRef) {
        if let Some(stream) = self.stream() {
            stream.session.set_full(false);
            if self.took_over.get() {
                // It may have been paused before TLS came in between, and is resumed before the handshake is over.
                stream.driver.ready(Readiness { read: false, write: true });
            }
            self.pump();
        }
    }

    fn connection_lost(&self, _: &TransportRef, why: &Lost) {
        let Some(stream) = self.stream() else {
            // It never began: whoever made it has given up.
            self.upper.take();
            return;
        };
        if stream.session.phase() == Phase::Open {
            // What has come is delivered, though whoever waits for the transport may not have it yet: the peer's last words
            // may be among it.
            stream.session.release();
            for _ in 0..ROUNDS {
                stream.driver.ready(Readiness { read: true, write: false });
                stream.session.tidy_up();
            }
        }
        match stream.session.lose() {
            Phase::Handshaking => self.fail_with(Error::lost_below(why), translated(why)),
            phase => {
                let said_goodbye = matches!(phase, Phase::Farewell | Phase::Leaving);
                if said_goodbye && (why.is_clean() || stream.session.is_flushed()) {
                    // Everything has gone out, which a paused protocol hears first.
                    stream.driver.ready(Readiness { read: false, write: true });
                } else {
                    stream.driver.fail_below(translated(why));
                }
            }
        }
        self.cancel_timer();
        self.stream.take();
    }

    fn poll_established(
        &self,
        _: &TransportRef,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TransportRef>> {
        let established = match self.poll_outcome(cx) {
            Poll::Ready(Ok(transport)) => {
                self.above.replace(Some(transport.clone()));
                Some(transport)
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => self.above.borrow().clone(),
        };
        let Some(transport) = established else { return Poll::Pending };
        // What stands above may be a layer, too.
        let outcome = match transport.protocol() {
            Some(protocol) => ready!(protocol.poll_established(&transport, cx)),
            None => Ok(transport),
        };
        self.above.take();
        Poll::Ready(outcome)
    }

    fn above(&self) -> Option<TransportRef> {
        let driver = self.stream()?.driver;
        (!driver.is_lost()).then(|| driver.handle())
    }

    fn uppermost(&self, below: &TransportRef) -> TransportRef {
        match self.stream() {
            Some(stream) if stream.session.can_say_goodbye() => stream.driver.handle().uppermost(),
            _ => below.clone(),
        }
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
