//! The wire log: what one stream moves, byte for byte, written wherever its user wants it.
//!
//! A log is switched on for one stream while it runs, by its [`Tap`], which is a fact of every byte stream:
//!
//! ```
//! use std::cell::RefCell;
//! use std::io::{self, Write};
//! use std::rc::Rc;
//! use wharf_core::memory::Stage;
//! use wharf_core::wire_log::{Hex, Tap};
//! use wharf_core::{Protocol, TransportRef};
//!
//! # struct Echo;
//! # impl Protocol for Echo {
//! #     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
//! #         transport.write(data);
//! #     }
//! # }
//! # #[derive(Clone, Default)]
//! # struct Page(Rc<RefCell<Vec<u8>>>);
//! # impl Write for Page {
//! #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.0.borrow_mut().write(bytes) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! let stage = Stage::new();
//! let (transport, _echo, wire) = stage.wire(Echo);
//! let page = Page::default(); // a file, stderr: any writer
//! if let Some(tap) = transport.extra::<Tap>() {
//!     tap.start(Hex::new(page.clone()));
//! }
//! wire.send(b"hello");
//! stage.run();
//! # let text = String::from_utf8(page.0.take()).unwrap();
//! # assert!(text.contains("0.000000 < 5 bytes\n"), "{text}");
//! # assert!(text.contains("|hello|\n0.000000 > 5 bytes\n"), "{text}");
//! ```
//!
//! [`Hex`] is for people, [`Pcap`] for Wireshark and its kin; other forms are made by implementing [`WireLog`].
//!
//! # What is in it
//!
//! What the system gave in each read, and what it took in each write, in this order: bytes that are queued are not in it
//! yet, and bytes that were dropped never are.
//! Above TLS that is plaintext, on its way between the protocol and the TLS session; the records are logged by the tap of
//! the transport below, which [`Below`](crate::vitals::Below) gives.
//! A file goes around the log when the system copies it into the socket itself, so `sendfile` reads and writes it instead
//! while a log is on; one that is under way when the log begins is in it as a number of bytes only.
//!
//! # When it is written, and what may go wrong
//!
//! The entries of a callback are written when it has returned, from the loop, with nothing of the transport borrowed.
//! They are written by the loop's thread, which waits for the writer: a slow disk holds up the loop.
//! A writer that fails, or panics, ends its log: this is reported once as a fault of the callback `wire log`, nothing
//! more is written, and the connection goes on as if it had never been logged.
//! What was written before is whole entries, unless the writer itself took a part of one.
//! A writer must not write to the very stream that it logs, which would then never come to rest.
//!
//! A stream without a log pays one test for each read and each write.

mod hex;
mod pcap;
mod recorder;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

pub use hex::Hex;
pub use pcap::Pcap;
pub(crate) use recorder::{Batch, Recorder, Recorders};

use crate::address::Address;
use crate::lost::Lost;
use crate::transport::TransportId;
use crate::vitals::TransportKind;

/// Something that a stream has moved.
#[derive(Debug)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// These bytes were read.
    Read(&'a [u8]),
    /// These bytes were written.
    Written(&'a [u8]),
    /// So many bytes were written that the log has not seen: the rest of a file that was under way when it began.
    WrittenUnseen(usize),
    /// The peer has ended its direction.
    ReadEnd,
    /// Our direction was shut down.
    WriteEnd,
    /// The connection is lost; the last entry.
    Lost(&'a Lost),
}

/// What a log is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Subject {
    /// The number of the transport.
    pub id: TransportId,
    /// What it is.
    pub kind: TransportKind,
    /// The address of our end, where it has one.
    pub local: Option<Address>,
    /// The address of the peer's end, where it has one.
    pub peer: Option<Address>,
}

/// A form of the log, and where it goes. The first error ends it.
///
/// Called from the loop, with nothing of the transport borrowed; it must not use the transport that is logged.
pub trait WireLog: 'static {
    /// The log begins. Called once, before anything else.
    ///
    /// # Errors
    /// The writer's.
    fn begin(&mut self, subject: &Subject) -> io::Result<()>;

    /// The stream has moved something, so long after the beginning of the log.
    ///
    /// # Errors
    /// The writer's.
    fn record(&mut self, at: Duration, entry: &Entry<'_>) -> io::Result<()>;

    /// Nothing follows for now: what was gathered should be written.
    ///
    /// # Errors
    /// The writer's.
    fn flush(&mut self) -> io::Result<()>;
}

/// Where a byte stream is tapped, as a fact: `transport.extra::<Tap>()`. It belongs to the very layer that is asked.
///
/// Streams of every kind have one, pipes too; datagrams have not.
#[derive(Clone)]
pub struct Tap(Rc<dyn Tapped>);

impl Tap {
    pub(crate) fn new(stream: Rc<dyn Tapped>) -> Self {
        Self(stream)
    }

    /// Logs what the stream moves from now on; says whether it does. A stream that is lost moves nothing any more.
    ///
    /// There may be several logs. Nothing is written before the running callback has returned.
    pub fn start(&self, log: impl WireLog) -> bool {
        self.0.start_log(Box::new(log))
    }

    /// Ends the logs. What was moved before this is still written.
    pub fn stop(&self) {
        self.0.stop_logs();
    }

    /// Whether a log is on. One that has failed is not.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_logged()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("on", &self.is_on()).finish()
    }
}

/// A stream, as its [`Tap`] sees it.
pub(crate) trait Tapped {
    fn start_log(&self, log: Box<dyn WireLog>) -> bool;
    fn stop_logs(&self);
    fn is_logged(&self) -> bool;
}
