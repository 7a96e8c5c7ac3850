//! The two doors by which time comes in (rule L7): the system's clock, and a counter of processor ticks.
//!
//! The loop's [`Clock`] says what time it is; a test puts a manual one in its place.
//! Ticks are for statistics and for noticing slow callbacks only: they are as cheap as an addition, so they may be
//! looked at after every callback, and nothing that a program can observe depends on them.

use std::time::{Duration, Instant};

use wharf_core::Clock;

/// The system's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Instant {
        instant()
    }
}

#[inline]
fn instant() -> Instant {
    Instant::now()
}

/// A moment, in processor ticks; where the processor's counter cannot be read, by the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticks(Counter);

#[cfg(target_arch = "x86_64")]
type Counter = u64;
#[cfg(not(target_arch = "x86_64"))]
type Counter = Instant;

impl Ticks {
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn now() -> Self {
        // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
        Self(unsafe { core::arch::x86_64::_rdtsc() })
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn now() -> Self {
        Self(instant())
    }

    /// Ticks since `earlier`; less than none where the counter went back, as it may between processors.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[allow(clippy::cast_possible_wrap)] // On purpose: a difference that is negative.
    pub(crate) fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn since(self, earlier: Self) -> i64 {
        i64::try_from(self.0.duration_since(earlier.0).as_nanos()).unwrap_or(i64::MAX)
    }
}

/// How long a tick is, measured against the system's clock since the loop was made.
#[derive(Debug)]
pub(crate) struct TickLength {
    start: Instant,
    first: Ticks,
}

impl TickLength {
    pub(crate) fn new() -> Self {
        Self { start: instant(), first: Ticks::now() }
    }

    /// For how long it was measured.
    pub(crate) fn measured(&self) -> Duration {
        instant().duration_since(self.start)
    }

    /// How long `ticks` are.
    pub(crate) fn duration(&self, ticks: i64) -> Duration {
        let elapsed = self.measured().as_nanos().max(1);
        let counted = u128::from(Ticks::now().since(self.first).max(1).unsigned_abs());
        let nanos = u128::from(ticks.max(0).unsigned_abs()) * elapsed / counted;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_measure_time() {
        let length = TickLength::new();
        let (start, first) = (instant(), Ticks::now());
        while instant().duration_since(start) < Duration::from_millis(2) {}
        let (last, end) = (Ticks::now(), instant());
        let measured = length.duration(last.since(first));
        assert!(measured <= end.duration_since(start) * 2, "{measured:?}");
        assert!(measured >= Duration::from_millis(1), "{measured:?}");
    }
}
