//! The bytes that every stream carries, so that every one of them can be checked without being stored.

/// The period of the pattern: a prime, so that no message size or buffer size divides it.
const PERIOD: usize = 65_521;

/// The longest slice that [`Pattern::at`] gives.
pub const LONGEST: usize = 256 * 1024;

/// The bytes of one chunk of a source server.
pub const CHUNK: usize = 1024;

/// An endless repetition of pseudo-random bytes.
#[derive(Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The one pattern there is.
    #[must_use]
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes: Vec<u8> = (0..PERIOD).map(|_| next(&mut state)).collect();
        bytes.reserve(LONGEST);
        for at in 0..LONGEST {
            bytes.push(bytes[at]);
        }
        Self(bytes)
    }

    /// The `len` bytes (at most [`LONGEST`]) that begin at `offset` of the stream.
    #[must_use]
    pub fn at(&self, offset: u64, len: usize) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        &self.0[start..start + len]
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

/// The chunk that a source server repeats.
pub static CHUNK_BYTES: [u8; CHUNK] = {
    let mut state = 0x2545_f491_4f6c_dd1d;
    let mut bytes = [0; CHUNK];
    let mut at = 0;
    while at < CHUNK {
        bytes[at] = next(&mut state);
        at += 1;
    }
    bytes
};

/// One step of xorshift64.
const fn next(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_goes_on_where_the_one_before_it_ended() {
        let pattern = Pattern::new();
        let long = pattern.at(65_000, 4096).to_vec();
        let halves = [pattern.at(65_000, 1000), pattern.at(66_000, 3096)].concat();
        assert_eq!(long, halves);
    }

    #[test]
    fn the_longest_slice_exists_at_every_offset() {
        let pattern = Pattern::new();
        assert_eq!(pattern.at(PERIOD as u64 - 1, LONGEST).len(), LONGEST);
    }
}
