//! The body of a request: cut out of the stream piece by piece, and never kept.

use crate::limits::{LONGEST_CHUNK_LINE, LONGEST_TRAILER};
use crate::request::Framing;
use crate::status::Status;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Some of the body; never empty.
    Data(&'a [u8]),
    /// A part of the framing was read.
    Framing,
    /// The rest has to come first.
    Missing,
    /// The body is over.
    End,
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) enum Body {
    /// So many bytes are left.
    Sized(u64),
    Chunked(Chunked),
}

/// Where we are in a chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    place: Place,
    /// How much more all chunks together may hold.
    room: u64,
    /// How much more the trailer fields may measure.
    trailer_room: usize,
}

#[derive(Debug)]
enum Place {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

impl Body {
    /// A body that may measure `most`; a size that is known to be more is refused.
    pub(crate) fn new(framing: Framing, most: u64) -> Result<Self, Status> {
        match framing {
            Framing::Sized(size) if size > most => Err(Status::ContentTooLarge),
            Framing::Sized(size) => Ok(Self::Sized(size)),
            Framing::Chunked => Ok(Self::Chunked(Chunked {
                place: Place::Size,
                room: most,
                trailer_room: LONGEST_TRAILER,
            })),
        }
    }

    /// The next piece of `input`, and how many bytes it takes. What it does not take is to be given again, with more.
    pub(crate) fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Piece<'a>), Status> {
        match self {
            Self::Sized(0) => Ok((0, Piece::End)),
            Self::Sized(left) => Ok(data(left, input)),
            Self::Chunked(chunked) => chunked.next(input),
        }
    }
}

/// As much of the `left` bytes as there is.
fn data<'a>(left: &mut u64, input: &'a [u8]) -> (usize, Piece<'a>) {
    let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    if count == 0 {
        return (0, Piece::Missing);
    }
    *left -= count as u64;
    (count, Piece::Data(&input[..count]))
}

impl Chunked {
    fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Piece<'a>), Status> {
        match &mut self.place {
            Place::Size => {
                let Some(line) = line(input, LONGEST_CHUNK_LINE)? else {
                    return Ok((0, Piece::Missing));
                };
                let size = size(line)?;
                self.room = self.room.checked_sub(size).ok_or(Status::ContentTooLarge)?;
                self.place = if size == 0 { Place::Trailer } else { Place::Data(size) };
                Ok((line.len() + 2, Piece::Framing))
            }
            Place::Data(left) => {
                let piece = data(left, input);
                if *left == 0 {
                    self.place = Place::DataEnd;
                }
                Ok(piece)
            }
            Place::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.place = Place::Size;
                    Ok((2, Piece::Framing))
                }
                [] | [b'\r'] => Ok((0, Piece::Missing)),
                _ => Err(Status::BadRequest),
            },
            Place::Trailer => {
                let line = match line(input, self.trailer_room) {
                    Err(_) if input.len() >= self.trailer_room => {
                        return Err(Status::FieldsTooLarge);
                    }
                    line => line?,
                };
                match line {
                    None => Ok((0, Piece::Missing)),
                    Some([]) => Ok((2, Piece::End)),
                    // Folded, or no field.
                    Some(line) if line[0].is_ascii_whitespace() || !line.contains(&b':') => {
                        Err(Status::BadRequest)
                    }
                    Some(line) => {
                        self.trailer_room -= line.len() + 2;
                        Ok((line.len() + 2, Piece::Framing))
                    }
                }
            }
        }
    }
}

/// A line without its end, if all of it is there; with its end it may measure `most`.
fn line(input: &[u8], most: usize) -> Result<Option<&[u8]>, Status> {
    let within = &input[..input.len().min(most)];
    match memchr::memchr(b'\n', within) {
        Some(end) => {
            let line = within[..end].strip_suffix(b"\r").ok_or(Status::BadRequest)?;
            let is_clean = line.iter().all(|&byte| byte >= b' ' || byte == b'\t');
            if is_clean { Ok(Some(line)) } else { Err(Status::BadRequest) }
        }
        None if input.len() >= most => Err(Status::BadRequest),
        None => Ok(None),
    }
}

