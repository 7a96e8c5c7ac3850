//! What a driver guards: the I/O object, the state, and what is queued. Nothing in here calls user code.

use std::io::{self, ErrorKind, IoSlice};
use std::rc::{Rc, Weak};

use bytes::Bytes;

use super::contract::{Host, Outflow, Owner, StreamIo, StreamOptions, Traffic};
use crate::buffer::{MAX_SLICES, WriteQueue};
use crate::lost::Lost;
use crate::schedule::Timer;
use crate::shared::StreamProtocol;
use crate::stream::{End, Phase, StreamState};
use crate::wire_log::Recorders;

/// How much an outflow may send in one go before other connections get their turn.
const OUTFLOW_BUDGET: usize = 1024 * 1024;

pub(super) struct Inner<I> {
    pub(super) io: I,
    pub(super) state: StreamState,
    pub(super) queue: Option<Box<WriteQueue>>,
    pub(super) options: Rc<StreamOptions>,
    pub(super) rare: Option<Box<Rare<I>>>,
    /// Until the loss is told.
    pub(super) protocol: Option<StreamProtocol>,
}

/// What few connections have at any moment.
pub(super) struct Rare<I> {
    /// Bytes that a protocol switch handed over, to be delivered before anything else.
    pub(super) leftover: Bytes,
    pub(super) outflow: Option<Elsewhere<I>>,
    /// The deadline of a draining close, and what was left when it was set.
    pub(super) drain: Option<(Box<dyn Timer>, Left)>,
    /// Who wants to see every byte.
    pub(super) logs: Recorders,
    /// Why the stream ends, if the name of that does not say it all.
    pub(super) cause: Option<Lost>,
}

/// What is being sent from elsewhere.
pub(super) struct Elsewhere<I> {
    pub(super) outflow: Box<dyn Outflow<I>>,
    /// How many queued bytes go out before it.
    pub(super) ahead: usize,
    /// How often the system has taken some of it.
    sent: u64,
}

impl<I> Elsewhere<I> {
    pub(super) fn new(outflow: Box<dyn Outflow<I>>, ahead: usize) -> Self {
        Self { outflow, ahead, sent: 0 }
    }
}

/// What a draining close has left to send. Nothing is added to it any more, so it stays the same only without progress.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    queued: usize,
    sent_elsewhere: Option<u64>,
}

impl<I> Rare<I> {
    /// Whether it holds nothing.
    pub(super) fn is_idle(&self) -> bool {
        let Self { leftover, outflow, drain, logs, cause } = self;
        leftover.is_empty()
            && (outflow.is_none() && drain.is_none())
            && (logs.is_empty() && cause.is_none())
    }
}

impl<I> Rare<I> {
    /// The connection is lost: ends what is under way. Gives the logs, which hear of the loss, and its cause.
    #[inline(never)]
    pub(super) fn end(self) -> (Option<Recorders>, Option<Lost>) {
        if let Some((timer, _)) = self.drain {
            timer.cancel();
        }
        if let Some(elsewhere) = self.outflow {
            elsewhere.outflow.finish(Err(ErrorKind::ConnectionAborted.into()));
        }
        (Some(self.logs), self.cause)
    }
}

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Self {
            leftover: Bytes::new(),
            outflow: None,
            drain: None,
            logs: Recorders::default(),
            cause: None,
        }
    }
}

impl<I> Inner<I> {
    pub(super) fn new(io: I, protocol: StreamProtocol, options: Rc<StreamOptions>) -> Self {
        Self {
            io,
            state: StreamState::new(),
            queue: None,
            options,
            rare: None,
            protocol: Some(protocol),
        }
    }

    /// Who is told that the connection is over.
    pub(super) fn owner(&self) -> Option<Rc<dyn Owner>> {
        self.options.owner.as_ref().and_then(Weak::upgrade)
    }

    pub(super) fn rare(&mut self) -> &mut Rare<I> {
        self.rare.get_or_insert_default()
    }

    /// Ends the stream at once for `cause`, which comes back when the end was decided already.
    pub(super) fn fail(&mut self, cause: Lost) -> Option<Lost> {
        let end = End::of(&cause);
        if !self.state.fail(end) {
            return Some(cause);
        }
        if end == End::Other {
            self.rare().cause = Some(cause);
        }
        None
    }

    /// What is left to send.
    pub(super) fn left(&self) -> Left {
        let outflow = self.rare.as_deref().and_then(|rare| rare.outflow.as_ref());
        Left { queued: self.state.queued(), sent_elsewhere: outflow.map(|outflow| outflow.sent) }
    }

    /// The logs of what is moved, where there may be some.
    #[inline]
    pub(super) fn logs(&mut self) -> Option<&mut Recorders> {
        self.rare.as_deref_mut().map(|rare| &mut rare.logs)
    }

