//! [`Duties`]: what a turn may have to do besides waiting and handing out readiness, as one word.
//!
//! Who puts something off notes it here, and the turn that finds nothing left crosses it out; so an idle turn asks one
//! question instead of one for each queue.

use std::cell::Cell;

/// Kinds of duties. One that is not noted is surely not there.
#[derive(Debug, Default)]
pub(crate) struct Duties(Cell<u8>);

/// One kind.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Duty {
    /// Something is enlisted to be settled.
    Settle = 1,
    /// Jobs are queued, or have come in.
    Jobs = 2,
    /// Timers are set.
    Timers = 4,
    /// The run is to end with the turn.
    Stop = 8,
    /// A fault was reported, whose panic may have to be resumed.
    Resume = 16,
    /// A panic has cut the handing out of a batch short. What is left is handed out before the next wait, because what is
    /// polled once is not found again.
    Rest = 32,
}

impl Duties {
    #[inline]
    pub(crate) fn add(&self, duty: Duty) {
        self.0.set(self.0.get() | duty as u8);
    }

    /// Crosses one out; says whether it was noted.
    #[inline]
    pub(crate) fn cross_out(&self, duty: Duty) -> bool {
        let noted = self.has(duty);
        self.0.set(self.0.get() & !(duty as u8));
        noted
    }

    #[inline]
    pub(crate) fn has(&self, duty: Duty) -> bool {
        self.0.get() & duty as u8 != 0
    }

    #[inline]
    pub(crate) fn are_none(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether one of them does not let the loop sleep.
    #[inline]
    pub(crate) fn are_due(&self) -> bool {
        const DUE: u8 = Duty::Settle as u8 | Duty::Jobs as u8 | Duty::Stop as u8 | Duty::Rest as u8;
        self.0.get() & DUE != 0
    }
}
