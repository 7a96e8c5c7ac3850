//! The sizes of the messages: from one byte to the largest, as many small ones as large ones, the same for a seed.

/// An endless sequence of sizes.
pub(super) struct Sizes {
    state: u64,
    largest: usize,
}

impl Sizes {
    /// The sizes of one client.
    pub(super) fn new(seed: u64, client: usize, largest: usize) -> Self {
        let state = (seed ^ (client as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1);
        let mut sizes = Self { state, largest };
        // Neighbouring seeds begin alike; a few steps take them apart.
        for _ in 0..8 {
            sizes.random();
        }
        sizes
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next size: each power of two up to the largest is as likely as any other, and so is what lies between.
    pub(super) fn next(&mut self) -> usize {
        let powers = u64::from(self.largest.ilog2()) + 1;
        let power = 1_u64 << (self.random() % powers);
        let size = power + self.random() % power;
        usize::try_from(size).unwrap_or(self.largest).min(self.largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_from_one_byte_to_the_largest_and_not_beyond() {
        let mut sizes = Sizes::new(1, 0, 65_536);
        let drawn: Vec<usize> = (0..10_000).map(|_| sizes.next()).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&1), Some(&65_536)));
        let small = drawn.iter().filter(|size| **size < 256).count();
        assert!((4000..6000).contains(&small), "{small} of 10000 are below 256");
    }

    #[test]
    fn a_seed_gives_the_same_sizes_and_clients_differ() {
        let draw = |seed, client| -> Vec<usize> {
            let mut sizes = Sizes::new(seed, client, 1000);
            (0..20).map(|_| sizes.next()).collect()
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn the_smallest_largest_is_one_byte() {
        assert_eq!(Sizes::new(1, 1, 1).next(), 1);
    }
}
