//! The write queue against the plainest model of it: one vector of bytes.

use std::io::IoSlice;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use wharf_core::buffer::{MAX_SLICES, WriteQueue};

/// More than two gathered pieces.
const LARGEST: usize = 140_000;

#[derive(Debug, Clone)]
enum Operation {
    Push(usize),
    PushBytes(usize),
    /// The system takes this many hundredths of what it is offered, no more than the limit.
    Send(usize, usize),
    Clear,
    Shrink,
}

fn operation() -> impl Strategy<Value = Operation> {
    // Sizes around the borders: nothing, little, a piece (64 KiB) and more than one.
    let size = prop_oneof![4 => 0..64_usize, 2 => 1000..20_000_usize, 1 => 60_000..LARGEST];
    let limit = prop_oneof![Just(usize::MAX), 0..100_000_usize];
    prop_oneof![
        6 => size.clone().prop_map(Operation::Push),
        3 => size.prop_map(Operation::PushBytes),
        6 => (0..=100_usize, limit).prop_map(|(part, limit)| Operation::Send(part, limit)),
        1 => Just(Operation::Clear),
        1 => Just(Operation::Shrink),
    ]
}

const PERIOD: usize = 251;

/// A queue, what must be in it, and where the pattern of bytes goes on.
struct Bench {
    queue: WriteQueue,
    model: Vec<u8>,
    pattern: Vec<u8>,
    next: usize,
}

impl Bench {
    fn new() -> Self {
        let period: Vec<u8> = (0..=250).collect();
        let pattern = period.repeat(LARGEST / PERIOD + 2);
        Self { queue: WriteQueue::new(), model: Vec::new(), pattern, next: 0 }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let start = self.next;
        self.next += count;
        // Cut out of one long pattern whose period divides no size.
        let start = start % PERIOD;
        let bytes = self.pattern[start..start + count].to_vec();
        self.model.extend_from_slice(&bytes);
        bytes
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Push(count) => {
                let bytes = self.bytes(count);
                self.queue.push(&bytes);
            }
            Operation::PushBytes(count) => {
                let bytes = self.bytes(count);
                self.queue.push_bytes(Bytes::from(bytes));
            }
            Operation::Send(part, limit) => self.send(part, limit),
            Operation::Clear => {
                self.queue.clear();
                self.model.clear();
            }
            Operation::Shrink => {
                // Only a queue that is given back is shrunk, and that one is empty.
                if self.queue.is_empty() {
                    self.queue.shrink();
                }
            }
        }
        self.check();
    }

    fn send(&mut self, part: usize, limit: usize) {
        let offered = {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = self.queue.slices(&mut slices, limit);
            let offered: Vec<&[u8]> = slices[..filled].iter().map(|slice| &**slice).collect();
            let offered = offered.concat();
            assert!(slices[..filled].iter().all(|slice| !slice.is_empty()), "an empty slice");
            assert!(self.model.starts_with(&offered), "the offer is the front of the queue");
            assert!(offered.len() <= limit);
            assert!(filled == MAX_SLICES || offered.len() == limit.min(self.model.len()));
            offered
        };
        let sent = offered.len() * part / 100;
        self.queue.advance(sent);
        self.model.drain(..sent);
    }

    fn check(&self) {
        assert_eq!(self.queue.len(), self.model.len());
        assert_eq!(self.queue.is_empty(), self.model.is_empty());
        if let Some(single) = self.queue.single() {
            assert_eq!(single, self.model, "the one slice is everything");
        }
    }
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn the_queue_is_a_vector_of_bytes(operations in vec(operation(), 1..60)) {
        let mut bench = Bench::new();
        for operation in &operations {
            bench.apply(operation);
        }
        while !bench.queue.is_empty() {
            bench.send(100, usize::MAX);
            bench.check();
        }
    }
}
