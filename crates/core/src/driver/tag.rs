//! [`Tag`]: the number of a transport, and what is so about its driver at the moment.

use std::cell::Cell;

use crate::transport::TransportId;

/// A number, and in its lowest bits three facts: every connection has one. Numbers are given in order, so they leave room.
pub(super) struct Tag(Cell<u64>);

impl Tag {
    /// A callback of this protocol, or the settling after it, is running.
    pub(super) const BUSY: u64 = 1;
    /// The loop will settle this before the turn ends.
    pub(super) const ENLISTED: u64 = 2;
    /// The loop's tray is lent to the callback that runs, or has returned and is about to be settled. The stream was at
    /// rest then, and nothing has happened since but writes to the tray.
    pub(super) const GATHERS: u64 = 4;

    /// How many bits of the word are no number.
    const SHIFT: u32 = 3;

    pub(super) fn new(id: TransportId) -> Self {
        Self(Cell::new(id.get() << Self::SHIFT))
    }

    #[inline(always)]
    pub(super) fn id(&self) -> TransportId {
        TransportId::new(self.0.get() >> Self::SHIFT)
    }

    #[inline(always)]
    pub(super) fn is(&self, fact: u64) -> bool {
        self.0.get() & fact != 0
    }

    #[inline(always)]
    pub(super) fn set(&self, fact: u64) {
        self.0.set(self.0.get() | fact);
    }

    /// Unsets a fact; says whether it was set.
    #[inline(always)]
    pub(super) fn take(&self, fact: u64) -> bool {
        let was = self.is(fact);
        self.unset(fact);
        was
    }

    #[inline(always)]
    pub(super) fn unset(&self, fact: u64) {
        self.0.set(self.0.get() & !fact);
    }
}
