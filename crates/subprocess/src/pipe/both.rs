//! Two descriptors as one byte stream: what comes by the one is read, what is written goes by the other.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use wharf_core::driver::{self, Anchor, IoAccess, Owner, Readiness, Seat, StreamIo, StreamOptions};
use wharf_core::extra::Request;
use wharf_core::stream::Interest;
use wharf_core::{IntoProtocol, Limits, TransportRef};
use wharf_reactor::LoopHandle;
use wharf_reactor::source::{Connection, Registration, Source};
use wharf_reactor::stream::StreamSocket;

use super::connect::{begin, check};
use super::{Direction, Pipe};

/// Reads `reader` and writes to `writer`, as one byte stream under one protocol. The transport owns both descriptors and
/// closes them.
///
/// Await it, after any of the settings of [`ConnectBoth`]; it gives the transport, and the protocol as the user keeps it.
/// It ends after `connection_made` has returned and before anything is read.
/// Dropping the future takes everything back.
///
/// The stream is one as any other, TLS and frames and [`streams`] go on top: the end of `reader` is the peer's end, and
/// `write_eof` closes `writer`, after what is queued has gone out.
/// That nobody reads any more what is written is seen by the next write, as on a socket.
///
/// ```
/// # use std::cell::RefCell;
/// # use wharf_core::{Protocol, TransportRef};
/// # use wharf_subprocess::{Stdio, exec, pipe};
/// # struct Silent;
/// # impl wharf_core::SubprocessProtocol for Silent {}
/// # #[derive(Default)]
/// # struct Talk(Vec<u8>);
/// # impl Protocol for Talk {
/// #     fn connection_made(&mut self, transport: &TransportRef) {
/// #         transport.write(b"hello");
/// #         transport.write_eof();
/// #     }
/// #     fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
/// #         self.0.extend(data);
/// #     }
/// # }
/// # fn main() -> std::io::Result<()> {
/// # let mut ev = wharf_reactor::EventLoop::new()?;
/// # let handle = ev.handle().clone();
/// # let talk = ev.block_on(async {
/// let (stdin, to_child) = pipe::pair()?;
/// let (from_child, stdout) = pipe::pair()?;
/// let child = exec(&handle, "cat", [""; 0], || Silent).stdin(stdin).stdout(stdout);
/// let (child, _) = child.stderr(Stdio::Inherit).await?;
/// let (_transport, talk) =
///     pipe::connect_both(&handle, from_child, to_child, Talk::default()).await?;
/// child.finished().await;
/// # Ok::<_, std::io::Error>(talk)
/// # })?;
/// # while talk.borrow().0.is_empty() {
/// #     ev.turn(None)?;
/// # }
/// # assert_eq!(talk.borrow().0, b"hello");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`connect_read`](super::connect_read()) for `reader`, and of [`connect_write`](super::connect_write()) for
/// `writer`.
///
/// [`streams`]: https://docs.rs/wharf-streams
#[doc(alias = "create_subprocess_exec")]
pub fn connect_both<P: IntoProtocol>(
    handle: &LoopHandle,
    reader: impl Into<OwnedFd>,
    writer: impl Into<OwnedFd>,
    protocol: P,
) -> ConnectBoth<P> {
    let options = StreamOptions::default();
    let (reader, writer) = (reader.into(), writer.into());
    ConnectBoth { handle: handle.clone(), reader, writer, protocol, options }
}

/// Two descriptors that are to be one byte stream: its settings. Awaiting it begins.
#[must_use = "the stream is there when this is awaited"]
pub struct ConnectBoth<P> {
    handle: LoopHandle,
    reader: OwnedFd,
    writer: OwnedFd,
    protocol: P,
    options: StreamOptions,
}

impl<P> ConnectBoth<P> {
    /// How many bytes are read before others get their turn; 256 KiB unless said otherwise, and never less than one
    /// read.
    pub fn read_budget(mut self, bytes: usize) -> Self {
        self.options.read_budget = bytes.max(1);
        self
    }

    /// The limits of the write buffer; 64 KiB and 16 KiB unless said otherwise.
    pub fn write_buffer_limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// How long `close()` may go without progress before it becomes an abort; 30 seconds unless said otherwise, `None`
    /// for ever.
    pub fn close_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.close_timeout = timeout;
        self
    }
}

