//! [`StreamState`]: the life of a byte stream, decided without I/O.
//!
//! A driver tells it what happened and asks it what to poll for, what to flush and what the protocol has not been told
//! yet; it never sets any of those itself, so they cannot disagree.
//!
//! ```text
//!             write_eof()               shut down
//!   Open ─────────────────▶ Finishing ────────────▶ HalfClosed
//!    │                          │                       │
//!    │ close(), eof refused     │ close(), eof refused  │ close(), any eof
//!    ▼                          ▼                       ▼
//!   Closing ◀───────────────────┴───────────────────────┘
//!    │
//!    │ loss told (once everything has gone out)
//!    ▼
//!   Lost ◀── loss told ── Closed ◀── failed(cause), from anywhere above
//! ```
//!
//! Every pair of phase and event; `·` stays.
//! A unit test computes this table and compares.
//!
//! | phase | write_eof | shut down | close | eof refused | eof kept | failed | loss told |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | Open | Finishing | · | Closing | Closing | · | Closed | · |
//! | Finishing | · | HalfClosed | Closing | Closing | · | Closed | · |
//! | HalfClosed | · | · | Closing | Closing | Closing | Closed | · |
//! | Closing | · | · | · | · | · | Closed | Lost |
//! | Closed | · | · | · | · | · | · | Lost |
//! | Lost | · | · | · | · | · | · | · |
//!
//! One arrow depends on more than its phase: `shut down` leads from Finishing to Closing when the peer's end was kept
//! open before, because then both halves are shut and nothing can happen any more.

use crate::flow::{Flow, FlowGate, Limits};
use crate::lost::Lost;
use crate::protocol::KeepOpen;

/// Where a byte stream is in its life. The drawing stands at the top of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Both directions are open.
    Open,
    /// `write_eof` was called: what is queued goes out, then our direction is shut down.
    Finishing,
    /// Our direction is shut down; the peer's is open.
    HalfClosed,
    /// Nothing is read or taken any more; what is queued goes out, then the connection is lost.
    Closing,
    /// It is over, and the protocol has yet to be told.
    Closed,
    /// It is over, and the protocol knows.
    Lost,
}

/// What changes the phase of a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    WriteEof,
    ShutDown,
    Close,
    EofRefused,
    EofKept,
    Failed,
    LossTold,
}

impl Phase {
    /// The phase that follows on `event`.
    const fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Open, Event::WriteEof) => Self::Finishing,
            (Self::Finishing, Event::ShutDown) => Self::HalfClosed,
            (Self::Open | Self::Finishing | Self::HalfClosed, Event::Close | Event::EofRefused)
            | (Self::HalfClosed, Event::EofKept) => Self::Closing,
            (Self::Open | Self::Finishing | Self::HalfClosed | Self::Closing, Event::Failed) => {
                Self::Closed
            }
            (Self::Closing | Self::Closed, Event::LossTold) => Self::Lost,
            _ => self,
        }
    }
}

/// The peer's direction, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Inbound {
    /// Bytes may come.
    Open,
    /// The end was read; `eof_received` is still to be told.
    EndUntold,
    /// The end was told. Nothing is read any more.
    Ended,
}

/// Something the protocol has not been told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// `connection_made`.
    Made,
    /// `pause_writing`.
    PauseWriting,
    /// `resume_writing`.
    ResumeWriting,
    /// `eof_received`.
    Eof,
    /// `connection_lost`, the last.
    Lost,
}

/// What a driver should poll for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest {
    /// Readability.
    pub read: bool,
    /// Writability.
    pub write: bool,
}

/// Why a stream ends, by name: few ends have more to say, and what they say is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Eof,
    Aborted,
}

/// The state of one byte stream. See the drawing at the top of this module.
#[derive(Debug)]
pub struct StreamState {
    queued: usize,
    /// What a layer has handed to the transport below, and the system has not taken.
    below: usize,
    /// Why the stream ends, if `now.end` does not say it.
    cause: Option<Box<Lost>>,
    now: Now,
}

