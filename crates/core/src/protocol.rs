//! The protocol traits: what a loop calls, and when.
//!
//! A protocol decides which bytes go out and when; it never moves them itself.
//! The names of the callbacks are asyncio's.
//! Callbacks come from the loop only, one at a time, and never nested for one protocol (rules T1 and T2), so plain
//! `&mut self` is enough.
//!
//! This is the loop that calls a stream protocol, with everything but the order left out:
//!
//! ```text
//! connection_made                              once, first
//! loop {
//!     data_received(bytes)                     or get_buffer, buffer_updated for a buffered protocol
//!     pause_writing ... resume_writing         strictly in turn
//!     eof_received                             at most once, and no data after it
//! }
//! connection_lost(why)                         once, last
//! ```
//!
//! Every callback may call every method of its transport, and of any other.
//! What follows from such a call is told after the callback has returned.

use crate::address::Address;
use crate::datagram::Batch;
use crate::handle::{DatagramTransportRef, SubprocessTransportRef, TransportRef};
use crate::lost::Lost;
use std::io;

/// The answer of `eof_received`: asyncio's `True` and `False`, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeepOpen {
    /// Close the transport, after everything that is queued has gone out.
    #[default]
    No,
    /// Keep our direction open. The transport then closes when we close it, or when our direction ends too.
    Yes,
}

/// A protocol over a byte stream.
///
/// The grammar of its calls is
/// `connection_made (data_received | pause_writing | resume_writing)* eof_received? (pause_writing | resume_writing)*
/// connection_lost`.
///
/// ```
/// use wharf_core::{Protocol, TransportRef};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
///         transport.write(data);
///     }
/// }
/// ```
#[doc(alias = "BaseProtocol")]
pub trait Protocol: 'static {
    /// The connection is there. Called once, before anything else; nothing is read before it returns.
    fn connection_made(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// Bytes have come; never an empty slice. How they are cut into calls means nothing.
    ///
    /// `data` is lent for the call: it lives in a buffer of the loop.
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]);

    /// The peer will send no more. Called at most once, after all data, and not after a reset or after our own close.
    ///
    /// What is written in it is still sent.
    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        let _ = transport;
        KeepOpen::No
    }

    /// The write buffer is over its high mark. Called once for each crossing, after the callback that crossed it.
    fn pause_writing(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// The write buffer has drained to its low mark. Always preceded by `pause_writing`; also told while a close
    /// drains, but not before the loss after an abort or an error.
    fn resume_writing(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// The connection is over. Called once, after everything else; the transport lets go of the protocol after it.
    ///
    /// The handle may still be asked and compared; writing to it does nothing.
    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A protocol over a byte stream that owns the buffer it receives into.
///
/// Handed to a transport as [`Buffered`](crate::Buffered)`(protocol)`.
/// The grammar is that of [`Protocol`], with `get_buffer buffer_updated?` in the place of `data_received`.
pub trait BufferedProtocol: 'static {
    /// The connection is there. Called once, before anything else.
    fn connection_made(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// Where should bytes go? Called before each read; the read may then find nothing, and no `buffer_updated` follows.
    ///
    /// `size_hint` is how much is waiting, where that is known. An empty buffer is a fault of the protocol and ends the
    /// connection.
    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8];

    /// The first `count` bytes of the buffer were filled; never zero.
    fn buffer_updated(&mut self, transport: &TransportRef, count: usize);

    /// The peer will send no more. See [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        let _ = transport;
        KeepOpen::No
    }

    /// The write buffer is over its high mark. See [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// The write buffer has drained to its low mark. See [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &TransportRef) {
        let _ = transport;
    }

    /// The connection is over. See [`Protocol::connection_lost`].
    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A protocol over datagrams.
