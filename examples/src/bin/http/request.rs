//! The head of a request: what is asked for, how the body is framed, and what is wrong with it.
//!
//! What two readers of one stream could take for different things is refused and never repaired, so that nobody smuggles
//! a request past a proxy in front of us (RFC 9112, section 11.2): a line that ends without CR, a folded field, two
//! lengths, a length beside a transfer coding, a transfer coding of HTTP/1.0.

use std::mem::MaybeUninit;

use httparse::Error;

use crate::limits::{Limits, MOST_FIELDS};
use crate::status::Status;

/// Looks for the end of a head, and remembers how far it has looked.
///
/// A head that comes byte by byte is looked through once.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Where the line that is being looked through begins.
    line: usize,
    looked: usize,
    /// Whether the request line has been seen; blank lines before it mean nothing.
    begun: bool,
}

impl Search {
    /// Where the head ends at whose beginning `input` begins; nothing before all of it has come.
    fn end(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Status> {
        while let Some(at) = memchr::memchr(b'\n', &input[self.looked..]) {
            let end = self.looked + at;
            let line = input[self.line..end].strip_suffix(b"\r").ok_or(Status::BadRequest)?;
            let len = line.len();
            self.line = end + 1;
            self.looked = end + 1;
            if !self.begun && len > limits.line {
                return Err(Status::UriTooLong);
            }
            if self.looked > limits.head {
                return Err(Status::FieldsTooLarge);
            }
            if len == 0 && self.begun {
                return Ok(Some(self.looked));
            }
            self.begun |= len > 0;
        }
        self.looked = input.len();
        match input.len() {
            _ if !self.begun && input.len() - self.line > limits.line => Err(Status::UriTooLong),
            len if len > limits.head => Err(Status::FieldsTooLarge),
            _ => Ok(None),
        }
    }
}

/// The methods that this server has an opinion of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    /// One that HTTP has and no page here.
    Other,
}

/// How it is known where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(u64),
    Chunked,
}

/// A request without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) framing: Framing,
    /// HTTP/1.0, which must be told that the connection stays.
    pub(crate) is_old: bool,
    /// Whether the client means to use the connection again.
    pub(crate) stays: bool,
    /// Whether it waits for our word before it sends the body.
    pub(crate) waits: bool,
}

/// Reads the head that `input` begins with, and says how long it is; nothing before all of it has come, which `search`
/// remembers.
pub(crate) fn read<'a>(
    input: &'a [u8],
    search: &mut Search,
    limits: &Limits,
) -> Result<Option<(Head<'a>, usize)>, Status> {
    // Most heads come whole and are in order, and one pass is enough for them. All others take the long way, which finds
    // out what is missing or wrong.
    if search.looked == 0 {
        if let Ok((head, len, line)) = parse(input) {
            if line <= limits.line && len <= limits.head && ends_with_cr(&input[..len]) {
                return Ok(Some((head, len)));
            }
        }
    }
    let Some(end) = search.end(input, limits)? else { return Ok(None) };
    let (head, len, _) = parse(&input[..end])?;
    // It ended where we have seen its end, or it is understood in two ways.
    if len == end { Ok(Some((head, len))) } else { Err(Status::BadRequest) }
}

/// Whether every line ends with CR and LF. It looks at every byte and decides at the end, so that the processor looks at
/// many at once.
fn ends_with_cr(head: &[u8]) -> bool {
    let pairs = head.iter().zip(&head[1..]);
    let bare = pairs.fold(0, |bare, (&before, &byte)| {
        bare | (u8::from(byte == b'\n') & u8::from(before != b'\r'))
    });
    bare == 0 && head[0] != b'\n'
}

/// Understands the head that `input` begins with; gives its length and that of the request line too.
fn parse(input: &[u8]) -> Result<(Head<'_>, usize, usize), Status> {
    let mut places = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(input, &mut places);
    let parsed = parsed.map_err(|error| match error {
        Error::TooManyHeaders => Status::FieldsTooLarge,
        Error::Version => Status::VersionNotSupported,
        _ => Status::BadRequest,
    })?;
    let (httparse::Status::Complete(len), Some(method), Some(target), Some(version)) =
        (parsed, request.method, request.path, request.version)
    else {
        return Err(Status::BadRequest);
    };
    let line = method.len() + target.len() + "  HTTP/1.1".len();
    let method = known(method)?;
    let is_old = version == 0;
    let fields = Fields::read(request.headers)?;
    if fields.hosts > 1 || (fields.hosts == 0 && !is_old) {
        return Err(Status::BadRequest);
    }
    let framing = match (fields.length, fields.is_chunked) {
        (None, false) => Framing::Sized(0),
        (Some(length), false) => Framing::Sized(length),
        (None, true) if !is_old => Framing::Chunked,
        (_, true) => return Err(Status::BadRequest),
    };
    let head = Head {
        method,
        path: path(target, method)?,
        framing,
        is_old,
        stays: !fields.closes && (!is_old || fields.stays),
        waits: fields.waits && !is_old,
    };
    Ok((head, len, line))
}

