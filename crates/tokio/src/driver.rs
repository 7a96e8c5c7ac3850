//! [`Driver`]: the future that is a connection's loop.
//!
//! One poll is one turn: what was queued, what is ready, what is due, what is untold; then flush, and say when to come
//! back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use wharf_core::driver::{Readiness, StreamDriver};
use wharf_core::guard::FaultReport;
use wharf_core::schedule::{Scheduler, deadline};

use crate::host::{Ended, TaskHost};
use crate::io::{Slot, TokioIo};

/// How often what is ready is handed out in one poll. The second time finds, in the most frequent case, that nothing
/// is; whoever has more comes back after other tasks had their turn.
const ROUNDS: usize = 2;

/// Drives one connection: await it, or spawn it with `tokio::task::spawn_local`.
///
/// It ends when the protocol has heard `connection_lost` and the stream has been flushed and shut down, or dropped after
/// an abort. Its output is the first panic of a callback, if there was one; that cost the connection, and is the
/// caller's to report or to resume.
///
/// Dropping it is the end of the loop: the protocol hears [`Lost::Aborted`](wharf_core::Lost::Aborted) at once.
#[must_use = "a connection lives while its driver is polled"]
pub struct Driver<T: AsyncRead + AsyncWrite + Unpin + 'static> {
    stream: Rc<StreamDriver<TokioIo<T>>>,
    slot: Rc<Slot<T>>,
    host: TaskHost,
    ended: Rc<Ended>,
    close_timeout: Option<Duration>,
    phase: Phase,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `connection_made` was not told.
    New,
    /// The protocol is connected.
    Live,
    /// The loss was told; what was written is on its way out.
    Ending {
        /// When to give up.
        until: Option<std::time::Instant>,
    },
    /// There is nothing more to do.
    Over,
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Driver<T> {
    pub(crate) fn new(
        stream: Rc<StreamDriver<TokioIo<T>>>,
        slot: Rc<Slot<T>>,
        host: TaskHost,
        ended: Rc<Ended>,
        close_timeout: Option<Duration>,
    ) -> Self {
        Self { stream, slot, host, ended, close_timeout, phase: Phase::New, sleep: None }
    }

    /// One turn.
    fn turn(&mut self) {
        self.slot.woken();
        self.host.settle();
        self.host.run_ready();
        if self.phase == Phase::New {
            self.phase = Phase::Live;
            // A panic in `connection_made` is the driver's output like any other.
            let _ = self.stream.begin();
        }
        for _ in 0..ROUNDS {
            let readiness = self.slot.readiness();
            if readiness == Readiness::default() {
                break;
            }
            self.stream.ready(readiness);
        }
        self.host.run_timers();
        self.host.settle();
        if let Poll::Ready(Err(error)) = self.slot.poll_settled() {
            // Told by the next read or write, which is tried at once.
            self.slot.fail(error);
            self.stream.ready(self.slot.readiness());
        }
    }

    /// After the loss: what a clean end still has to send.
    fn poll_ending(&mut self, until: Option<std::time::Instant>) -> Poll<()> {
        let late = until.is_some_and(|until| until <= self.host.now());
        // The protocol has heard how it ended; an error now is nobody's news.
        if late || self.slot.poll_settled().is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has the task woken when the next timer is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        let due = match self.phase {
            Phase::Ending { until } => until,
            _ => self.host.next_deadline(),
        };
        let Some(due) = due.map(Instant::from_std) else {
            self.sleep = None;
            return;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn over(&mut self) -> Poll<Result<(), FaultReport>> {
        self.phase = Phase::Over;
        self.sleep = None;
        self.slot.release();
        self.host.close();
        Poll::Ready(self.host.take_fault().map_or(Ok(()), Err))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Future for Driver<T> {
    type Output = Result<(), FaultReport>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let entered = this.host.enter(cx.waker());
        // What was scheduled from outside is what this turn is for.
        this.host.stirred();
        if matches!(this.phase, Phase::New | Phase::Live) {
            this.turn();
            if this.stream.is_lost() {
                if !this.ended.is_clean() {
                    return this.over();
                }
                this.slot.end();
                let now = this.host.now();
                let until = this.close_timeout.map(|timeout| deadline(now, timeout));
                this.phase = Phase::Ending { until };
            }
        }
        if let Phase::Ending { until } = this.phase {
            if this.poll_ending(until).is_ready() {
                return this.over();
            }
        }
        this.poll_timer(cx);
        let more = this.slot.readiness() != Readiness::default();
        // In this order: what stirred while it was polled counts.
        if (this.host.stirred() || more) && this.phase == Phase::Live {
            cx.waker().wake_by_ref();
        }
        drop(entered);
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Drop for Driver<T> {
    fn drop(&mut self) {
        if self.phase != Phase::Over {
            self.stream.shut();
            self.slot.release();
            self.host.close();
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("stream", &self.stream)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
