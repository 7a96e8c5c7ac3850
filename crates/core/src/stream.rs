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

mod end;
mod word;

use crate::flow::{Flow, FlowGate, Limits};
use crate::protocol::KeepOpen;
pub use end::End;
use word::{Marks, Now};

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

/// The state of one byte stream. See the drawing at the top of this module.
#[derive(Debug)]
pub struct StreamState {
    queued: usize,
    end: End,
    /// What still comes is heard out by somebody else than the protocol. No part of the word: our direction has ended by
    /// then, so the stream is not calm.
    lingering: bool,
    now: Now,
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
        Self { queued: 0, end: End::Closed, lingering: false, now: Now::UNMADE }
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

    /// Whether the stream reads, is polled for that, and has nothing to tell, so that the only question left is whether
    /// something is queued. Much cheaper than asking each of the others.
    #[inline]
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.now.word() == Now::CALM.word()
    }

    /// Whether nothing is to be sent, told or changed: the stream reads, and that is all.
    #[inline]
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.queued == 0 && self.is_calm()
    }

    /// Whether the protocol was told of the stream, nothing is queued, and nothing else has happened.
    #[inline]
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.queued == 0 && self.now.word() == Now::FRESH.word()
    }

    /// What to poll for: reading while bytes may be delivered, writing only while the system would not take more.
    #[inline]
    #[must_use]
    pub fn interest(&self) -> Interest {
        let blocked = self.now.marks.has(Marks::BLOCKED);
        Interest { read: self.may_read(), write: blocked && self.has_unsent() }
    }

    /// What to poll for from now on, if that is not what is [`polled`](Self::polled) for.
    #[inline]
    #[must_use]
    pub fn new_interest(&self) -> Option<Interest> {
        let marks = self.now.marks;
        let polled = Interest {
            read: marks.has(Marks::POLLED_TO_READ),
            write: marks.has(Marks::POLLED_TO_WRITE),
        };
        Some(self.interest()).filter(|wanted| *wanted != polled)
    }

    /// Whether bytes may be read now: the protocol knows its transport, has not paused, and the peer has not ended.
    #[inline]
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.may_deliver() && self.now.inbound == Inbound::Open
    }

    /// The same, and nothing that was read before is waiting.
    #[inline]
    #[must_use]
    pub fn may_receive(&self) -> bool {
        self.is_calm() || (self.may_read() && !self.has_leftover())
    }

    /// Whether bytes that were read before wait for the protocol.
    #[inline]
    #[must_use]
    pub fn has_leftover(&self) -> bool {
        self.now.marks.has(Marks::LEFTOVER)
    }

    /// Whether bytes that were read before may be handed to the protocol now.
    #[inline]
    #[must_use]
    pub fn may_deliver(&self) -> bool {
        self.is_made() && !self.is_paused() && self.phase_reads()
    }

    /// Whether there is something to send and reason to believe that the system takes it.
    #[inline]
    #[must_use]
    pub fn may_flush(&self) -> bool {
        self.has_unsent() && !self.now.marks.has(Marks::BLOCKED)
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
        if !self.is_made() {
            return Some(Notice::Made);
        }
        match self.now.phase {
            Phase::Open | Phase::Finishing | Phase::HalfClosed => {
                if self.now.gate.wants_pause() {
                    Some(Notice::PauseWriting)
                } else if self.now.gate.wants_resume() {
                    Some(Notice::ResumeWriting)
                } else if self.now.inbound == Inbound::EndUntold && !self.is_paused() {
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
        !self.phase_reads() || self.lingering
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
        self.may_read() && !self.lingering
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
    // `below` is what a layer has handed to the transport below it and the system has not taken, which counts as queued.

    /// Whether a write may be taken now. One that finds more than `limits.max_mark()` queued ends the stream.
    #[inline]
    pub fn admits_write(&mut self, below: usize, limits: &Limits) -> bool {
        // What is not full is below its ceiling too.
        if self.is_calm() {
            return true;
        }
        if self.now.phase != Phase::Open {
            return false;
        }
        if self.queued + below > limits.max_mark() {
            self.fail(End::Overflow);
            return false;
        }
        true
    }

    /// `count` bytes were queued. Says whether the buffer is full now.
    #[inline]
    pub fn wrote(&mut self, count: usize, below: usize, limits: &Limits) -> bool {
        self.queued += count;
        // More bytes end no fullness.
        self.now.gate.set(self.queued + below > limits.high_mark(), false);
        self.now.gate.is_full()
    }

    /// The limits are others now, or the transport below holds another number of bytes.
    #[inline]
    pub fn limits_changed(&mut self, below: usize, limits: &Limits) {
        self.now.gate.update(self.queued + below, limits);
    }

    /// `write_eof()`: shut our direction down after what is queued.
    pub fn write_eof(&mut self) {
        self.step(Event::WriteEof);
    }

    /// The user has closed, and what still comes is read to be thrown away.
    pub fn linger(&mut self) {
        self.lingering = true;
    }

    /// Whether what still comes is read to be thrown away.
    #[must_use]
    pub fn is_lingering(&self) -> bool {
        self.lingering
    }

    /// `close()`: send what is queued, then end.
    pub fn close(&mut self) {
        self.end_in_order(Event::Close, End::Closed);
    }

    /// Ends at once, dropping what is queued: `abort()`, an error, a panic, a deadline.
    ///
    /// After `close()` the end becomes this one. Says whether it does: after the end was decided nothing changes.
    pub fn fail(&mut self, end: End) -> bool {
        if self.now.phase != Phase::Closing && !self.phase_reads() {
            return false;
        }
        self.step(Event::Failed);
        self.end = end;
        self.queued = 0;
        self.now.marks.set(Marks::OUTFLOW, false);
        self.now.gate.drained();
        true
    }

    /// Ends without a word; for a stream whose protocol knows nothing of it.
    pub fn abandon(&mut self) {
        self.now.phase = Phase::Lost;
        self.now.marks.set(Marks::MADE, true);
    }

    /// `pause_reading()`. Idempotent, and nothing happens once closing.
    pub fn pause_reading(&mut self) {
        if !self.is_closing() {
            self.now.marks.set(Marks::PAUSED, true);
        }
    }

    /// `resume_reading()`. Idempotent, and nothing happens once closing.
    pub fn resume_reading(&mut self) {
        if self.phase_reads() {
            self.now.marks.set(Marks::PAUSED, false);
        }
    }

    /// The protocol knows its transport already, and was told to pause writing or was not: a layer has come in between.
    pub fn taken_over(&mut self, paused: bool) {
        self.now.marks.set(Marks::MADE, true);
        if paused {
            self.now.gate = FlowGate::paused();
        }
    }

    /// Another protocol listens from now on. It was told nothing about the write buffer, so a full one is told anew.
    pub fn protocol_changed(&mut self) {
        self.now.gate.forget_told();
    }

    // ---- what the driver reports ----

    /// The system took `count` queued bytes, or the transport below did, which holds `below` now.
    #[inline]
    pub fn sent(&mut self, count: usize, below: usize, limits: &Limits) {
        debug_assert!(count <= self.queued, "more sent than queued");
        self.queued -= count;
        self.now.gate.update(self.queued + below, limits);
    }

    /// The system took everything that was queued, and there is no layer below that would hold it.
    #[inline]
    pub fn sent_all(&mut self) {
        self.queued = 0;
        self.now.gate.drained();
    }

    /// The system would not take more for now.
    #[inline]
    pub fn blocked(&mut self) {
        self.now.marks.set(Marks::BLOCKED, true);
    }

    /// The system may take more again.
    #[inline]
    pub fn writable(&mut self) {
        self.now.marks.set(Marks::BLOCKED, false);
    }

    /// Something other than queued bytes is being sent (a file), or no longer is.
    pub fn set_outflow(&mut self, active: bool) {
        self.now.marks.set(Marks::OUTFLOW, active);
    }

    /// Bytes that were read before are to be handed to the protocol, or none are any more.
    pub fn set_leftover(&mut self, waiting: bool) {
        self.now.marks.set(Marks::LEFTOVER, waiting);
    }

    /// The descriptor is polled for exactly this now.
    pub fn polled(&mut self, interest: Interest) {
        self.now.marks.set(Marks::POLLED_TO_READ, interest.read);
        self.now.marks.set(Marks::POLLED_TO_WRITE, interest.write);
    }

    /// Our direction was shut down.
    pub fn shut_down(&mut self) {
        self.step(Event::ShutDown);
        if self.now.inbound == Inbound::Ended && self.now.phase == Phase::HalfClosed {
            self.end_in_order(Event::EofKept, End::Eof);
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
        self.end_in_order(Event::EofRefused, End::Truncated);
    }

    /// The protocol is being told `notice`.
    #[inline]
    pub fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Made => self.now.marks.set(Marks::MADE, true),
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
        self.end_in_order(event, End::Eof);
    }

    /// Why the stream ends.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    // ---- the rules ----

    #[inline]
    fn is_made(&self) -> bool {
        self.now.marks.has(Marks::MADE)
    }

    #[inline]
    fn is_paused(&self) -> bool {
        self.now.marks.has(Marks::PAUSED)
    }

    /// What is moved is logged from now on, or no longer is.
    pub fn set_logged(&mut self, logged: bool) {
        self.now.marks.set(Marks::LOGGED, logged);
    }

    /// Whether what is moved is logged.
    #[inline]
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.now.marks.has(Marks::LOGGED)
    }

    /// Whether a large write may pass a queue that is empty: nothing else is being sent, which does not show in the queue,
    /// and nothing is logged, which is done where the queue is sent.
    #[inline]
    #[must_use]
    pub fn may_send_directly(&self) -> bool {
        self.now.marks.0 & (Marks::OUTFLOW | Marks::LOGGED) == 0
    }

    /// Whether something other than queued bytes is being sent.
    #[inline]
    #[must_use]
    pub fn has_outflow(&self) -> bool {
        self.now.marks.has(Marks::OUTFLOW)
    }

    #[inline]
    fn phase_reads(&self) -> bool {
        matches!(self.now.phase, Phase::Open | Phase::Finishing | Phase::HalfClosed)
    }

    #[inline]
    fn is_drained(&self) -> bool {
        self.queued == 0 && !self.has_outflow()
    }

    #[inline]
    fn has_unsent(&self) -> bool {
        (self.queued > 0 || self.has_outflow())
            && matches!(self.now.phase, Phase::Open | Phase::Finishing | Phase::Closing)
    }

    fn step(&mut self, event: Event) {
        self.now.phase = self.now.phase.after(event);
    }

    /// A step that may begin the orderly end, which then is `end`.
    fn end_in_order(&mut self, event: Event, end: End) {
        let before = self.now.phase;
        self.step(event);
        if before != Phase::Closing && self.now.phase == Phase::Closing {
            self.end = end;
        }
    }
}

#[cfg(test)]
mod tests;
