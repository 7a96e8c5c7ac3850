//! Flow control: the write buffer's [`Limits`], the answer of a write ([`Flow`]), and the [`FlowGate`] that knows what
//! the protocol has been told.
//!
//! The marks are asyncio's: above `high` the protocol is paused, at or below `low` it is resumed.
//! `max` is ours: the net under a protocol that goes on writing regardless.

use std::fmt;

/// What a write met.
///
/// It replaces the nested `pause_writing` of asyncio for a producer that is in the middle of a loop:
///
/// ```
/// # use wharf_core::{Flow, WriteTransport};
/// # fn pump(transport: &dyn WriteTransport, chunks: &mut dyn Iterator<Item = Vec<u8>>) {
/// while let Some(chunk) = chunks.next() {
///     if transport.write(&chunk) != Flow::Open {
///         break; // resume_writing will come, or connection_lost
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Taken, and there is room for more.
    Open,
    /// Taken, but the buffer is over its mark: stop until `resume_writing`.
    Full,
    /// Not taken: the write side is over, by `close`, `abort`, `write_eof` or the loss of the connection.
    Closed,
}

/// The limits of a write buffer, in bytes.
///
/// `pause_writing` is told when more than [`high`](Self::high_mark) bytes are queued, `resume_writing` when
/// [`low`](Self::low_mark) or fewer are left.
/// A write that finds more than [`max`](Self::max_mark) bytes already queued ends the connection with
/// [`Lost::Overflow`](crate::Lost::Overflow); one large write into a buffer that is not over-full is always taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    high: usize,
    low: usize,
    max: usize,
}

/// The low mark was to be above the high one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the low mark ({low}) is above the high one ({high})")]
pub struct LimitsError {
    high: usize,
    low: usize,
}

impl Limits {
    /// asyncio's marks, and a ceiling of 16 MiB: far above what a protocol that obeys [`Flow`] can reach, far below
    /// what one that does not would take.
    pub const DEFAULT: Self = Self { high: 64 * 1024, low: 16 * 1024, max: 16 * 1024 * 1024 };

    /// Both marks.
    ///
    /// # Errors
    /// When `low` is above `high`.
    pub const fn new(high: usize, low: usize) -> Result<Self, LimitsError> {
        if low > high {
            return Err(LimitsError { high, low });
        }
        Ok(Self::marks(high, low))
    }

    /// The high mark; the low one becomes a quarter of it, rounded down.
    #[must_use]
    pub const fn high(high: usize) -> Self {
        Self::marks(high, high / 4)
    }

    /// The low mark; the high one becomes four times it.
    #[must_use]
    pub const fn low(low: usize) -> Self {
        Self::marks(low.saturating_mul(4), low)
    }

    /// Both marks at once: paused above, resumed at or below.
    #[must_use]
    pub const fn flat(mark: usize) -> Self {
        Self::marks(mark, mark)
    }

    /// The same marks with another ceiling; it is never below the high mark.
    #[must_use]
    pub const fn max(self, max: usize) -> Self {
        let max = if max < self.high { self.high } else { max };
        Self { max, ..self }
    }

    const fn marks(high: usize, low: usize) -> Self {
        Self { high, low, max: Self::DEFAULT.max }.max(Self::DEFAULT.max)
    }

    /// Above this many queued bytes the protocol is paused.
    #[must_use]
    pub const fn high_mark(&self) -> usize {
        self.high
    }

    /// At this many queued bytes, or fewer, the protocol is resumed.
    #[must_use]
    pub const fn low_mark(&self) -> usize {
        self.low
    }

