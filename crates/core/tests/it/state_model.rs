//! [`StreamState`] driven by operations, as its driver drives it, and held to what it promises.

use wharf_core::stream::{End, Interest, Notice, Phase, StreamState};
use wharf_core::{Flow, KeepOpen, Limits};

/// What a user, the system and the driver do to a stream.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Operation {
    Write(u16),
    WriteEof,
    Close,
    Abort,
    PauseReading,
    ResumeReading,
    SetLimits {
        high: u16,
        low: u16,
        max: u16,
    },
    SwitchProtocol,
    /// The system takes this many of 255 parts of what is queued.
    Send(u8),
    Block,
    Unblock,
    BeginOutflow,
    EndOutflow,
    /// The peer's end is read.
    ReadEof,
    /// The next thing is told, if any; the protocol's answer to the end is this.
    Tell {
        keep_open: bool,
    },
    /// Everything is told.
    Settle {
        keep_open: bool,
    },
}

/// No more than this many things can be untold without the user doing anything: a made, a pause, a resume, an end and
/// a loss.
const MOST_UNTOLD: usize = 5;

/// A stream's state, and what is known of it from outside.
pub(crate) struct Model {
    state: StreamState,
    limits: Limits,
    queued: usize,
    outflow: bool,
    made: bool,
    paused: bool,
    eof_read: bool,
    eof_told: bool,
    /// What the present protocol was told last of writing.
    told_pause: bool,
    /// Somebody was answered `Full` and waits.
    waits: bool,
    closing: bool,
    write_closed: bool,
    /// The cause that the loss must have.
    cause: Option<End>,
    lost: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            state: StreamState::new(),
            limits: Limits::high(100).max(1000),
            queued: 0,
            outflow: false,
            made: false,
            paused: false,
            eof_read: false,
            eof_told: false,
            told_pause: false,
            waits: false,
            closing: false,
            write_closed: false,
            cause: None,
            lost: false,
        }
    }
}

