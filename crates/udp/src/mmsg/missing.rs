//! What a system may be without, and may be taken to be without by a test of the fallbacks.

use std::io;
use std::os::fd::BorrowedFd;

/// What a socket is to believe that its system has not. Every entry answers as a system without it does, so the code
/// that finds out is the code that is tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// `recvmmsg` and `sendmmsg`.
    pub batches: bool,
    /// The option that cuts a message into datagrams.
    pub segment_option: bool,
    /// A device that lets trains through; the system has the option.
    pub segments: bool,
    /// The option that leaves trains together on arrival.
    pub coalescing: bool,
}

impl Missing {
    /// Refuses a call for many messages.
    pub(crate) fn check_batches(self) -> io::Result<()> {
        refuse(self.batches, libc::ENOSYS)
    }

    /// Refuses to send a train.
    pub(crate) fn check_train(self) -> io::Result<()> {
        refuse(self.segments, libc::EIO)
    }

    /// Whether the system knows trains at all. One that does not would send a train as one great datagram.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn has_segments(self, fd: BorrowedFd<'_>) -> bool {
        use nix::sys::socket::{getsockopt, sockopt::UdpGsoSegment};
        !self.segment_option && getsockopt(&fd, UdpGsoSegment).is_ok()
    }

    /// Asks for trains to be left together; says whether they are.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn ask_for_coalescing(self, fd: BorrowedFd<'_>) -> bool {
        use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
        !self.coalescing && setsockopt(&fd, UdpGroSegment, &true).is_ok()
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn has_segments(self, _fd: BorrowedFd<'_>) -> bool {
        false
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn ask_for_coalescing(self, _fd: BorrowedFd<'_>) -> bool {
        false
    }
}

fn refuse(is_missing: bool, errno: i32) -> io::Result<()> {
    if is_missing { Err(io::Error::from_raw_os_error(errno)) } else { Ok(()) }
}
