//! The transport traits: asyncio's hierarchy, dyn-compatible, for third parties to implement.
//!
//! No method of a transport ever calls user code (rule T1), none blocks, and none is dangerous in any state: once a
//! transport is closing, `write` answers [`Flow::Closed`] and the rest does nothing (rule T7).
//! Users hold a handle such as [`TransportRef`](crate::TransportRef), which derefs to these.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::Rc;

use bytes::Bytes;

use crate::address::Address;
use crate::datagram::driver::{DatagramStatistics, DropPolicy};
use crate::datagram::{EndpointProtocol, Outgoing, QueueLimits};
use crate::extra::Request;
use crate::flow::{Flow, Limits};
use crate::handle::{ReadTransportRef, WriteTransportRef};
use crate::schedule::Scheduler;
use crate::shared::StreamProtocol;

/// The number of a transport on its loop: never given twice, for logs and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(u64);

impl TransportId {
    /// The transport with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What every transport can do.
pub trait BaseTransport: 'static {
    /// The transport's number.
    fn id(&self) -> TransportId;

    /// Ends the connection after everything that is queued has gone out, which may take no longer than the close
    /// timeout without progress (rule T13). Reading stops at once.
    ///
    /// When bytes of the peer are unread by then, it meets a reset, which may overtake what was written last.
    /// Who must be heard calls [`close_lingering`](crate::TransportRef::close_lingering).
    fn close(&self);

    /// Ends the connection at once; what is queued is dropped.
    fn abort(&self);

    /// Ends the connection at once, with a cause of the caller's: `connection_lost` gets
    /// [`Lost::Failed`](crate::Lost::Failed).
    fn fail(&self, error: Box<dyn Error>);

    /// Whether the connection is ending or has ended, by either side; once true, true for ever.
    fn is_closing(&self) -> bool;

    /// Answers a question for a fact about the connection. Users ask by `extra::<T>()` on the handle.
    fn provide(&self, request: &mut Request<'_>);

    /// The scheduler of the loop that the transport lives on.
    fn scheduler(&self) -> Rc<dyn Scheduler>;
}

/// A transport that can be read from.
pub trait ReadTransport: BaseTransport {
    /// Whether what arrives is delivered: not paused, not closing, and the peer has not ended.
    fn is_reading(&self) -> bool;

    /// Delivers nothing more until [`resume_reading`](Self::resume_reading); takes effect at once. Idempotent.
    ///
    /// The end and errors of the peer are not seen either while reading is paused, unless a write meets them.
    fn pause_reading(&self);

    /// Delivers again. Idempotent.
    fn resume_reading(&self);
}

/// A transport that can be written to.
pub trait WriteTransport: BaseTransport {
    /// Takes a copy of what the system does not take at once. The answer says whether to go on.
    ///
    /// Inside a callback of its own the bytes are gathered and sent when the callback returns, from elsewhere before
    /// the turn ends; a large chunk with nothing before it goes straight to the system.
    fn write(&self, data: &[u8]) -> Flow;

    /// Takes the chunk itself, without copying it.
    ///
    /// It is dropped when it has gone out or the connection has ended, in the midst of the transport's work: where it has
    /// an owner of its own ([`Bytes::from_owner`]), that one's `drop` must not use a transport.
    fn write_bytes(&self, data: Bytes) -> Flow;

    /// Takes several chunks as one.
    fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow;

    /// Shuts our direction down after everything that is queued has gone out; reading goes on. Idempotent.
    ///
    /// Without effect where [`can_write_eof`](Self::can_write_eof) is false.
    fn write_eof(&self);

    /// Whether our direction can be shut down by itself.
    fn can_write_eof(&self) -> bool;

    /// How many bytes were taken and have not reached the system.
    #[doc(alias = "get_write_buffer_size")]
    fn write_buffer_len(&self) -> usize;

    /// The limits of the write buffer.
    #[doc(alias = "get_write_buffer_limits")]
    fn write_buffer_limits(&self) -> Limits;

    /// Sets the limits. They are looked at at once: a buffer above the new high mark pauses the protocol, one at or
    /// below the new low mark resumes it.
    fn set_write_buffer_limits(&self, limits: Limits);
}

/// A byte stream as one of its directions only. Everything that is both has it already; users make a
/// [`ReadTransportRef`] or a [`WriteTransportRef`] of a [`TransportRef`](crate::TransportRef) instead.
pub trait Narrow {
    /// The same transport, to be read.
    fn into_read(self: Rc<Self>) -> Rc<dyn ReadTransport>;

    /// The same transport, to be written.
    fn into_write(self: Rc<Self>) -> Rc<dyn WriteTransport>;
}

impl<T: ReadTransport + WriteTransport> Narrow for T {
    fn into_read(self: Rc<Self>) -> Rc<dyn ReadTransport> {
        self
    }

    fn into_write(self: Rc<Self>) -> Rc<dyn WriteTransport> {
        self
    }
}

/// A byte stream in both directions.
pub trait Transport: ReadTransport + WriteTransport + Narrow {
    /// The protocol that the next callback goes to; `None` after the loss.
    #[doc(alias = "get_protocol")]
    fn protocol(&self) -> Option<StreamProtocol>;

    /// Puts another protocol in place for the next callback, hands it `leftover` before anything else that is read, and
    /// gives back the previous one. Users call `set_protocol` on the handle.
    ///
    /// The new protocol hears no `connection_made`, the old one no `connection_lost`. If the old one was told to pause
    /// writing, so is the new one.
    /// Does nothing and gives `None` once the connection is lost, and while a lingering close hears the peer out.
    fn replace_protocol(&self, protocol: StreamProtocol, leftover: &[u8])
    -> Option<StreamProtocol>;

