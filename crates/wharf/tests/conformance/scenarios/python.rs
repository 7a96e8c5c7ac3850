//! How Python writes values and names errors, so that our traces read like asyncio's.

use std::io;

use nix::errno::Errno;
use wharf::subprocess::StartError;
use wharf::tcp::ConnectError;
use wharf::{Fault, LimitsError, LoopClosed, Lost};

/// A value as Python's `str` writes it.
pub(super) trait Python {
    fn python(&self) -> String;
}

impl Python for bool {
    fn python(&self) -> String {
        if *self { "True" } else { "False" }.to_owned()
    }
}

impl Python for &str {
    fn python(&self) -> String {
        (*self).to_owned()
    }
}

impl Python for Vec<u8> {
    fn python(&self) -> String {
        format!("b'{}'", self.escape_ascii())
    }
}

/// A list of strings, each in quotes.
impl Python for Vec<String> {
    fn python(&self) -> String {
        let quoted = self.iter().map(|text| {
            let text = text.replace('\\', r"\\");
            if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
        });
        format!("[{}]", quoted.collect::<Self>().join(", "))
    }
}

impl Python for Vec<bool> {
    fn python(&self) -> String {
        let values: Vec<String> = self.iter().map(Python::python).collect();
        format!("[{}]", values.join(", "))
    }
}

impl<T: Python> Python for Option<T> {
    fn python(&self) -> String {
        self.as_ref().map_or_else(|| "None".to_owned(), Python::python)
    }
}

impl<A: Python, B: Python> Python for (A, B) {
    fn python(&self) -> String {
        format!("({}, {})", self.0.python(), self.1.python())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Python for $number {
            fn python(&self) -> String {
                self.to_string()
            }
        })*
    };
}
numbers!(i32, u16, u64, usize);

/// How many bytes, and which when they are few.
pub(super) fn shown(data: &[u8]) -> String {
    if data.len() <= 24 {
        return format!("{} {}", data.len(), data.to_vec().python());
    }
    data.len().to_string()
}

/// An error that has a counterpart among Python's exceptions.
pub(super) trait Raised {
    /// The type of that exception, and its errno.
    fn raised(&self) -> String;
}

impl Raised for io::Error {
    fn raised(&self) -> String {
        if let Some(fault) = self.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
            return fault.raised();
        }
        match errno(self) {
            Some(errno) => format!("{}[{errno:?}]", class(errno)),
            None => classified(self).to_owned(),
        }
    }
}

/// asyncio refuses limits with a `ValueError`.
impl Raised for LimitsError {
    fn raised(&self) -> String {
        "ValueError".to_owned()
    }
}

/// asyncio says of a closed loop what it says of every misuse: `RuntimeError`.
impl Raised for LoopClosed {
    fn raised(&self) -> String {
        "RuntimeError".to_owned()
    }
}

/// A panic whose message begins with the name of an exception stands for that exception, as in
/// `panic!("LookupError: boom")`; any other one for a `RuntimeError`.
impl Raised for Fault {
    fn raised(&self) -> String {
        let name = self.message().split(':').next().unwrap_or_default();
        let is_exception = name.ends_with("Error") && name.chars().all(char::is_alphabetic);
        if is_exception { name } else { "RuntimeError" }.to_owned()
    }
}

/// What asyncio would have passed to `connection_lost`.
impl Raised for Lost {
    fn raised(&self) -> String {
        match self {
            Self::Closed | Self::Eof | Self::Aborted => "None".to_owned(),
            Self::Io(error) => error.raised(),
            Self::Fault(fault) => fault.raised(),
            other => format!("{other:?}"),
        }
    }
}

/// The type alone.
pub(super) fn classified(error: &io::Error) -> &'static str {
    if error.get_ref().is_some_and(|inner| inner.is::<ConnectError>()) {
        return "OSError";
    }
    match (errno(error), error.kind()) {
        (Some(errno), _) => class(errno),
        (None, io::ErrorKind::InvalidInput) => "ValueError",
        (None, io::ErrorKind::NotFound) => "ProcessLookupError",
        (None, _) => "RuntimeError",
    }
}

/// The system's number of an error, also where a text has taken its place.
pub(super) fn errno(error: &io::Error) -> Option<Errno> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<StartError>());
    let error = inner.map_or(error, |start| &start.error);
    let number = error.raw_os_error().map(Errno::from_raw);
    number.or_else(|| match error.kind() {
        // It names the address, and so has lost its number.
        io::ErrorKind::AddrInUse => Some(Errno::EADDRINUSE),
        _ => None,
    })
}

fn class(errno: Errno) -> &'static str {
    match errno {
        Errno::ECONNREFUSED => "ConnectionRefusedError",
        Errno::ECONNRESET => "ConnectionResetError",
        Errno::ENOENT => "FileNotFoundError",
        Errno::EPIPE => "BrokenPipeError",
        _ => "OSError",
    }
}

#[test]
fn values_read_as_python_writes_them() {
    assert_eq!(true.python(), "True");
    assert_eq!(Some(7_u16).python(), "7");
    assert_eq!(None::<u16>.python(), "None");
    assert_eq!((16_usize, 64_usize).python(), "(16, 64)");
    assert_eq!(vec!["a".to_owned(), "b".to_owned()].python(), "['a', 'b']");
    assert_eq!(shown(b"a\0'"), r"3 b'a\x00\''");
    assert_eq!(shown(&[0; 25]), "25");
}

#[test]
fn errors_have_the_names_of_exceptions() {
    let system = |errno: Errno| io::Error::from(errno).raised();
    assert_eq!(system(Errno::ECONNRESET), "ConnectionResetError[ECONNRESET]");
    assert_eq!(system(Errno::ENXIO), "OSError[ENXIO]");
    let named = io::Error::new(io::ErrorKind::AddrInUse, "cannot listen on x");
    assert_eq!(named.raised(), "OSError[EADDRINUSE]");
    assert_eq!(io::Error::from(io::ErrorKind::InvalidInput).raised(), "ValueError");
    assert_eq!(io::Error::other("misuse").raised(), "RuntimeError");
    assert_eq!(io::Error::other(Fault::new("x", "KeyError: worse")).raised(), "KeyError");
    assert_eq!(Fault::new("x", "the buffer is empty").raised(), "RuntimeError");
    assert_eq!(Lost::Eof.raised(), "None");
    assert_eq!(Lost::Io(Errno::EPIPE.into()).raised(), "BrokenPipeError[EPIPE]");
}
