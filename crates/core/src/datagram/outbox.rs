//! The outbox: datagrams that were taken by a send and not yet by the system.
//!
//! Bytes are copied one after the other into one arena, and datagrams of one size to one peer become one train as they
//! are pushed, which the system can take as one message.
//! An outbox belongs to the loop and is lent to an endpoint for as long as it has something queued; nothing is
//! allocated for a datagram once the arena has grown.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::inbox::Ecn;
use super::outgoing::Outgoing;
use crate::address::{Address, UnixAddress};

/// How many datagrams make one train at most: what Linux takes as one segmented send.
pub const MAX_TRAIN_DATAGRAMS: usize = 64;

/// How many bytes make one train at most: the payload of the greatest IPv4 datagram.
pub const MAX_TRAIN_BYTES: usize = 65_507;

/// The part of the arena that has gone out is given up when it is at least this much, and more than half.
const COMPACT: usize = 64 * 1024;

/// The same, in trains.
const COMPACT_TRAINS: usize = 256;

/// An outbox that comes back to the loop keeps at most this much memory for its next borrower.
const KEEP: usize = 256 * 1024;

/// The same, in trains.
const KEEP_TRAINS: usize = 4096;

/// Whom a queued train is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer<'a> {
    /// An IP address and port.
    Ip(&'a SocketAddr),
    /// A Unix socket with a path, as the system writes it.
    Path(&'a [u8]),
    /// A Unix socket with a name in Linux's abstract namespace, without the leading zero byte.
    Abstract(&'a [u8]),
}

/// One train of an [`Outbox`], or a part of one, as an I/O object sees it.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    data: &'a [u8],
    count: usize,
    entry: &'a Entry,
    arena: &'a Arena,
}

impl<'a> Packed<'a> {
    /// The bytes of its datagrams, one after the other.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The size of each datagram but the last, which may be shorter; zero where it is one empty datagram.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> usize {
        self.entry.segment
    }

    /// How many datagrams it is.
    #[inline]
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.count
    }

    /// Whom it is for; `None` for the peer that the socket is connected to.
    #[inline]
    #[must_use]
    pub fn to(&self) -> Option<Peer<'a>> {
        match &self.entry.target {
            Target::Connected => None,
            Target::Ip(to) => Some(Peer::Ip(to)),
            Target::Path(name) => Some(Peer::Path(self.arena.slice(name))),
            Target::Abstract(name) => Some(Peer::Abstract(self.arena.slice(name))),
        }
    }

    /// The address of ours that it should leave from.
    #[inline]
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.entry.local
    }

    /// The congestion mark.
    #[inline]
    #[must_use]
    pub fn ecn(&self) -> Option<Ecn> {
        self.entry.ecn
    }

    /// Its first `count` datagrams, which are fewer than it has, and the others.
    ///
    /// # Panics
    /// When it does not have more: the I/O object's bug.
    #[must_use]
    pub fn split_at(self, count: usize) -> (Self, Self) {
        assert!(count < self.count, "{count} datagrams split off {}", self.count);
        let (head, tail) = self.data.split_at(count * self.entry.segment);
        (Self { data: head, count, ..self }, Self { data: tail, count: self.count - count, ..self })
    }
}

/// The bytes of datagrams, and names. Places are counted from the beginning of time, so that they stay when it is
/// compacted.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    /// How many bytes of the beginning have been given up.
    base: usize,
}

impl Arena {
    /// Where the next byte will be.
    #[inline]
    fn end(&self) -> usize {
        self.base + self.bytes.len()
    }

    #[inline]
    fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.start - self.base..range.end - self.base]
    }

    fn write_name(&mut self, name: &[u8]) -> Range<usize> {
        let start = self.end();
        self.bytes.extend_from_slice(name);
        start..start + name.len()
    }

    fn forget_all(&mut self) {
        self.base = self.end();
        self.bytes.clear();
    }

    /// Gives up what is before `first`, where it is worth the moving.
    fn forget_before(&mut self, first: usize) {
        let gone = first - self.base;
        if gone >= COMPACT && gone > self.bytes.len() / 2 {
            self.bytes.drain(..gone);
            self.base += gone;
        }
    }
}

/// [`Peer`], with names in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Connected,
    Ip(SocketAddr),
    Path(Range<usize>),
    Abstract(Range<usize>),
}