    /// Puts a protocol in place that stands in for the present one and passes its callbacks on, or gives the place back.
    /// What was told about the write buffer counts for both, so neither hears it again; a transport that does not
    /// implement this tells it again.
    fn interpose(&self, protocol: StreamProtocol) -> Option<StreamProtocol> {
        self.replace_protocol(protocol, &[])
    }

    /// The same for a transport that closes for its user from now on, while `protocol` hears out what still comes; a transport
    /// that does not implement this looks open meanwhile. Users call `close_lingering` on the handle.
    fn hear_out(&self, protocol: StreamProtocol) -> Option<StreamProtocol> {
        self.interpose(protocol)
    }
}

/// A transport of datagrams.
///
/// What is sent inside a callback of the endpoint's own is gathered and leaves when the callback returns, from elsewhere
/// before the turn ends: datagrams of one size to one peer in a row as one train, all of it in as few system calls as
/// the system allows.
/// Datagrams to one peer leave in the order in which they were sent.
pub trait DatagramTransport: ReadTransport {
    /// Sends `batch`, in order. The answer says whether to go on; nothing is sent once the transport is closing, which
    /// answers [`Flow::Closed`].
    ///
    /// The bytes are copied.
    /// An answer that is sent inside `datagrams_received` leaves from the address that its peer has written to, unless
    /// it says another one.
    ///
    /// # Errors
    /// `InvalidInput`, with nothing of the batch sent, when an address is missing on an endpoint that has no peer, is
    /// another than the peer's on one that has, or is of a family that the endpoint does not speak, and when a segment
    /// size is zero.
    /// `WouldBlock`, with nothing of the batch sent, when the queue is above its ceiling and its policy is to refuse.
    /// Errors of the system go to `error_received`.
    fn send(&self, batch: &[Outgoing<'_>]) -> io::Result<Flow>;

    /// Sends one datagram, possibly an empty one, to `to`, or to the connected peer or the default target.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[doc(alias = "sendto")]
    fn send_to(&self, data: &[u8], to: Option<&Address>) -> io::Result<Flow> {
        self.send(&[Outgoing { to, ..Outgoing::new(data) }])
    }

    /// Sends `data` as datagrams of `size` bytes, of which the last may be shorter.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_segments(&self, data: &[u8], size: usize, to: Option<&Address>) -> io::Result<Flow> {
        self.send(&[Outgoing { to, ..Outgoing::new(data).segments(size) }])
    }

    /// How many bytes are queued. Each datagram counts eight more than it has.
    #[doc(alias = "get_write_buffer_size")]
    fn write_buffer_len(&self) -> usize;

    /// How many datagrams are queued.
    fn queued_datagrams(&self) -> usize;

    /// The limits of the queue, in bytes and in datagrams.
    #[doc(alias = "get_write_buffer_limits")]
    fn queue_limits(&self) -> QueueLimits;

    /// Sets the limits of the queue. They are looked at at once.
    #[doc(alias = "set_write_buffer_limits")]
    fn set_queue_limits(&self, limits: QueueLimits);

    /// What happens to a send that finds the queue above its ceiling.
    fn drop_policy(&self) -> DropPolicy;

    /// Sets what happens to a send that finds the queue above its ceiling.
    fn set_drop_policy(&self, policy: DropPolicy);

    /// What the endpoint has counted so far.
    fn statistics(&self) -> DatagramStatistics;

    /// The protocol that the next callback goes to; `None` after the loss.
    #[doc(alias = "get_protocol")]
    fn protocol(&self) -> Option<EndpointProtocol>;

    /// Puts another protocol in place for the next callback and gives back the previous one. Users call `set_protocol`
    /// on the handle.
    ///
    /// The new protocol hears no `connection_made`, the old one no `connection_lost`. If the old one was told to pause
    /// writing, so is the new one; what a batch has not handed out to the old one, the new one is given.
    /// Does nothing and gives `None` once the endpoint is lost.
    fn replace_protocol(&self, protocol: EndpointProtocol) -> Option<EndpointProtocol>;
}

/// One pipe of a child process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PipeTransport {
    /// The child writes, we read.
    Read(ReadTransportRef),
    /// We write, the child reads.
    Write(WriteTransportRef),
}

/// A child process with its pipes.
pub trait SubprocessTransport: BaseTransport {
    /// The process id.
    #[doc(alias = "get_pid")]
    fn pid(&self) -> u32;

    /// The exit code, or minus the number of the signal that ended it; `None` while it runs.
    #[doc(alias = "get_returncode")]
    fn returncode(&self) -> Option<i32>;

    /// How the child ended, in full: its exit code, or the signal and whether it left its memory behind; `None` while it
    /// runs.
    fn status(&self) -> Option<ExitStatus>;

    /// Ready when the child has ended, after `process_exited`. Does not wait for its pipes, which a grandchild may hold
    /// open.
    #[doc(alias = "wait")]
    fn exited(&self) -> Pin<Box<dyn Future<Output = ExitStatus>>>;

    /// Ready when the child has ended and every pipe is over, after `connection_lost`.
    fn finished(&self) -> Pin<Box<dyn Future<Output = ExitStatus>>>;

    /// The pipe to the child's descriptor `fd`, if there is one.
    #[doc(alias = "get_pipe_transport")]
    fn pipe_transport(&self, fd: i32) -> Option<PipeTransport>;

    /// Sends a signal.
    ///
    /// # Errors
    /// `NotFound` when the child has ended.
    fn send_signal(&self, signal: i32) -> io::Result<()>;

    /// Asks the child to end (SIGTERM).
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    fn terminate(&self) -> io::Result<()>;

    /// Ends the child (SIGKILL).
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    fn kill(&self) -> io::Result<()>;
}
