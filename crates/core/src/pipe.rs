//! The protocols of pipes: one direction each, with a transport that has no other.
//!
//! ```text
//!   connection_made  data_received*  eof_received?               connection_lost     a read pipe
//!   connection_made  (pause_writing  resume_writing)*            connection_lost     a write pipe
//! ```
//!
//! Below them is a byte stream like any other: an adapter of [`Layer`] narrows its handle and leaves out what the
//! protocol has no callback for.
//! Of the life of a [stream](crate::stream) it has the phases without a half:
//!
//! ```text
//!            close(), write_eof(), the other end leaves
//!   Open ──────────────────────────────────────────────▶ Closing ──┐
//!    │                                                      │      │ loss told (once everything has gone out)
//!    │ failed(cause)                          failed(cause) │      ▼
//!    └──────────────▶ Closed ◀──────────────────────────────┘     Lost
//!                       └──────────── loss told ───────────────────▲
//! ```
//!
//! Every pair of phase and event of a pipe that is read; `·` stays, `-` does not exist.
//! A unit test computes this table and the next one on pipes in memory, and walks every way through them.
//!
//! | read | write_eof | close | writer leaves | failed | loss told |
//! | --- | --- | --- | --- | --- | --- |
//! | Open | - | Closing | Closing | Closed | · |
//! | Closing | - | · | · | Closed | Lost |
//! | Closed | - | · | · | · | Lost |
//! | Lost | - | · | · | · | · |
//!
//! And of one that is written:
//!
//! | written | write_eof | close | reader leaves | failed | loss told |
//! | --- | --- | --- | --- | --- | --- |
//! | Open | Closing | Closing | Closing | Closed | · |
//! | Closing | · | · | · | Closed | Lost |
//! | Closed | · | · | · | · | Lost |
//! | Lost | · | · | · | · | · |

use std::any::type_name;
use std::cell::RefCell;
use std::rc::Rc;

use crate::handle::{ReadTransportRef, TransportRef, WriteTransportRef};
use crate::lost::Lost;
use crate::protocol::KeepOpen;
use crate::shared::{Buffered, Held, Layer, Reception, StreamProtocol, free};

