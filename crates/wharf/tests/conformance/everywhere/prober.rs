//! [`Prober`]: sends a pattern, wants it back, and ends as its plan says.

use std::cell::RefCell;
use std::rc::Rc;

use wharf::{Flow, KeepOpen, Lost, Protocol, TransportRef};

use crate::support::{Call, pattern_from};

/// What a prober does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many bytes it sends.
    pub(crate) total: usize,
    /// How many at once.
    pub(crate) chunk: usize,
    pub(crate) ending: Ending,
    /// Whether it pauses reading after each piece, until the next turn.
    pub(crate) pauses: bool,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    /// Ends its direction when everything is sent, and waits for the peer's end.
    HalfClose,
    /// Closes when everything has come back.
    Close,
    /// Aborts when everything has come back.
    Abort,
}

/// What happened to it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The callbacks, with runs of `Data` as one.
    pub(crate) calls: Vec<Call>,
    pub(crate) received: usize,
    pub(crate) in_order: bool,
    pub(crate) most_queued: usize,
    pub(crate) can_half_close: bool,
    pub(crate) lost: Option<&'static str>,
    pub(crate) closed_at_the_end: bool,
}

/// A report that is being written.
pub(crate) type Reporting = Rc<RefCell<Report>>;

pub(crate) struct Prober {
    plan: Plan,
    sent: usize,
    report: Reporting,
}

impl Prober {
    pub(crate) fn new(plan: Plan) -> (Self, Reporting) {
        let report: Reporting = Rc::default();
        report.borrow_mut().in_order = true;
        (Self { plan, sent: 0, report: Rc::clone(&report) }, report)
    }

    fn note(&self, call: Call) {
        let mut report = self.report.borrow_mut();
        if call != Call::Data || report.calls.last() != Some(&Call::Data) {
            report.calls.push(call);
        }
    }

    /// Sends until it is told to stop.
    fn pump(&mut self, transport: &TransportRef) {
        while self.sent < self.plan.total {
            let len = self.plan.chunk.min(self.plan.total - self.sent);
            let flow = transport.write(&pattern_from(self.sent, len));
            self.sent += len;
            let queued = transport.write_buffer_len();
            let mut report = self.report.borrow_mut();
            report.most_queued = report.most_queued.max(queued);
            if flow != Flow::Open {
                return;
            }
        }
        if self.plan.ending == Ending::HalfClose && transport.can_write_eof() {
            self.report.borrow_mut().can_half_close = true;
            transport.write_eof();
        }
    }
}

impl Protocol for Prober {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.note(Call::Made);
        self.pump(transport);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.note(Call::Data);
        let received = {
            let mut report = self.report.borrow_mut();
            let expected = pattern_from(report.received, data.len());
            report.in_order &= !data.is_empty() && expected == data;
            report.received += data.len();
            report.received
        };
        if received == self.plan.total {
            return match self.plan.ending {
                Ending::HalfClose if transport.can_write_eof() => {}
                Ending::HalfClose | Ending::Close => transport.close(),
                Ending::Abort => transport.abort(),
            };
        }
        if self.plan.pauses {
            transport.pause_reading();
            let paused = transport.clone();
            transport.scheduler().call_soon(Box::new(move || paused.resume_reading()));
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.note(Call::Eof);
        KeepOpen::No
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.note(Call::Pause);
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.note(Call::Resume);
        self.pump(transport);
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.note(Call::Lost);
        let closed = transport.write(b"too late") == Flow::Closed && transport.is_closing();
        let mut report = self.report.borrow_mut();
        report.closed_at_the_end = closed;
        report.lost = Some(Lost::NAMES[why.index()]);
    }
}
