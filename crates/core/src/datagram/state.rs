//! [`DatagramState`]: the life of a datagram endpoint, decided without I/O.
//!
//! A driver tells it what happened and asks it what to poll for, what to flush and what the protocol has not been told
//! yet, as with a [`StreamState`](crate::stream::StreamState).
//! An endpoint has no end of the peer's and no half of its own to shut down, so its life is short to draw:
//!
//! ```text
//!   Open ── close() ──▶ Closing ── loss told (once everything has gone out) ──▶ Lost
//!    │                     │                                                     ▲
//!    └── failed(cause) ────┴──────────────▶ Closed ───────── loss told ──────────┘
//! ```
//!
//! Every pair of phase and event; `·` stays.
//! A unit test computes this table and compares.
//!
//! | phase | close | failed | loss told |
//! | --- | --- | --- | --- |
//! | Open | Closing | Closed | · |
//! | Closing | · | Closed | Lost |
//! | Closed | · | · | Lost |
//! | Lost | · | · | · |
//!
//! An error of the system is no event of this life: it concerns one datagram, is told, and the endpoint goes on.
//! Until it is told nothing more is sent or received, so one place for it is enough.

use crate::flow::{Flow, FlowGate, Limits};
use crate::lost::Lost;
use crate::stream::Interest;

/// What one queued datagram counts beside its bytes, as in asyncio: a flood of empty datagrams fills a queue too.
pub(crate) const OVERHEAD: usize = 8;

/// Where an endpoint is in its life. The drawing stands at the top of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It receives and sends.
    Open,
    /// Nothing is received or taken any more; what is queued goes out, then the endpoint is lost.
    Closing,
    /// It is over, and the protocol has yet to be told.
    Closed,
    /// It is over, and the protocol knows.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    Close,
    Failed,
    LossTold,
}

impl Phase {
    /// The phase that follows on `event`.
    const fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Open, Event::Close) => Self::Closing,
            (Self::Open | Self::Closing, Event::Failed) => Self::Closed,
            (Self::Closing | Self::Closed, Event::LossTold) => Self::Lost,
            _ => self,
        }
    }
}

/// Something the protocol has not been told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// `connection_made`.
    Made,
    /// `error_received`.
    Error,
    /// `pause_writing`.
    PauseWriting,
    /// `resume_writing`.
    ResumeWriting,
    /// `connection_lost`, the last.
    Lost,
}

/// The limits of a queue of datagrams: by bytes, where each datagram counts eight more than it has, and by number.
///
/// The queue is full when it is above either high mark, and no longer when it is at or below both low ones.
/// It is over-full when it is above either `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// In bytes.
    pub bytes: Limits,
    /// In datagrams.
    pub datagrams: Limits,
}

impl QueueLimits {
    /// The marks of streams by bytes, and none by number.
    pub const DEFAULT: Self = Self { bytes: Limits::DEFAULT, datagrams: Limits::high(usize::MAX) };

    #[inline]
    fn are_passed_by(&self, load: Load) -> bool {
        load.bytes > self.bytes.high_mark() || load.datagrams > self.datagrams.high_mark()
    }

    #[inline]
    fn are_kept_by(&self, load: Load) -> bool {
        load.bytes <= self.bytes.low_mark() && load.datagrams <= self.datagrams.low_mark()
    }

