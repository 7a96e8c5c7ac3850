//! What one receive brought: [`Inbox`] is where an I/O object puts it, [`Batch`] is how a protocol sees it.
//!
//! The bytes lie in one buffer of the loop, and one [`Arrival`] describes a whole train, so a train of sixty datagrams
//! costs one address and no allocation.

use std::cell::Cell;
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
    fn reset(&mut self) {
        *self = Self { from: self.from.take(), ..Self::default() };
    }
}

/// A place in an inbox: so many trains, and so many bytes of the next one, are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    train: usize,
    offset: usize,
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
}

impl Inbox {
    /// The size of a loop's buffer: thirty-two trains of the greatest size that IP knows. Pages that nothing was ever
    /// received into cost nothing.
    pub const CAPACITY: usize = 32 * 64 * 1024;

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
    }

    /// The trains that are in it.
    #[must_use]
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals[..self.filled]
    }

    /// Empties it for the next receive.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.datagrams = 0;
        self.bytes = 0;
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
            bytes.extend_from_slice(
                &self.buffer[arrival.start + skipped..][..arrival.len - skipped],
            );
            let arrival = Arrival { start, len: arrival.len - skipped, ..arrival.clone() };
            rest.datagrams += arrival.datagrams();
            rest.arrivals.push(arrival);
        }
        rest.bytes = bytes.len();
        rest.filled = rest.arrivals.len();
        rest.buffer = bytes.into();
        rest
    }

    /// How many datagrams come after `position`.
    fn count_after(&self, position: Position) -> usize {
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

/// How far a batch has been handed out. It belongs to the driver, which can end the handing out.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reached: Cell<Position>,
    stopped: Cell<bool>,
}

impl Progress {
    pub(crate) fn begin(&self, position: Position) {
        self.reached.set(position);
        self.stopped.set(false);
    }

    pub(crate) fn reached(&self) -> Position {
        self.reached.get()
    }

    /// Hands out nothing more, because of something that the protocol did.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn reach(&self, position: Position) {
        if position > self.reached.get() {
            self.reached.set(position);
        }
    }
}

/// What one receive brought: at least one datagram, in the order of arrival.
///
/// It hands out its datagrams one by one ([`iter`](Self::iter)) or train by train ([`trains`](Self::trains)).
/// Once the protocol has paused reading, has closed or aborted, or was switched, it hands out no more.
/// What it has not handed out by the end of the callback is kept for the resumption or for the next protocol, if that
/// was the reason, and is dropped otherwise: whoever looks away does not want it.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    inbox: &'a Inbox,
    progress: &'a Progress,
    start: Position,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(inbox: &'a Inbox, progress: &'a Progress, start: Position) -> Self {
        progress.begin(start);
        Self { inbox, progress, start }
    }

    /// How many datagrams it has, whether they were looked at or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inbox.count_after(self.start)
    }

    /// Never true; for symmetry with [`len`](Self::len).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datagrams one by one, from the first.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Datagrams<'a> {
        Datagrams { batch: *self, position: self.start, left: &[], train: None }
    }

    /// The datagrams train by train, from the first. A batch begins within a train where a pause has cut it.
    #[inline]
    #[must_use]
    pub fn trains(&self) -> Trains<'a> {
        Trains { batch: *self, position: self.start }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &Batch<'a> {
    type Item = Datagram<'a>;
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Datagrams<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = Datagram<'a>;
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Datagrams<'a> {
        self.iter()
    }
}

