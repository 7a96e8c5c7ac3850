//! Sending files: by `sendfile(2)` in its place between queued writes, or by copying where that is not possible.

use std::cell::Cell;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Seek, SeekFrom};
use std::ops::{Bound, RangeBounds};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::Poll;

use bytes::Bytes;
use wharf_core::driver::Outflow;
use wharf_core::extra::WritingPaused;
use wharf_core::shared::{Held, Layer, Reception};
use wharf_core::{Flow, KeepOpen, Lost, StreamProtocol, TransportRef};
use wharf_reactor::stream::Polled;
use wharf_reactor::{LoopHandle, OneshotReceiver, OneshotSender, oneshot};

use crate::socket::{NativeStream, Socket};

/// How much is read at a time where the file is copied.
const CHUNK: usize = 64 * 1024;

/// Sends `range` of `file`, after everything that was written before and before everything that is written later, and
/// gives how many bytes that was; fewer than asked for when the file ends before.
///
/// On a plain socket the system copies the file itself; on any other transport, and for what is not a regular file, it
/// is read on the loop's threads and written with flow control. What the protocol writes during such a copy goes out
/// between two pieces of it, and a read that does not return, of an idle pipe, keeps its thread until it does.
/// Reading goes on meanwhile.
/// The file's position is set behind the last byte that went out, on success and on error.
/// Dropping the future stops the sending; what went out stays out.
///
/// # Errors
/// `NotConnected` when the transport takes no writes any more, `ResourceBusy` when another file is being sent,
/// `ConnectionAborted` when the connection is lost in the middle; else what the system says of the file.
pub async fn sendfile(
    handle: &LoopHandle,
    transport: &TransportRef,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    if transport.write(b"") == Flow::Closed {
        return Err(io::Error::new(
            io::ErrorKind::NotConnected,
            "the transport takes no writes any more",
        ));
    }
    let sent =
        Position { file: file.try_clone()?, start, sent: Rc::default(), begun: Cell::new(false) };
    let length = end.saturating_sub(start);
    if length == 0 {
        return Ok(0);
    }
    let native = transport
        .extra::<NativeStream>()
        .filter(|_| file.metadata().is_ok_and(|file| file.is_file()));
    let outcome = match native {
        Some(native) => send_natively(&native, file, &sent, length).await,
        None => Ok(Natively::Not),
    };
    match outcome? {
        Natively::Sent => {}
        Natively::Not => copy(handle, transport, file, &sent, length).await?,
    }
    Ok(sent.sent.get())
}

/// Leaves the file's position behind what was sent, however the sending ends.
struct Position {
    file: File,
    start: u64,
    sent: Rc<Cell<u64>>,
    /// Whether the sending was not refused.
    begun: Cell<bool>,
}

impl Drop for Position {
    fn drop(&mut self) {
        if !self.begun.get() {
            return;
        }
        // What cannot be positioned, such as a pipe, has no position to leave.
        let _ = (&self.file).seek(SeekFrom::Start(self.start + self.sent.get()));
    }
}

enum Natively {
    Sent,
    /// The system cannot do it for this file.
    Not,
}

async fn send_natively(
    stream: &NativeStream,
    file: &File,
    sent: &Position,
    length: u64,
) -> io::Result<Natively> {
    /// Takes the file out of the stream again, unless it is over.
    struct Cancel<'a>(&'a NativeStream, Rc<Cell<bool>>);
    impl Drop for Cancel<'_> {
        fn drop(&mut self) {
            if !self.1.get() {
                self.0.0.cancel_outflow();
            }
        }
    }
    let (sender, receiver) = oneshot();
    let over = Rc::new(Cell::new(false));
    let outflow = FileOutflow {
        file: file.try_clone()?,
        offset: i64::try_from(sent.start)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        remaining: length,
        sent: Rc::clone(&sent.sent),
        failure: None,
        over: Rc::clone(&over),
        done: sender,
    };
    if stream.0.send_outflow(Box::new(outflow)).is_err() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another file is being sent"));
    }
    sent.begun.set(true);
    let _cancel = Cancel(stream, over);
    match receiver.await {
        Some(Err(error)) if is_unsupported(&error) && sent.sent.get() == 0 => Ok(Natively::Not),
        Some(result) => result.map(|()| Natively::Sent),
        None => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP))
}