impl Target {
    /// Whether it is `to`.
    #[inline(always)]
    fn is(&self, to: Option<&Address>, arena: &Arena) -> bool {
        match (self, to) {
            (Self::Connected, None) => true,
            (Self::Ip(target), Some(Address::Ip(to))) => target == to,
            (_, Some(Address::Unix(name))) => self.is_name(name, arena),
            _ => false,
        }
    }

    fn is_name(&self, name: &UnixAddress, arena: &Arena) -> bool {
        match (self, name) {
            (Self::Path(ours), UnixAddress::Path(path)) => {
                arena.slice(ours) == path.as_os_str().as_encoded_bytes()
            }
            (Self::Abstract(ours), UnixAddress::Abstract(name)) => arena.slice(ours) == &**name,
            _ => false,
        }
    }
}

/// One train. Where it lies is a place in the arena.
#[derive(Debug)]
struct Entry {
    start: usize,
    len: usize,
    segment: usize,
    /// How many datagrams it is.
    count: usize,
    /// Whether the last one is shorter than the others, so that no more can follow.
    is_done: bool,
    target: Target,
    local: Option<IpAddr>,
    ecn: Option<Ecn>,
}

/// What is appended in one go: datagrams of `segment` bytes each, of which the last may be shorter.
#[derive(Clone, Copy)]
struct Run<'a> {
    data: &'a [u8],
    segment: usize,
    count: usize,
}

impl Run<'_> {
    /// Whether the last datagram is shorter than the others.
    #[inline]
    fn ends_short(self) -> bool {
        self.data.len() < self.count * self.segment
    }
}

impl Entry {
    /// Whether `run` after it makes it no other than a longer train.
    #[inline]
    fn takes(&self, run: Run<'_>) -> bool {
        let same = run.segment == self.segment || (run.count == 1 && run.segment < self.segment);
        same && !run.data.is_empty()
            && !self.is_done
            && self.count + run.count <= MAX_TRAIN_DATAGRAMS
            && self.len + run.data.len() <= MAX_TRAIN_BYTES
    }

    /// Whether it goes where `outgoing` goes, and in the same way.
    #[inline(always)]
    fn goes_with(&self, outgoing: &Outgoing<'_>, arena: &Arena) -> bool {
        self.target.is(outgoing.to, arena)
            && self.local == outgoing.local
            && self.ecn == outgoing.ecn
    }

    #[inline]
    fn append(&mut self, run: Run<'_>) {
        self.len += run.data.len();
        self.count += run.count;
        self.is_done = run.data.len() < run.count * self.segment;
    }
}

