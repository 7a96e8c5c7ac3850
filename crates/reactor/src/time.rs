//! [`TimerHandle`]: a timer, as whoever set it refers to it.

use std::fmt;
use std::rc::Weak;
use std::time::{Duration, Instant};

use wharf_core::schedule::{Timer, deadline};

use crate::handle::LoopState;
use crate::timers::TimerKey;

/// A timer that was set with [`LoopHandle::call_later`](crate::LoopHandle::call_later) or
/// [`call_at`](crate::LoopHandle::call_at). Dropping this does not cancel it.
pub struct TimerHandle {
    pub(crate) state: Weak<LoopState>,
    pub(crate) key: TimerKey,
    pub(crate) deadline: Instant,
}

impl TimerHandle {
    /// Takes the timer back. Without effect once it has run or was cancelled.
    pub fn cancel(&self) {
        if let Some(state) = self.state.upgrade() {
            let callback = state.timers.borrow_mut().cancel(self.key);
            drop(callback);
        }
    }

    /// Lets the timer run when `delay` has passed from now on, and not when it was to: as if it were cancelled and set
    /// anew, which costs more. Says whether it could; one that has run or was cancelled stays so.
    ///
    /// What guards a connection that may be silent for a minute is reset by each message:
    ///
    /// ```
    /// use std::time::Duration;
    /// use wharf_reactor::EventLoop;
    ///
    /// let ev = EventLoop::new()?;
    /// let mut silence = ev.call_later(Duration::from_secs(60), || println!("is anybody there?"));
    /// assert!(silence.reset(Duration::from_secs(60)));
    /// silence.cancel();
    /// assert!(!silence.reset(Duration::from_secs(60)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reset(&mut self, delay: Duration) -> bool {
        let Some(state) = self.state.upgrade() else { return false };
        self.reset_on(&state, deadline(state.clock.now(), delay))
    }

    /// The same, to a moment of the loop's clock.
    pub fn reset_at(&mut self, deadline: Instant) -> bool {
        self.state.upgrade().is_some_and(|state| self.reset_on(&state, deadline))
    }

    #[inline]
    fn reset_on(&mut self, state: &LoopState, deadline: Instant) -> bool {
        let Some(key) = state.timers.borrow_mut().reset(self.key, deadline) else { return false };
        self.key = key;
        self.deadline = deadline;
        true
    }

    /// When it is due, or was.
    #[must_use]
    pub fn when(&self) -> Instant {
        self.deadline
    }
}

impl Timer for TimerHandle {
    fn cancel(&self) {
        self.cancel();
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle").field("when", &self.deadline).finish()
    }
}
