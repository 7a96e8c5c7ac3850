//! The system calls of the raw server, each in a thin safe wrapper.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Readable, or the peer is gone.
pub(crate) const READ: u32 = libc::EPOLLIN as u32;
/// Writable.
pub(crate) const WRITE: u32 = libc::EPOLLOUT as u32;

/// Connections that may wait to be accepted.
const BACKLOG: libc::c_int = 1024;

/// An epoll set whose keys are the descriptors.
pub(crate) struct Epoll(OwnedFd);

/// One batch of events.
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(vec![libc::epoll_event { events: 0, u64: 0 }; 256])
    }

    pub(crate) fn get(&self, at: usize) -> (RawFd, u32) {
        let event = self.0[at];
        (event.u64 as RawFd, event.events)
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest)
    }

    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest)
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, interest: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: fd.as_raw_fd() as u64 };
        // SAFETY: both descriptors are open, the event lives through the call.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits without end and gives the number of events.
    pub(crate) fn wait(&self, events: &mut Events) -> io::Result<usize> {
        loop {
            let room = events.0.len() as libc::c_int;
            // SAFETY: the pointer and the length are those of one live vector.
            match check(unsafe {
                libc::epoll_wait(self.0.as_raw_fd(), events.0.as_mut_ptr(), room, -1)
            }) {
                Ok(count) => return Ok(count as usize),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Gives a listener its backlog, and the option that what it accepts inherits.
pub(crate) fn prepare(listener: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let option = (&raw const on).cast();
    // SAFETY: the option is an int that lives through the call, and its size is given.
    check(unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, option, size)
    })?;
    // SAFETY: no pointers; calling listen again only changes the backlog.
    check(unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) })?;
    Ok(())
}

/// Accepts one connection; `None` when there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers say that the address is not wanted.
    match check(unsafe {
        libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
    }) {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Receives once.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of one exclusive slice.
    let count =
        unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends once.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of one live slice.
    let count = unsafe {
        libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends several slices once; `writev` itself, for it is what its user would take.
pub(crate) fn send_vectored(
    socket: BorrowedFd<'_>,
    slices: &[io::IoSlice<'_>],
) -> io::Result<usize> {
    // SAFETY: `IoSlice` is guaranteed to be an iovec, and the slices live through the call.
    let count = unsafe {
        libc::writev(socket.as_raw_fd(), slices.as_ptr().cast(), slices.len() as libc::c_int)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