/// A file on its way into a socket.
struct FileOutflow {
    file: File,
    offset: i64,
    remaining: u64,
    sent: Rc<Cell<u64>>,
    /// What was wrong with the file, as opposed to the connection.
    failure: Option<io::Error>,
    over: Rc<Cell<bool>>,
    done: OneshotSender<io::Result<()>>,
}

impl Outflow<Polled<Socket>> for FileOutflow {
    fn send(&mut self, io: &mut Polled<Socket>, budget: usize) -> io::Result<usize> {
        let Some(socket) = io.socket() else { return Err(io::ErrorKind::NotConnected.into()) };
        let count = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(budget);
        if count == 0 {
            return Ok(0);
        }
        match send_some(socket, &self.file, &mut self.offset, count) {
            Ok(count) => {
                self.remaining -= count as u64;
                self.sent.set(self.sent.get() + count as u64);
                Ok(count)
            }
            Err(error) if is_of_the_file(&error) => {
                self.failure = Some(error);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn finish(self: Box<Self>, result: io::Result<()>) {
        self.over.set(true);
        let result = self.failure.map_or(result, Err);
        let _ = self.done.send(result);
    }
}

/// One `sendfile`, without the signal that it raises where `send` has a flag against it.
#[cfg(target_os = "linux")]
fn send_some(socket: &Socket, file: &File, offset: &mut i64, count: usize) -> io::Result<usize> {
    use nix::errno::Errno;
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let before = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let sent = nix::sys::sendfile::sendfile64(socket.as_fd(), file.as_fd(), Some(offset), count);
    // It is pending in this thread, so this takes it away and does not wait.
    let taken = if sent == Err(Errno::EPIPE) { pipe.wait().map(drop) } else { Ok(()) };
    before.thread_set_mask()?;
    taken?;
    Ok(sent?)
}

#[cfg(not(target_os = "linux"))]
fn send_some(_: &Socket, _: &File, _: &mut i64, _: usize) -> io::Result<usize> {
    Err(nix::errno::Errno::ENOSYS.into())
}

/// Whether `sendfile` complains of the file: of anything but what a socket can suffer from.
fn is_of_the_file(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    !matches!(
        errno,
        Some(
            Errno::EAGAIN
                | Errno::EINTR
                | Errno::EPIPE
                | Errno::ECONNRESET
                | Errno::ECONNABORTED
                | Errno::ENOTCONN
                | Errno::ETIMEDOUT
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ENETDOWN
                | Errno::ENOBUFS
                | Errno::ENOMEM
        )
    )
}

/// Reads the file on the loop's threads and writes it with flow control.
async fn copy(
    handle: &LoopHandle,
    transport: &TransportRef,
    file: &File,
    sent: &Position,
    length: u64,
) -> io::Result<()> {
    let mut pump = Pump::install(transport)?;
    sent.begun.set(true);
    let mut remaining = length;
    while remaining > 0 {
        pump.writable().await?;
        let (source, offset) = (file.try_clone()?, sent.start + sent.sent.get());
        let wanted = usize::try_from(remaining).unwrap_or(usize::MAX).min(CHUNK);
        let read = handle.spawn_blocking(move || read_chunk(&source, offset, wanted));
        let chunk = pump.unless_gone(read).await?.map_err(io::Error::other)??;
        if chunk.is_empty() {
            break;
        }
        let count = chunk.len() as u64;
        if transport.write_bytes(Bytes::from(chunk)) == Flow::Closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        sent.sent.set(sent.sent.get() + count);
        remaining -= count;
    }
    Ok(())
}

/// Reads up to `wanted` bytes at `offset`, or from where a file without positions stands.
fn read_chunk(file: &File, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut chunk = vec![0; wanted];
    let count = match file.read_at(&mut chunk, offset) {
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESPIPE as i32) => {
            let mut file = file;
            file.read(&mut chunk)?
        }
        outcome => outcome?,
    };
    chunk.truncate(count);
    Ok(chunk)
}

/// Stands in for the protocol while a file is copied: passes on what is received, and keeps the flow control of the copy
/// to itself.
struct Pump {
    transport: TransportRef,
    protocol: Weak<PumpProtocol>,
    /// Ends when the transport has let go of the pump's protocol: the loss, or another protocol in its place.
    gone: OneshotReceiver<()>,
}

struct PumpProtocol {
    inner: StreamProtocol,
    /// Whether the inner protocol was told to pause, and not yet to resume.
    inner_paused: Cell<bool>,
    waiting: Cell<Option<OneshotSender<()>>>,
    _gone: OneshotSender<()>,
}

impl Pump {
    fn install(transport: &TransportRef) -> io::Result<Self> {
        let Some(inner) = transport.protocol() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if inner.type_name() == std::any::type_name::<PumpProtocol>() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another file is being sent"));
        }
        let inner_paused = Cell::new(transport.extra::<WritingPaused>().is_some());
        let (sender, gone) = oneshot();
        let protocol =
            Rc::new(PumpProtocol { inner, inner_paused, waiting: Cell::default(), _gone: sender });
        transport.interpose(StreamProtocol::from_layer(Rc::clone(&protocol) as Rc<_>));
        Ok(Self { transport: transport.clone(), protocol: Rc::downgrade(&protocol), gone })
    }

    /// Waits until the write buffer has room.
    async fn writable(&mut self) -> io::Result<()> {
        while self.transport.write(b"") == Flow::Full {
            let (sender, receiver) = oneshot();
            let Some(protocol) = self.protocol.upgrade() else { return Err(self.end()) };
            protocol.waiting.set(Some(sender));
            drop(protocol);
            self.unless_gone(receiver).await?;
        }
        if self.transport.is_closing() { Err(self.end()) } else { Ok(()) }
    }

    /// What `future` gives, unless the pump loses its place first.
    async fn unless_gone<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        let outcome = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Pin::new(&mut self.gone).poll(cx).map(|_| None),
        })
        .await;
        outcome.ok_or_else(|| self.end())
    }

    fn end(&self) -> io::Error {
        if self.transport.is_closing() {
            return io::ErrorKind::ConnectionAborted.into();
        }
        io::Error::other("the protocol was switched while a file was being copied")
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The real protocol back, unless another has taken the pump's place.
        let Some(protocol) = self.protocol.upgrade() else { return };
        let mine = StreamProtocol::from_layer(Rc::clone(&protocol) as Rc<_>);
        if self.transport.protocol().is_some_and(|current| current == mine) {
            let inner = protocol.inner.clone();
            if protocol.inner_paused.get() {
                // It goes on waiting for the resume that it was promised.
                self.transport.interpose(inner.clone());
                if self.transport.extra::<WritingPaused>().is_none()
                    && self.transport.write(b"") == Flow::Open
                {
                    // A transport that has forgotten it, and has room: nobody else will say so.
                    let transport = self.transport.clone();
                    let resume = move || inner.resume_writing(&transport);
                    self.transport.scheduler().call_soon(Box::new(resume));
                }
            } else {
                self.transport.replace_protocol(inner, b"");
            }
        }
    }
}

impl Layer for PumpProtocol {
    fn assert_free(&self) {
        self.inner.assert_free();
    }

    fn reception(&self) -> Reception {
        self.inner.reception()
    }

    fn connection_made(&self, transport: &TransportRef) {
        self.inner.connection_made(transport);
    }

    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        self.inner.data_received(transport, data)
    }

    fn get_buffer(&self, size_hint: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        self.inner.get_buffer(size_hint, read);
    }

    fn buffer_updated(&self, transport: &TransportRef, count: usize) {
        self.inner.buffer_updated(transport, count);
    }

    fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
        self.inner.eof_received(transport)
    }

    fn pause_writing(&self, _: &TransportRef) {}

    fn resume_writing(&self, transport: &TransportRef) {
        if self.inner_paused.take() {
            self.inner.resume_writing(transport);
        }
        if let Some(sender) = self.waiting.take() {
            let _ = sender.send(());
        }
    }

    fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        self.inner.connection_lost(transport, why);
    }
}