/// A protocol over a pipe that is read.
///
/// The grammar of its calls is `connection_made data_received* eof_received? connection_lost`.
///
/// ```
/// use wharf_core::{ReadPipeProtocol, ReadTransportRef};
///
/// #[derive(Default)]
/// struct Count(usize);
///
/// impl ReadPipeProtocol for Count {
///     fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
///         self.0 += data.len();
///     }
/// }
/// ```
pub trait ReadPipeProtocol: 'static {
    /// The pipe is there. Called once, before anything else; nothing is read before it returns.
    fn connection_made(&mut self, transport: &ReadTransportRef) {
        let _ = transport;
    }

    /// Bytes have come; never an empty slice. `data` is lent for the call.
    fn data_received(&mut self, transport: &ReadTransportRef, data: &[u8]);

    /// The last writer has gone. Called at most once, after all data, and not after our own close.
    ///
    /// There is no answer: a pipe has no other direction to keep open, so the loss follows.
    fn eof_received(&mut self, transport: &ReadTransportRef) {
        let _ = transport;
    }

    /// The pipe is over. Called once, after everything else; the transport lets go of the protocol after it.
    fn connection_lost(&mut self, transport: &ReadTransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A protocol over a pipe that is read into the protocol's own buffer.
///
/// Handed to a transport as [`Buffered`]`(protocol)`.
/// The grammar is that of [`ReadPipeProtocol`], with `get_buffer buffer_updated?` in the place of `data_received`.
pub trait BufferedReadPipeProtocol: 'static {
    /// The pipe is there. Called once, before anything else.
    fn connection_made(&mut self, transport: &ReadTransportRef) {
        let _ = transport;
    }

    /// Where should bytes go? See [`BufferedProtocol::get_buffer`](crate::BufferedProtocol::get_buffer).
    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8];

    /// The first `count` bytes of the buffer were filled; never zero.
    fn buffer_updated(&mut self, transport: &ReadTransportRef, count: usize);

    /// The last writer has gone. See [`ReadPipeProtocol::eof_received`].
    fn eof_received(&mut self, transport: &ReadTransportRef) {
        let _ = transport;
    }

    /// The pipe is over. See [`ReadPipeProtocol::connection_lost`].
    fn connection_lost(&mut self, transport: &ReadTransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A protocol over a pipe that is written.
///
/// The grammar of its calls is `connection_made (pause_writing resume_writing)* pause_writing? connection_lost`.
pub trait WritePipeProtocol: 'static {
    /// The pipe is there. Called once, before anything else.
    fn connection_made(&mut self, transport: &WriteTransportRef) {
        let _ = transport;
    }

    /// The write buffer is over its high mark. See [`Protocol::pause_writing`](crate::Protocol::pause_writing).
    fn pause_writing(&mut self, transport: &WriteTransportRef) {
        let _ = transport;
    }

    /// The write buffer has drained to its low mark. See
    /// [`Protocol::resume_writing`](crate::Protocol::resume_writing).
    fn resume_writing(&mut self, transport: &WriteTransportRef) {
        let _ = transport;
    }

    /// The pipe is over. Called once, after everything else; the transport lets go of the protocol after it.
    ///
    /// When the reader has gone, the cause is [`Lost::Eof`] if nothing was queued for it, and an error of the kind
    /// `BrokenPipe` if something was lost.
    fn connection_lost(&mut self, transport: &WriteTransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// What can become the protocol of a pipe that is read: any [`ReadPipeProtocol`], a [`Buffered`] one, or an object that
/// is shared already.
pub trait IntoReadPipeProtocol {
    /// What the user keeps.
    type Shared: Clone;

    /// The shared object, and the transport's hold on it.
    fn share_read(self) -> (Self::Shared, StreamProtocol);
}

/// What can become the protocol of a pipe that is written: any [`WritePipeProtocol`], or one that is shared already.
pub trait IntoWritePipeProtocol {
    /// What the user keeps.
    type Shared: Clone;

    /// The shared object, and the transport's hold on it.
    fn share_write(self) -> (Self::Shared, StreamProtocol);
}

impl<P: ReadPipeProtocol> IntoReadPipeProtocol for P {
    type Shared = Rc<RefCell<P>>;

    fn share_read(self) -> (Self::Shared, StreamProtocol) {
        Rc::new(RefCell::new(self)).share_read()
    }
}

impl<P: ReadPipeProtocol> IntoReadPipeProtocol for Rc<RefCell<P>> {
    type Shared = Self;

    fn share_read(self) -> (Self::Shared, StreamProtocol) {
        (Self::clone(&self), StreamProtocol::from_layer(Rc::new(Reading(self))))
    }
}

impl<P: BufferedReadPipeProtocol> IntoReadPipeProtocol for Buffered<P> {
    type Shared = Rc<RefCell<Self>>;

    fn share_read(self) -> (Self::Shared, StreamProtocol) {
        Rc::new(RefCell::new(self)).share_read()
    }
}

impl<P: BufferedReadPipeProtocol> IntoReadPipeProtocol for Rc<RefCell<Buffered<P>>> {
    type Shared = Self;

    fn share_read(self) -> (Self::Shared, StreamProtocol) {
        (Self::clone(&self), StreamProtocol::from_layer(Rc::new(Filling(self))))
    }
}

impl<P: WritePipeProtocol> IntoWritePipeProtocol for P {
    type Shared = Rc<RefCell<P>>;

    fn share_write(self) -> (Self::Shared, StreamProtocol) {
        Rc::new(RefCell::new(self)).share_write()
    }
}

impl<P: WritePipeProtocol> IntoWritePipeProtocol for Rc<RefCell<P>> {
    type Shared = Self;

    fn share_write(self) -> (Self::Shared, StreamProtocol) {
        (Self::clone(&self), StreamProtocol::from_layer(Rc::new(Writing(self))))
    }
}

fn read_half(transport: &TransportRef) -> ReadTransportRef {
    transport.clone().into()
}

fn write_half(transport: &TransportRef) -> WriteTransportRef {
    transport.clone().into()
}

struct Reading<P>(Rc<RefCell<P>>);

impl<P: ReadPipeProtocol> Layer for Reading<P> {
    fn assert_free(&self) {
        free(&self.0);
    }
    fn reception(&self) -> Reception {
        Reception::Plain
    }
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }
    fn connection_made(&self, transport: &TransportRef) {
        self.0.borrow_mut().connection_made(&read_half(transport));
    }
    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        let mut protocol = self.0.try_borrow_mut().map_err(|_| Held)?;
        protocol.data_received(&read_half(transport), data);
        Ok(())
    }
    fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
        self.0.borrow_mut().eof_received(&read_half(transport));
        KeepOpen::No
    }
    // Nothing can be written, so nothing can be full.
    fn pause_writing(&self, _: &TransportRef) {}
    fn resume_writing(&self, _: &TransportRef) {}
    fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        self.0.borrow_mut().connection_lost(&read_half(transport), why);
    }
}

struct Filling<P>(Rc<RefCell<Buffered<P>>>);

impl<P: BufferedReadPipeProtocol> Layer for Filling<P> {
    fn assert_free(&self) {
        free(&self.0);
    }
    fn reception(&self) -> Reception {
        Reception::Buffered
    }
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }
    fn connection_made(&self, transport: &TransportRef) {
        self.0.borrow_mut().0.connection_made(&read_half(transport));
    }
    fn get_buffer(&self, size_hint: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        read(self.0.borrow_mut().0.get_buffer(size_hint));
    }
    fn buffer_updated(&self, transport: &TransportRef, count: usize) {
        self.0.borrow_mut().0.buffer_updated(&read_half(transport), count);
    }
    fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
        self.0.borrow_mut().0.eof_received(&read_half(transport));
        KeepOpen::No
    }
    fn pause_writing(&self, _: &TransportRef) {}
    fn resume_writing(&self, _: &TransportRef) {}
    fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        self.0.borrow_mut().0.connection_lost(&read_half(transport), why);
    }
}

struct Writing<P>(Rc<RefCell<P>>);

impl<P: WritePipeProtocol> Layer for Writing<P> {
    fn assert_free(&self) {
        free(&self.0);
    }
    fn reception(&self) -> Reception {
        Reception::Plain
    }
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }
    fn connection_made(&self, transport: &TransportRef) {
        self.0.borrow_mut().connection_made(&write_half(transport));
    }
    /// The reader has gone, which ends the pipe and is told as its loss.
    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        KeepOpen::No
    }
    fn pause_writing(&self, transport: &TransportRef) {
        self.0.borrow_mut().pause_writing(&write_half(transport));
    }
    fn resume_writing(&self, transport: &TransportRef) {
        self.0.borrow_mut().resume_writing(&write_half(transport));
    }
    fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        self.0.borrow_mut().connection_lost(&write_half(transport), why);
    }
}
