//! [`Session`]: the engine, its state, and the transport below. Nothing in here calls user code.

mod marks;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use marks::Marks;
use wharf_core::extra::{Request, WritingPaused};
use wharf_core::vitals::{Below, TransportKind};
use wharf_core::{Flow, Limits, Scheduler, Transport, TransportRef};

use crate::engine::{Engine, Plaintext, Rustls, total};
use crate::error::Error;
use crate::host::LayerHost;
use crate::incoming::Incoming;
use crate::info::Keys;
use crate::layer::Layer;
use crate::side::Side;
use crate::state::{Event, Phase, TlsState};

/// How much plaintext becomes records before the transport below is asked whether it takes more: four records, which stay
/// in the processor's cache until they are sent.
const PIECE: usize = 64 * 1024;

/// A TLS connection without its protocol.
pub(crate) struct Session {
    below: Rc<dyn Transport>,
    host: LayerHost,
    side: Arc<Side>,
    layer: Weak<Layer>,
    parts: RefCell<Parts>,
}

struct Parts {
    engine: Rustls,
    state: TlsState,
    marks: Marks,
    incoming: Incoming,
}

/// The transport below as the engine sees it: it takes everything.
struct Down<'a> {
    below: &'a dyn Transport,
    full: bool,
}

impl Write for Down<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.full |= self.below.writelines(slices) == Flow::Full;
        total(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Parts {
    /// Sends what the engine has to send.
    fn send(&mut self, below: &dyn Transport) {
        if self.engine.wants_send() {
            let mut down = Down { below, full: false };
            self.engine.send_to(&mut down);
            if down.full {
                self.marks.set(Marks::FULL, true);
            }
        }
    }

    /// Opens what has come until `out` is full.
    fn open(&mut self, out: &mut [u8]) -> Result<Plaintext, rustls::Error> {
        let mut count = 0;
        loop {
            match self.engine.read(&mut out[count..]) {
                Plaintext::Bytes(more) => count += more,
                Plaintext::Ended if count == 0 => return Ok(Plaintext::Ended),
                Plaintext::Ended => break,
                Plaintext::Nothing => {}
            }
            if count == out.len() || self.incoming.is_empty() {
                break;
            }
            match self.engine.feed(self.incoming.bytes()) {
                Ok(taken) => self.incoming.consume(taken),
                // What was opened before is good, and the engine says the same once more.
                Err(_) if count > 0 => break,
                Err(error) => match self.engine.read(out) {
                    Plaintext::Bytes(before) => count = before,
                    _ => return Err(error),
                },
            }
        }
        Ok(if count > 0 { Plaintext::Bytes(count) } else { Plaintext::Nothing })
    }
}

impl Session {
    pub(crate) fn new(
        engine: Rustls,
        below: &TransportRef,
        host: LayerHost,
        side: Arc<Side>,
        layer: Weak<Layer>,
    ) -> Rc<Self> {
        let parts = Parts {
            engine,
            state: TlsState::new(),
            marks: Marks::default().with(Marks::FULL, below.extra::<WritingPaused>().is_some()),
            incoming: Incoming::default(),
        };
        let below = below.clone().into();
        Rc::new(Self { below, host, side, layer, parts: RefCell::new(parts) })
    }

    pub(crate) fn below(&self) -> TransportRef {
        TransportRef::new(Rc::clone(&self.below))
    }

    pub(crate) fn side(&self) -> &Side {
        &self.side
    }

    pub(crate) fn layer(&self) -> Option<Rc<Layer>> {
        self.layer.upgrade()
    }

    pub(crate) fn weak_layer(&self) -> &Weak<Layer> {
        &self.layer
    }

    pub(crate) fn host(&self) -> &LayerHost {
        &self.host
    }

    /// How long our goodbye waits for an answer; not at all, when nobody would look at the time.
    pub(crate) fn patience(&self) -> Duration {
        if self.layer.strong_count() > 0 { self.side.timeouts().shutdown } else { Duration::ZERO }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.parts.borrow().state.phase()
    }

    /// Whether the peer can be told that we close, or has been.
    pub(crate) fn can_say_goodbye(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::Farewell | Phase::Leaving)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.parts.borrow().marks.has(Marks::FULL)
    }

    /// Takes note of `event`, and closes the transport below when both sides have said goodbye.
    fn note(&self, parts: &mut Parts, event: Event) {
        let before = parts.state.phase();
        parts.state.note(event);
        if before != Phase::Leaving && parts.state.phase() == Phase::Leaving {
            self.below.close();
        }
    }

    // ---- the handshake ----

    /// Sends the first flight of a client, and the answer to a leftover that the other side has read too early.
    pub(crate) fn begin(&self, leftover: &[u8]) {
        let mut parts = self.parts.borrow_mut();
        parts.incoming.push(self.host.pool(), leftover);
        parts.send(&*self.below);
    }

    /// Takes the handshake as far as it goes; says whether it is over.
    pub(crate) fn shake_hands(&self) -> Result<bool, Error> {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        while parts.engine.is_handshaking() && !parts.incoming.is_empty() {
            match parts.engine.feed(parts.incoming.bytes()) {
                Ok(taken) => parts.incoming.consume(taken),
                Err(error) => return Err(error.into()),
            }
        }
        parts.send(&*self.below);
        parts.incoming.release(self.host.pool());
        if !parts.engine.is_handshaking() {
            self.note(parts, Event::Established);
            return Ok(true);
        }
        if parts.marks.has(Marks::ENDED) { Err(Error::HandshakeEnded) } else { Ok(false) }
    }

    /// The handshake waits for its turn, unread, or no longer does.
    pub(crate) fn set_queued(&self, queued: bool) {
        self.parts.borrow_mut().marks.set(Marks::QUEUED, queued);
        self.poll_below();
    }

    /// Plaintext waits until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.parts.borrow_mut().marks.set(Marks::HELD, true);
    }

    /// Whether plaintext was waiting.
    pub(crate) fn release(&self) -> bool {
        self.parts.borrow_mut().marks.replace(Marks::HELD, false)
    }

    // ---- from below ----

    /// Receives from the transport below, which reads into the buffer by `read`.
    pub(crate) fn receive(&self, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        let mut incoming = std::mem::take(&mut self.parts.borrow_mut().incoming);
        incoming.fill(self.host.pool(), read);
        incoming.release(self.host.pool());
        let mut parts = self.parts.borrow_mut();
        parts.incoming = incoming;
        parts.marks.set(Marks::DRY, false);
    }

    /// The transport below has reached its end.
    pub(crate) fn end(&self) {
        let mut parts = self.parts.borrow_mut();
        parts.marks.set(Marks::ENDED, true);
        parts.marks.set(Marks::DRY, false);
        self.note(&mut parts, Event::PeerDone);
    }

    /// The transport below may be full, or no longer is.
    pub(crate) fn set_full(&self, full: bool) {
        self.parts.borrow_mut().marks.set(Marks::FULL, full);
    }

    /// The transport below is lost. Says in which phase it was.
    pub(crate) fn lose(&self) -> Phase {
        let mut parts = self.parts.borrow_mut();
        let before = parts.state.phase();
        parts.state.note(Event::LostBelow);
        before
    }

    /// The layer will be settled before the turn ends, or was. Says whether that is new.
    pub(crate) fn note_enlisted(&self, enlisted: bool) -> bool {
        self.parts.borrow_mut().marks.replace(Marks::ENLISTED, enlisted) != enlisted
    }

    /// Whether everything that the user has written has reached the system. If a peer that is gone refuses only tickets and
    /// our goodbye, nothing is lost.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.parts.borrow().marks.has(Marks::DIRTY)
    }

    /// After the stream above has had its say: throws away what nobody will read, and keeps the transport below reading
    /// or paused. Says whether there is more to deliver, without new bytes from below.
    pub(crate) fn tidy_up(&self) -> bool {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        if parts.state.phase() != Phase::Open {
            self.drain(parts);
        }
        parts.send(&*self.below);
        parts.incoming.release(self.host.pool());
        self.update_below(parts);
        parts.marks.has(Marks::READING)
            && !parts.marks.has(Marks::HELD)
            && !parts.marks.has(Marks::DRY)
            && parts.state.phase() == Phase::Open
    }

    /// Throws away what comes after our own end, up to the peer's goodbye.
    fn drain(&self, parts: &mut Parts) {
        if self.below.write_buffer_len() == 0 {
            parts.marks.set(Marks::DIRTY, false);
        }
        let mut done = parts.engine.discard();
        while !done && parts.state.phase() == Phase::Farewell && !parts.incoming.is_empty() {
            match parts.engine.feed(parts.incoming.bytes()) {
                Ok(taken) => parts.incoming.consume(taken),
                // Not worth an error: all that we had to say was said.
                Err(_) => done = true,
            }
            done |= parts.engine.discard();
        }
        parts.incoming.clear();
        if done {
            self.note(parts, Event::PeerDone);
        }
    }

    /// Reads the transport below or pauses it.
    pub(crate) fn poll_below(&self) {
        self.update_below(&mut self.parts.borrow_mut());
    }

    fn update_below(&self, parts: &mut Parts) {
        let wanted = parts.state.wants_bytes(parts.marks.has(Marks::READING))
            && !parts.marks.has(Marks::QUEUED)
            && (parts.state.phase() != Phase::Open || parts.incoming.is_empty());
        if wanted == parts.marks.has(Marks::PAUSED) {
            parts.marks.set(Marks::PAUSED, !wanted);
            if wanted {
                self.below.resume_reading();
            } else {
                self.below.pause_reading();
            }
        }
    }

    /// Ends the connection because of an error of TLS, whose alert is sent first. The peer, who may still be talking, is heard
    /// out, or a reset could overtake the alert.
    pub(crate) fn refuse(&self) {
        self.refuse_with(&mut self.parts.borrow_mut());
    }

    fn refuse_with(&self, parts: &mut Parts) {
        parts.state.note(Event::Failed);
        if parts.engine.wants_send() {
            parts.send(&*self.below);
            self.below().close_lingering(self.patience());
        } else {
            // It is we who were refused, or left.
            self.below.close();
        }
    }

    /// Ends the connection at once.
    pub(crate) fn abort(&self) {
        self.parts.borrow_mut().state.note(Event::Failed);
        self.below.abort();
    }

    // ---- from above ----

    /// Whether plaintext may be there that the stream above has not been given.
    pub(crate) fn set_reading(&self, reading: bool) {
        let mut parts = self.parts.borrow_mut();
        parts.marks.set(Marks::READING, reading);
        self.update_below(&mut parts);
        let open = parts.state.phase() == Phase::Open;
        drop(parts);
        if reading && open {
            // There may be records that have come, and no new ones to tell of them.
            if let Some(layer) = self.layer() {
                layer.enlist();
            }
        }
    }

    /// Moves plaintext into `out`; zero is the peer's goodbye.
    pub(crate) fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        if parts.marks.has(Marks::HELD) || parts.state.phase() != Phase::Open {
            return Err(ErrorKind::WouldBlock.into());
        }
        let opened = parts.open(out);
        let dry = match opened {
            Ok(Plaintext::Nothing) => true,
            // A short read has taken everything, and the end is then seen by another one.
            Ok(Plaintext::Bytes(count)) => {
                count < out.len()
                    && parts.incoming.is_empty()
                    && !parts.marks.has(Marks::ENDED)
                    && !parts.engine.has_ended()
            }
            _ => false,
        };
        parts.marks.set(Marks::DRY, dry);
        match opened {
            Ok(Plaintext::Bytes(count)) => Ok(count),
            Ok(Plaintext::Ended) => {
                self.note(parts, Event::PeerDone);
                Ok(0)
            }
            Ok(Plaintext::Nothing) if parts.marks.has(Marks::ENDED) => {
                Err(ErrorKind::UnexpectedEof.into())
            }
            Ok(Plaintext::Nothing) => Err(ErrorKind::WouldBlock.into()),
            Err(error) => Err(self.broken(parts, error)),
        }
    }

    /// The peer's records are bad: it is told so, and what is below ends.
    fn broken(&self, parts: &mut Parts, error: rustls::Error) -> io::Error {
        parts.incoming.clear();
        self.refuse_with(parts);
        Error::from(error).into()
    }

    /// Makes records of `slices` and hands them down, until the transport below is full.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        if parts.state.phase() != Phase::Open {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        if total(slices)? <= PIECE {
            if !parts.marks.has(Marks::FULL) {
                if let Err(error) = parts.engine.write(slices) {
                    return Err(self.broken(parts, error));
                }
                parts.send(&*self.below);
                taken = total(slices)?;
            }
        } else {
            for piece in slices.iter().flat_map(|slice| slice.chunks(PIECE)) {
                if parts.marks.has(Marks::FULL) {
                    break;
                }
                if let Err(error) = parts.engine.write(&[IoSlice::new(piece)]) {
                    return Err(self.broken(parts, error));
                }
                parts.send(&*self.below);
                taken += piece.len();
            }
        }
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        parts.marks.set(Marks::DIRTY, true);
        Ok(taken)
    }

    /// Ends our direction by a goodbye; the peer's goes on.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        let mut parts = self.parts.borrow_mut();
        if parts.state.phase() == Phase::Handshaking {
            return Err(ErrorKind::WouldBlock.into());
        }
        parts.engine.close_notify();
        parts.send(&*self.below);
        Ok(())
    }

    /// Says goodbye, because the stream above closes and everything was written. Answers whether all is over: once the
    /// transport below is lost.
    pub(crate) fn say_goodbye(&self) -> bool {
        let mut borrowed = self.parts.borrow_mut();
        let parts = &mut *borrowed;
        match parts.state.phase() {
            Phase::Open => {
                if self.below.write_buffer_len() == 0 {
                    parts.marks.set(Marks::DIRTY, false);
                }
                parts.engine.close_notify();
                parts.send(&*self.below);
                // From now on every byte that waits counts: we want to know when the last one is gone.
                self.below.set_write_buffer_limits(Limits::high(0));
                self.note(parts, Event::Goodbye);
                if self.patience().is_zero() {
                    self.note(parts, Event::PeerDone);
                }
                self.update_below(parts);
                // It looks in here.
                drop(borrowed);
                if let Some(layer) = self.layer() {
                    layer.goodbye_said();
                }
                false
            }
            Phase::Handshaking => {
                parts.state.note(Event::Failed);
                self.below.abort();
                false
            }
            Phase::Farewell | Phase::Leaving => false,
            Phase::Failed | Phase::Lost => true,
        }
    }

    /// The stream above is over. Unless TLS is, too, it was dropped.
    pub(crate) fn close(&self) {
        let mut parts = self.parts.borrow_mut();
        let phase = parts.state.phase();
        parts.state.note(Event::Failed);
        parts.incoming.clear();
        parts.incoming.release(self.host.pool());
        if !matches!(phase, Phase::Failed | Phase::Lost) {
            self.below.abort();
        }
    }

    pub(crate) fn unsent(&self) -> usize {
        self.below.write_buffer_len()
    }

    /// Whether the transport below closes without our having asked it to.
    pub(crate) fn is_closing_below(&self) -> bool {
        self.below.is_closing()
    }

    pub(crate) fn can_half_close(&self) -> bool {
        self.parts.borrow().engine.can_half_close()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        if matches!(self.phase(), Phase::Handshaking | Phase::Open) {
            // The transport below counts as part of the stream above: whenever it holds more than that one's low mark, we
            // want to hear when it no longer does, or a paused protocol would not be resumed.
            let low = limits.low_mark();
            self.below.set_write_buffer_limits(Limits::flat(low).max(limits.max_mark()));
        }
    }

    // ---- facts ----

    pub(crate) fn provide(self: &Rc<Self>, request: &mut Request<'_>) {
        let parts = self.parts.borrow();
        if parts.state.phase() != Phase::Handshaking {
            parts.engine.provide(request);
            request.provide_some(|| self.side.server_name()).provide(|| Keys(Rc::clone(self)));
        }
        request
            .provide_some(|| {
                let below = self.below().extra::<TransportKind>()?;
                Some(TransportKind(format!("tls over {below}").into()))
            })
            .provide(|| Below(self.below()));
        self.below.provide(request.below());
    }

    pub(crate) fn export(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), rustls::Error> {
        self.parts.borrow().engine.export(out, label, context)
    }

    pub(crate) fn refresh_keys(&self) -> Result<(), rustls::Error> {
        let mut parts = self.parts.borrow_mut();
        parts.engine.refresh_keys()?;
        parts.send(&*self.below);
        Ok(())
    }

    /// A timer that has the layer look at its deadlines.
    pub(crate) fn set_timer(&self, after: Duration) -> Box<dyn wharf_core::schedule::Timer> {
        let layer = Weak::clone(&self.layer);
        self.host.call_later(
            after,
            Box::new(move || {
                if let Some(layer) = layer.upgrade() {
                    layer.deadline_passed();
                }
            }),
        )
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("phase", &self.phase()).finish_non_exhaustive()
    }
}