/// The datagrams of a [`Batch`], one by one.
#[derive(Clone)]
pub struct Datagrams<'a> {
    batch: Batch<'a>,
    position: Position,
    /// What is left of the present train; of an empty datagram, nothing is.
    left: &'a [u8],
    train: Option<&'a Arrival>,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Datagram<'a>;

    #[inline]
    fn next(&mut self) -> Option<Datagram<'a>> {
        if self.batch.progress.is_stopped() {
            return None;
        }
        let arrival = match self.train {
            Some(arrival) => arrival,
            None => {
                let arrival = self.batch.inbox.arrivals().get(self.position.train)?;
                let bytes = &self.batch.inbox.buffer[arrival.start..][..arrival.len];
                self.left = &bytes[self.position.offset..];
                self.train = Some(arrival);
                arrival
            }
        };
        let size = if arrival.segment == 0 { arrival.len } else { arrival.segment };
        let (data, left) = self.left.split_at(size.min(self.left.len()));
        self.left = left;
        if left.is_empty() {
            self.train = None;
            self.position = Position { train: self.position.train + 1, offset: 0 };
        } else {
            self.position.offset += data.len();
        }
        self.batch.progress.reach(self.position);
        Some(Datagram { data, arrival })
    }
}

impl fmt::Debug for Datagrams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("position", &self.position).finish_non_exhaustive()
    }
}

/// The datagrams of a [`Batch`], train by train.
#[derive(Clone)]
pub struct Trains<'a> {
    batch: Batch<'a>,
    position: Position,
}

impl<'a> Iterator for Trains<'a> {
    type Item = Train<'a>;

    #[inline]
    fn next(&mut self) -> Option<Train<'a>> {
        if self.batch.progress.is_stopped() {
            return None;
        }
        let arrival = self.batch.inbox.arrivals().get(self.position.train)?;
        let bytes = &self.batch.inbox.buffer[arrival.start..][..arrival.len];
        let data = &bytes[self.position.offset..];
        self.position = Position { train: self.position.train + 1, offset: 0 };
        self.batch.progress.reach(self.position);
        Some(Train { data, arrival })
    }
}

impl fmt::Debug for Trains<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trains").field("position", &self.position).finish_non_exhaustive()
    }
}

macro_rules! facts {
    () => {
        /// Who sent it; `None` where the sender has no name.
        #[inline]
        #[must_use]
        pub fn from(&self) -> Option<&'a Address> {
            self.arrival.from.as_ref()
        }

        /// The destination in its header, which may be a group or a broadcast address, where the system tells.
        #[must_use]
        pub fn to(&self) -> Option<IpAddr> {
            self.arrival.to
        }

        /// The address of ours that an answer leaves from, where the system tells.
        #[must_use]
        pub fn local(&self) -> Option<IpAddr> {
            self.arrival.local
        }

        /// The number of the interface it came by, where the system tells.
        #[must_use]
        pub fn interface(&self) -> Option<NonZeroU32> {
            self.arrival.interface
        }

        /// The congestion mark, if there is one and the endpoint asks for them.
        #[must_use]
        pub fn ecn(&self) -> Option<Ecn> {
            self.arrival.ecn
        }

        /// Whether bytes were lost because the datagram was longer than the space for it.
        #[must_use]
        pub fn is_truncated(&self) -> bool {
            self.arrival.truncated
        }

        /// When the system received it, by the system's clock, where the endpoint asks for that.
        #[must_use]
        pub fn timestamp(&self) -> Option<SystemTime> {
            self.arrival.timestamp
        }
    };
}

/// One datagram of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    data: &'a [u8],
    arrival: &'a Arrival,
}

impl<'a> Datagram<'a> {
    /// The bytes, lent for the call; none is an empty datagram.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    facts!();
}

/// One train of a [`Batch`]: datagrams of one size from one peer, of which the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Train<'a> {
    data: &'a [u8],
    arrival: &'a Arrival,
}

