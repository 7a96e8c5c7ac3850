//! Unidirectional pipes as transports: one end of a pipe, a FIFO, a socket or a character device, to be read or to be
//! written.
//!
//! [`connect_read`] and [`connect_write`] put a protocol on a descriptor that is there already; the transport owns it.
//! A transport that can only be read has no `write`, and the other way round.
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

mod connect;
mod kind;

pub use connect::{ConnectRead, ConnectWrite, connect_read, connect_write};

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wharf_core::driver::StreamOptions;
use wharf_core::stream::Interest;
use wharf_core::{Address, StreamProtocol};
use wharf_reactor::LoopHandle;
use wharf_reactor::stream::{self, StreamDriver, StreamSocket};

/// How much a pipe holds from its making on.
const USUAL: usize = 64 * 1024;

/// A pipe that was seen full so often is busy and is made to hold more: whoever fills it can then go on for longer, and
/// a message more costs fewer turns. Not from the beginning, because what all pipes of a user hold is limited, and most
/// never hold much.
const OFTEN: u8 = 4;

/// How much a busy pipe holds: as much as a user without privileges may have.
#[cfg(target_os = "linux")]
const BUSY: usize = 1024 * 1024;

/// What we do with a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

pub(crate) struct Pipe {
    fd: OwnedFd,
    direction: Direction,
    /// How often it was seen full.
    full: Cell<u8>,
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
    Ok(stream::stream(handle, Pipe::new(fd, direction, Watch::Readable), None, protocol, options))
}

impl Pipe {
    fn new(fd: OwnedFd, direction: Direction, watch: Watch) -> Self {
        Self { fd, direction, full: Cell::new(0), watch }
    }

    /// The pipe was full.
    #[cold]
    fn note_full(&self) {
        let times = self.full.get();
        if times < OFTEN {
            self.full.set(times + 1);
        } else if times == OFTEN {
            self.full.set(times + 1);
            #[cfg(target_os = "linux")]
            // Refused where the limit is reached; it works as it is, too.
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, BUSY);
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

    /// A child that another thread starts has a duplicate of everything until it has become its program.
    fn is_exclusive(&self) -> bool {
        false
    }
}
