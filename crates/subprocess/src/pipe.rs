//! One end of a pipe as a byte stream: what the system does, for core's driver.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use wharf_core::driver::StreamOptions;
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
    let pipe = Pipe { fd, direction, full: Cell::new(0) };
    Ok(stream::stream(handle, pipe, None, protocol, options))
}

impl Pipe {
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
        Ok(outcome?)
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

    /// A child that another thread starts has a duplicate of everything until it has become its program.
    fn is_exclusive(&self) -> bool {
        false
    }
}
