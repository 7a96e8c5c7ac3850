//! [`Session`]: the engine, its state, and the transport below. Nothing in here calls user code.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::rc::{Rc, Weak};
use std::time::Duration;

use wharf_core::extra::Request;
use wharf_core::vitals::{Below, TransportKind};
use wharf_core::{Flow, Limits, Scheduler, TransportRef};

use crate::engine::{Engine, Plaintext, Rustls, total};
use crate::error::Error;
use crate::host::LayerHost;
use crate::incoming::Incoming;
use crate::info::Keys;
use crate::layer::Layer;
use crate::state::{Event, Phase, TlsState};

/// How much plaintext becomes records before the transport below is asked whether it takes more: four records, which stay
/// in the processor's cache until they are sent.
const PIECE: usize = 64 * 1024;

/// A TLS connection without its protocol.
pub(crate) struct Session {
    below: TransportRef,
    host: LayerHost,
    layer: Weak<Layer>,
    parts: RefCell<Parts>,
}

struct Parts {
    engine: Rustls,
    state: TlsState,
    incoming: Incoming,
    /// The transport below was full, and has not said that it no longer is.
    full: bool,
    /// Whether the stream above wants more.
    reading: bool,
    /// Whether we have paused the transport below.
    paused: bool,
    /// Whether plaintext waits until somebody has been given the transport.
    held: bool,
    /// Whether the handshake waits for its turn.
    queued: bool,
    /// The transport below has reached its end.
    ended: bool,
    /// Whether a read would find nothing before more has come from below.
    dry: bool,
    /// The user has written something that may not have reached the system.
    dirty: bool,
    /// How much the transport below still had when a deadline last looked.
    unsent: usize,
}

