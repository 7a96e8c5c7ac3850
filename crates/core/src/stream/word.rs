//! [`Now`]: what decides about a byte stream, besides numbers, in one word.

use std::fmt;

use super::{Inbound, Phase};
use crate::flow::FlowGate;

/// Everything about a stream that is no number and no cause, in one word: most questions are asked of a stream that is
/// [`CALM`](Self::CALM), and one comparison answers them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Now {
    pub(super) phase: Phase,
    pub(super) inbound: Inbound,
    pub(super) gate: FlowGate,
    pub(super) marks: Marks,
}

impl Now {
    /// A stream that nobody was told of.
    pub(super) const UNMADE: Self =
        Self { phase: Phase::Open, inbound: Inbound::Open, gate: FlowGate::new(), marks: Marks(0) };

    /// A stream that was told of, and nothing more.
    pub(super) const FRESH: Self = Self { marks: Marks(Marks::MADE), ..Self::UNMADE };

    /// An open stream before and after most callbacks: it reads and is polled for that, there is nothing to tell, and
    /// nothing keeps what is queued from going out.
    pub(super) const CALM: Self =
        Self { marks: Marks(Marks::MADE | Marks::POLLED_TO_READ), ..Self::UNMADE };

    pub(super) const fn word(self) -> u32 {
        u32::from_ne_bytes([self.phase as u8, self.inbound as u8, self.gate.bits(), self.marks.0])
    }
}

/// What is so about a stream, or is not.
#[derive(Clone, Copy)]
pub(super) struct Marks(pub(super) u8);

impl Marks {
    /// `connection_made` was told.
    pub(super) const MADE: u8 = 1;
    /// The protocol wants nothing to be read.
    pub(super) const PAUSED: u8 = 2;
    /// The system would not take more.
    pub(super) const BLOCKED: u8 = 4;
    /// Something other than queued bytes is being sent.
    pub(super) const OUTFLOW: u8 = 8;
    /// Bytes that were read before wait for the protocol.
    pub(super) const LEFTOVER: u8 = 16;
    /// The descriptor is polled for reading.
    pub(super) const POLLED_TO_READ: u8 = 32;
    /// The descriptor is polled for writing.
    pub(super) const POLLED_TO_WRITE: u8 = 64;
    /// What is moved is logged.
    pub(super) const LOGGED: u8 = 128;

    #[inline]
    pub(super) const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    #[inline]
    pub(super) fn set(&mut self, mark: u8, on: bool) {
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::MADE, "made"),
            (Self::PAUSED, "paused"),
            (Self::BLOCKED, "blocked"),
            (Self::OUTFLOW, "outflow"),
            (Self::LEFTOVER, "leftover"),
            (Self::POLLED_TO_READ, "polled to read"),
            (Self::POLLED_TO_WRITE, "polled to write"),
            (Self::LOGGED, "logged"),
        ];
        let set = names.iter().filter(|(mark, _)| self.has(*mark)).map(|(_, name)| name);
        f.debug_set().entries(set).finish()
    }
}
