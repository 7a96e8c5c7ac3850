//! What a driver guards: the I/O object, the state, and what is queued. Nothing in here calls user code.

use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use bytes::Bytes;

use super::contract::{Host, Outflow, StreamIo, StreamOptions, Traffic};
use crate::buffer::{MAX_SLICES, WriteQueue};
use crate::lost::Lost;
use crate::schedule::Timer;
use crate::shared::StreamProtocol;
use crate::stream::{Interest, Phase, StreamState};
use crate::wire_log::Recorders;

/// How much an outflow may send in one go before other connections get their turn.
const OUTFLOW_BUDGET: usize = 1024 * 1024;

pub(super) struct Inner<I> {
    pub(super) io: I,
    pub(super) state: StreamState,
    pub(super) queue: Option<Box<WriteQueue>>,
    pub(super) options: Rc<StreamOptions>,
    /// What was registered last.
    pub(super) interest: Interest,
    /// Changes whenever the system takes something.
    pub(super) progress: u32,
    pub(super) rare: Option<Box<Rare<I>>>,
    /// Until the loss is told.
    pub(super) protocol: Option<StreamProtocol>,
}

/// What few connections have at any moment.
pub(super) struct Rare<I> {
    /// Bytes that a protocol switch handed over, to be delivered before anything else.
    pub(super) leftover: Bytes,
    /// What is being sent from elsewhere, and how many queued bytes go out before it.
    pub(super) outflow: Option<(Box<dyn Outflow<I>>, usize)>,
    /// The deadline of a draining close, and `progress` when it was set.
    pub(super) drain: Option<(Box<dyn Timer>, u32)>,
    /// Who wants to see every byte.
    pub(super) logs: Recorders,
}

impl<I> Rare<I> {
    /// Whether it holds nothing.
    pub(super) fn is_idle(&self) -> bool {
        let Self { leftover, outflow, drain, logs } = self;
        leftover.is_empty() && outflow.is_none() && drain.is_none() && logs.is_empty()
    }
}

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Self { leftover: Bytes::new(), outflow: None, drain: None, logs: Recorders::default() }
    }
}

impl<I> Inner<I> {
    pub(super) fn rare(&mut self) -> &mut Rare<I> {
        self.rare.get_or_insert_default()
    }

    /// The logs of what is moved, where there may be some.
    #[inline]
    pub(super) fn logs(&mut self) -> Option<&mut Recorders> {
        self.rare.as_deref_mut().map(|rare| &mut rare.logs)
    }

    /// These bytes were read, or the peer's end.
    #[inline(always)]
    pub(super) fn log_read(&mut self, bytes: &[u8]) {
        if let Some(logs) = self.logs() {
            logs.read(bytes);
        }
    }

    pub(super) fn has_leftover(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.leftover.is_empty())
    }

    /// Whether a stream at rest is polled for what it is to be polled for, and has nothing unusual about it.
    #[inline]
    pub(super) fn is_polled_for_reading(&self) -> bool {
        self.interest == Interest { read: true, write: false } && self.rare.is_none()
    }

    /// Whether to read: nothing that was read before is waiting.
    #[inline]
    pub(super) fn may_receive(&self) -> bool {
        self.state.may_read() && !self.has_leftover()
    }
}

impl<I: StreamIo> Inner<I> {
    pub(super) fn may_send_directly(&self) -> bool {
        // A stream that waits for the system to take more has something queued; a file in the middle does not show
        // in the queue. What is logged goes through the queue, which is one place to see it in.
        self.rare.as_ref().is_none_or(|rare| rare.outflow.is_none() && rare.logs.is_empty())
    }