/// The transport below as the engine sees it: it takes everything.
struct Down<'a> {
    below: &'a TransportRef,
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
    fn send(&mut self, below: &TransportRef) {
        if self.engine.wants_send() {
            let mut down = Down { below, full: self.full };
            self.engine.send_to(&mut down);
            self.full = down.full;
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
        below: TransportRef,
        host: LayerHost,
        layer: Weak<Layer>,
    ) -> Rc<Self> {
        let parts = Parts {
            engine,
            state: TlsState::new(),
            incoming: Incoming::default(),
            full: below.extra::<wharf_core::extra::WritingPaused>().is_some(),
            reading: false,
            paused: false,
            held: false,
            queued: false,
            ended: false,
            dry: false,
            dirty: false,
            unsent: 0,
        };
        Rc::new(Self { below, host, layer, parts: RefCell::new(parts) })
    }

    pub(crate) fn below(&self) -> &TransportRef {
        &self.below
    }

    pub(crate) fn host(&self) -> &LayerHost {
        &self.host
    }

    /// How long our goodbye waits for an answer; not at all, when nobody would look at the time.
    fn patience(&self) -> Duration {
        self.layer.upgrade().map_or(Duration::ZERO, |layer| layer.patience())
    }

    pub(crate) fn phase(&self) -> Phase {
        self.parts.borrow().state.phase()
    }

    /// Whether the peer can be told that we close, or has been.
    pub(crate) fn can_say_goodbye(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::Farewell | Phase::Leaving)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.parts.borrow().full
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
        parts.send(&self.below);
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
        parts.send(&self.below);
        parts.incoming.release(self.host.pool());
        if !parts.engine.is_handshaking() {
            self.note(parts, Event::Established);
            return Ok(true);
        }
        if parts.ended { Err(Error::HandshakeEnded) } else { Ok(false) }
    }

    /// The handshake waits for its turn, unread, or no longer does.
    pub(crate) fn set_queued(&self, queued: bool) {
        self.parts.borrow_mut().queued = queued;
        self.poll_below();
    }

    /// Plaintext waits until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.parts.borrow_mut().held = true;
    }

    /// Whether plaintext was waiting.
    pub(crate) fn release(&self) -> bool {
        std::mem::take(&mut self.parts.borrow_mut().held)
    }

    // ---- from below ----

    /// Receives from the transport below, which reads into the buffer by `read`.
    pub(crate) fn receive(&self, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        let mut incoming = std::mem::take(&mut self.parts.borrow_mut().incoming);
        incoming.fill(self.host.pool(), read);
        incoming.release(self.host.pool());
        let mut parts = self.parts.borrow_mut();
        parts.incoming = incoming;
        parts.dry = false;
    }

    /// The transport below has reached its end.
    pub(crate) fn end(&self) {
        let mut parts = self.parts.borrow_mut();
        parts.ended = true;
        parts.dry = false;
        self.note(&mut parts, Event::PeerDone);
    }

    /// The transport below may be full, or no longer is.
    pub(crate) fn set_full(&self, full: bool) {
        self.parts.borrow_mut().full = full;
    }

    /// The transport below is lost. Says in which phase it was.
    pub(crate) fn lose(&self) -> Phase {
        let mut parts = self.parts.borrow_mut();
        let before = parts.state.phase();
        parts.state.note(Event::LostBelow);
        before
    }

    /// Whether everything that the user has written has reached the system. If a peer that is gone refuses only tickets and
    /// our goodbye, nothing is lost.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.parts.borrow().dirty
    }

    /// After the stream above has had its say: throws away what nobody will read, and keeps the transport below reading
    /// or paused. Says whether there is more to deliver, without new bytes from below.
    pub(crate) fn tidy_up(&self) -> bool {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        if parts.state.phase() != Phase::Open {
            self.drain(parts);
        }
        parts.send(&self.below);
        parts.incoming.release(self.host.pool());
        self.update_below(parts);
        parts.reading && !parts.held && !parts.dry && parts.state.phase() == Phase::Open
    }

    /// Whether more of what was sent has reached the system since this was asked last.
    pub(crate) fn made_progress(&self) -> bool {
        let mut parts = self.parts.borrow_mut();
        let unsent = self.below.write_buffer_len();
        let before = std::mem::replace(&mut parts.unsent, unsent);
        unsent > 0 && unsent < before
    }

    /// Throws away what comes after our own end, up to the peer's goodbye.
    fn drain(&self, parts: &mut Parts) {
        parts.dirty &= self.below.write_buffer_len() > 0;
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
        let wanted = parts.state.wants_bytes(parts.reading)
            && !parts.queued
            && (parts.state.phase() != Phase::Open || parts.incoming.is_empty());
        if wanted == parts.paused {
            parts.paused = !wanted;
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
            parts.send(&self.below);
            self.below.close_lingering(self.patience());
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
        parts.reading = reading;
        if reading && parts.state.phase() == Phase::Open {
            // There may be records that have come, and no new ones to tell of them.
            if let Some(layer) = self.layer.upgrade() {
                layer.enlist();
            }
        }
        self.update_below(&mut parts);
    }

    /// Moves plaintext into `out`; zero is the peer's goodbye.
    pub(crate) fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        if parts.held || parts.state.phase() != Phase::Open {
            return Err(ErrorKind::WouldBlock.into());
        }
        let opened = parts.open(out);
        parts.dry = match opened {
            Ok(Plaintext::Nothing) => true,
            // A short read has taken everything, and the end is then seen by another one.
            Ok(Plaintext::Bytes(count)) => {
                count < out.len()
                    && parts.incoming.is_empty()
                    && !parts.ended
                    && !parts.engine.has_ended()
            }
            _ => false,
        };
        match opened {
            Ok(Plaintext::Bytes(count)) => Ok(count),
            Ok(Plaintext::Ended) => {
                self.note(parts, Event::PeerDone);
                Ok(0)
            }
            Ok(Plaintext::Nothing) if parts.ended => Err(ErrorKind::UnexpectedEof.into()),
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
            if !parts.full {
                if let Err(error) = parts.engine.write(slices) {
                    return Err(self.broken(parts, error));
                }
                parts.send(&self.below);
                taken = total(slices)?;
            }
        } else {
            for piece in slices.iter().flat_map(|slice| slice.chunks(PIECE)) {
                if parts.full {
                    break;
                }
                if let Err(error) = parts.engine.write(&[IoSlice::new(piece)]) {
                    return Err(self.broken(parts, error));
                }
                parts.send(&self.below);
                taken += piece.len();
            }
        }
        parts.dirty |= taken > 0;
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Ends our direction by a goodbye; the peer's goes on.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        let mut parts = self.parts.borrow_mut();
        if parts.state.phase() == Phase::Handshaking {
            return Err(ErrorKind::WouldBlock.into());
        }
        parts.engine.close_notify();
        parts.send(&self.below);
        Ok(())
    }

    /// Says goodbye, because the stream above closes and everything was written. Answers whether all is over: once the
    /// transport below is lost.
    pub(crate) fn say_goodbye(&self) -> bool {
        let mut parts = self.parts.borrow_mut();
        let parts = &mut *parts;
        match parts.state.phase() {
            Phase::Open => {
                parts.dirty &= self.below.write_buffer_len() > 0;
                parts.engine.close_notify();
                parts.send(&self.below);
                // From now on every byte that waits counts: we want to know when the last one is gone.
                self.below.set_write_buffer_limits(Limits::high(0));
                parts.unsent = self.below.write_buffer_len();
                self.note(parts, Event::Goodbye);
                if self.patience().is_zero() {
                    self.note(parts, Event::PeerDone);
                }
                self.update_below(parts);
                if let Some(layer) = self.layer.upgrade() {
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
            request.provide(|| Keys(Rc::clone(self)));
        }
        request
            .provide_some(|| {
                let below = self.below.extra::<TransportKind>()?;
                Some(TransportKind(format!("tls over {below}").into()))
            })
            .provide(|| Below(self.below.clone()));
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
        parts.send(&self.below);
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
