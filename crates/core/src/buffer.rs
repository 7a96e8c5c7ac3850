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

/// A gathered piece stops growing here, so that growing it never copies much and a partly sent one is soon freed.
const PIECE: usize = 64 * 1024;

/// A queue that comes back to the loop keeps at most this much memory for its next borrower.
const KEEP: usize = 256 * 1024;

/// How many pieces one vectored write takes at most: far below `IOV_MAX` (1024), and the array of slices stays a
/// kilobyte of stack.
pub const MAX_SLICES: usize = 64;

#[derive(Debug)]
enum Piece {
    /// Small writes, copied one after the other; the first `sent` bytes are gone.
    Gathered { bytes: Vec<u8>, sent: usize },
    /// One chunk that its owner gave away.
    Owned(Bytes),
}

impl Piece {
    #[inline]
    fn remaining(&self) -> &[u8] {
        match self {
            Self::Gathered { bytes, sent } => &bytes[*sent..],
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Bytes in the order in which they were written. Holds no empty piece.
#[derive(Debug, Default)]
pub struct WriteQueue {
    pieces: VecDeque<Piece>,
    len: usize,
    /// The memory of the last gathered piece, kept for the next.
    spare: Vec<u8>,
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
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        if let Some(Piece::Gathered { bytes, .. }) = self.pieces.back_mut() {
            if bytes.len() + data.len() <= PIECE {
                bytes.extend_from_slice(data);
                return;
            }
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.extend_from_slice(data);
        self.pieces.push_back(Piece::Gathered { bytes, sent: 0 });
    }

    /// Appends `data` without copying it; an empty chunk leaves no trace.
    pub fn push_bytes(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        self.pieces.push_back(Piece::Owned(data));
    }

    /// The first piece, when it is the only one; the common case needs no vectored write.
    #[inline]
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        match self.pieces.len() {
            1 => self.pieces.front().map(Piece::remaining),
            _ => None,
        }
    }

    /// Fills `slices` with the first pieces, no more than `limit` bytes in all, and says how many slices it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES], limit: usize) -> usize {
        let mut room = limit;
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            let bytes = piece.remaining();
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
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "{count} bytes sent of {} queued", self.len);
        self.len -= count;
        while count > 0 {
            let piece = self.pieces.front_mut().expect("bytes are left, so a piece is");
            let remaining = piece.remaining().len();
            if count < remaining {
                match piece {
                    Piece::Gathered { sent, .. } => *sent += count,
                    Piece::Owned(bytes) => bytes.advance(count),
                }
                return;
            }
            count -= remaining;
            if let Some(Piece::Gathered { mut bytes, .. }) = self.pieces.pop_front() {
                bytes.clear();
                if bytes.capacity() > self.spare.capacity() {
                    self.spare = bytes;
                }
            }
        }
    }

    /// Drops everything that is queued.
    pub fn clear(&mut self) {
        self.advance(self.len);
    }

    /// Gives back memory beyond what the next borrower is likely to need.
    pub fn shrink(&mut self) {
        if self.spare.capacity() > KEEP {
            self.spare = Vec::new();
        }
        if self.pieces.capacity() > MAX_SLICES {
            self.pieces.shrink_to(MAX_SLICES);
        }
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
        let expected = [vec![1; 10], vec![2; 70_000], vec![3; 5], vec![4; 5]].concat();
        for step in [1, 3, 16, 65_536, usize::MAX] {
            let mut queue = WriteQueue::new();
            queue.push(&[1; 10]);
            queue.push(&vec![2; 70_000]);
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
        assert!(queue.is_empty() && queue.pieces.is_empty());
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
        assert!(queue.spare.capacity() >= 1000);
        queue.push(&vec![0; KEEP + 1]);
        queue.clear();
        queue.shrink();
        assert!(queue.spare.capacity() <= KEEP);
    }

    #[test]
    #[should_panic(expected = "2 bytes sent of 1 queued")]
    fn sending_more_than_is_queued_is_a_drivers_bug() {
        let mut queue = WriteQueue::new();
        queue.push(b"a");
        queue.advance(2);
    }
}
