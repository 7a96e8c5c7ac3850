//! Finding a mark in bytes that come piece by piece: what codecs and readers of lines share.

use std::io::BufRead;

/// Where the first `mark` at or after `from` begins in `bytes`; otherwise from where on to look when more has come, so
/// that every byte is looked at once.
///
/// # Errors
/// When there is none yet: the place to go on from.
///
/// # Panics
/// When the mark is empty.
pub fn find(bytes: &[u8], mark: &[u8], from: usize) -> Result<usize, usize> {
    let first = *mark.first().expect("a mark has at least one byte");
    let mut from = from.min(bytes.len());
    while from < bytes.len() {
        // The one way of the standard library to search a slice for a byte at the speed of memory.
        let mut rest = &bytes[from..];
        let passed = rest.skip_until(first).unwrap_or(rest.len());
        let start = from + passed - 1;
        let candidate = &bytes[start..];
        if candidate.starts_with(mark) {
            return Ok(start);
        }
        if mark.starts_with(candidate) {
            // The rest of the mark may come.
            return Err(start);
        }
        from = start + 1;
    }
    Err(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_a_window_finds_it() {
        let alphabet = [b'a', b'b'];
        for mark in [&b"a"[..], b"ab", b"aab", b"aa", b"abab"] {
            for number in 0..1_u32 << 10 {
                let bytes: Vec<u8> =
                    (0..10).map(|bit| alphabet[(number >> bit & 1) as usize]).collect();
                let expected = bytes.windows(mark.len()).position(|window| window == mark);
                assert_eq!(find(&bytes, mark, 0).ok(), expected, "{mark:?} in {bytes:?}");
                // Piece by piece, going on from where it stopped.
                let mut from = 0;
                let mut found = None;
                for end in 0..=bytes.len() {
                    match find(&bytes[..end], mark, from) {
                        Ok(at) => {
                            found = Some(at);
                            break;
                        }
                        Err(next) => from = next,
                    }
                }
                assert_eq!(found, expected, "{mark:?} in {bytes:?}, byte by byte");
            }
        }
    }

    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        assert_eq!(find(b"abc", b"\n", 0), Err(3));
        assert_eq!(find(b"abc\r", b"\r\n", 0), Err(3));
        assert_eq!(find(b"abc", b"a", 1), Err(3));
        assert_eq!(find(b"abc", b"a", 100), Err(3));
    }

    #[test]
    #[should_panic(expected = "at least one byte")]
    fn an_empty_mark_is_refused() {
        let _ = find(b"abc", b"", 0);
    }
}