    /// The first `count` bytes of the queue were written.
    #[cold]
    fn log_written(&mut self, count: usize) {
        if let (Some(queue), Some(rare)) = (self.queue.as_deref(), self.rare.as_deref_mut()) {
            rare.logs.written(queue, count);
        }
    }

    /// These bytes were read, or the peer's end.
    #[inline(always)]
    pub(super) fn log_read(&mut self, bytes: &[u8]) {
        if let Some(logs) = self.logs() {
            logs.read(bytes);
        }
    }

    /// Takes the bytes that a protocol switch handed over.
    pub(super) fn take_leftover(&mut self) -> Bytes {
        self.state.set_leftover(false);
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.leftover)).unwrap_or_default()
    }

    /// Puts `bytes` before everything that was handed over before.
    pub(super) fn put_leftover(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.state.set_leftover(true);
        let leftover = &mut self.rare().leftover;
        *leftover =
            if leftover.is_empty() { bytes } else { Bytes::from([&bytes[..], leftover].concat()) };
    }
}

impl<I: StreamIo> Inner<I> {
    /// The usual end of a callback: the stream is calm, and the system takes whatever is queued. Says whether it was so;
    /// if not, [`flush`](Self::flush) and the questions after it find out what is left to do.
    pub(super) fn comes_to_rest<H: Host>(&mut self, host: &H) -> bool {
        if !self.state.is_calm() {
            return false;
        }
        if self.state.queued() > 0 {
            self.send(usize::MAX, host);
        }
        self.state.is_at_rest()
    }

    /// Sends what a callback has written to the tray, while the stream was at rest. Says whether it is again; if not, what the
    /// system did not take is queued.
    #[inline(always)]
    pub(super) fn send_tray<H: Host>(&mut self, host: &H) -> bool {
        let Some(tray) = host.tray() else { return true };
        let bytes = tray.bytes();
        let len = bytes.len();
        if len == 0 {
            return true;
        }
        let outcome = self.io.write(&bytes);
        drop(bytes);
        if matches!(outcome, Ok(count) if count == len) {
            host.count(Traffic::Written(len));
            return true;
        }
        self.queue_tray(host);
        self.note_outcome(outcome, len, host);
        false
    }

    /// Takes the tray away from the callback that it was lent to, and queues what was written there.
    #[cold]
    #[inline(never)]
    pub(super) fn queue_tray<H: Host>(&mut self, host: &H) {
        let Some(tray) = host.tray() else { return };
        let bytes = tray.bytes();
        if !bytes.is_empty() {
            self.state.wrote(bytes.len(), self.below(), &self.options.limits);
            self.queue.get_or_insert_with(|| host.take_queue()).push(&bytes);
        }
        drop(bytes);
        tray.take_away();
    }

    /// Sends what is queued until the system takes no more, then shuts our direction down if that is wanted.
    #[inline(never)]
    pub(super) fn flush<H: Host>(&mut self, host: &H) {
        if self.state.may_flush() {
            while self.state.may_flush() {
                self.send_some(host);
            }
            if self.state.queued() == 0 {
                self.return_queue(host);
            }
            self.note_below();
        }
        if self.state.wants_shutdown() {
            match self.io.shutdown_write() {
                Ok(()) => {
                    self.state.shut_down();
                    if let Some(logs) = self.logs() {
                        logs.shut_down();
                    }
                }
                Err(error) if I::LAYERED && is_transient(&error) => {}
                Err(error) => drop(self.fail(Lost::Io(error))),
            }
        }
    }

    /// One system call's worth of sending, from the queue or from the outflow that has its place in it.
    fn send_some<H: Host>(&mut self, host: &H) {
        let outflow = self.rare.as_deref().and_then(|rare| rare.outflow.as_ref());
        let ahead = outflow.map(|outflow| outflow.ahead);
        if ahead == Some(0) {
            return self.send_from_outflow(host);
        }
        let count = self.send(ahead.unwrap_or(usize::MAX), host);
        if let Some(outflow) = self.rare.as_mut().and_then(|rare| rare.outflow.as_mut()) {
            outflow.ahead -= count;
        }
    }

    /// Sends from the queue by one system call, no more than `limit` bytes; says how many were taken.
    #[inline(always)]
    fn send<H: Host>(&mut self, limit: usize, host: &H) -> usize {
        let Some(queue) = self.queue.as_deref_mut() else { return 0 };
        let (wanted, outcome) = match queue.single() {
            Some(bytes) if bytes.len() <= limit => (bytes.len(), self.io.write(bytes)),
            _ => send_slices(&mut self.io, queue, limit),
        };
        self.note_outcome(outcome, wanted, host)
    }