/// Everything about a stream that is no number and no cause, together so that it is compared in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Now {
    phase: Phase,
    inbound: Inbound,
    gate: FlowGate,
    made: bool,
    paused: bool,
    blocked: bool,
    outflow: bool,
    end: End,
}

impl Now {
    /// A stream that nobody was told of.
    const UNMADE: Self = Self {
        phase: Phase::Open,
        inbound: Inbound::Open,
        gate: FlowGate::new(),
        made: false,
        paused: false,
        blocked: false,
        outflow: false,
        end: End::Closed,
    };

    /// An open stream after most callbacks: it reads, and there is nothing to send and nothing to tell.
    const AT_REST: Self = Self { made: true, ..Self::UNMADE };
}

impl Default for StreamState {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamState {
    /// A stream that is open in both directions and whose protocol knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { queued: 0, below: 0, cause: None, now: Now::UNMADE }
    }

    // ---- what the driver asks ----

    /// The phase.
    #[inline]
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.now.phase
    }

    /// How many bytes were taken and have not gone out.
    #[inline]
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing is to be sent, told or changed: the stream reads, and that is all. Much cheaper than asking each
    /// of the other questions, which would all be answered with no.
    #[inline]
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.queued == 0 && self.now == Now::AT_REST
    }

    /// What to poll for: reading while bytes may be delivered, writing only while the system would not take more.
    #[inline]
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest { read: self.may_read(), write: self.now.blocked && self.has_unsent() }
    }

    /// Whether bytes may be read now: the protocol knows its transport, has not paused, and the peer has not ended.
    #[inline]
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.now.made && !self.now.paused && self.now.inbound == Inbound::Open && self.phase_reads()
    }

    /// Whether bytes that were read before may be handed to the protocol now.
    #[inline]
    #[must_use]
    pub fn may_deliver(&self) -> bool {
        self.now.made && !self.now.paused && self.phase_reads()
    }

    /// Whether there is something to send and reason to believe that the system takes it.
    #[inline]
    #[must_use]
    pub fn may_flush(&self) -> bool {
        !self.now.blocked && self.has_unsent()
    }

    /// Whether our direction is to be shut down now: asked for, and everything before it has gone out.
    #[inline]
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.now.phase == Phase::Finishing && self.is_drained()
    }

    /// Whether a close waits for bytes to go out.
    #[inline]
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.now.phase == Phase::Closing && !self.is_drained()
    }

    /// Whether the loss of the connection shows by an error only: the peer's end was kept open, so nothing is read.
    #[inline]
    #[must_use]
    pub fn watches_errors_only(&self) -> bool {
        self.now.inbound == Inbound::Ended && self.phase_reads()
    }

    /// The next thing the protocol is to be told, if any; [`told`](Self::told) takes note of it.
    #[inline]
    #[must_use]
    pub fn untold(&self) -> Option<Notice> {
        if !self.now.made {
            return Some(Notice::Made);
        }
        match self.now.phase {
            Phase::Open | Phase::Finishing | Phase::HalfClosed => {
                if self.now.gate.wants_pause() {
                    Some(Notice::PauseWriting)
                } else if self.now.gate.wants_resume() {
                    Some(Notice::ResumeWriting)
                } else if self.now.inbound == Inbound::EndUntold && !self.now.paused {
                    Some(Notice::Eof)
                } else {
                    None
                }
            }
            // A protocol that was paused hears that its bytes went out before it hears the end; one that was not is
            // no longer paused, since it cannot write any more.
            Phase::Closing if self.now.gate.told_full() && !self.now.gate.is_full() => {
                Some(Notice::ResumeWriting)
            }
            Phase::Closing if self.is_drained() => Some(Notice::Lost),
            Phase::Closing | Phase::Lost => None,
            Phase::Closed => Some(Notice::Lost),
        }
    }

    /// Whether close, abort, a loss, or a refused end has happened.
    #[inline]
    #[must_use]
    pub fn is_closing(&self) -> bool {
        !self.phase_reads()
    }

    /// Whether the protocol was told to pause writing, and not yet to resume.
    #[must_use]
    pub fn told_paused(&self) -> bool {
        self.now.gate.told_full()
    }

    /// Whether the protocol will be given what arrives.
    #[inline]
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.may_read()
    }

    /// Answers a write. Whoever is answered that the buffer is full will be told when it no longer is.
    #[inline]
    #[must_use]
    pub fn answer_write(&mut self) -> Flow {
        let flow = self.flow();
        if flow == Flow::Full {
            self.now.gate.answer_full();
        }
        flow
    }

    /// What a write would be answered now.
    #[inline]
    #[must_use]
    pub fn flow(&self) -> Flow {
        match self.now.phase {
            Phase::Open if self.now.gate.is_full() => Flow::Full,
            Phase::Open => Flow::Open,
            _ => Flow::Closed,
        }
    }

    // ---- what the user does ----

    /// Whether a write may be taken now. One that finds more than `limits.max_mark()` queued ends the stream.
    #[inline]
    pub fn admits_write(&mut self, limits: &Limits) -> bool {
        if self.now.phase != Phase::Open {
            return false;
        }
        if self.queued + self.below > limits.max_mark() {
            self.fail(Lost::Overflow);
            return false;
        }
        true
    }

    /// `count` bytes were queued.
    #[inline]
    pub fn wrote(&mut self, count: usize, limits: &Limits) {
        self.queued += count;
        self.now.gate.update(self.queued + self.below, limits);
    }

    /// The limits are others now.
    pub fn limits_changed(&mut self, limits: &Limits) {
        self.now.gate.update(self.queued + self.below, limits);
    }

    /// `write_eof()`: shut our direction down after what is queued.
    pub fn write_eof(&mut self) {
        self.step(Event::WriteEof);
    }

    /// `close()`: send what is queued, then end.
    pub fn close(&mut self) {
        self.end(Event::Close, Lost::Closed);
    }

    /// End at once with `cause`, dropping what is queued: `abort()`, an error, a panic, a deadline.
    ///
    /// After `close()` the cause becomes this one; after the end was decided nothing changes, and the cause comes back.
    pub fn fail(&mut self, cause: Lost) -> Option<Lost> {
        if self.now.phase != Phase::Closing && !self.phase_reads() {
            return Some(cause);
        }
        self.step(Event::Failed);
        let replaced = self.set_cause(cause);
        self.queued = 0;
        self.below = 0;
        self.now.outflow = false;
        self.now.gate.drained();
        replaced
    }

    /// Ends without a word; for a stream whose protocol knows nothing of it.
    pub fn abandon(&mut self) {
        self.now.phase = Phase::Lost;
        self.now.made = true;
    }

    /// `pause_reading()`. Idempotent, and nothing happens once closing.
    pub fn pause_reading(&mut self) {
        if self.phase_reads() {
            self.now.paused = true;
        }
    }

    /// `resume_reading()`. Idempotent, and nothing happens once closing.
    pub fn resume_reading(&mut self) {
        if self.phase_reads() {
            self.now.paused = false;
        }
    }

    /// The protocol knows its transport already, and was told to pause writing or was not: a layer has come in between.
    pub fn taken_over(&mut self, paused: bool) {
        self.now.made = true;
        if paused {
            self.now.gate = FlowGate::paused();
        }
    }

    /// Another protocol listens from now on. It was told nothing about the write buffer, so a full one is told anew.
    pub fn protocol_changed(&mut self) {
        self.now.gate.forget_told();
    }

    // ---- what the driver reports ----

    /// The system took `count` queued bytes.
    #[inline]
    pub fn sent(&mut self, count: usize, limits: &Limits) {
        debug_assert!(count <= self.queued, "more sent than queued");
        self.queued -= count;
        self.now.gate.update(self.queued + self.below, limits);
        self.note_drained();
    }

    /// For layers: the transport below took `count` queued bytes, and now holds `below` that the system has not taken.
    #[inline]
    pub fn handed_down(&mut self, count: usize, below: usize, limits: &Limits) {
        self.below = below;
        self.sent(count, limits);
    }

    /// For layers: the transport below holds `count` bytes that the system has not taken.
    #[inline]
    pub fn set_below(&mut self, count: usize, limits: &Limits) {
        self.below = count;
        self.now.gate.update(self.queued + count, limits);
        self.note_drained();
    }

    #[inline]
    fn note_drained(&mut self) {
        if self.queued + self.below == 0 && self.now.phase != Phase::Open {
            // Nothing can be queued again, so the marks have no say any more.
            self.now.gate.drained();
        }
    }

    /// The system would not take more for now.
    #[inline]
    pub fn blocked(&mut self) {
        self.now.blocked = true;
    }

    /// The system may take more again.
    #[inline]
    pub fn writable(&mut self) {
        self.now.blocked = false;
    }

    /// Something other than queued bytes is being sent (a file), or no longer is.
    pub fn set_outflow(&mut self, active: bool) {
        self.now.outflow = active;
    }

    /// Our direction was shut down.
    pub fn shut_down(&mut self) {
        self.step(Event::ShutDown);
        if self.now.inbound == Inbound::Ended && self.now.phase == Phase::HalfClosed {
            self.end(Event::EofKept, Lost::Eof);
        }
    }

    /// The peer's end was read.
    pub fn eof(&mut self) {
        if self.now.inbound == Inbound::Open && self.phase_reads() {
            self.now.inbound = Inbound::EndUntold;
        }
    }

    /// The peer's bytes ended without a goodbye: nothing more is read, and what is queued is still sent.
    pub fn truncated(&mut self) {
        self.end(Event::EofRefused, Lost::Truncated);
    }

    /// The protocol is being told `notice`.
    #[inline]
    pub fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Made => self.now.made = true,
            Notice::PauseWriting => self.now.gate.tell_pause(),
            Notice::ResumeWriting => self.now.gate.tell_resume(),
            Notice::Eof => self.now.inbound = Inbound::Ended,
            Notice::Lost => self.step(Event::LossTold),
        }
    }

    /// The protocol's answer to `eof_received`.
    pub fn eof_answered(&mut self, keep_open: KeepOpen) {
        let event = match keep_open {
            KeepOpen::No => Event::EofRefused,
            KeepOpen::Yes => Event::EofKept,
        };
        self.end(event, Lost::Eof);
    }

    /// Why the stream ended; taken once, when the loss is told.
    #[must_use]
    pub fn take_cause(&mut self) -> Lost {
        match (self.cause.take(), self.now.end) {
            (Some(cause), _) => *cause,
            (None, End::Closed) => Lost::Closed,
            (None, End::Eof) => Lost::Eof,
            (None, End::Aborted) => Lost::Aborted,
        }
    }

    // ---- the rules ----

    #[inline]
    fn phase_reads(&self) -> bool {
        matches!(self.now.phase, Phase::Open | Phase::Finishing | Phase::HalfClosed)
    }

    #[inline]
    fn is_drained(&self) -> bool {
        self.queued == 0 && !self.now.outflow
    }

    #[inline]
    fn has_unsent(&self) -> bool {
        (self.queued > 0 || self.now.outflow)
            && matches!(self.now.phase, Phase::Open | Phase::Finishing | Phase::Closing)
    }

    /// Sets why the stream ends; gives what was set before and is more than a name.
    fn set_cause(&mut self, cause: Lost) -> Option<Lost> {
        let (end, cause) = match cause {
            Lost::Closed => (End::Closed, None),
            Lost::Eof => (End::Eof, None),
            Lost::Aborted => (End::Aborted, None),
            other => (End::Closed, Some(Box::new(other))),
        };
        self.now.end = end;
        std::mem::replace(&mut self.cause, cause).map(|replaced| *replaced)
    }

    fn step(&mut self, event: Event) {
        self.now.phase = self.now.phase.after(event);
    }

    /// A step that may begin the orderly end, which then has `cause`.
    fn end(&mut self, event: Event, cause: Lost) {
        let before = self.now.phase;
        self.step(event);
        if before != Phase::Closing && self.now.phase == Phase::Closing {
            self.set_cause(cause);
            if self.queued + self.below == 0 {
                self.now.gate.drained();
            }
        }
    }
}

#[cfg(test)]
mod tests;
