//! Requests as clients of Redis write them: arrays of bulk strings, or words on a line.
//!
//! Input may be cut anywhere; what was read of a request is not read again, and nothing is copied.
//! No number that a client sends makes us reserve memory: a length is compared with its limit, and then bytes are
//! awaited.

use std::ops::Range;

/// The longest line: a length, or a request by words.
pub(crate) const LONGEST_LINE: usize = 4 * 1024;

/// How many arguments a request may have.
pub(crate) const MOST_ARGUMENTS: usize = 1024;

/// How much a request may measure, and so the longest value.
pub(crate) const LONGEST_REQUEST: usize = 1024 * 1024;

/// Why the bytes are no request; the wording is Redis's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    ArgumentCount,
    BulkLength,
    NotABulk,
    LongLine,
    LongRequest,
}

impl ProtocolError {
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::ArgumentCount => "ERR Protocol error: invalid multibulk length",
            Self::BulkLength => "ERR Protocol error: invalid bulk length",
            Self::NotABulk => "ERR Protocol error: expected '$'",
            Self::LongLine => "ERR Protocol error: too big inline request",
            Self::LongRequest => "ERR Protocol error: too big request",
        }
    }
}

/// One request, lent by its parser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    input: &'a [u8],
    arguments: &'a [Range<usize>],
}

impl<'a> Request<'a> {
    /// How many arguments there are; an empty line has none.
    pub(crate) fn len(self) -> usize {
        self.arguments.len()
    }

    /// The arguments, of which the first is the command.
    pub(crate) fn arguments(self) -> impl Iterator<Item = &'a [u8]> {
        self.arguments.iter().map(move |range| &self.input[range.clone()])
    }

    /// How many bytes of the input it took.
    pub(crate) fn bytes(self) -> usize {
        self.input.len()
    }
}

/// Finds requests where they lie. What has come is kept by the caller, and given from the running request on.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// How far the running request was read.
    at: usize,
    /// How many of its arguments have not come; nothing before its first line.
    missing: Option<usize>,
    arguments: Vec<Range<usize>>,
}

impl Parser {
    /// The request that `input` begins with, if all of it is there. `None` asks for the same again, with more behind it;
    /// after an error the rest has no meaning.
    pub(crate) fn next<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<Option<Request<'a>>, ProtocolError> {
        if self.missing == Some(0) {
            // What was read belongs to the past.
            self.at = 0;
            self.missing = None;
            self.arguments.clear();
        }
        loop {
            let complete = match self.missing {
                None => self.first_line(input)?,
                Some(_) => self.argument(input)?,
            };
            match (complete, self.missing) {
                (false, _) => return Ok(None),
                (true, Some(0)) => break,
                (true, _) => {}
            }
        }
        Ok(Some(Request { input: &input[..self.at], arguments: &self.arguments }))
    }

    /// Reads how many arguments there are, or all of them from a line of words.
    fn first_line(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(input)? else { return Ok(false) };
        if let Some(digits) = line.strip_prefix(b"*") {
            let count = number(digits);
            // Redis takes a negative count for an empty request.
            let count = count.ok_or(ProtocolError::ArgumentCount)?.max(0);
            let count = usize::try_from(count).map_err(|_| ProtocolError::ArgumentCount)?;
            if count > MOST_ARGUMENTS {
                return Err(ProtocolError::ArgumentCount);
            }
            self.missing = Some(count);
            return Ok(true);
        }
        let mut from = 0;
        for word in line.split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.arguments.push(from..from + word.len());
            }
            from += word.len() + 1;
        }
        if self.arguments.len() > MOST_ARGUMENTS {
            return Err(ProtocolError::ArgumentCount);
        }
        self.missing = Some(0);
        Ok(true)
    }

    /// Reads one argument, or nothing of it.
    fn argument(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        // Refused by its first byte: no line need come for that.
        if input.get(self.at).is_some_and(|&first| first != b'$') {
            return Err(ProtocolError::NotABulk);
        }
        let before = self.at;
        let Some(line) = self.line(input)? else { return Ok(false) };
        let len = number(&line[1..])
            .and_then(|len| usize::try_from(len).ok())
            .filter(|&len| len <= LONGEST_REQUEST)
            .ok_or(ProtocolError::BulkLength)?;
        let (from, end) = (self.at, self.at + len);
        if end > LONGEST_REQUEST {
            return Err(ProtocolError::LongRequest);
        }
        match input.get(end..end + 2) {
            None => {
                self.at = before;
                return Ok(false);
            }
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError::BulkLength),
        }
        self.at = end + 2;
        self.arguments.push(from..end);
        self.missing = self.missing.map(|missing| missing - 1);
        Ok(true)
    }

    /// Reads a line; gives it without its end.
    fn line<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = &input[self.at..];
        let rest = &rest[..rest.len().min(LONGEST_LINE)];
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            let too_long = rest.len() == LONGEST_LINE;
            return if too_long { Err(ProtocolError::LongLine) } else { Ok(None) };
        };
        self.at += len + 1;
        Ok(Some(rest[..len].strip_suffix(b"\r").unwrap_or(&rest[..len])))
    }
}