fn known(method: &str) -> Result<Method, Status> {
    Ok(match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" | "OPTIONS" | "PATCH" | "TRACE" => Method::Other,
        // CONNECT asks for a tunnel, which is another trade.
        _ => return Err(Status::NotImplemented),
    })
}

/// The path of a target in any of its forms.
fn path(target: &str, method: Method) -> Result<&str, Status> {
    let query = target.bytes().position(|byte| byte == b'?');
    let target = query.map_or(target, |at| &target[..at]);
    if target.starts_with('/') || (target == "*" && method == Method::Other) {
        return Ok(target);
    }
    // To a proxy whole addresses are sent, and a server must take them too.
    let rest = match target.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            rest
        }
        _ => return Err(Status::BadRequest),
    };
    Ok(rest.find('/').map_or("/", |at| &rest[at..]))
}

/// What the fields say that concern the connection and the framing; the others are nobody's business here.
#[derive(Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    stays: bool,
    waits: bool,
}

impl Fields {
    fn read(fields: &[httparse::Header<'_>]) -> Result<Self, Status> {
        let mut read = Self::default();
        for field in fields {
            let (name, value) = (field.name, field.value);
            if name.eq_ignore_ascii_case("host") {
                read.hosts += 1;
            } else if name.eq_ignore_ascii_case("content-length") {
                // The same length twice may be accepted; who sends that is up to something.
                if read.length.replace(length(value)?).is_some() {
                    return Err(Status::BadRequest);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                read.code(value)?;
            } else if name.eq_ignore_ascii_case("connection") {
                for word in value.split(|&byte| byte == b',') {
                    let word = word.trim_ascii();
                    read.closes |= word.eq_ignore_ascii_case(b"close");
                    read.stays |= word.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::ExpectationFailed);
                }
                read.waits = true;
            }
        }
        Ok(read)
    }

    /// Takes the transfer codings: chunked alone is understood.
    fn code(&mut self, codings: &[u8]) -> Result<(), Status> {
        if codings.eq_ignore_ascii_case(b"chunked") && !self.is_chunked {
            self.is_chunked = true;
            return Ok(());
        }
        let last = codings.rsplit(|&byte| byte == b',').next().unwrap_or_default();
        let is_framed = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        let (first, _) = codings.split_at(codings.len() - last.len());
        let again =
            self.is_chunked || first.to_ascii_lowercase().windows(7).any(|it| it == b"chunked");
        // Where the last coding is not chunked, nobody knows where the body ends.
        Err(if is_framed && !again { Status::NotImplemented } else { Status::BadRequest })
    }
}

/// Digits and nothing else; a number that is too great for us is greater than any limit.
fn length(digits: &[u8]) -> Result<u64, Status> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Status::BadRequest);
    }
    let number = std::str::from_utf8(digits).unwrap_or_default().parse();
    Ok(number.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `input`, as far as it is a head, when it comes in pieces.
    fn read<'a>(
        input: &'a str,
        pieces: impl IntoIterator<Item = usize>,
    ) -> Result<Option<Head<'a>>, Status> {
        let (mut search, limits) = (Search::default(), Limits::default());
        for piece in pieces {
            let read = super::read(&input.as_bytes()[..piece], &mut search, &limits)?;
            if let Some((head, len)) = read {
                assert!(input[..len].ends_with("\r\n\r\n"));
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The same however it is cut.
    fn understood(input: &str) -> Result<Head<'_>, Status> {
        let whole = read(input, [input.len()]);
        assert_eq!(read(input, 1..=input.len()), whole, "{input:?}, byte by byte");
        for at in 0..input.len() {
            assert_eq!(read(input, [at, input.len()]), whole, "{input:?}, cut at {at}");
        }
        whole.map(|head| head.expect("the head is whole"))
    }

    const PLAIN: Head<'_> = Head {
        method: Method::Get,
        path: "/a",
        framing: Framing::Sized(0),
        is_old: false,
        stays: true,
        waits: false,
    };

    #[test]
    fn heads_are_understood_however_they_are_cut() {
        let cases = [
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", PLAIN),
            ("\r\n\r\nGET /a?b=/c HTTP/1.1\r\nhOST:\r\n\r\nPOST", PLAIN),
            ("GET http://x:1/a HTTP/1.1\r\nHost: x\r\n\r\n", PLAIN),
            ("GET HTTP://x HTTP/1.1\r\nHost: x\r\n\r\n", Head { path: "/", ..PLAIN }),
            (
                "GET /a HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n",
                Head { stays: false, ..PLAIN },
            ),
            ("GET /a HTTP/1.0\r\n\r\n", Head { is_old: true, stays: false, ..PLAIN }),
            (
                "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n\r\n",
                Head { is_old: true, ..PLAIN },
            ),
            (
                "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0012\r\nExpect: 100-Continue\r\n\r\n",
                Head { method: Method::Post, framing: Framing::Sized(12), waits: true, ..PLAIN },
            ),
            (
                "PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n",
                Head { method: Method::Put, framing: Framing::Chunked, ..PLAIN },
            ),
            (
                "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                Head { method: Method::Other, path: "*", ..PLAIN },
            ),
        ];
        for (input, head) in cases {
            assert_eq!(understood(input), Ok(head), "{input:?}");
        }
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        let fields = [
            // Two framings, or one that is said twice.
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \r\n",
            // No lengths.
            "Content-Length: +3\r\n",
            "Content-Length: -3\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length: 3 3\r\n",
            "Content-Length:\r\n",
            // Lines that others end elsewhere.
            "A: b\nContent-Length: 3\r\n",
            "A: b\rContent-Length: 3\r\n",
            "A: b\r\n Content-Length: 3\r\n",
            "A: b\r\n\tfolded\r\n",
            "Content-Length : 3\r\n",
            " Content-Length: 3\r\n",
            "A: b\0\r\n",
            "no field\r\n",
            // Whom is it for?
            "Host: y\r\n",
        ];
        for field in fields {
            let input = format!("POST /a HTTP/1.1\r\nHost: x\r\n{field}\r\n");
            assert_eq!(understood(&input), Err(Status::BadRequest), "{field:?}");
        }
        let old = "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(understood(old), Err(Status::BadRequest));
    }

    #[test]
    fn what_is_no_request_of_ours_is_refused_by_name() {
        use Status::{
            BadRequest, ExpectationFailed, FieldsTooLarge, NotImplemented, UriTooLong,
            VersionNotSupported,
        };
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1));
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(8 * 1024));
        let great = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(16 * 1024));
        let blank = "\r\n".repeat(8 * 1024 + 1);
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", BadRequest),
            ("GET / HTTP/1.1\n\n", BadRequest),
            ("\nGET / HTTP/1.1\r\n\r\n", BadRequest),
            ("GET a HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
            ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
            ("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
            ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", BadRequest),
            ("\u{16}\u{3}\u{1}\r\n\r\n", BadRequest),
            ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", NotImplemented),
            ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", NotImplemented),
            ("PRI * HTTP/2.0\r\n\r\n", VersionNotSupported),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                NotImplemented,
            ),
            ("GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", ExpectationFailed),
            (&many, FieldsTooLarge),
            (&great, FieldsTooLarge),
            (&blank, FieldsTooLarge),
            (&long, UriTooLong),
        ];
        for (input, status) in cases {
            assert_eq!(read(input, [input.len()]).map(|_| ()), Err(status), "{input:.40?}");
            assert_eq!(
                read(input, 1..=input.len()).map(|_| ()),
                Err(status),
                "{input:.40?}, bytes"
            );
        }
    }

    #[test]
    fn a_length_beyond_all_numbers_is_the_greatest() {
        let input = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n";
        assert_eq!(understood(input).map(|head| head.framing), Ok(Framing::Sized(u64::MAX)));
    }

    #[test]
    fn a_head_that_never_ends_is_refused_before_it_is_kept() {
        let limits = Limits::default();
        let mut search = Search::default();
        let endless = vec![b'x'; limits.line + 1];
        assert_eq!(search.end(&endless, &limits), Err(Status::UriTooLong));
        let mut search = Search::default();
        let mut endless = b"GET / HTTP/1.1\r\n".to_vec();
        endless.resize(limits.head + 1, b'x');
        assert_eq!(search.end(&endless, &limits), Err(Status::FieldsTooLarge));
    }
}
