//! [`Remote`]: the loop as seen from other threads.

use std::fmt;
use std::sync::Arc;

use async_task::Runnable;

use crate::handle::LoopHandle;
use crate::inbox::{Inbox, Pushed};
use crate::poll::Waker;
use crate::ready::{Job, Post};

/// What comes from elsewhere: work of other threads, and futures that were woken, from whatever thread.
pub(crate) enum Incoming {
    Post(Post),
    Task(Runnable),
}

impl From<Incoming> for Job {
    fn from(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Post(post) => Self::Post(post),
            Incoming::Task(task) => Self::Task(task),
        }
    }
}

/// The part of a loop that other threads may touch.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Incoming>,
    waker: Waker,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { inbox: Inbox::new(), waker }
    }

    fn push(&self, incoming: Incoming) -> Result<(), Incoming> {
        match self.inbox.push(incoming) {
            Pushed::Seen => Ok(()),
            Pushed::WakeIt => {
                self.waker.wake();
                Ok(())
            }
            Pushed::Refused(incoming) => Err(incoming),
        }
    }

    /// Makes the loop take another turn.
    pub(crate) fn wake(&self) {
        // A post that does nothing; on a loop that is gone there is nobody to wake.
        let _ = self.push(Incoming::Post(Box::new(|_| {})));
    }

    /// Queues a future that was woken.
    pub(crate) fn push_task(&self, task: Runnable) {
        if let Err(Incoming::Task(task)) = self.push(Incoming::Task(task)) {
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
        self.0.push(Incoming::Post(Box::new(callback))).map_err(|_| LoopClosed)
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
