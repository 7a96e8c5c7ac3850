//! Unidirectional pipes as transports: one end of a pipe, a FIFO, a socket or a character device, to be read or to be
//! written.
//!
//! [`connect_read`] and [`connect_write`] put a protocol on a descriptor that is there already; the transport owns it.
//! A transport that can only be read has no `write`, and the other way round.
//! [`connect_both`] joins two descriptors, one of each direction, to one byte stream: stdin and stdout, for example, or
//! what a child reads and what it writes.
//!
//! ```
//! use wharf_core::{ReadPipeProtocol, ReadTransportRef};
//! use wharf_subprocess::pipe;
//!
//! struct Print;
//!
//! impl ReadPipeProtocol for Print {
//!     fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
//!         print!("{}", String::from_utf8_lossy(data));
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut ev = wharf_reactor::EventLoop::new()?;
//! let handle = ev.handle().clone();
//! let (reader, writer) = rustix::pipe::pipe()?;
//! let (transport, _print) = ev.block_on(async { pipe::connect_read(&handle, reader, Print).await })?;
//! # drop(writer);
//! # transport.close();
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when
//!
//! A read pipe ends when its last writer has gone: what is left in it comes first, then `eof_received`, then the loss.
//! A FIFO that is open for reading and writing has a writer always, its own, and never ends by itself.
//! The reading end of a pty fails with `EIO` when the other side has gone; that is the cause of its loss.
//!
//! A write pipe notices that its reader has gone without writing.
//! A character device does not, because what it is the one end of may go both ways: there the next write shows it.
//!
//! # The descriptor
//!
//! It becomes non-blocking, which all its duplicates share, those of other processes too, and stays so.

mod both;
mod connect;
mod kind;

pub use both::{ConnectBoth, connect_both};
pub use connect::{ConnectRead, ConnectWrite, connect_read, connect_write};

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wharf_core::driver::{IoAccess, StreamOptions};
use wharf_core::extra::Request;
use wharf_core::stream::Interest;
use wharf_core::vitals::TransportKind;
use wharf_core::{Address, StreamProtocol};
use wharf_reactor::LoopHandle;
use wharf_reactor::stream::{self, Origin, Polled, StreamDriver, StreamSocket};

/// How much a pipe holds from its making on.
const USUAL: usize = 64 * 1024;

/// How much a pipe is made to hold once it was seen full: as much as one read takes, so that one call empties it, and one
/// fills it. While a call moves bytes the other side of the pipe waits for it and burns its processor; few large calls
/// spare both sides that. More than this would be slower, because it leaves the caches.
///
/// Not from the beginning: what all pipes of a user hold is limited (64 MiB without privileges, so 256 of these), and
/// most pipes are never full.
pub(crate) const BUSY: usize = 256 * 1024;

/// The two ends of a new pipe: the one to read from, and the one to write to. Children do not inherit them, except as
/// what they are started with.
///
/// # Errors
/// The system's, when it has no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    crate::spawn::pipe()
}

/// What we do with a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

pub(crate) struct Pipe {
    fd: OwnedFd,
    direction: Direction,
    /// Whether it was seen full.
    full: Cell<bool>,
    /// How its end shows.
    watch: Watch,
}

/// What is polled for at the writing end, to hear of the reader's going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Reading: there is nothing to read at this end, so a readable one means that the reader has gone.
    Readable,
    /// Nothing: there may be something to read, and a hang-up shows without being asked for.
    HangUp,
    /// Not at all.
    Unwatched,
}

/// The driver of one end of a pipe.
pub(crate) type PipeDriver = StreamDriver<Pipe>;

/// Puts our end of a pipe on the loop; it is non-blocking from now on. Nothing is told before it begins.
///
/// # Errors
/// The system's.
pub(crate) fn driver(
    handle: &LoopHandle,
    fd: OwnedFd,
    direction: Direction,
    protocol: StreamProtocol,
    options: Rc<StreamOptions>,
) -> io::Result<Rc<PipeDriver>> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    // A child that another thread starts has a duplicate of everything until it has become its program.
    let pipe = Pipe::new(fd, direction, Watch::Readable);
    Ok(stream::stream(handle, pipe, Origin::default(), protocol, options))
}

impl Pipe {
    fn new(fd: OwnedFd, direction: Direction, watch: Watch) -> Self {
        Self { fd, direction, full: Cell::new(false), watch }
    }

    /// The pipe was full: it is busy, and is made to hold more. Where that is refused, because the user's pipes hold too
    /// much already or this is no pipe, it works as it is, and nobody asks again.
    #[inline]
    fn note_full(&self) {
        if !self.full.replace(true) {
            grow(self.fd.as_fd());
        }
    }