impl<'a> Train<'a> {
    /// The bytes of all its datagrams, one after the other.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The size of each datagram but the last; zero where all there is is an empty one.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> usize {
        if self.arrival.segment == 0 {
            self.data.len()
        } else {
            self.arrival.segment.min(self.data.len())
        }
    }

    /// How many datagrams it is.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        if self.data.is_empty() { 1 } else { self.data.len().div_ceil(self.segment()) }
    }

    facts!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An inbox with these trains: bytes and segment.
    fn inbox(trains: &[(&[u8], usize)]) -> Inbox {
        let mut inbox = Inbox::with_capacity(64);
        let mut at = 0;
        for (index, (bytes, segment)) in trains.iter().enumerate() {
            inbox.buffer()[at..at + bytes.len()].copy_from_slice(bytes);
            inbox.push(|arrival| {
                arrival.start = at;
                arrival.len = bytes.len();
                arrival.segment = *segment;
                arrival.from = Some(peer(index));
                arrival.local = Some(IpAddr::from([127, 0, 0, u8::try_from(index).unwrap()]));
            });
            at += bytes.len();
        }
        inbox
    }

    fn peer(index: usize) -> Address {
        Address::Ip(([10, 0, 0, 1], u16::try_from(index).unwrap()).into())
    }

    fn words<'a>(datagrams: impl IntoIterator<Item = Datagram<'a>>) -> Vec<&'a str> {
        datagrams.into_iter().map(|one| std::str::from_utf8(one.data()).unwrap()).collect()
    }

    #[test]
    fn trains_are_cut_at_their_segments_and_an_empty_datagram_is_one() {
        let inbox = inbox(&[(b"aabbc", 2), (b"", 0), (b"dddd", 4), (b"ee", 9)]);
        let progress = Progress::default();
        let batch = Batch::new(&inbox, &progress, Position::default());
        assert_eq!(words(&batch), ["aa", "bb", "c", "", "dddd", "ee"]);
        assert_eq!((batch.len(), inbox.bytes()), (6, 11));
        let trains: Vec<_> = batch.trains().map(|one| (one.segment(), one.datagrams())).collect();
        assert_eq!(trains, [(2, 3), (0, 1), (4, 1), (2, 1)]);
        assert_eq!(progress.reached(), inbox.end());
    }

    #[test]
    fn a_batch_that_is_stopped_hands_out_no_more_and_the_rest_is_whole() {
        let inbox = inbox(&[(b"aabbc", 2), (b"", 0), (b"dddd", 4)]);
        let words_in_all = ["aa", "bb", "c", "", "dddd"];
        for taken in 0..words_in_all.len() {
            let progress = Progress::default();
            let batch = Batch::new(&inbox, &progress, Position::default());
            let mut datagrams = batch.iter();
            assert_eq!(words(datagrams.by_ref().take(taken)), words_in_all[..taken]);
            progress.stop();
            assert!(datagrams.next().is_none() && batch.trains().next().is_none());
            let rest = inbox.rest(progress.reached());
            let left = &words_in_all[taken..];
            assert_eq!(rest.len(), left.len(), "after {taken}");
            assert_eq!(inbox.count_after(progress.reached()), left.len());
            let again = Progress::default();
            assert_eq!(words(&Batch::new(&rest, &again, Position::default())), left);
        }
    }

    #[test]
    fn an_answer_leaves_from_where_the_last_datagram_of_that_peer_came_to() {
        let inbox = inbox(&[(b"aabb", 2), (b"c", 1)]);
        let progress = Progress::default();
        let batch = Batch::new(&inbox, &progress, Position::default());
        let mut datagrams = batch.iter();
        assert_eq!(inbox.local_for(&peer(0), progress.reached()), None, "nothing was seen yet");
        let first = datagrams.next().unwrap();
        assert_eq!(inbox.local_for(&peer(0), progress.reached()), first.local());
        assert_eq!(inbox.local_for(&peer(1), progress.reached()), None);
        datagrams.nth(1);
        assert_eq!(inbox.local_for(&peer(1), progress.reached()), Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn a_place_remembers_its_sender_and_nothing_else() {
        let mut inbox = inbox(&[(b"aabb", 2)]);
        inbox.clear();
        inbox.push(|arrival| {
            assert_eq!(arrival.from, Some(peer(0)));
            assert_eq!((arrival.local, arrival.segment), (None, 0));
        });
        assert_eq!((inbox.len(), inbox.bytes()), (1, 0));
    }

    #[test]
    fn congestion_marks_survive_their_bits() {
        for bits in 0..4 {
            assert_eq!(Ecn::from_bits(0b1010_1000 | bits).map_or(0, Ecn::bits), bits);
        }
    }
}
