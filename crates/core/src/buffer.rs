//! The write queue: bytes that were taken by a write and not yet by the system.
//!
//! Small writes are gathered into one growing piece, so eight of them leave in one system call; owned [`Bytes`] are
//! queued as they are.
//! One path accounts for all of them, so [`WriteQueue::len`] is a counter and never a sum.
//! A queue belongs to the loop and is lent to a connection for as long as it has something queued: an idle connection
//! owns none.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A gathered piece stops growing here, so that growing it never copies much and a partly sent one is soon freed. Above
/// the default high mark, so that what is flushed on passing the mark is one piece.
const PIECE: usize = 128 * 1024;

/// A queue that comes back to the loop keeps at most this much memory for its next borrower.
const KEEP: usize = 256 * 1024;

/// How many pieces one vectored write takes at most: far below `IOV_MAX` (1024), and the array of slices stays a
/// kilobyte of stack.
pub const MAX_SLICES: usize = 64;

/// Bytes in the order in which they were written.
///
/// What was gathered since the queue was empty comes first; what did not fit or was given away follows as pieces of its
/// own, none of them empty.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// Small writes, copied one after the other; the first `sent` bytes are gone.
    head: Vec<u8>,
    sent: usize,
    rest: VecDeque<Piece>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    /// Small writes, copied one after the other.
    Gathered(Vec<u8>),
    /// One chunk that its owner gave away.
    Owned(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Gathered(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl WriteQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes are queued.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of `data`; an empty slice leaves no trace.
    #[inline]
    pub fn push(&mut self, data: &[u8]) {
        self.len += data.len();
        if self.rest.is_empty() && self.head.len() + data.len() <= PIECE {
            self.head.extend_from_slice(data);
        } else {
            self.push_beyond(data);
        }
    }

    /// Appends what does not fit into the first piece.
    #[inline(never)]
    fn push_beyond(&mut self, data: &[u8]) {
        match self.rest.back_mut() {
            _ if data.is_empty() => {}
            // A first write is gathered whatever its size; it is contiguous already.
            None if self.head.is_empty() => self.head.extend_from_slice(data),
            Some(Piece::Gathered(bytes)) if bytes.len() + data.len() <= PIECE => {
                bytes.extend_from_slice(data);
            }
            _ => self.rest.push_back(Piece::Gathered(data.to_vec())),
        }
    }

    /// Appends `data` without copying it; an empty chunk leaves no trace.
    pub fn push_bytes(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.len += data.len();
            self.rest.push_back(Piece::Owned(data));
        }
    }

    /// Everything that is queued, if it is one slice; the common case needs no vectored write.
    #[inline]
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        self.rest.is_empty().then(|| &self.head[self.sent..])
    }

    /// Fills `slices` with the first pieces, no more than `limit` bytes in all, and says how many slices it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES], limit: usize) -> usize {
        let head = &self.head[self.sent..];
        let pieces = std::iter::once(head)
            .filter(|head| !head.is_empty())
            .chain(self.rest.iter().map(Piece::bytes));
        let mut room = limit;
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(pieces) {
            let bytes = &bytes[..bytes.len().min(room)];
            if bytes.is_empty() {
                break;
            }
            room -= bytes.len();
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The system took the first `count` bytes. The tail of a piece that was taken in part stays where it is.
    ///
    /// # Panics
    /// When `count` is more than is queued: a driver's bug.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "{count} bytes sent of {} queued", self.len);
        self.len -= count;
        let head = self.head.len() - self.sent;
        if count < head {
            self.sent += count;
        } else {
            self.head.clear();
            self.sent = 0;
            if count > head || !self.rest.is_empty() {
                self.advance_behind(count - head);
            }
        }
    }

    fn advance_behind(&mut self, mut count: usize) {
        while let Some(piece) = self.rest.pop_front() {
            let len = piece.bytes().len();
            if count >= len {
                count -= len;
                continue;
            }
            match piece {
                // The next gathered piece becomes the head, so that what follows it can be gathered behind it.
                Piece::Gathered(bytes) => {
                    self.head = bytes;
                    self.sent = count;
                }
                Piece::Owned(mut bytes) => {
                    bytes.advance(count);
                    self.rest.push_front(Piece::Owned(bytes));
                }
            }
            return;
        }
    }

    /// Drops everything that is queued.
    #[inline]
    pub fn clear(&mut self) {
        self.head.clear();
        self.sent = 0;
        self.len = 0;
        if !self.rest.is_empty() {
            self.rest.clear();
        }
    }

    /// Gives back memory beyond what the next borrower is likely to need.
    #[inline]
    pub fn shrink(&mut self) {
        if self.head.capacity() > KEEP || self.rest.capacity() > MAX_SLICES {
            self.give_back();
        }
    }

    #[cold]
    fn give_back(&mut self) {
        self.head.shrink_to(KEEP);
        self.rest.shrink_to(MAX_SLICES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut WriteQueue, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = queue.slices(&mut slices, step);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            out.extend_from_slice(&bytes);
            let sent = bytes.len();
            queue.advance(sent);
        }
        out
    }

    #[test]
    fn the_order_of_bytes_is_the_order_of_calls_at_every_step() {
        let expected = [vec![1; 10], vec![2; 140_000], vec![3; 5], vec![4; 5]].concat();
        for step in [1, 3, 16, 65_536, usize::MAX] {
            let mut queue = WriteQueue::new();
            queue.push(&[1; 10]);
            queue.push(&vec![2; 140_000]);
            queue.push_bytes(Bytes::from(vec![3; 5]));
            queue.push(&[4; 5]);
            assert_eq!(queue.len(), expected.len());
            assert_eq!(drain(&mut queue, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn small_writes_are_one_piece() {
        let mut queue = WriteQueue::new();
        for _ in 0..8 {
            queue.push(b"01234567");
        }
        assert_eq!(queue.single().map(<[u8]>::len), Some(64));
    }

    #[test]
    fn empty_chunks_leave_no_trace() {
        let mut queue = WriteQueue::new();
        queue.push(b"");
        queue.push_bytes(Bytes::new());
        assert!(queue.is_empty() && queue.rest.is_empty());
        queue.push(b"a");
        queue.push_bytes(Bytes::new());
        queue.push(b"");
        assert_eq!(drain(&mut queue, usize::MAX), b"a");
    }

    #[test]
    fn one_gathered_write_takes_a_bounded_number_of_pieces() {
        let mut queue = WriteQueue::new();
        for _ in 0..MAX_SLICES + 10 {
            queue.push_bytes(Bytes::from_static(b"xy"));
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        assert_eq!(queue.slices(&mut slices, usize::MAX), MAX_SLICES);
        assert_eq!(queue.slices(&mut slices, 5), 3, "and no more bytes than asked for");
    }

    #[test]
    fn memory_is_kept_for_the_next_write_but_not_too_much() {
        let mut queue = WriteQueue::new();
        queue.push(&[0; 1000]);
        queue.clear();
        assert!(queue.head.capacity() >= 1000);
        queue.push(&vec![0; KEEP + 1]);
        queue.clear();
        queue.shrink();
        assert!(queue.head.capacity() <= KEEP);
    }

    #[test]
    #[should_panic(expected = "2 bytes sent of 1 queued")]
    fn sending_more_than_is_queued_is_a_drivers_bug() {
        let mut queue = WriteQueue::new();
        queue.push(b"a");
        queue.advance(2);
    }
}