/// The size that a line begins with, in hex; behind a semicolon may stand what nobody understands.
fn size(line: &[u8]) -> Result<u64, Status> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Status::BadRequest);
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    // What is too great for us is greater than any limit.
    Ok(u64::from_str_radix(digits, 16).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body in `input` that comes in pieces ending at `ends`, and how much of the input it took.
    fn read(
        framing: Framing,
        most: u64,
        input: &[u8],
        ends: impl IntoIterator<Item = usize>,
    ) -> Result<Option<(Vec<u8>, usize)>, Status> {
        let mut body = Body::new(framing, most)?;
        let (mut taken, mut at) = (Vec::new(), 0);
        for end in ends {
            loop {
                let (used, piece) = body.next(&input[at..end])?;
                at += used;
                match piece {
                    Piece::Data(data) => taken.extend_from_slice(data),
                    Piece::Framing => {}
                    Piece::Missing => break,
                    Piece::End => return Ok(Some((taken, at))),
                }
            }
        }
        Ok(None)
    }

    /// The same however it is cut.
    fn understood(framing: Framing, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Status> {
        let whole = read(framing, 1000, input, [input.len()]);
        let shown = String::from_utf8_lossy(input);
        assert_eq!(read(framing, 1000, input, 0..=input.len()), whole, "{shown:?}, byte by byte");
        for at in 0..input.len() {
            assert_eq!(
                read(framing, 1000, input, [at, input.len()]),
                whole,
                "{shown:?}, cut at {at}"
            );
        }
        whole
    }

    #[test]
    fn bodies_end_where_they_end_however_they_are_cut() {
        let cases: [(Framing, &[u8], &[u8], usize); 6] = [
            (Framing::Sized(0), b"GET", b"", 0),
            (Framing::Sized(5), b"helloGET", b"hello", 5),
            (Framing::Chunked, b"0\r\n\r\nGET", b"", 5),
            (Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 15),
            (
                Framing::Chunked,
                b"0B;a=\"b\"\r\nten\r\n bytes\r\n0;x\r\nA: b\r\nC:\r\n\r\n",
                b"ten\r\n bytes",
                40,
            ),
            (Framing::Chunked, b"1\r\na\r\n02\r\nbc\r\n00\r\n\r\n", b"abc", 20),
        ];
        for (framing, input, body, used) in cases {
            let read = understood(framing, input);
            assert_eq!(read, Ok(Some((body.to_vec(), used))), "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn a_body_that_has_not_ended_is_awaited() {
        assert_eq!(understood(Framing::Sized(6), b"hello"), Ok(None));
        for input in ["", "5", "5\r\nhel", "5\r\nhello\r", "5\r\nhello\r\n0\r\n", "0\r\na: b\r\n"] {
            assert_eq!(understood(Framing::Chunked, input.as_bytes()), Ok(None), "{input:?}");
        }
    }

    #[test]
    fn chunks_that_could_be_understood_in_two_ways_are_refused() {
        let cases = [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1 ;a\r\n",
            "1\na",
            "1;a\nb\r\n",
            "1;a\rb\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rb",
            "0\r\n\n",
            "0\r\na\r\n",
            "0\r\n a: b\r\n",
            "0\r\na: b\n",
            "1;\0\r\n",
        ];
        for input in cases {
            assert_eq!(
                understood(Framing::Chunked, input.as_bytes()),
                Err(Status::BadRequest),
                "{input:?}"
            );
        }
    }

    #[test]
    fn limits_hold_before_what_is_beyond_them_has_come() {
        let too_large = Err(Status::ContentTooLarge);
        assert_eq!(read(Framing::Sized(1001), 1000, b"", []), too_large);
        assert_eq!(understood(Framing::Chunked, b"3e9\r\n"), too_large);
        assert_eq!(understood(Framing::Chunked, b"fffffffffffffffffffffff\r\n"), too_large);
        let two = [b"3e8\r\n", &[b'x'; 1000][..], b"\r\n1\r\n"].concat();
        assert_eq!(read(Framing::Chunked, 1000, &two, [two.len()]), too_large);
        let extension = vec![b'1'; LONGEST_CHUNK_LINE];
        assert_eq!(understood(Framing::Chunked, &extension), Err(Status::BadRequest));
        let trailer = format!("0\r\n{}", "a: b\r\n".repeat(LONGEST_TRAILER / 6 + 1));
        let refused = read(Framing::Chunked, 1000, trailer.as_bytes(), [trailer.len()]);
        assert_eq!(refused, Err(Status::FieldsTooLarge));
    }
}
