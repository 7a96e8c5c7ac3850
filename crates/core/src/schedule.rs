//! The scheduler contract: what a transport, and any layer above it, may ask of the loop it lives on.
//!
//! Core has no clock and no loop.
//! A layer that needs a deadline or a later turn asks the transport below for its [`Scheduler`]; that is the only door
//! by which time comes in (rule L7).

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::guard::FaultReport;
use crate::observe::Moment;
use crate::resource::Resources;
use crate::trace;
use crate::transport::BaseTransport;

/// A clock. The loop's own is the only one that is read; tests put a [`ManualClock`](crate::memory::ManualClock) in
/// its place.
pub trait Clock: 'static {
    /// The time now; it never goes back.
    fn now(&self) -> Instant;

    /// Whether time passes by itself. Where it does not, a loop never sleeps towards a deadline: whoever moves the
    /// clock takes the next turn.
    fn is_manual(&self) -> bool {
        false
    }
}

/// What a loop offers to those who live on it.
///
/// Implemented by the reactor's `LoopHandle` and by [`memory::Stage`](crate::memory::Stage).
pub trait Scheduler: 'static {
    /// The time now, by the loop's clock.
    fn now(&self) -> Instant;

    /// Runs `callback` in the next turn, after what was queued before it.
    fn call_soon(&self, callback: Box<dyn FnOnce()>);

    /// Runs `callback` when the clock has reached `deadline`, and gives a token that cancels it.
    fn call_at(&self, deadline: Instant, callback: Box<dyn FnOnce()>) -> Box<dyn Timer>;

    /// What the transports and layers of one kind share on this loop.
    fn resources(&self) -> &Resources;

    /// User code failed: tells the fault policy of the loop, and those who trace it, by [`trace::fault`].
    fn report(&self, report: FaultReport);

    /// Settles `item` before the turn ends. Enlisting twice before that is the caller's to avoid.
    fn enlist(&self, item: Rc<dyn Settle>);

    /// Something has happened in the life of `transport`, of which nothing is borrowed: for those who trace it.
    ///
    /// It may ask for facts, and must not do anything to a transport.
    /// As it is, it makes the events of the feature `tracing`, and nothing without that.
    #[inline]
    fn observe(&self, transport: &dyn BaseTransport, moment: &Moment<'_>) {
        trace::observe(self, transport, moment);
    }

    /// Runs `callback` when `delay` has passed.
    fn call_later(&self, delay: Duration, callback: Box<dyn FnOnce()>) -> Box<dyn Timer> {
        self.call_at(deadline(self.now(), delay), callback)
    }
}

/// The moment `delay` after `now`; one that no clock can name becomes one that nobody will live to see.
#[must_use]
pub fn deadline(now: Instant, delay: Duration) -> Instant {
    const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now.checked_add(delay).unwrap_or_else(|| now + A_CENTURY)
}

/// A timer that was set with a [`Scheduler`]. Dropping it leaves the timer running.
pub trait Timer {
    /// Takes the timer back; without effect when it has run or was cancelled before.
    fn cancel(&self);
}

/// Something that has bytes to flush or news to tell, and waits for the running callback to return.
///
/// A transport that is written to from outside its own callback enlists itself; the loop settles it before the turn
/// ends.
pub trait Settle {
    /// Flushes what can be flushed and tells what is untold.
    fn settle(self: Rc<Self>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;

    #[test]
    fn the_longest_delay_is_no_overflow() {
        let now = ManualClock::new().now();
        assert_eq!(deadline(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert!(deadline(now, Duration::MAX) > now + Duration::from_secs(1_000_000_000));
    }
}