/// A decimal number, with a sign or without.
pub(crate) fn number(digits: &[u8]) -> Option<i64> {
    // Lengths have a digit or two, and are what most of the reading is about.
    match digits {
        [one @ b'0'..=b'9'] => Some(i64::from(one - b'0')),
        [ten @ b'0'..=b'9', one @ b'0'..=b'9'] => {
            Some(i64::from(ten - b'0') * 10 + i64::from(one - b'0'))
        }
        _ => std::str::from_utf8(digits).ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `pieces`.
    fn parse<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let (mut parser, mut input, mut requests) = (Parser::default(), Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(request) = parser.next(&input)? {
                let bytes = request.bytes();
                if request.len() > 0 {
                    requests.push(request.arguments().map(<[u8]>::to_vec).collect());
                }
                input.drain(..bytes);
            }
        }
        Ok(requests)
    }

    const BURST: &[u8] =
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n PING  x\r\n\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$1\r\n*\r\n";

    #[test]
    fn a_burst_means_the_same_however_it_is_cut() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let expected: Vec<Vec<Vec<u8>>> = vec![
            words(&["GET", "k"]),
            words(&["PING", "x"]),
            words(&[""]),
            words(&["SET", "\r\n", "*"]),
        ];
        assert_eq!(parse([BURST]), Ok(expected.clone()));
        assert_eq!(parse(BURST.chunks(1)), Ok(expected.clone()));
        for at in 0..=BURST.len() {
            let (first, second) = BURST.split_at(at);
            assert_eq!(parse([first, second]), Ok(expected.clone()), "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        use ProtocolError::{ArgumentCount, BulkLength, LongLine, NotABulk};
        let long = [b'x'; LONGEST_LINE];
        let cases: [(&[u8], ProtocolError); 10] = [
            (b"*2000000000\r\n", ArgumentCount),
            (b"*99999999999999999999999\r\n", ArgumentCount),
            (b"*\r\n", ArgumentCount),
            (b"*x\r\n", ArgumentCount),
            (b"*1\r\n$2000000000\r\n", BulkLength),
            (b"*1\r\n$-1\r\n", BulkLength),
            (b"*1\r\n$1\r\nabc", BulkLength),
            (b"*1\r\n*", NotABulk),
            (b"*1\r\n:", NotABulk),
            (&long, LongLine),
        ];
        for (input, error) in cases {
            let shown = String::from_utf8_lossy(input);
            assert_eq!(parse([input]), Err(error), "{shown}");
            assert_eq!(parse(input.chunks(1)), Err(error), "{shown}, byte by byte");
        }
    }

    #[test]
    fn arguments_together_are_limited_before_they_have_come() {
        let half = LONGEST_REQUEST / 2;
        let mut input = format!("*3\r\n${half}\r\n").into_bytes();
        input.resize(input.len() + half, b'x');
        input.extend_from_slice(format!("\r\n${half}\r\n").as_bytes());
        assert_eq!(parse([&input[..]]), Err(ProtocolError::LongRequest));
    }
}