    fn written(&self, wanted: usize, outcome: rustix::io::Result<usize>) -> io::Result<usize> {
        if wanted >= USUAL && *outcome.as_ref().unwrap_or(&0) < wanted {
            self.note_full();
        }
        if self.watch == Watch::Unwatched && outcome == Err(Errno::AGAIN) && self.is_hung_up() {
            // A terminal whose other side has gone while it was full: it stays full, and says that it is ready.
            return Err(Errno::IO.into());
        }
        Ok(outcome?)
    }

    #[cold]
    fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }
}

/// Makes a pipe hold [`BUSY`] bytes if it holds less.
#[cold]
fn grow(fd: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    if rustix::pipe::fcntl_getpipe_size(fd).is_ok_and(|size| size < BUSY) {
        let _ = rustix::pipe::fcntl_setpipe_size(fd, BUSY);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl StreamSocket for Pipe {
    const ONE_WAY: bool = true;

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.direction == Direction::Write {
            // Ready for reading where there is nothing to read: the reader has left, which is the end of our peer. What
            // is queued meets the error when it is flushed.
            return Ok(0);
        }
        let count = rustix::io::read(&self.fd, buffer)?;
        if count >= USUAL {
            self.note_full();
        }
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.written(bytes.len(), rustix::io::write(&self.fd, bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.written(wanted, rustix::io::writev(&self.fd, slices))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        // There is one direction only, and the driver closes it.
        Ok(())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn local_addr(&self) -> Option<Address> {
        None
    }

    fn poll_for(&self, wanted: Interest) -> Option<Interest> {
        match (self.direction, self.watch) {
            (Direction::Read, _) | (_, Watch::Readable) => Some(wanted),
            (_, Watch::HangUp) => Some(Interest { read: false, ..wanted }),
            (_, Watch::Unwatched) => wanted.write.then_some(Interest { read: false, write: true }),
        }
    }

    fn provide(
        &self,
        request: &mut Request<'_>,
        _: &dyn Fn() -> Option<Rc<dyn IoAccess<Polled<Self>>>>,
    ) {
        request.provide(|| TransportKind("pipe".into()));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

    use super::*;

    /// Both ends of one pipe, non-blocking.
    fn ends() -> (Pipe, Pipe) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let end = |fd, direction| Pipe::new(fd, direction, Watch::Readable);
        (end(reader, Direction::Read), end(writer, Direction::Write))
    }

    fn size(end: &Pipe) -> usize {
        fcntl_getpipe_size(end).unwrap()
    }

    #[test]
    fn sp_42_a_pipe_that_is_full_for_its_writer_is_made_to_hold_more() {
        let (reader, writer) = ends();
        assert_eq!(writer.write(&[0; USUAL]).unwrap(), USUAL);
        assert_eq!(size(&writer), USUAL, "it took everything");
        assert_eq!(writer.write(&[0; USUAL]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(size(&writer), BUSY);
        let rest = [0; BUSY];
        let slices = [IoSlice::new(&rest), IoSlice::new(&rest)];
        assert_eq!(writer.write_vectored(&slices).unwrap(), BUSY - USUAL);
        assert_eq!(size(&writer), BUSY, "and not without end");
        assert_eq!(reader.read(&mut [0; 2 * BUSY]).unwrap(), BUSY, "one read empties it");
    }

    #[test]
    fn sp_42_a_pipe_that_is_full_for_its_reader_is_made_to_hold_more() {
        let (reader, writer) = ends();
        writer.write(&[0; USUAL - 1]).unwrap();
        reader.read(&mut [0; BUSY]).unwrap();
        assert_eq!(size(&reader), USUAL, "it had room");
        writer.write(&[0; USUAL]).unwrap();
        reader.read(&mut [0; BUSY]).unwrap();
        assert_eq!(size(&reader), BUSY);
    }

    #[test]
    fn sp_42_small_writes_that_fill_a_pipe_do_not_make_it_hold_more() {
        let (_reader, writer) = ends();
        while writer.write(&[0; 512]).is_ok() {}
        assert_eq!(size(&writer), USUAL);
    }

    #[test]
    fn sp_42_a_pipe_that_holds_more_already_is_left_as_it_is() {
        let (reader, writer) = ends();
        fcntl_setpipe_size(&writer, 2 * BUSY).unwrap();
        writer.write(&[0; USUAL]).unwrap();
        reader.read(&mut [0; BUSY]).unwrap();
        assert_eq!(size(&reader), 2 * BUSY);
    }
}