/// Datagrams in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Arena,
    /// The first `gone` of these have gone out; where all have, there are none.
    entries: Vec<Entry>,
    gone: usize,
    bytes: usize,
    datagrams: usize,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes the queued datagrams have.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many datagrams are queued.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// Whether nothing is queued.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// Appends a copy of `outgoing`, and says how many datagrams that were.
    ///
    /// # Panics
    /// When it has segments of no bytes: the driver refuses those.
    #[inline(always)] // A plain datagram is no more than a few comparisons with the one before.
    pub fn push(&mut self, outgoing: &Outgoing<'_>) -> usize {
        if outgoing.segment.is_some() {
            return self.push_segments(outgoing);
        }
        let data = outgoing.data;
        self.push_run(outgoing, Run { data, segment: data.len(), count: 1 });
        1
    }

    fn push_segments(&mut self, outgoing: &Outgoing<'_>) -> usize {
        let segment = outgoing.segment.unwrap_or_default();
        assert!(segment > 0, "segments of no bytes");
        let most = (MAX_TRAIN_BYTES / segment).clamp(1, MAX_TRAIN_DATAGRAMS);
        let mut total = 0;
        for data in outgoing.data.chunks(segment.saturating_mul(most)) {
            let count = data.len().div_ceil(segment);
            self.push_run(outgoing, Run { data, segment: segment.min(data.len()), count });
            total += count;
        }
        total
    }

    #[inline(always)]
    fn push_run(&mut self, outgoing: &Outgoing<'_>, run: Run<'_>) {
        self.bytes += run.data.len();
        self.datagrams += run.count;
        match self.entries.last_mut() {
            Some(last) if last.takes(run) && last.goes_with(outgoing, &self.arena) => {
                last.append(run);
            }
            _ => self.push_entry(outgoing, run),
        }
        self.arena.bytes.extend_from_slice(run.data);
    }

    fn push_entry(&mut self, outgoing: &Outgoing<'_>, run: Run<'_>) {
        let target = match outgoing.to {
            None | Some(Address::Unix(UnixAddress::Unnamed)) => Target::Connected,
            Some(Address::Ip(to)) => Target::Ip(*to),
            Some(Address::Unix(name)) => self.name(name),
        };
        self.entries.push(Entry {
            start: self.arena.end(),
            len: run.data.len(),
            segment: run.segment,
            count: run.count,
            is_done: run.ends_short(),
            target,
            local: outgoing.local,
            ecn: outgoing.ecn,
        });
    }

    /// `name` as a target: it is written into the arena, unless the last train has it there.
    fn name(&mut self, name: &UnixAddress) -> Target {
        let last = self.entries.last().map(|last| &last.target);
        if let Some(last) = last.filter(|last| last.is_name(name, &self.arena)) {
            return last.clone();
        }
        match name {
            UnixAddress::Unnamed => Target::Connected,
            UnixAddress::Path(path) => {
                Target::Path(self.arena.write_name(path.as_os_str().as_encoded_bytes()))
            }
            UnixAddress::Abstract(name) => Target::Abstract(self.arena.write_name(name)),
        }
    }

    /// The queued trains, from the first that has not gone out.
    #[inline]
    pub fn trains(&self) -> impl Iterator<Item = Packed<'_>> {
        self.entries[self.gone..].iter().map(|entry| Packed {
            data: self.arena.slice(&(entry.start..entry.start + entry.len)),
            count: entry.count,
            entry,
            arena: &self.arena,
        })
    }

    /// The first `count` datagrams have gone out, or are given up; says how many bytes they had.
    ///
    /// # Panics
    /// When fewer are queued: a driver's bug.
    pub fn advance(&mut self, count: usize) -> usize {
        assert!(count <= self.datagrams, "{count} datagrams sent of {} queued", self.datagrams);
        self.datagrams -= count;
        if self.datagrams == 0 {
            let bytes = self.bytes;
            self.clear();
            return bytes;
        }
        let mut bytes = 0;
        let mut left = count;
        for entry in &mut self.entries[self.gone..] {
            if left < entry.count {
                let gone = left * entry.segment;
                entry.start += gone;
                entry.len -= gone;
                entry.count -= left;
                bytes += gone;
                break;
            }
            left -= entry.count;
            bytes += entry.len;
            self.gone += 1;
        }
        self.bytes -= bytes;
        self.compact();
        bytes
    }

    /// Drops everything that is queued.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.gone = 0;
        self.bytes = 0;
        self.datagrams = 0;
        self.arena.forget_all();
    }

    /// Gives up what has gone out, of trains and of the arena, where it is worth the moving.
    fn compact(&mut self) {
        if self.gone >= COMPACT_TRAINS && self.gone > self.entries.len() / 2 {
            self.entries.drain(..self.gone);
            self.gone = 0;
        }
        if let Some(first) = self.entries.get(self.gone) {
            self.arena.forget_before(match &first.target {
                Target::Path(name) | Target::Abstract(name) => name.start.min(first.start),
                _ => first.start,
            });
        }
    }

    /// Gives back memory beyond what the next borrower is likely to need.
    pub fn shrink(&mut self) {
        if self.arena.bytes.capacity() > KEEP || self.entries.capacity() > KEEP_TRAINS {
            self.arena.bytes.shrink_to(KEEP);
            self.entries.shrink_to(KEEP_TRAINS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(port: u16) -> Address {
        Address::Ip(([127, 0, 0, 1], port).into())
    }

    /// Each train as its bytes and segment.
    fn shape(outbox: &Outbox) -> Vec<(usize, usize)> {
        outbox.trains().map(|train| (train.data().len(), train.segment())).collect()
    }

    fn push(outbox: &mut Outbox, size: usize, to: &Address) {
        outbox.push(&Outgoing::new(&vec![7; size]).to(to));
    }

    #[test]
    fn datagrams_of_one_size_to_one_peer_are_one_train_and_a_shorter_one_ends_it() {
        let mut outbox = Outbox::new();
        for size in [10, 10, 10, 4, 4, 10, 12] {
            push(&mut outbox, size, &ip(1));
        }
        assert_eq!(shape(&outbox), [(34, 10), (4, 4), (10, 10), (12, 12)]);
        assert_eq!((outbox.len(), outbox.bytes()), (7, 60));
    }

    #[test]
    fn another_peer_mark_or_source_and_an_empty_datagram_begin_another_train() {
        let mut outbox = Outbox::new();
        push(&mut outbox, 10, &ip(1));
        push(&mut outbox, 10, &ip(2));
        outbox.push(&Outgoing::new(&[7; 10]).to(&ip(2)).ecn(Ecn::Ce));
        outbox.push(&Outgoing::new(&[7; 10]).to(&ip(2)).ecn(Ecn::Ce).local([127, 0, 0, 2].into()));
        push(&mut outbox, 0, &ip(2));
        push(&mut outbox, 0, &ip(2));
        outbox.push(&Outgoing::new(&[7; 10]));
        assert_eq!(
            shape(&outbox),
            [(10, 10), (10, 10), (10, 10), (10, 10), (0, 0), (0, 0), (10, 10)]
        );
    }

    #[test]
    fn a_train_is_bounded_in_datagrams_and_in_bytes() {
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(&[1; 65]).segments(1));
        assert_eq!(shape(&outbox), [(64, 1), (1, 1)]);
        outbox.clear();
        outbox.push(&Outgoing::new(&vec![1; 70_000]).segments(30_000));
        assert_eq!(shape(&outbox), [(60_000, 30_000), (10_000, 10_000)]);
    }

    #[test]
    fn segments_of_no_bytes_are_no_datagram() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.push(&Outgoing::new(&[]).segments(5)), 0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn names_of_unix_sockets_survive_the_arena() {
        let mut outbox = Outbox::new();
        let path = Address::from(std::path::PathBuf::from("/run/a"));
        let name = Address::from(UnixAddress::abstract_name(b"b"));
        for to in [&path, &path, &name, &path] {
            push(&mut outbox, 3, to);
        }
        let peers =
            |outbox: &Outbox| outbox.trains().map(|one| format!("{:?}", one.to())).collect();
        let all: Vec<String> = peers(&outbox);
        let path = format!("{:?}", Some(Peer::Path(b"/run/a")));
        assert_eq!(all, [path.clone(), format!("{:?}", Some(Peer::Abstract(b"b"))), path.clone()]);
        outbox.advance(1);
        assert_eq!(shape(&outbox)[0], (3, 3));
        outbox.advance(2);
        assert_eq!(peers(&outbox), [path], "a name that was written again is found again");
    }

    #[test]
    fn what_has_gone_out_frees_its_place_however_long_something_is_queued() {
        let mut outbox = Outbox::new();
        push(&mut outbox, 1000, &ip(1));
        for turn in 0..10_000 {
            // To two peers in turn, so that each is a train.
            push(&mut outbox, 1000, &ip(turn % 2));
            assert_eq!(outbox.advance(1), 1000);
            assert!(outbox.trains().all(|train| train.data().iter().all(|byte| *byte == 7)));
        }
        assert!(outbox.arena.bytes.capacity() < 4 * COMPACT, "{}", outbox.arena.bytes.capacity());
        assert!(outbox.entries.capacity() < 4 * COMPACT_TRAINS, "{}", outbox.entries.capacity());
        assert_eq!((outbox.len(), outbox.bytes()), (1, 1000));
    }

    #[test]
    fn a_train_that_went_out_in_part_still_grows() {
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(&[7; 30]).segments(10));
        assert_eq!(outbox.advance(2), 20);
        outbox.push(&Outgoing::new(&[8; 10]));
        assert_eq!(shape(&outbox), [(20, 10)]);
        assert_eq!(outbox.trains().next().map(|train| train.data()[10]), Some(8));
    }

    #[test]
    fn a_train_is_split_between_datagrams() {
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(&[7; 25]).segments(10));
        let (head, tail) = outbox.trains().next().unwrap().split_at(2);
        assert_eq!((head.data().len(), head.datagrams()), (20, 2));
        assert_eq!((tail.data().len(), tail.datagrams()), (5, 1));
    }

    #[test]
    fn memory_is_kept_for_the_next_borrower_but_not_too_much() {
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(&vec![0; KEEP + 1]));
        outbox.clear();
        outbox.shrink();
        assert!(outbox.arena.bytes.capacity() <= KEEP);
    }

    #[test]
    #[should_panic(expected = "2 datagrams sent of 1 queued")]
    fn sending_more_than_is_queued_is_a_drivers_bug() {
        let mut outbox = Outbox::new();
        push(&mut outbox, 1, &ip(1));
        outbox.advance(2);
    }
}
