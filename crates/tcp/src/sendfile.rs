//! Sending files: by `sendfile(2)` in its place between queued writes, or by copying where that is not possible.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::{Bound, RangeBounds};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use bytes::Bytes;
use wharf_core::driver::Outflow;
use wharf_core::{Flow, KeepOpen, Lost, Protocol, StreamProtocol, TransportRef};
use wharf_reactor::stream::Polled;
use wharf_reactor::{LoopHandle, OneshotSender, oneshot};

use crate::socket::{NativeStream, Socket};

/// How much is read at a time where the file is copied.
const CHUNK: usize = 64 * 1024;

/// Sends `range` of `file`, after everything that was written before and before everything that is written later, and
/// gives how many bytes that was; fewer than asked for when the file ends before.
///
/// On a plain socket the system copies the file itself; on any other transport, and for what is not a regular file, it
/// is read on the loop's threads and written with flow control.
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
    if transport.is_closing() {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "the transport is closing"));
    }
    let sent = Position { file: file.try_clone()?, start, sent: Rc::default() };
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
}

impl Drop for Position {
    fn drop(&mut self) {
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
    struct Cancel<'a>(&'a NativeStream, bool);
    impl Drop for Cancel<'_> {
        fn drop(&mut self) {
            if self.1 {
                self.0.0.cancel_outflow();
            }
        }
    }
    let (sender, receiver) = oneshot();
    let outflow = FileOutflow {
        file: file.try_clone()?,
        offset: i64::try_from(sent.start)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        remaining: length,
        sent: Rc::clone(&sent.sent),
        failure: None,
        done: sender,
    };
    if stream.0.send_outflow(Box::new(outflow)).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another file is being sent, or the end was written",
        ));
    }
    let mut cancel = Cancel(stream, true);
    let result = receiver.await;
    cancel.1 = false;
    match result {
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
        let result = self.failure.map_or(result, Err);
        let _ = self.done.send(result);
    }
}

#[cfg(target_os = "linux")]
fn send_some(socket: &Socket, file: &File, offset: &mut i64, count: usize) -> io::Result<usize> {
    Ok(nix::sys::sendfile::sendfile64(socket.as_fd(), file.as_fd(), Some(offset), count)?)
}

#[cfg(not(target_os = "linux"))]
fn send_some(_: &Socket, _: &File, _: &mut i64, _: usize) -> io::Result<usize> {
    Err(nix::errno::Errno::ENOSYS.into())
}

/// Whether `sendfile` complains of the file and not of the socket.
fn is_of_the_file(error: &io::Error) -> bool {
    is_unsupported(error) || error.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
}

/// Reads the file on the loop's threads and writes it with flow control.
async fn copy(
    handle: &LoopHandle,
    transport: &TransportRef,
    file: &File,
    sent: &Position,
    length: u64,
) -> io::Result<()> {
    let pump = Pump::install(transport)?;
    let mut remaining = length;
    while remaining > 0 {
        pump.writable(transport).await?;
        let (source, offset) = (file.try_clone()?, sent.start + sent.sent.get());
        let wanted = usize::try_from(remaining).unwrap_or(usize::MAX).min(CHUNK);
        let chunk = handle.spawn_blocking(move || read_chunk(&source, offset, wanted)).await;
        let chunk = chunk.map_err(io::Error::other)??;
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

/// Stands in for the protocol while a file is copied: passes on what is received, and keeps flow control to itself.
struct Pump {
    shared: Rc<RefCell<PumpProtocol>>,
    transport: TransportRef,
}

struct PumpProtocol {
    inner: StreamProtocol,
    paused: bool,
    lost: bool,
    waiting: Option<OneshotSender<()>>,
}

impl Pump {
    fn install(transport: &TransportRef) -> io::Result<Self> {
        let Some(inner) = transport.protocol() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let paused = transport.write(b"") == Flow::Full;
        let protocol = PumpProtocol { inner, paused, lost: false, waiting: None };
        let (shared, _) = transport.set_protocol(protocol, b"");
        Ok(Self { shared, transport: transport.clone() })
    }

    /// Waits until the write buffer has room.
    async fn writable(&self, transport: &TransportRef) -> io::Result<()> {
        loop {
            if self.shared.borrow().lost || transport.is_closing() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if transport.write(b"") != Flow::Full {
                return Ok(());
            }
            let (sender, receiver) = oneshot();
            self.shared.borrow_mut().waiting = Some(sender);
            receiver.await;
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The real protocol back, unless another has taken the pump's place.
        let mine = StreamProtocol::from_shared(&self.shared);
        if self.transport.protocol().is_some_and(|current| current == mine) {
            let inner = self.shared.borrow().inner.clone();
            self.transport.set_protocol(inner, b"");
        }
    }
}

impl PumpProtocol {
    fn wake(&mut self) {
        if let Some(sender) = self.waiting.take() {
            let _ = sender.send(());
        }
    }
}

impl Protocol for PumpProtocol {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let taken = self.inner.feed(transport, rest);
            assert!(taken > 0, "get_buffer returned an empty buffer");
            rest = &rest[taken..];
        }
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.inner.eof_received(transport)
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.paused = true;
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.paused = false;
        self.wake();
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.lost = true;
        self.inner.connection_lost(transport, why);
        self.wake();
    }
}
