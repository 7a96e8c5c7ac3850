//! Opening FIFOs, pipes with a name in the file system, without waiting for their other end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// Opens the FIFO at `path` for reading, non-blocking, whether somebody has it open for writing or not.
///
/// Its end comes whenever the last of its writers has left.
/// To read on as writers come and go, open it for reading and writing, with [`std::fs::OpenOptions`]: it then has a
/// writer always, and no end.
///
/// # Errors
/// The system's, and `InvalidInput` when there is something else at `path`.
#[doc(alias = "mkfifo")]
pub fn open_fifo_read(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    open(path.as_ref(), OFlags::RDONLY)
}

/// Opens the FIFO at `path` for writing, non-blocking.
///
/// # Errors
/// `NotConnected` when nobody has it open for reading: try again when somebody has.
/// The system's, and `InvalidInput` when there is something else at `path`.
pub fn open_fifo_write(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    open(path.as_ref(), OFlags::WRONLY)
}

fn open(path: &Path, mode: OFlags) -> io::Result<OwnedFd> {
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NXIO) => {
            let text = format!("nobody has {} open for reading", path.display());
            return Err(io::Error::new(io::ErrorKind::NotConnected, text));
        }
        Err(error) => {
            let error = io::Error::from(error);
            return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
        }
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Fifo {
        return Ok(fd);
    }
    let text = format!("{} is not a FIFO", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
