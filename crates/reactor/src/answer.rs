//! [`Answer`]: what a loop says to a question of another thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What a loop will say to a question that was asked by [`Remote::ask`](crate::Remote::ask): to be waited for by a
/// thread, or awaited on another loop. Dropping it takes nothing back.
#[must_use = "the answer has to be waited for"]
pub struct Answer<R> {
    slot: Arc<Slot<R>>,
    /// The thread of the loop that is asked.
    thread: ThreadId,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unanswered {
    /// The loop was dropped before it came to the question, or the question panicked; the fault policy has heard of that.
    Gone,
    /// The time is over: a callback holds the loop up, or nobody runs it. The question stays, and will be run when the
    /// loop comes to it; waiting again is possible.
    TimedOut,
    /// It was waited for in the loop's own thread, which would wait for itself. Ask the handle there.
    OwnThread,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the event loop was dropped or the question panicked",
            Self::TimedOut => "the event loop did not answer in time",
            Self::OwnThread => "an event loop cannot wait for its own answer",
        })
    }
}

impl std::error::Error for Unanswered {}

struct Slot<R> {
    state: Mutex<State<R>>,
    known: Condvar,
}

enum State<R> {
    Open(Option<Waker>),
    /// Taken out once.
    Known(Option<R>),
}

/// A question's way to give its answer. Dropping it says that there will be none.
pub(crate) struct Sender<R>(Arc<Slot<R>>);

/// An answer to be, and the way to give it.
pub(crate) fn channel<R>(thread: ThreadId) -> (Sender<R>, Answer<R>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open(None)), known: Condvar::new() });
    (Sender(Arc::clone(&slot)), Answer { slot, thread })
}

impl<R> Slot<R> {
    /// The state, whoever panicked with it: nothing of it is ever half done.
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the answer out, if it is known by now.
    fn take(state: &mut State<R>) -> Option<Result<R, Unanswered>> {
        match state {
            State::Open(_) => None,
            State::Known(answer) => Some(answer.take().ok_or(Unanswered::Gone)),
        }
    }

    fn settle(&self, answer: Option<R>) {
        let mut state = self.lock();
        let State::Open(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Known(answer);
        drop(state);
        self.known.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R> Sender<R> {
    pub(crate) fn give(self, answer: R) {
        self.0.settle(Some(answer));
    }
}

impl<R> Drop for Sender<R> {
    fn drop(&mut self) {
        self.0.settle(None);
    }
}

impl<R> Answer<R> {
    /// Blocks this thread until the answer has come, and no longer than `limit`. A sleeping loop has been woken.
    ///
    /// # Errors
    /// See [`Unanswered`]. An answer that was taken out before is `Gone`.
    pub fn wait(&mut self, limit: Duration) -> Result<R, Unanswered> {
        let mut state = self.slot.lock();
        if let Some(answer) = Slot::take(&mut state) {
            return answer;
        }
        if thread::current().id() == self.thread {
            return Err(Unanswered::OwnThread);
        }
        let waiting = |state: &mut State<R>| matches!(state, State::Open(_));
        let known = &self.slot.known;
        let waited = known.wait_timeout_while(state, limit, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Slot::take(&mut state).unwrap_or(Err(Unanswered::TimedOut))
    }
}

impl<R> Future for Answer<R> {
    type Output = Result<R, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        if let Some(answer) = Slot::take(&mut state) {
            return Poll::Ready(answer);
        }
        let former = std::mem::replace(&mut *state, State::Open(Some(cx.waker().clone())));
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = matches!(&*self.slot.lock(), State::Known(_));
        f.debug_struct("Answer").field("known", &known).finish_non_exhaustive()
    }
}
