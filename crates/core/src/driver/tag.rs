//! [`Tag`]: the number of a transport, and what is so about its driver at the moment.

use std::cell::Cell;

use crate::transport::TransportId;

/// A number, and in its lowest bits a few facts: every connection has one. Numbers are given in order, so they leave room.
pub(super) struct Tag(Cell<u64>);

impl Tag {
    /// A callback of this protocol, or the settling after it, is running.
    pub(super) const BUSY: u64 = 1;
    /// The loop will settle this before the turn ends.
    pub(super) const ENLISTED: u64 = 2;
    /// The loop's tray is lent to the callback that runs, or has returned and is about to be settled. The stream was at
    /// rest then, and nothing has happened since but writes to the tray.
    pub(super) const GATHERS: u64 = 4;

    /// The protocol takes what is read by `data_received`.
    pub(super) const PLAIN: u64 = 8;
    /// The write buffer is not full before there is more in it than the tray holds.
    pub(super) const ROOMY: u64 = 16;

    /// How many bits of the word are no number.
    const SHIFT: u32 = 5;

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

    /// Makes it a fact, or none.
    pub(super) fn put(&self, fact: u64, so: bool) {
        if so { self.set(fact) } else { self.unset(fact) }
    }

    /// Unsets facts; says whether all of them were set.
    #[inline(always)]
    pub(super) fn take(&self, facts: u64) -> bool {
        let were = self.0.get() & facts;
        self.unset(facts);
        were == facts
    }

    #[inline(always)]
    pub(super) fn unset(&self, fact: u64) {
        self.0.set(self.0.get() & !fact);
    }
}
