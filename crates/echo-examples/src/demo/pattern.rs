//! The bytes that every connection carries: each depends on its place, so what is lost, doubled or out of order shows.

/// The period of the pattern: a prime, so that no size of a message or a buffer divides it.
const PERIOD: usize = 65_521;

/// The longest slice that [`Pattern::at`] gives.
pub(super) const LONGEST: usize = 256 * 1024;

/// An endless repetition of pseudo-random bytes.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    pub(super) fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let period = (0..PERIOD).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        });
        let mut bytes: Vec<u8> = period.collect();
        while bytes.len() < PERIOD + LONGEST {
            bytes.extend_from_within(..PERIOD);
        }
        Self(bytes)
    }

    /// The `len` bytes (at most [`LONGEST`]) that stand at `place`.
    pub(super) fn at(&self, place: u64, len: usize) -> &[u8] {
        let start = usize::try_from(place % PERIOD as u64).unwrap_or_default();
        &self.0[start..start + len]
    }

    /// The first place at which `bytes`, which should stand at `place`, are something else.
    pub(super) fn mismatch(&self, place: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = place;
        for piece in bytes.chunks(LONGEST) {
            let expected = self.at(at, piece.len());
            if piece != expected {
                let wrong = piece.iter().zip(expected).position(|(got, wanted)| got != wanted)?;
                return Some(at + wrong as u64);
            }
            at += piece.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_goes_on_where_the_one_before_it_ended() {
        let pattern = Pattern::new();
        let long = pattern.at(65_000, 4096);
        assert_eq!([pattern.at(65_000, 1000), pattern.at(66_000, 3096)].concat(), long);
        assert_eq!(pattern.at(PERIOD as u64 - 1, LONGEST).len(), LONGEST);
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_stands() {
        let pattern = Pattern::new();
        let mut bytes = pattern.at(10, 5000).to_vec();
        assert_eq!(pattern.mismatch(10, &bytes), None);
        bytes[1234] ^= 1;
        assert_eq!(pattern.mismatch(10, &bytes), Some(1244));
        assert!(pattern.mismatch(11, pattern.at(10, 100)).is_some(), "shifted by one");
    }
}
