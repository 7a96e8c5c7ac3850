//! What a descriptor is, and whether it can be a pipe's.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

use super::{Direction, Watch};

/// How to watch `fd`, if it can be read or written as a pipe.
///
/// # Errors
/// `InvalidInput`, with what to do instead, when it cannot.
pub(super) fn examine(fd: &OwnedFd, direction: Direction) -> io::Result<Watch> {
    let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
    match kind {
        FileType::RegularFile | FileType::Directory | FileType::BlockDevice => {
            return Err(refused(&format!(
                "{} is always ready and may block all the same, so it cannot be a pipe: read and write it in \
                 spawn_blocking, or send it with sendfile",
                name(kind)
            )));
        }
        _ => {}
    }
    let mode = fcntl_getfl(fd)? & OFlags::RWMODE;
    match direction {
        Direction::Read if mode == OFlags::WRONLY => {
            return Err(refused("the descriptor is open for writing only"));
        }
        Direction::Write if mode == OFlags::RDONLY => {
            return Err(refused("the descriptor is open for reading only"));
        }
        _ => {}
    }
    Ok(match kind {
        FileType::CharacterDevice => Watch::Unwatched,
        FileType::Fifo if mode == OFlags::WRONLY => Watch::Readable,
        _ => Watch::HangUp,
    })
}

fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        _ => "a regular file",
    }
}

fn refused(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}