    /// Of the `wanted` bytes at the head of the queue the system took some, or none; says how many.
    #[inline(always)]
    fn note_outcome<H: Host>(
        &mut self,
        outcome: io::Result<usize>,
        wanted: usize,
        host: &H,
    ) -> usize {
        match outcome {
            Ok(count) => {
                host.count(Traffic::Written(count));
                if self.state.is_logged() {
                    self.log_written(count);
                }
                if !I::LAYERED && count == self.state.queued() {
                    self.state.sent_all();
                    self.return_queue(host);
                } else {
                    self.note_sent(count, wanted, host);
                }
                count
            }
            Err(error) => {
                self.note_refusal(error);
                0
            }
        }
    }

    /// Of the `wanted` bytes that were to be sent, `count` were taken.
    #[inline(never)]
    fn note_sent<H: Host>(&mut self, count: usize, wanted: usize, host: &H) {
        if let Some(queue) = self.queue.as_deref_mut() {
            queue.advance(count);
        }
        self.state.sent(count, self.below(), &self.options.limits);
        if count < wanted {
            // A part was taken, so the next call would block: spare it.
            self.state.blocked();
        }
        if self.state.queued() == 0 {
            self.return_queue(host);
        }
    }

    /// The system took nothing.
    #[cold]
    fn note_refusal(&mut self, error: io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.state.blocked(),
            ErrorKind::Interrupted => {}
            _ => drop(self.fail(Lost::Io(error))),
        }
    }

    /// Counts what a layer has handed down and the system has not taken.
    #[inline(always)]
    pub(super) fn note_below(&mut self) {
        if I::LAYERED && self.counts_below() {
            self.state.limits_changed(self.io.unsent_below(), &self.options.limits);
        }
    }

    /// How many bytes were taken and have not reached the system.
    #[inline(always)]
    pub(super) fn unsent(&self) -> usize {
        self.state.queued() + self.below()
    }

    /// What a layer has handed down and the system has not taken.
    #[inline(always)]
    pub(super) fn below(&self) -> usize {
        if I::LAYERED && self.counts_below() { self.io.unsent_below() } else { 0 }
    }

    /// Once the end is decided nothing counts any more.
    fn counts_below(&self) -> bool {
        !matches!(self.state.phase(), Phase::Closed | Phase::Lost)
    }

    #[cold]
    fn send_from_outflow<H: Host>(&mut self, host: &H) {
        let Some(elsewhere) = self.rare.as_mut().and_then(|rare| rare.outflow.as_mut()) else {
            return;
        };
        match elsewhere.outflow.send(&mut self.io, OUTFLOW_BUDGET) {
            Ok(0) => self.end_outflow(Ok(())),
            // There may be more, and the poller will say so at once; others get their turn first.
            Ok(count) => {
                elsewhere.sent += 1;
                if let Some(logs) = self.logs() {
                    logs.written_unseen(count);
                }
                host.count(Traffic::Written(count));
                self.state.blocked();
            }
            Err(error) => {
                if !is_transient(&error) {
                    self.end_outflow(Err(same_error(&error)));
                }
                self.note_refusal(error);
            }
        }
    }

    fn end_outflow(&mut self, result: io::Result<()>) {
        if let Some(elsewhere) = self.rare.as_mut().and_then(|rare| rare.outflow.take()) {
            self.state.set_outflow(false);
            elsewhere.outflow.finish(result);
        }
    }

    #[inline(always)]
    pub(super) fn return_queue<H: Host>(&mut self, host: &H) {
        if let Some(mut queue) = self.queue.take() {
            queue.clear();
            host.put_queue(queue);
        }
    }

    /// The usual beginning: the protocol knows, and has done nothing. Says whether the stream is at rest then; if not, there
    /// is more to find out.
    pub(super) fn begins_to_read(&mut self, seat: &I::Seat) -> bool {
        self.state.is_fresh() && self.update_interest(seat).is_ok()
    }

    /// Makes what is polled for agree with the state.
    #[inline(always)]
    pub(super) fn update_interest(&mut self, seat: &I::Seat) -> io::Result<()> {
        let Some(wanted) = self.state.new_interest() else { return Ok(()) };
        if let Err(error) = self.io.set_interest(seat, wanted) {
            self.fail(Lost::Io(error));
            return Err(ErrorKind::Other.into());
        }
        self.state.polled(wanted);
        Ok(())
    }
}

#[inline]
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends several pieces, or a part of one; says how much there was and how much was taken.
#[inline(never)]
fn send_slices<I: StreamIo>(
    io: &mut I,
    queue: &WriteQueue,
    limit: usize,
) -> (usize, io::Result<usize>) {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = queue.slices(&mut slices, limit);
    let wanted = slices[..filled].iter().map(|slice| slice.len()).sum();
    (wanted, io.write_vectored(&slices[..filled]))
}

/// The same error once more, for the second of two who want to know.
fn same_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