impl Model {
    /// Does `operation`, and checks.
    pub(crate) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Write(count) => self.write(usize::from(count)),
            Operation::WriteEof => {
                self.state.write_eof();
                assert_eq!(self.state.flow(), Flow::Closed);
            }
            Operation::Close => {
                let begins = !self.state.is_closing();
                self.state.close();
                if begins {
                    self.cause = Some(End::Closed);
                }
            }
            Operation::Abort => self.fail(End::Aborted),
            Operation::PauseReading => {
                if !self.state.is_closing() {
                    self.paused = true;
                }
                self.state.pause_reading();
            }
            Operation::ResumeReading => {
                if !self.state.is_closing() {
                    self.paused = false;
                }
                self.state.resume_reading();
            }
            Operation::SetLimits { high, low, max } => {
                let (high, low) = (usize::from(high.max(low)), usize::from(high.min(low)));
                let Ok(limits) = Limits::new(high, low) else { unreachable!("low is not above") };
                self.limits = limits.max(usize::from(max));
                self.state.limits_changed(0, &self.limits);
            }
            Operation::SwitchProtocol => {
                if !self.lost {
                    self.state.protocol_changed();
                    (self.told_pause, self.waits) = (false, false);
                }
            }
            Operation::Send(part) => self.send(usize::from(part)),
            Operation::Block => self.state.blocked(),
            Operation::Unblock => self.state.writable(),
            Operation::BeginOutflow => {
                if self.state.flow() != Flow::Closed && !self.outflow {
                    self.outflow = true;
                    self.state.set_outflow(true);
                }
            }
            Operation::EndOutflow => {
                if self.outflow {
                    self.outflow = false;
                    self.state.set_outflow(false);
                }
            }
            Operation::ReadEof => {
                if self.state.may_read() {
                    self.eof_read = true;
                    self.state.eof();
                    assert!(!self.state.may_read());
                }
            }
            Operation::Tell { keep_open } => {
                self.shut_down();
                self.tell(keep_open);
            }
            Operation::Settle { keep_open } => self.settle(keep_open),
        }
        self.check();
    }

    /// Brings the stream to its end; it must come.
    pub(crate) fn finish(mut self) {
        self.apply(Operation::Close);
        self.apply(Operation::EndOutflow);
        self.apply(Operation::Unblock);
        self.apply(Operation::Send(u8::MAX));
        self.apply(Operation::Settle { keep_open: true });
        assert!(self.lost, "a close that drains ends: {:?}", self.state);
        // Whatever is called on it now, it stays as it is.
        for operation in [
            Operation::Write(5),
            Operation::WriteEof,
            Operation::Close,
            Operation::Abort,
            Operation::ResumeReading,
            Operation::SetLimits { high: 0, low: 0, max: 0 },
            Operation::Unblock,
            Operation::ReadEof,
            Operation::Settle { keep_open: true },
        ] {
            self.apply(operation);
        }
    }

    fn write(&mut self, count: usize) {
        let before = self.state.flow();
        let admitted = self.state.admits_write(0, &self.limits);
        if !admitted {
            assert!(before == Flow::Closed || self.queued > self.limits.max_mark());
            if before != Flow::Closed {
                self.queued = 0;
                self.outflow = false;
                self.cause = Some(End::Overflow);
            }
            assert_eq!(self.state.answer_write(), Flow::Closed);
            return;
        }
        assert!(before != Flow::Closed && self.queued <= self.limits.max_mark());
        self.queued += count;
        self.state.wrote(count, 0, &self.limits);
        let flow = self.state.answer_write();
        if self.queued > self.limits.high_mark() {
            assert_eq!(flow, Flow::Full);
        } else if self.queued <= self.limits.low_mark() {
            assert_eq!(flow, Flow::Open);
        }
        self.waits |= flow == Flow::Full;
    }

    fn send(&mut self, part: usize) {
        let count = self.queued * part / 255;
        if self.state.may_flush() && count > 0 {
            self.queued -= count;
            self.state.sent(count, 0, &self.limits);
        }
    }

    fn fail(&mut self, end: End) {
        let over = matches!(self.state.phase(), Phase::Closed | Phase::Lost);
        let ends = self.state.fail(end);
        assert_eq!(ends, !over, "what was decided stays");
        if ends {
            self.cause = Some(end);
            self.queued = 0;
            self.outflow = false;
        }
        assert_eq!(self.state.queued(), 0, "what is queued is dropped");
        assert!(self.state.is_closing());
    }

    /// What a driver does before it tells: it shuts our direction down when everything has gone out.
    fn shut_down(&mut self) {
        if self.state.wants_shutdown() {
            assert_eq!((self.queued, self.outflow), (0, false));
            self.state.shut_down();
            assert!(!self.state.wants_shutdown(), "once");
            if self.state.is_closing() && !self.closing {
                assert!(self.eof_told, "both halves are shut");
                self.cause = Some(End::Eof);
            }
        }
    }

    fn settle(&mut self, keep_open: bool) {
        for _ in 0..=MOST_UNTOLD {
            self.shut_down();
            if !self.tell(keep_open) {
                break;
            }
        }
        assert_eq!(self.state.untold(), None, "telling comes to an end");
        if self.state.phase() == Phase::Open {
            assert_eq!(self.told_pause, self.state.flow() == Flow::Full, "told what is so");
        }
        if self.queued <= self.limits.low_mark() {
            assert!(!self.waits || self.closing, "whoever was answered Full has heard");
        }
        let drained = self.queued == 0 && !self.outflow;
        assert!(!(self.state.phase() == Phase::Closing && drained), "a drained close is lost");
    }

    /// Tells the next thing; says whether there was one.
    fn tell(&mut self, keep_open: bool) -> bool {
        let Some(notice) = self.state.untold() else { return false };
        assert!(!self.lost, "{notice:?} after the loss");
        assert_eq!(self.made, notice != Notice::Made, "connection_made once, and first");
        let was_closing = self.state.is_closing();
        self.state.told(notice);
        match notice {
            Notice::Made => self.made = true,
            Notice::PauseWriting => {
                assert!(!self.told_pause, "pause after pause");
                assert!(!was_closing, "nothing can be written any more");
                self.told_pause = true;
            }
            Notice::ResumeWriting => {
                assert!(self.told_pause, "resume without pause");
                self.told_pause = false;
                self.waits = false;
            }
            Notice::Eof => {
                assert!(self.eof_read && !self.eof_told, "once, and not out of nothing");
                assert!(!self.paused && !was_closing);
                self.eof_told = true;
                self.state.eof_answered(if keep_open { KeepOpen::Yes } else { KeepOpen::No });
                if self.state.is_closing() {
                    self.cause = Some(End::Eof);
                }
            }
            Notice::Lost => {
                assert!(was_closing);
                assert_eq!((self.queued, self.outflow), (0, false), "before everything went out");
                assert_eq!(Some(self.state.end()), self.cause, "the cause is who ended it");
                self.lost = true;
            }
        }
        true
    }

    /// What always holds.
    fn check(&mut self) {
        let state = &self.state;
        assert_eq!(state.queued(), self.queued);
        let Interest { read, write } = state.interest();
        assert_eq!(read, state.may_read());
        if read {
            assert!(self.made && !self.paused && !self.eof_read && !state.is_closing());
        }
        if write {
            assert!(self.queued > 0 || self.outflow, "nothing to write");
            assert!(!state.may_flush(), "polling and flushing at once");
        }
        assert!(!self.closing || state.is_closing(), "closing is for ever");
        assert!(!self.write_closed || state.flow() == Flow::Closed, "so is the write side's end");
        self.closing = state.is_closing();
        self.write_closed = state.flow() == Flow::Closed;
        if self.closing {
            assert!(!state.may_read() && !state.may_deliver() && self.write_closed);
        }
        if matches!(state.phase(), Phase::Closed | Phase::Lost) {
            assert_eq!(state.queued(), 0);
        }
        assert_eq!(self.lost, state.phase() == Phase::Lost);
        if self.lost {
            assert_eq!((state.untold(), read, write), (None, false, false));
            assert!(!state.may_flush() && !state.wants_shutdown() && !state.is_draining());
        }
    }
}
