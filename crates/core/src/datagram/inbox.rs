//! What one receive brought, as an I/O object puts it down.
//!
//! The bytes lie in one buffer of the loop, and one [`Arrival`] describes a whole train, so a train of sixty datagrams
//! costs one address and no allocation.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::SystemTime;

use crate::address::Address;

/// Explicit congestion notification: the two bits of the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The sender can react to congestion, codepoint `ECT(1)`.
    Ect1,
    /// The sender can react to congestion, codepoint `ECT(0)`.
    Ect0,
    /// A router on the way met congestion.
    Ce,
}

impl Ecn {
    /// The mark in the lowest two bits of a traffic class; `None` where there is none.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0b11 {
            0b01 => Some(Self::Ect1),
            0b10 => Some(Self::Ect0),
            0b11 => Some(Self::Ce),
            _ => None,
        }
    }

    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }
}

/// One train in an [`Inbox`]: where its bytes are, and what the system said about them.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// Where the bytes begin in the buffer.
    pub start: usize,
    /// How many bytes there are; zero is one empty datagram.
    pub len: usize,
    /// The size of each datagram but the last, which may be shorter. Zero, or anything not below `len`, is a single
    /// datagram.
    pub segment: usize,
    /// Who sent it; `None` for one without a name. An IPv4 peer of a dual-stack socket is an IPv4 address.
    pub from: Option<Address>,
    /// The destination in its header, which may be a group or a broadcast address, where the system tells.
    pub to: Option<IpAddr>,
    /// The address of ours that an answer should leave from, where the system tells.
    pub local: Option<IpAddr>,
    /// The number of the interface it came by, where the system tells.
    pub interface: Option<NonZeroU32>,
    /// The congestion mark, if there is one.
    pub ecn: Option<Ecn>,
    /// Whether bytes were lost because the datagram was longer than the space for it.
    pub truncated: bool,
    /// When the system received it, where that was asked for.
    pub timestamp: Option<SystemTime>,
}

impl Arrival {
    /// How many datagrams it is.
    #[inline]
    #[must_use]
    pub fn datagrams(&self) -> usize {
        if self.segment == 0 || self.segment >= self.len {
            1
        } else {
            self.len.div_ceil(self.segment)
        }
    }

    /// Forgets all but the sender, whom the next one in this place is likely to share.
    #[inline]
    fn reset(&mut self) {
        // One by one, because the whole is four times as much to write as what says that there is nothing.
        let Self { start, len, segment, from: _, to, local, interface, ecn, truncated, timestamp } =
            self;
        (*start, *len, *segment) = (0, 0, 0);
        (*to, *local, *interface) = (None, None, None);
        (*ecn, *truncated, *timestamp) = (None, false, None);
    }
}

/// A place in an inbox: so many trains, and so many bytes of the next one, are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(super) train: usize,
    pub(super) offset: usize,
}

/// Where an I/O object puts what it receives: one buffer, and a description of each train in it.
///
/// An inbox belongs to the loop and is lent for one receive and the callbacks that follow.
#[derive(Default)]
pub struct Inbox {
    buffer: Box<[u8]>,
    arrivals: Vec<Arrival>,
    filled: usize,
    datagrams: usize,
    bytes: usize,
    /// Whether the system told of any which address of ours it came to.
    has_locals: bool,
}

impl Inbox {
    /// The size of a loop's buffer: thirty-two trains of the greatest size that IP knows, and room to put them at places
    /// that are not alike to a cache. Pages that nothing was ever received into cost nothing.
    pub const CAPACITY: usize = 32 * (64 + 2) * 1024;

    /// An inbox whose buffer has `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity].into(), ..Self::default() }
    }

    // ---- for the I/O object ----

    /// The buffer, to be cut up as the I/O object likes; what was received before has been taken out.
    #[inline]
    #[must_use]
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Adds a train. `describe` gets a blank description, but for [`from`](Arrival::from), which still names whoever
    /// was in this place the last time: it must be set, or left as it is where it is right, which spares making a new
    /// address.
    ///
    /// # Panics
    /// When the train does not lie within the buffer: the I/O object's bug.
    #[inline]
    pub fn push(&mut self, describe: impl FnOnce(&mut Arrival)) {
        if self.filled == self.arrivals.len() {
            self.arrivals.push(Arrival::default());
        }
        let arrival = &mut self.arrivals[self.filled];
        arrival.reset();
        describe(arrival);
        let end = arrival.start.checked_add(arrival.len);
        assert!(end.is_some_and(|end| end <= self.buffer.len()), "a train outside of the buffer");
        self.filled += 1;
        self.datagrams += arrival.datagrams();
        self.bytes += arrival.len;
        self.has_locals |= arrival.local.is_some();
    }

    /// The bytes of one train.
    #[inline]
    pub(super) fn train(&self, arrival: &Arrival) -> &[u8] {
        &self.buffer[arrival.start..][..arrival.len]
    }

    /// The trains that are in it.
    #[inline]
    #[must_use]
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals[..self.filled]
    }

    /// Empties it for the next receive.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.datagrams = 0;
        self.bytes = 0;
        self.has_locals = false;
    }

    // ---- for the driver ----

    /// How many datagrams are in it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// Whether nothing is in it.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// How many bytes are in it.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of the datagrams were truncated.
    pub(crate) fn truncated(&self) -> usize {
        self.arrivals().iter().filter(|arrival| arrival.truncated).count()
    }

    pub(crate) fn end(&self) -> Position {
        Position { train: self.filled, offset: 0 }
    }

    /// A copy of what comes after `position`, in a buffer of just that size.
    pub(crate) fn rest(&self, position: Position) -> Self {
        let mut bytes = Vec::new();
        let mut rest = Self::default();
        for (index, arrival) in self.arrivals().iter().enumerate().skip(position.train) {
            let skipped = if index == position.train { position.offset } else { 0 };
            let start = bytes.len();
            bytes.extend_from_slice(&self.train(arrival)[skipped..]);
            let arrival = Arrival { start, len: arrival.len - skipped, ..arrival.clone() };
            rest.datagrams += arrival.datagrams();
            rest.has_locals |= arrival.local.is_some();
            rest.arrivals.push(arrival);
        }
        rest.bytes = bytes.len();
        rest.filled = rest.arrivals.len();
        rest.buffer = bytes.into();
        rest
    }

    /// How many datagrams come after `position`.
    pub(super) fn count_after(&self, position: Position) -> usize {
        if position == Position::default() {
            return self.datagrams;
        }
        let mut arrivals = self.arrivals().iter().skip(position.train);
        let first = arrivals.next().map_or(0, |first| {
            first.datagrams()
                - if position.offset == 0 { 0 } else { position.offset / first.segment }
        });
        first + arrivals.map(Arrival::datagrams).sum::<usize>()
    }

    /// Whether the system told of any datagram which address of ours it came to.
    #[inline]
    pub(crate) fn has_locals(&self) -> bool {
        self.has_locals
    }

    /// The address of ours that the last datagram of `peer` before `position` came to.
    pub(crate) fn local_for(&self, peer: &Address, position: Position) -> Option<IpAddr> {
        let seen = position.train + usize::from(position.offset > 0);
        let mut seen = self.arrivals()[..seen.min(self.filled)].iter().rev();
        seen.find(|arrival| arrival.from.as_ref() == Some(peer)).and_then(|arrival| arrival.local)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("capacity", &self.buffer.len())
            .field("arrivals", &self.arrivals())
            .finish_non_exhaustive()
    }
}