    pub(super) fn has_outflow(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.outflow.is_some())
    }

    /// Flushes in the middle of a callback, because the queue is over its mark.
    #[inline(never)]
    pub(super) fn flush_full<H: Host>(&mut self, host: &H) {
        self.flush(host);
    }

    /// Sends what is queued until the system takes no more, then shuts our direction down if that is wanted.
    #[inline(always)]
    pub(super) fn flush<H: Host>(&mut self, host: &H) {
        if self.state.may_flush() {
            self.send_all(host);
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
                Err(error) => drop(self.state.fail(Lost::Io(error))),
            }
        }
    }

    #[inline(always)]
    fn send_all<H: Host>(&mut self, host: &H) {
        loop {
            match self.send_some() {
                Ok(count) => host.count(Traffic::Written(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.state.blocked(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => drop(self.state.fail(Lost::Io(error))),
            }
            if !self.state.may_flush() {
                break;
            }
        }
        if self.state.queued() == 0 {
            self.return_queue(host);
        }
        self.note_below();
    }

    /// Counts what a layer has handed down and the system has not taken.
    #[inline(always)]
    pub(super) fn note_below(&mut self) {
        if I::LAYERED && self.counts_below() {
            self.state.set_below(self.io.unsent_below(), &self.options.limits);
        }
    }

    /// How many bytes were taken and have not reached the system.
    #[inline(always)]
    pub(super) fn unsent(&self) -> usize {
        let below = if I::LAYERED && self.counts_below() { self.io.unsent_below() } else { 0 };
        self.state.queued() + below
    }

    /// Once the end is decided nothing counts any more.
    fn counts_below(&self) -> bool {
        !matches!(self.state.phase(), Phase::Closed | Phase::Lost)
    }

    /// One system call's worth of sending.
    #[inline(always)]
    fn send_some(&mut self) -> io::Result<usize> {
        let ahead =
            self.rare.as_deref().and_then(|rare| rare.outflow.as_ref()).map(|(_, ahead)| *ahead);
        if ahead == Some(0) {
            return self.send_from_outflow();
        }
        let limit = ahead.unwrap_or(usize::MAX);
        let Some(queue) = self.queue.as_deref_mut() else { return Ok(0) };
        let (wanted, count) = match queue.single() {
            Some(bytes) if bytes.len() <= limit => (bytes.len(), self.io.write(bytes)?),
            _ => send_slices(&mut self.io, queue, limit)?,
        };
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.logs.written(queue, count);
        }
        queue.advance(count);
        self.progress = self.progress.wrapping_add(1);
        if I::LAYERED {
            self.state.handed_down(count, self.io.unsent_below(), &self.options.limits);
        } else {
            self.state.sent(count, &self.options.limits);
        }
        if count < wanted {
            // A part was taken, so the next call would block: spare it.
            self.state.blocked();
        }
        if ahead.is_some() {
            if let Some((_, ahead)) = self.rare().outflow.as_mut() {
                *ahead -= count;
            }
        }
        Ok(count)
    }

    #[cold]
    fn send_from_outflow(&mut self) -> io::Result<usize> {
        let Some((outflow, _)) = self.rare.as_mut().and_then(|rare| rare.outflow.as_mut()) else {
            return Ok(0);
        };
        let outcome = outflow.send(&mut self.io, OUTFLOW_BUDGET);
        match &outcome {
            Ok(0) => self.end_outflow(Ok(())),
            // There may be more, and the poller will say so at once; others get their turn first.
            Ok(count) => {
                if let Some(logs) = self.logs() {
                    logs.written_unseen(*count);
                }
                self.progress = self.progress.wrapping_add(1);
                self.state.blocked();
            }
            Err(error) if is_transient(error) => {}
            Err(error) => self.end_outflow(Err(same_error(error))),
        }
        outcome
    }

    fn end_outflow(&mut self, result: io::Result<()>) {
        if let Some((outflow, _)) = self.rare.as_mut().and_then(|rare| rare.outflow.take()) {
            self.state.set_outflow(false);
            outflow.finish(result);
        }
    }

    #[inline(always)]
    pub(super) fn return_queue<H: Host>(&mut self, host: &H) {
        if let Some(mut queue) = self.queue.take() {
            if !queue.is_empty() {
                queue.clear();
            }
            host.put_queue(queue);
        }
    }

    /// Makes what is polled for agree with the state.
    #[inline]
    pub(super) fn update_interest(&mut self) -> io::Result<()> {
        let wanted = self.state.interest();
        if wanted != self.interest {
            if let Err(error) = self.io.set_interest(wanted) {
                self.state.fail(Lost::Io(error));
                return Err(ErrorKind::Other.into());
            }
            self.interest = wanted;
        }
        Ok(())
    }
}

#[inline]
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends several pieces, or a part of one; says how much there was and how much was taken.
fn send_slices<I: StreamIo>(
    io: &mut I,
    queue: &WriteQueue,
    limit: usize,
) -> io::Result<(usize, usize)> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = queue.slices(&mut slices, limit);
    let wanted = slices[..filled].iter().map(|slice| slice.len()).sum();
    Ok((wanted, io.write_vectored(&slices[..filled])?))
}

/// The same error once more, for the second of two who want to know.
fn same_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