///
/// The grammar is
/// `connection_made (datagrams_received | error_received | pause_writing | resume_writing)* error_received*
/// resume_writing? connection_lost`, where `datagrams_received` becomes a `datagram_received` for each datagram unless it
/// is implemented.
/// An error of one datagram does not end the endpoint, and neither does a panic that one causes: it costs no more than
/// that datagram, because the next one may be somebody else's.
///
/// ```
/// use wharf_core::{Address, DatagramProtocol, DatagramTransportRef};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(
///         &mut self,
///         transport: &DatagramTransportRef,
///         data: &[u8],
///         from: Option<&Address>,
///     ) {
///         let _ = transport.send_to(data, from);
///     }
/// }
/// ```
pub trait DatagramProtocol: 'static {
    /// The endpoint is there. Called once, before anything else; nothing is received before it returns. A panic in it
    /// ends the endpoint.
    fn connection_made(&mut self, transport: &DatagramTransportRef) {
        let _ = transport;
    }

    /// One datagram has come, possibly an empty one; `from` is `None` where the sender has no name.
    ///
    /// `data` is lent for the call: it lives in a buffer of the loop.
    /// A protocol that implements [`datagrams_received`](Self::datagrams_received) alone is never called here.
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&Address>,
    ) {
        let _ = (transport, data, from);
    }

    /// One or several datagrams have come, in the order of arrival; never none. Unless it is implemented, each goes to
    /// [`datagram_received`](Self::datagram_received).
    ///
    /// What is sent in it leaves together when it returns.
    /// The batch hands out nothing more once reading is paused or the transport is closing; see [`Batch`] for what
    /// becomes of the rest.
    /// After a panic in it, what was not handed out yet comes in another call.
    fn datagrams_received(&mut self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        for datagram in batch {
            self.datagram_received(transport, datagram.data(), datagram.from());
        }
    }

    /// An earlier send, or a receive, failed; the endpoint lives on. The datagram that was being sent is dropped.
    ///
    /// Called once for each error, never from inside a send.
    fn error_received(&mut self, transport: &DatagramTransportRef, error: &io::Error) {
        let _ = (transport, error);
    }

    /// The queue of datagrams is over a high mark. Called once for each crossing, after the callback that crossed it.
    fn pause_writing(&mut self, transport: &DatagramTransportRef) {
        let _ = transport;
    }

    /// The queue of datagrams has drained to its low marks. Always preceded by `pause_writing`; also told while a close
    /// drains.
    fn resume_writing(&mut self, transport: &DatagramTransportRef) {
        let _ = transport;
    }

    /// The endpoint is over. Called once, after everything else; the transport lets go of the protocol after it.
    fn connection_lost(&mut self, transport: &DatagramTransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A protocol over a child process and its pipes.
///
/// The grammar is
/// `connection_made (pipe_data_received | pipe_connection_lost | pause_writing | resume_writing)* process_exited
/// (pipe_data_received | pipe_connection_lost)* connection_lost`: pipes may outlive the process that we started.
pub trait SubprocessProtocol: 'static {
    /// The child runs. Called once, before anything else, even if the child has ended by then.
    fn connection_made(&mut self, transport: &SubprocessTransportRef) {
        let _ = transport;
    }

    /// The child wrote to its descriptor `fd`.
    fn pipe_data_received(&mut self, transport: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        let _ = (transport, fd, data);
    }

    /// The pipe to the child's descriptor `fd` is over. Called once for each pipe, after its last data.
    fn pipe_connection_lost(&mut self, transport: &SubprocessTransportRef, fd: i32, why: &Lost) {
        let _ = (transport, fd, why);
    }

    /// The write buffer of the pipe to `fd` is over its high mark.
    fn pause_writing(&mut self, transport: &SubprocessTransportRef, fd: i32) {
        let _ = (transport, fd);
    }

    /// The write buffer of the pipe to `fd` has drained to its low mark.
    fn resume_writing(&mut self, transport: &SubprocessTransportRef, fd: i32) {
        let _ = (transport, fd);
    }

    /// The child has ended, and its status is known. Called once.
    fn process_exited(&mut self, transport: &SubprocessTransportRef) {
        let _ = transport;
    }

    /// The child has ended and every pipe is over. Called once, after everything else.
    fn connection_lost(&mut self, transport: &SubprocessTransportRef, why: &Lost) {
        let _ = (transport, why);
    }
}