    #[inline]
    fn are_broken_by(&self, load: Load) -> bool {
        load.bytes > self.bytes.max_mark() || load.datagrams > self.datagrams.max_mark()
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is queued, as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    bytes: usize,
    datagrams: usize,
}

/// The state of one datagram endpoint. See the drawing at the top of this module.
#[derive(Debug)]
pub struct DatagramState {
    load: Load,
    cause: Lost,
    phase: Phase,
    gate: FlowGate,
    made: bool,
    paused: bool,
    blocked: bool,
    stalled: bool,
    misled: bool,
    error: bool,
}

impl Default for DatagramState {
    fn default() -> Self {
        Self::new()
    }
}

impl DatagramState {
    /// An open endpoint whose protocol knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            load: Load { bytes: 0, datagrams: 0 },
            cause: Lost::Closed,
            phase: Phase::Open,
            gate: FlowGate::new(),
            made: false,
            paused: false,
            blocked: false,
            stalled: false,
            misled: false,
            error: false,
        }
    }

    // ---- what the driver asks ----

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How many bytes are queued, as they count: eight more for each datagram.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.load.bytes
    }

    /// How many datagrams are queued.
    #[must_use]
    pub fn queued_datagrams(&self) -> usize {
        self.load.datagrams
    }

    /// What to poll for: reading while datagrams may be delivered, writing while the system would not take more, each
    /// as long as polling can tell.
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest {
            read: self.may_deliver() && !self.misled,
            write: self.blocked && !self.stalled && self.has_unsent(),
        }
    }

    /// Whether datagrams may be handed to the protocol now.
    #[must_use]
    pub fn may_deliver(&self) -> bool {
        self.made && !self.paused && self.phase == Phase::Open
    }

    /// Whether datagrams may be received now: they may be delivered, and no error is waiting to be told.
    #[must_use]
    pub fn may_receive(&self) -> bool {
        self.may_deliver() && !self.error
    }

    /// Whether there is something to send and reason to believe that the system takes it.
    #[must_use]
    pub fn may_flush(&self) -> bool {
        !self.blocked && !self.error && self.has_unsent()
    }

    /// Whether the system would not take more, when it was last asked.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked && self.has_unsent()
    }

    /// Whether a timer must ask whether there is something to receive.
    #[must_use]
    pub fn is_misled(&self) -> bool {
        self.misled && self.phase == Phase::Open
    }

    /// Whether a close waits for datagrams to go out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Closing && self.load.datagrams > 0
    }

    /// The next thing the protocol is to be told, if any; [`told`](Self::told) takes note of it.
    #[must_use]
    pub fn untold(&self) -> Option<Notice> {
        if !self.made {
            return Some(Notice::Made);
        }
        match self.phase {
            Phase::Open | Phase::Closing if self.error => Some(Notice::Error),
            Phase::Open if self.gate.wants_pause() => Some(Notice::PauseWriting),
            Phase::Open if self.gate.wants_resume() => Some(Notice::ResumeWriting),
            // A protocol that was paused hears that its datagrams went out before it hears the end.
            Phase::Closing if self.gate.wants_resume() => Some(Notice::ResumeWriting),
            Phase::Closing if self.load.datagrams == 0 => Some(Notice::Lost),
            Phase::Open | Phase::Closing | Phase::Lost => None,
            Phase::Closed => Some(Notice::Lost),
        }
    }

    /// Whether close, abort or a failure has happened.
    #[inline]
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.phase != Phase::Open
    }

    /// Whether the protocol was told to pause writing, and not yet to resume.
    #[must_use]
    pub fn told_paused(&self) -> bool {
        self.gate.told_full()
    }

    /// Answers a send. Whoever is answered that the queue is full will be told when it no longer is.
    #[inline]
    #[must_use]
    pub fn answer_send(&mut self) -> Flow {
        let flow = self.flow();
        if flow == Flow::Full {
            self.gate.answer_full();
        }
        flow
    }

    /// What a send would be answered now.
    #[inline]
    #[must_use]
    pub fn flow(&self) -> Flow {
        match self.phase {
            Phase::Open if self.gate.is_full() => Flow::Full,
            Phase::Open => Flow::Open,
            _ => Flow::Closed,
        }
    }

    /// Whether the queue is above its ceiling.
    #[inline]
    #[must_use]
    pub fn is_over_full(&self, limits: &QueueLimits) -> bool {
        limits.are_broken_by(self.load)
    }

    // ---- what the user does ----

    /// `datagrams` with `bytes` in all were queued.
    #[inline]
    pub fn queued_more(&mut self, datagrams: usize, bytes: usize, limits: &QueueLimits) {
        self.load.datagrams += datagrams;
        self.load.bytes += bytes + datagrams * OVERHEAD;
        // More can fill a queue, and never empty it.
        self.gate.set(limits.are_passed_by(self.load), false);
    }

    /// The limits are others now.
    pub fn limits_changed(&mut self, limits: &QueueLimits) {
        self.update_gate(limits);
    }

    /// `close()`: send what is queued, then end.
    pub fn close(&mut self) {
        self.phase = self.phase.after(Event::Close);
        self.drained_if_empty();
    }

    /// End at once with `cause`, dropping what is queued: `abort()`, a panic in `connection_made`, a deadline.
    ///
    /// After `close()` the cause becomes this one; after the end was decided nothing changes, and the cause comes back.
    pub fn fail(&mut self, cause: Lost) -> Option<Lost> {
        if !matches!(self.phase, Phase::Open | Phase::Closing) {
            return Some(cause);
        }
        self.phase = self.phase.after(Event::Failed);
        self.load = Load::default();
        self.gate.drained();
        Some(std::mem::replace(&mut self.cause, cause))
    }

    /// Ends without a word; for an endpoint whose protocol knows nothing of it.
    pub fn abandon(&mut self) {
        self.phase = Phase::Lost;
        self.made = true;
    }

    /// `pause_reading()`. Idempotent, and nothing happens once closing.
    pub fn pause_reading(&mut self) {
        if self.phase == Phase::Open {
            self.paused = true;
        }
    }

    /// `resume_reading()`. Idempotent, and nothing happens once closing.
    pub fn resume_reading(&mut self) {
        if self.phase == Phase::Open {
            self.paused = false;
        }
    }

    /// Another protocol listens from now on. It was told nothing about the queue, so a full one is told anew.
    pub fn protocol_changed(&mut self) {
        self.gate.forget_told();
    }

    // ---- what the driver reports ----

    /// `datagrams` with `bytes` in all have left the queue: the system took them, or they were given up.
    pub fn gone(&mut self, datagrams: usize, bytes: usize, limits: &QueueLimits) {
        debug_assert!(datagrams <= self.load.datagrams, "more gone than queued");
        self.load.datagrams -= datagrams;
        self.load.bytes -= bytes + datagrams * OVERHEAD;
        self.update_gate(limits);
        self.drained_if_empty();
    }

    /// The system would not take more for now.
    pub fn blocked(&mut self) {
        self.blocked = true;
    }

    /// The system would not take more, although polling says that it will: a timer must ask again.
    pub fn stalled(&mut self) {
        self.stalled = true;
    }

    /// Polling says that there is something to receive, again and again, and there is not: a timer must ask again.
    pub fn misled(&mut self) {
        self.misled = true;
    }

    /// Polling is to be believed again.
    pub fn trusts(&mut self) {
        self.misled = false;
    }

    /// The system may take more again.
    pub fn writable(&mut self) {
        self.blocked = false;
        self.stalled = false;
    }

    /// A datagram met an error, which is to be told.
    pub fn met_error(&mut self) {
        self.error = true;
    }

    /// The protocol is being told `notice`.
    pub fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Made => self.made = true,
            Notice::Error => self.error = false,
            Notice::PauseWriting => self.gate.tell_pause(),
            Notice::ResumeWriting => self.gate.tell_resume(),
            Notice::Lost => self.phase = self.phase.after(Event::LossTold),
        }
    }

    /// Why the endpoint ended; taken once, when the loss is told.
    #[must_use]
    pub fn take_cause(&mut self) -> Lost {
        std::mem::replace(&mut self.cause, Lost::Closed)
    }

    // ---- the rules ----

    fn has_unsent(&self) -> bool {
        self.load.datagrams > 0
    }

    #[inline]
    fn update_gate(&mut self, limits: &QueueLimits) {
        self.gate.set(limits.are_passed_by(self.load), limits.are_kept_by(self.load));
    }

    fn drained_if_empty(&mut self) {
        if self.phase != Phase::Open && self.load.datagrams == 0 {
            // Nothing can be queued again, so the marks have no say any more.
            self.gate.drained();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [(&str, Phase); 4] = [
        ("Open", Phase::Open),
        ("Closing", Phase::Closing),
        ("Closed", Phase::Closed),
        ("Lost", Phase::Lost),
    ];

    #[test]
    fn the_table_at_the_top_is_what_happens() {
        let mut table = String::new();
        for (name, phase) in PHASES {
            table += &format!("//! | {name} |");
            for event in [Event::Close, Event::Failed, Event::LossTold] {
                let after = phase.after(event);
                let (cell, _) = PHASES[PHASES.iter().position(|other| other.1 == after).unwrap()];
                table += &format!(" {} |", if after == phase { "·" } else { cell });
            }
            table += "\n";
        }
        assert!(include_str!("state.rs").contains(&table), "the table should be\n{table}");
    }

    fn open() -> DatagramState {
        let mut state = DatagramState::new();
        state.told(Notice::Made);
        state
    }

    fn limits(bytes: (usize, usize), datagrams: (usize, usize)) -> QueueLimits {
        QueueLimits {
            bytes: Limits::new(bytes.0, bytes.1).unwrap(),
            datagrams: Limits::new(datagrams.0, datagrams.1).unwrap(),
        }
    }

    #[test]
    fn each_datagram_counts_eight_bytes_more_and_gives_them_back() {
        let limits = limits((20, 8), (100, 100));
        let mut state = open();
        for _ in 0..3 {
            state.queued_more(1, 0, &limits);
        }
        assert_eq!((state.queued(), state.flow()), (24, Flow::Full));
        state.gone(2, 0, &limits);
        assert_eq!((state.queued(), state.flow()), (8, Flow::Open));
        state.gone(1, 0, &limits);
        assert_eq!((state.queued(), state.queued_datagrams()), (0, 0));
    }

    #[test]
    fn either_high_mark_fills_and_both_low_ones_are_needed_to_empty() {
        let limits = limits((100, 50), (3, 1));
        let mut state = open();
        state.queued_more(4, 0, &limits);
        assert_eq!(state.flow(), Flow::Full, "four are more than three");
        state.gone(2, 0, &limits);
        assert_eq!(state.flow(), Flow::Full, "few bytes, but two are more than one");
        state.gone(1, 0, &limits);
        assert_eq!(state.flow(), Flow::Open);
        state.queued_more(1, 100, &limits);
        assert_eq!(state.flow(), Flow::Full, "few datagrams, but many bytes");
    }

    #[test]
    fn an_error_is_told_before_anything_is_sent_or_received_again() {
        let mut state = open();
        state.queued_more(1, 1, &QueueLimits::DEFAULT);
        assert!(state.may_flush() && state.may_receive());
        state.met_error();
        assert_eq!(state.untold(), Some(Notice::Error));
        assert!(!state.may_flush() && !state.may_receive() && state.may_deliver());
        state.told(Notice::Error);
        assert_eq!(state.untold(), None);
        assert!(state.may_flush() && state.may_receive());
    }

    #[test]
    fn a_close_drains_then_resumes_then_ends() {
        let limits = limits((0, 0), (100, 100));
        let mut state = open();
        state.queued_more(2, 10, &limits);
        state.told(Notice::PauseWriting);
        state.close();
        assert!(state.is_draining() && state.untold().is_none() && !state.may_deliver());
        state.gone(2, 10, &limits);
        assert_eq!(state.untold(), Some(Notice::ResumeWriting));
        state.told(Notice::ResumeWriting);
        assert_eq!(state.untold(), Some(Notice::Lost));
        state.told(Notice::Lost);
        assert_eq!((state.phase(), state.untold()), (Phase::Lost, None));
    }

    #[test]
    fn a_failure_drops_what_is_queued_and_the_first_cause_counts() {
        let mut state = open();
        state.queued_more(2, 10, &QueueLimits::DEFAULT);
        state.close();
        assert!(matches!(state.fail(Lost::Aborted), Some(Lost::Closed)));
        assert!(matches!(state.fail(Lost::TimedOut), Some(Lost::TimedOut)), "too late");
        assert_eq!((state.queued(), state.untold()), (0, Some(Notice::Lost)));
        assert!(matches!(state.take_cause(), Lost::Aborted));
    }

    #[test]
    fn polling_for_reading_needs_a_protocol_that_listens_and_a_poller_that_knows() {
        let read = |state: &DatagramState| state.interest().read;
        let mut state = open();
        assert!(read(&state) && !state.is_misled());
        state.misled();
        assert!(!read(&state) && state.is_misled(), "a timer asks");
        assert!(state.may_receive(), "what is there all the same is received");
        state.trusts();
        assert!(read(&state));
        state.misled();
        state.close();
        assert!(!state.is_misled(), "nobody asks any more");
    }

    #[test]
    fn polling_for_writing_needs_something_to_send_and_a_poller_that_knows() {
        let write = |state: &DatagramState| state.interest().write;
        let mut state = open();
        state.blocked();
        assert!(!write(&state), "nothing to send");
        state.queued_more(1, 1, &QueueLimits::DEFAULT);
        assert!(write(&state) && !state.may_flush());
        state.stalled();
        assert!(!write(&state) && !state.may_flush(), "a timer asks");
        state.writable();
        assert!(!write(&state) && state.may_flush());
    }
}
