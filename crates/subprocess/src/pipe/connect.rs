//! Putting a protocol on a descriptor.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use wharf_core::driver::{StreamDriver, StreamIo, StreamOptions};
use wharf_core::stream::Interest;
use wharf_core::{
    BaseTransport, IntoReadPipeProtocol, IntoWritePipeProtocol, Limits, ReadTransportRef,
    StreamProtocol, TransportRef, WriteTransportRef,
};
use wharf_reactor::source::Registration;
use wharf_reactor::{Handle, LoopClosed, LoopHandle, oneshot, stream};

use super::kind::examine;
use super::{Direction, Pipe, Watch};

/// Reads `fd` and gives what comes to `protocol`. The transport owns the descriptor and closes it.
///
/// Await it, after any of the settings of [`ConnectRead`]; it gives the transport, and the protocol as the user keeps it.
/// It ends after `connection_made` has returned and before anything is read.
/// Dropping the future takes everything back.
///
/// # Errors
/// `InvalidInput` for a regular file, a directory and a block device, and for a descriptor that cannot be read;
/// `AlreadyExists` when the loop watches this descriptor already; those of the system.
#[doc(alias = "connect_read_pipe")]
pub fn connect_read<P: IntoReadPipeProtocol>(
    handle: &LoopHandle,
    fd: impl Into<OwnedFd>,
    protocol: P,
) -> ConnectRead<P> {
    let options = StreamOptions::default();
    ConnectRead { connect: Connect { handle: handle.clone(), fd: fd.into(), options }, protocol }
}

/// Writes to `fd` what `protocol` writes. The transport owns the descriptor and closes it.
///
/// Await it, after any of the settings of [`ConnectWrite`]; it gives the transport, and the protocol as the user keeps
/// it.
/// It ends after `connection_made` has returned.
/// Dropping the future takes everything back.
///
/// # Errors
/// As those of [`connect_read`], for a descriptor that cannot be written.
#[doc(alias = "connect_write_pipe")]
pub fn connect_write<P: IntoWritePipeProtocol>(
    handle: &LoopHandle,
    fd: impl Into<OwnedFd>,
    protocol: P,
) -> ConnectWrite<P> {
    let options = StreamOptions::default();
    ConnectWrite { connect: Connect { handle: handle.clone(), fd: fd.into(), options }, protocol }
}

/// A pipe that is to be read: its settings. Awaiting it begins.
#[must_use = "a pipe is read when this is awaited"]
pub struct ConnectRead<P> {
    connect: Connect,
    protocol: P,
}

/// A pipe that is to be written: its settings. Awaiting it begins.
#[must_use = "a pipe is there when this is awaited"]
pub struct ConnectWrite<P> {
    connect: Connect,
    protocol: P,
}

impl<P> ConnectRead<P> {
    /// How many bytes are read before others get their turn; 256 KiB unless said otherwise, and never less than one
    /// read.
    pub fn read_budget(mut self, bytes: usize) -> Self {
        self.connect.options.read_budget = bytes.max(1);
        self
    }
}

impl<P> ConnectWrite<P> {
    /// The limits of the write buffer; 64 KiB and 16 KiB unless said otherwise.
    pub fn write_buffer_limits(mut self, limits: Limits) -> Self {
        self.connect.options.limits = limits;
        self
    }

    /// How long `close()` may go without progress before it becomes an abort; 30 seconds unless said otherwise, `None`
    /// for ever.
    pub fn close_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connect.options.close_timeout = timeout;
        self
    }
}

impl<P: IntoReadPipeProtocol + 'static> IntoFuture for ConnectRead<P> {
    type Output = io::Result<(ReadTransportRef, P::Shared)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let watch = check(&self.connect.handle, &self.connect.fd, Direction::Read)?;
            let (shared, protocol) = self.protocol.share_read();
            let transport = self.connect.start(Direction::Read, watch, protocol).await?;
            Ok((transport.into(), shared))
        })
    }
}

impl<P: IntoWritePipeProtocol + 'static> IntoFuture for ConnectWrite<P> {
    type Output = io::Result<(WriteTransportRef, P::Shared)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let watch = check(&self.connect.handle, &self.connect.fd, Direction::Write)?;
            let (shared, protocol) = self.protocol.share_write();
            let transport = self.connect.start(Direction::Write, watch, protocol).await?;
            Ok((transport.into(), shared))
        })
    }
}

impl<P> fmt::Debug for ConnectRead<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRead").field("fd", &self.connect.fd).finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for ConnectWrite<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectWrite").field("fd", &self.connect.fd).finish_non_exhaustive()
    }
}

/// What both directions have in common.
struct Connect {
    handle: LoopHandle,
    fd: OwnedFd,
    options: StreamOptions,
}

impl Connect {
    async fn start(
        self,
        direction: Direction,
        watch: Watch,
        protocol: StreamProtocol,
    ) -> io::Result<TransportRef> {
        let Self { handle, fd, options } = self;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let pipe = Pipe::new(fd, direction, watch);
        begin(
            &handle,
            stream::stream(&handle, pipe, stream::Origin::default(), protocol, Rc::new(options)),
        )
        .await
    }
}

/// Finds out what the descriptor is and whether the loop can watch it, before anybody is told anything.
pub(super) fn check(handle: &LoopHandle, fd: &OwnedFd, direction: Direction) -> io::Result<Watch> {
    let watch = examine(fd, direction)?;
    if direction == Direction::Read || watch != Watch::Unwatched {
        let probe = Registration::new(handle);
        probe.set_interest(fd, Interest::default()).map_err(|error| {
            let text = match error.kind() {
                ErrorKind::AlreadyExists => "the loop watches this descriptor already",
                ErrorKind::PermissionDenied => "the system cannot wait for this descriptor",
                _ => return error,
            };
            io::Error::new(error.kind(), text)
        })?;
        probe.close(fd);
    }
    Ok(watch)
}

/// Has the loop begin with a stream. Ends after `connection_made` has returned.
pub(super) async fn begin<I: StreamIo>(
    handle: &LoopHandle,
    driver: Rc<StreamDriver<I>>,
) -> io::Result<TransportRef> {
    let (sender, receiver) = oneshot();
    let begun = Rc::clone(&driver);
    let begin = handle.call_soon(move || {
        // Nobody waits any more: the guard below has taken the stream back.
        let _ = sender.send(begun.begin());
    });
    let mut guard = TakeBack { driver: Some(driver), begin };
    let Some(begun) = receiver.await else { return Err(io::Error::other(LoopClosed)) };
    let driver = guard.driver.take().ok_or(ErrorKind::Other)?;
    begun.map_err(io::Error::other)?;
    Ok(driver.handle())
}

/// Takes a stream back whose maker has given up: without a word if its protocol knows nothing, else by an abort.
struct TakeBack<I: StreamIo> {
    driver: Option<Rc<StreamDriver<I>>>,
    begin: Handle,
}

impl<I: StreamIo> Drop for TakeBack<I> {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.begin.cancel();
            if !driver.abandon() {
                driver.abort();
            }
        }
    }
}
