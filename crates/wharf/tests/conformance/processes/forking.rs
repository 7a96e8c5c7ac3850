//! What tests do in a child before it is a program, and to the dispositions of a process.

use std::io;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use wharf::subprocess::Exec;

/// A child with another umask.
pub(crate) fn with_umask<F>(child: Exec<F>, mask: u32) -> Exec<F> {
    let set = move || {
        umask(Mode::from_bits_truncate(mask));
        Ok(())
    };
    // SAFETY: one system call.
    unsafe { child.pre_exec(set) }
}

/// A child that never becomes a program.
pub(crate) fn failing<F>(child: Exec<F>) -> Exec<F> {
    // SAFETY: it does nothing but fail, without allocating.
    unsafe { child.pre_exec(|| Err(io::Error::from_raw_os_error(nix::errno::Errno::EPERM as i32))) }
}

/// Ignores a signal from now on.
pub(crate) fn ignore(number: Signal) {
    // SAFETY: no handler of anybody's is replaced in this process.
    unsafe { signal(number, SigHandler::SigIgn) }.unwrap();
}

/// Becomes a user who may have no more processes than this one: root may always have more.
pub(crate) fn as_a_crowded_user() {
    setresgid(Gid::from_raw(54_321), Gid::from_raw(54_321), Gid::from_raw(54_321)).unwrap();
    setrlimit(Resource::RLIMIT_NPROC, 1, 1).unwrap();
    setresuid(Uid::from_raw(54_321), Uid::from_raw(54_321), Uid::from_raw(54_321)).unwrap();
}
