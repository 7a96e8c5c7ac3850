//! Sockets that a parent process has left open for us: systemd's socket activation.

use std::env;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::process;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Where the inherited descriptors begin.
const FIRST: RawFd = 3;

/// Takes the sockets that the parent has passed by `LISTEN_FDS`, in its order, for
/// [`listen_on`](crate::listen_on); empty when there are none, or they are for another process.
///
/// # Safety
/// Call it at most once, before anything else may have opened or taken over descriptors from 3 on: each socket must have
/// one owner.
#[allow(unsafe_code)] // Taking over descriptors by number is what this is about.
#[must_use]
pub unsafe fn inherited_sockets() -> Vec<OwnedFd> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(process::id()) {
        return Vec::new();
    }
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    (FIRST..FIRST.saturating_add(count))
        .filter_map(|number| {
            // SAFETY: borrowed for a question only; a number that is not open answers with an error.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
            // SAFETY: it is open, the parent says that it is ours, and the caller that nobody else has taken it.
            Some(unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect()
}
