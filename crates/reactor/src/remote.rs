//! [`Remote`]: the loop as seen from other threads.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_task::Runnable;

use crate::answer::{self, Answer, Unanswered};
use crate::handle::LoopHandle;
use crate::inbox::{Inbox, Pushed, Queue};
use crate::job::{Parcel, Parcels, Post};
use crate::poll::Waker;
use crate::statistics::Statistics;

impl Queue for Parcels {
    type Item = Parcel;

    #[inline]
    fn add(&mut self, parcel: Parcel) {
        self.push(parcel);
    }
}

/// The part of a loop that other threads may touch.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Parcels>,
    waker: Waker,
    /// The loop's.
    thread: ThreadId,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { inbox: Inbox::new(), waker, thread: thread::current().id() }
    }

    #[inline]
    fn push(&self, parcel: Parcel) -> Result<(), Parcel> {
        match self.inbox.push(parcel) {
            Pushed::Seen => Ok(()),
            Pushed::WakeIt => {
                self.waker.wake();
                Ok(())
            }
            Pushed::Refused(parcel) => Err(parcel),
        }
    }

    /// Makes the loop take another turn.
    pub(crate) fn wake(&self) {
        // A post that does nothing; on a loop that is gone there is nobody to wake.
        let _ = self.push(Parcel::new(Post(|_: &LoopHandle| {})));
    }

    /// Queues a future that was woken.
    pub(crate) fn push_task(&self, task: Runnable) {
        if let Err(task) = self.push(Parcel::new(task)) {
            // The loop is gone, and only its thread may drop this. The future in it was dropped there, with the loop;
            // what is left is the empty shell.
            std::mem::forget(task);
        }
    }
}

/// The loop, as other threads refer to it: the only reference to a loop that is `Send`.
///
/// ```
/// fn is_send<T: Send + Sync>() {}
/// is_send::<wharf_reactor::Remote>();
/// ```
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Shared>);

/// The loop has been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopClosed;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop has been dropped")
    }
}

impl std::error::Error for LoopClosed {}

impl Remote {
    /// Runs `callback` on the loop's thread, in its next turn; what one thread posts runs in the order of the posts.
    ///
    /// # Errors
    /// When the loop has been dropped; the callback is dropped then, in this thread.
    #[doc(alias = "call_soon_threadsafe")]
    pub fn post(
        &self,
        callback: impl FnOnce(&LoopHandle) + Send + 'static,
    ) -> Result<(), LoopClosed> {
        self.0.push(Parcel::new(Post(callback))).map_err(|_| LoopClosed)
    }

    /// Asks the loop something: runs `question` on its thread, in its next turn, and gives the answer back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wharf_reactor::EventLoop;
    ///
    /// let mut ev = EventLoop::new()?;
    /// let remote = ev.remote();
    /// let page = std::thread::spawn(move || {
    ///     let list = remote.ask(|handle| handle.connections()).wait(Duration::from_secs(5));
    ///     remote.stop();
    ///     list
    /// });
    /// ev.run_forever()?;
    /// assert_eq!(page.join().unwrap().unwrap(), []);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// What can go wrong is told by the answer, see [`Unanswered`].
    /// A loop that nobody asks pays nothing for it, and one that is asked pays for a post.
    #[doc(alias = "run_coroutine_threadsafe")]
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&LoopHandle) -> R + Send + 'static,
    ) -> Answer<R> {
        let (sender, answer) = answer::channel(self.0.thread);
        // A loop that is gone drops the sender, which says so.
        let _ = self.post(move |handle| sender.give(question(handle)));
        answer
    }

    /// The loop's counters, as they are when it comes to the question; blocks no longer than `limit`.
    ///
    /// # Errors
    /// See [`Unanswered`]: the loop is gone, does not come to it in time, or is this thread's own.
    pub fn statistics(&self, limit: Duration) -> Result<Statistics, Unanswered> {
        self.ask(LoopHandle::statistics).wait(limit)
    }

    /// Stops the loop: its `run_forever` returns when the turn is over. Without effect on a loop that is gone.
    pub fn stop(&self) {
        let _ = self.post(LoopHandle::stop);
    }

    /// Whether the loop has been dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.inbox.is_closed()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("closed", &self.is_closed()).finish()
    }
}
