//! [`Time`]: the clock of a loop and what waits for it, and [`TimerHandle`]: a timer, as whoever set it refers to it.
//!
//! A loop may have a hundred thousand timers, and who cancels one of them comes to its handle first: so a handle is
//! small, and leads to the timers without a detour. It leads there when the loop is gone, too, and finds none.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wharf_core::Clock;
use wharf_core::schedule::{Timer, deadline};

use crate::job::{Job, Shelf};
use crate::timers::{TimerKey, Timers};

/// The clock of a loop, and what waits for it. It lives as long as the last handle of a timer.
pub(crate) struct Time {
    pub(crate) clock: Box<dyn Clock>,
    /// Deadlines are counted from here, in both directions.
    origin: Instant,
    pub(crate) timers: RefCell<Timers<Shelf>>,
}

impl Time {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Self {
        let origin = clock.now();
        Self { clock, origin, timers: RefCell::default() }
    }

    /// Nanoseconds from the origin to `moment`; three centuries at most.
    #[inline]
    pub(crate) fn nanos(&self, moment: Instant) -> i64 {
        moment
            .checked_duration_since(self.origin)
            .map_or_else(|| -nanos(self.origin.duration_since(moment)), nanos)
    }

    /// The moment so many nanoseconds after the origin.
    pub(crate) fn moment(&self, nanos: i64) -> Instant {
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        if nanos < 0 { self.origin - distance } else { self.origin + distance }
    }
}

/// The nanoseconds of a duration, three centuries at most.
#[inline]
fn nanos(duration: Duration) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let seconds = i64::try_from(duration.as_secs()).ok();
    seconds
        .and_then(|seconds| seconds.checked_mul(SECOND))
        .and_then(|nanos| nanos.checked_add(i64::from(duration.subsec_nanos())))
        .unwrap_or(i64::MAX)
}

/// A timer that was set with [`LoopHandle::call_later`](crate::LoopHandle::call_later) or
/// [`call_at`](crate::LoopHandle::call_at). Dropping this does not cancel it.
pub struct TimerHandle {
    time: Rc<Time>,
    key: TimerKey,
    /// Nanoseconds from the origin on.
    deadline: i64,
}

impl TimerHandle {
    /// Sets a timer.
    #[inline]
    pub(crate) fn set(time: &Rc<Time>, deadline: Instant, job: Job) -> Self {
        let deadline = time.nanos(deadline);
        let key = time.timers.borrow_mut().insert(deadline, job);
        Self { time: Rc::clone(time), key, deadline }
    }

    /// One that was never set.
    pub(crate) fn dead(time: &Rc<Time>, deadline: Instant) -> Self {
        Self { time: Rc::clone(time), key: TimerKey::DEAD, deadline: time.nanos(deadline) }
    }

    /// Takes the timer back. Without effect once it has run or was cancelled.
    pub fn cancel(&self) {
        let callback = self.time.timers.borrow_mut().cancel(self.key);
        drop(callback);
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
        self.reset_at(deadline(self.time.clock.now(), delay))
    }

    /// The same, to a moment of the loop's clock.
    pub fn reset_at(&mut self, deadline: Instant) -> bool {
        let deadline = self.time.nanos(deadline);
        let Some(key) = self.time.timers.borrow_mut().reset(self.key, deadline) else {
            return false;
        };
        self.key = key;
        self.deadline = deadline;
        true
    }

    /// When it is due, or was; within three centuries of the making of the loop.
    #[must_use]
    pub fn when(&self) -> Instant {
        self.time.moment(self.deadline)
    }
}

impl Timer for TimerHandle {
    fn cancel(&self) {
        self.cancel();
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle").field("when", &self.when()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_core::memory::ManualClock;

    #[test]
    fn a_moment_is_its_distance_from_the_origin() {
        let time = Time::new(Box::new(ManualClock::new()));
        let nanosecond = Duration::from_nanos(1);
        for (moment, nanos) in [
            (time.origin, 0),
            (time.origin + nanosecond, 1),
            (time.origin - nanosecond, -1),
            (time.origin + Duration::from_secs(3) + nanosecond, 3_000_000_001),
        ] {
            assert_eq!(time.nanos(moment), nanos);
            assert_eq!(time.moment(nanos), moment);
        }
        let far = time.origin + Duration::from_secs(500 * 365 * 24 * 60 * 60);
        assert_eq!(time.nanos(far), i64::MAX);
    }

    #[test]
    fn a_handle_is_three_words() {
        assert_eq!(size_of::<TimerHandle>(), 3 * size_of::<u64>());
    }
}
