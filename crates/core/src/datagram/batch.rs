//! What one receive brought, as a protocol sees it: a [`Batch`] of datagrams, or of trains.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::SystemTime;

use super::inbox::{Arrival, Ecn, Inbox, Position};
use crate::address::Address;

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

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    #[inline]
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

    #[inline(always)] // Within a train it is a handful of instructions.
    fn next(&mut self) -> Option<Datagram<'a>> {
        if self.batch.progress.is_stopped() {
            return None;
        }
        let arrival = match self.train {
            Some(arrival) => arrival,
            None => self.begin_train()?,
        };
        // A segment of zero, or one that is not below what there is, is a single datagram.
        let data = match self.left.split_at_checked(arrival.segment) {
            Some((data, left)) if !data.is_empty() && !left.is_empty() => {
                self.left = left;
                self.position.offset += data.len();
                data
            }
            _ => {
                self.train = None;
                self.position = Position { train: self.position.train + 1, offset: 0 };
                self.left
            }
        };
        self.batch.progress.reach(self.position);
        Some(Datagram { data, arrival })
    }
}

impl<'a> Datagrams<'a> {
    #[inline]
    fn begin_train(&mut self) -> Option<&'a Arrival> {
        let arrival = self.batch.inbox.arrivals().get(self.position.train)?;
        self.left = &self.batch.inbox.train(arrival)[self.position.offset..];
        self.train = Some(arrival);
        Some(arrival)
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
        let bytes = self.batch.inbox.train(arrival);
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
        assert_eq!(words(batch), ["aa", "bb", "c", "", "dddd", "ee"]);
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
            assert_eq!(words(Batch::new(&rest, &again, Position::default())), left);
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
