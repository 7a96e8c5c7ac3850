//! [`Remote`]: the loop as seen from other threads.

use std::fmt;
use std::sync::Arc;

use async_task::Runnable;

use crate::handle::LoopHandle;
use crate::inbox::{Inbox, Pushed};
use crate::job::{Parcel, Post};
use crate::poll::Waker;

/// The part of a loop that other threads may touch.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Parcel>,
    waker: Waker,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { inbox: Inbox::new(), waker }
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
