//! Our own stdin, stdout and stderr, opened once more, so that they can be non-blocking for us alone.
//!
//! Whether a descriptor blocks belongs to what it has opened, and that is shared with whoever has inherited it: a shell
//! whose terminal was left non-blocking by a program fails in strange ways.
//! On Linux a pipe and a terminal can be opened anew, and then have that for themselves.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use crate::pipe::Direction;
use crate::pty;

/// Our stdin with an open file of its own, non-blocking: what is done to it leaves descriptor 0, and everybody who
/// shares that, as it was.
///
/// Descriptor 0 stays open, so closing this one does not tell a writer that its reader has left.
///
/// # Errors
/// `InvalidInput` when it is a regular file, which is never waited for: read it with `spawn_blocking`; also when it
/// is not open for reading. `Unsupported` when it cannot be opened anew: a socket, the master of a pseudoterminal, a
/// system without `/proc`. A duplicate of those will do where everybody who shares them expects to find them
/// non-blocking. The system's, as when the terminal is another user's.
pub fn pipe_stdin() -> io::Result<OwnedFd> {
    reopened(io::stdin().as_fd(), Direction::Read)
}

/// Our stdout with an open file of its own, as [`pipe_stdin`].
///
/// Descriptor 1 stays open, so closing this one is no end for a reader.
///
/// # Errors
/// As [`pipe_stdin`], and `BrokenPipe` when it is a FIFO that nobody reads any more.
pub fn pipe_stdout() -> io::Result<OwnedFd> {
    reopened(io::stdout().as_fd(), Direction::Write)
}

/// Our stderr with an open file of its own, as [`pipe_stdout`].
///
/// # Errors
/// As [`pipe_stdout`].
pub fn pipe_stderr() -> io::Result<OwnedFd> {
    reopened(io::stderr().as_fd(), Direction::Write)
}

fn reopened(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<OwnedFd> {
    let number = fd.as_raw_fd();
    let error = |kind, what: &str| io::Error::new(kind, format!("descriptor {number} {what}"));
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        // Opening a master anew makes another terminal.
        FileType::CharacterDevice if pty::is_master(fd) => {
            let what = "is the master of a pseudoterminal, which cannot be opened anew";
            return Err(error(io::ErrorKind::Unsupported, what));
        }
        FileType::Fifo | FileType::CharacterDevice => {}
        FileType::Socket => {
            let what = "is a socket, which cannot be opened anew";
            return Err(error(io::ErrorKind::Unsupported, what));
        }
        _ => {
            let what = "is a file, which is never waited for: use spawn_blocking";
            return Err(error(io::ErrorKind::InvalidInput, what));
        }
    }
    // Opening a pipe anew would give its other end as well.
    let (mode, wrong, needed) = match direction {
        Direction::Read => (OFlags::RDONLY, OFlags::WRONLY, "is not open for reading"),
        Direction::Write => (OFlags::WRONLY, OFlags::RDONLY, "is not open for writing"),
    };
    if rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE == wrong {
        return Err(error(io::ErrorKind::InvalidInput, needed));
    }
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(rustix::io::Errno::NXIO) => {
            Err(error(io::ErrorKind::BrokenPipe, "is a FIFO that nobody reads"))
        }
        Err(rustix::io::Errno::NOENT) => {
            let what = "cannot be opened anew without /proc";
            Err(error(io::ErrorKind::Unsupported, what))
        }
        Err(cause) => {
            let cause = io::Error::from(cause);
            Err(error(cause.kind(), &format!("cannot be opened anew: {cause}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::net::UnixStream;

    use rustix::pipe::pipe;

    use super::*;

    fn is_nonblocking(fd: impl AsFd) -> bool {
        rustix::fs::fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    fn refusal(fd: impl AsFd, direction: Direction) -> ErrorKind {
        reopened(fd.as_fd(), direction).unwrap_err().kind()
    }

    #[test]
    fn pi_17_what_is_opened_anew_leaves_the_shared_one_blocking() {
        let (reader, writer) = pipe().unwrap();
        let (_master, slave) = pty::open().unwrap();
        pty::set_raw(&slave).unwrap();
        let ends = [
            (&reader, Direction::Read),
            (&writer, Direction::Write),
            (&slave, Direction::Read),
            (&slave, Direction::Write),
        ];
        for (shared, direction) in ends {
            let own = reopened(shared.as_fd(), direction).unwrap();
            assert!(is_nonblocking(&own) && !is_nonblocking(shared));
        }
        let (own_reader, own_writer) = (
            reopened(reader.as_fd(), Direction::Read).unwrap(),
            reopened(writer.as_fd(), Direction::Write).unwrap(),
        );
        rustix::io::write(&own_writer, b"same").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&own_reader, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"same");
    }

    #[test]
    fn pi_17_what_cannot_be_opened_anew_is_refused_and_left_as_it_was() {
        let (master, _slave) = pty::open().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        assert_eq!(refusal(&master, Direction::Read), ErrorKind::Unsupported);
        assert_eq!(refusal(&socket, Direction::Read), ErrorKind::Unsupported);
        assert_eq!(refusal(&file, Direction::Read), ErrorKind::InvalidInput);
        assert!(!is_nonblocking(&master) && !is_nonblocking(&socket));
    }

    #[test]
    fn pi_17_the_other_end_of_a_pipe_is_not_to_be_had() {
        let (reader, writer) = pipe().unwrap();
        assert_eq!(refusal(&reader, Direction::Write), ErrorKind::InvalidInput);
        assert_eq!(refusal(&writer, Direction::Read), ErrorKind::InvalidInput);
    }

    #[test]
    fn pi_17_a_fifo_that_nobody_reads_is_refused() {
        let name = format!("wharf-stdio-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = crate::open_fifo_read(&path).unwrap();
        let writer = crate::open_fifo_write(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(reader);
        assert_eq!(refusal(&writer, Direction::Write), ErrorKind::BrokenPipe);
    }
}