    /// A write that finds more than this many bytes queued ends the connection.
    #[must_use]
    pub const fn max_mark(&self) -> usize {
        self.max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is so, what writers were answered, and what the protocol was told: full or not.
///
/// These are reconciled after each callback, never queued (rule T4): a buffer that fills and drains before anybody
/// could know tells nothing, and nothing can pile up.
/// Whoever was answered [`Flow::Full`] waits for `resume_writing`, so that answer is told even if the buffer has
/// drained meanwhile: as a `pause_writing` and a `resume_writing`, one after the other.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowGate(u8);

/// The buffer is full.
const FULL: u8 = 1;
/// A writer was answered so, and waits to hear more.
const ANSWERED: u8 = 2;
/// The protocol was told to pause, and not yet to resume.
const TOLD: u8 = 4;

impl FlowGate {
    /// Not full, and nothing told.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Full, and told.
    #[must_use]
    pub const fn paused() -> Self {
        Self(FULL | TOLD)
    }

    /// What it knows, as a number; zero is a new one.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The buffer now holds `queued` bytes: above the high mark it is full, at or below the low mark it is not, and in
    /// between it stays what it was.
    #[inline]
    pub fn update(&mut self, queued: usize, limits: &Limits) {
        self.set(queued > limits.high, queued <= limits.low);
    }

    /// The same where more than one number has limits: `over` is full, `under` is not, and neither changes nothing.
    #[inline]
    pub fn set(&mut self, over: bool, under: bool) {
        if over {
            self.0 |= FULL;
        } else if under {
            self.0 &= !FULL;
        }
    }

    /// Whether the buffer is full.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0 & FULL != 0
    }

    /// Whether the protocol was told to pause, and not yet to resume.
    #[inline]
    #[must_use]
    pub fn told_full(&self) -> bool {
        self.0 & TOLD != 0
    }

    /// A writer is being answered that the buffer is full.
    #[inline]
    pub fn answer_full(&mut self) {
        self.0 |= ANSWERED;
    }

    /// Whether the protocol is to be told to pause now.
    #[inline]
    #[must_use]
    pub fn wants_pause(&self) -> bool {
        self.0 & (FULL | ANSWERED) != 0 && !self.told_full()
    }

    /// Whether the protocol is to be told to resume now.
    #[inline]
    #[must_use]
    pub fn wants_resume(&self) -> bool {
        self.told_full() && !self.is_full()
    }

    /// The protocol is being told to pause.
    pub fn tell_pause(&mut self) {
        self.0 = self.0 & !ANSWERED | TOLD;
    }

    /// The protocol is being told to resume. What was answered before is answered for by this.
    pub fn tell_resume(&mut self) {
        self.0 &= !(ANSWERED | TOLD);
    }

    /// Another protocol is listening now, and it was told nothing.
    #[inline]
    pub fn forget_told(&mut self) {
        self.0 &= !TOLD;
    }

    /// Nothing is queued any more and nothing will be: not full, whatever the marks.
    #[inline]
    pub fn drained(&mut self) {
        self.0 &= !FULL;
    }
}

impl fmt::Debug for FlowGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowGate")
            .field("full", &self.is_full())
            .field("answered", &(self.0 & ANSWERED != 0))
            .field("told", &self.told_full())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_mark_is_derived() {
        let marks = |limits: Limits| (limits.low_mark(), limits.high_mark());
        assert_eq!(marks(Limits::default()), (16_384, 65_536));
        assert_eq!(marks(Limits::high(100)), (25, 100));
        assert_eq!(marks(Limits::high(0)), (0, 0));
        assert_eq!(marks(Limits::low(10)), (10, 40));
        assert_eq!(marks(Limits::flat(10)), (10, 10));
        assert_eq!(Limits::new(8, 8).map(marks), Ok((8, 8)));
        assert_eq!(Limits::new(1, 2), Err(LimitsError { high: 1, low: 2 }));
    }

    #[test]
    fn the_ceiling_is_never_below_the_high_mark() {
        assert_eq!(Limits::high(100).max(5).max_mark(), 100);
        assert_eq!(Limits::high(usize::MAX).max_mark(), usize::MAX);
    }

    #[test]
    fn full_is_strictly_above_high_and_over_at_low() {
        let limits = Limits::new(10, 4).unwrap();
        let mut gate = FlowGate::default();
        let mut full = |queued| {
            gate.update(queued, &limits);
            gate.is_full()
        };
        assert!(!full(10), "exactly high is not full");
        assert!(full(11));
        assert!(full(5), "between the marks nothing changes");
        assert!(!full(4), "exactly low is not full");
        assert!(!full(10));
    }

    #[test]
    fn a_buffer_that_fills_and_drains_before_anybody_knew_tells_nothing() {
        let limits = Limits::high(0);
        let mut gate = FlowGate::default();
        gate.update(1, &limits);
        assert!(gate.wants_pause());
        gate.update(0, &limits);
        assert!(!gate.wants_pause() && !gate.wants_resume());
    }

    #[test]
    fn whoever_was_answered_full_hears_resume_however_soon_it_drains() {
        let limits = Limits::high(0);
        let mut gate = FlowGate::default();
        gate.update(1, &limits);
        gate.answer_full();
        gate.update(0, &limits);
        assert!(gate.wants_pause() && !gate.wants_resume());
        gate.tell_pause();
        assert!(!gate.wants_pause() && gate.wants_resume());
        gate.tell_resume();
        assert!(!gate.wants_pause() && !gate.wants_resume());
    }
}