impl<P: IntoProtocol + 'static> IntoFuture for ConnectBoth<P> {
    type Output = io::Result<(TransportRef, P::Shared)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { handle, reader, writer, protocol, options } = self;
            let io = Both {
                reader: Some(End::new(&handle, reader, Direction::Read)?),
                writer: Some(End::new(&handle, writer, Direction::Write)?),
                reads: None,
            };
            let (shared, protocol) = protocol.share();
            let options = Rc::new(options);
            let id = handle.next_id();
            let driver = BothDriver::anchored(io, handle.clone(), id, protocol, options);
            driver.with_io(&mut |io| io.settle_down(&handle, &driver));
            let transport = begin(&handle, driver).await?;
            Ok((transport, shared))
        })
    }
}

impl<P> fmt::Debug for ConnectBoth<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectBoth")
            .field("reader", &self.reader)
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

type BothDriver = driver::StreamDriver<Both>;

/// The two ends of ours.
struct Both {
    /// `None` once closed.
    reader: Option<End>,
    /// `None` once closed, which is how our direction ends.
    writer: Option<End>,
    /// Whether the reader is polled for bytes; `None` before it is polled at all.
    reads: Option<bool>,
}

/// One descriptor, and its place on the loop: the reader has one always, the writer only while it is full, because one
/// whose reader has left says for ever that it can be written.
struct End {
    pipe: Pipe,
    place: Option<Registration>,
}

impl End {
    fn new(handle: &LoopHandle, fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        let watch = check(handle, &fd, direction)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { pipe: Pipe::new(fd, direction, watch), place: None })
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            place.close(&self.pipe);
        }
    }
}

fn open(end: Option<&End>) -> io::Result<&Pipe> {
    end.map(|end| &end.pipe).ok_or_else(|| ErrorKind::NotConnected.into())
}

impl Both {
    /// Gives the stream its place on the loop.
    fn settle_down(&mut self, handle: &LoopHandle, driver: &Rc<BothDriver>) {
        let place = Registration::new(handle);
        place.attach(Rc::new(ReadEnd(Rc::clone(driver))));
        if let Some(reader) = &mut self.reader {
            reader.place = Some(place);
        }
    }
}

impl StreamIo for Both {
    type Seat = Anchor<LoopHandle>;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        open(self.reader.as_ref())?.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        open(self.writer.as_ref())?.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        open(self.writer.as_ref())?.write_vectored(slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        if let Some(mut writer) = self.writer.take() {
            writer.leave();
        }
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn set_interest(&mut self, seat: &Self::Seat, interest: Interest) -> io::Result<()> {
        if self.reads != Some(interest.read) {
            if let Some(End { pipe, place: Some(place) }) = &mut self.reader {
                place.set_interest(pipe, Interest { write: false, ..interest })?;
            }
            self.reads = Some(interest.read);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if !interest.write {
            writer.leave();
        } else if let (None, Some(driver)) = (&writer.place, seat.driver()) {
            let place = Registration::new(seat.host());
            place.set_interest(&writer.pipe, Interest { read: false, write: true })?;
            place.attach(Rc::new(WriteEnd(driver)));
            writer.place = Some(place);
        }
        Ok(())
    }

    fn close(&mut self, _: &Self::Seat, _keep_facts: bool) {
        for mut end in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            end.leave();
        }
    }

    fn provide(&self, _: &Self::Seat, request: &mut Request<'_>) {
        let _ = request;
    }
}

/// The end that is read, as the loop calls it.
struct ReadEnd(Rc<BothDriver>);

/// The end that is written, while it is full.
struct WriteEnd(Rc<BothDriver>);

impl Source for ReadEnd {
    fn ready(self: Rc<Self>, _: Readiness) {
        self.0.ready(Readiness { read: true, write: false });
    }

    fn shut(self: Rc<Self>) {
        self.0.shut();
    }

    fn as_connection(&self) -> Option<&dyn Connection> {
        Some(self)
    }
}

impl Source for WriteEnd {
    fn ready(self: Rc<Self>, _: Readiness) {
        self.0.ready(Readiness { read: false, write: true });
    }

    fn shut(self: Rc<Self>) {
        self.0.shut();
    }
}

/// The stream is one connection, though it may have two places.
impl Connection for ReadEnd {
    fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool {
        self.0.is_owned_by(owner)
    }

    fn transport(&self) -> Option<TransportRef> {
        self.0.transport()
    }
}
