//! What is done in the child before it becomes the program: that takes a fork in the place of a vfork.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exec::Exec;
use crate::run::Run;

/// Has the child of `command` begin a session of its own, if it is to, have a terminal in it, if there is one, and take
/// over descriptors under the numbers that it knows them by. None of those may have such a number here.
#[allow(unsafe_code)] // Code between fork and exec must be fit for it.
pub(crate) fn prepare(
    command: &mut Command,
    session: bool,
    terminal: Option<OwnedFd>,
    passed: Vec<(RawFd, OwnedFd)>,
) {
    let prepare = move || {
        if session || terminal.is_some() {
            rustix::process::setsid()?;
        }
        // Before its number may be taken over.
        if let Some(terminal) = &terminal {
            rustix::process::ioctl_tiocsctty(terminal)?;
        }
        for (number, fd) in &passed {
            // SAFETY: two numbers go in; what had the second one is closed, and nobody in here owns it.
            if unsafe { libc::dup2(fd.as_raw_fd(), *number) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls and nothing else: it takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Gives a builder its `pre_exec`.
macro_rules! pre_exec {
    () => {
        /// Calls `function` in the child before it becomes the program. Slow: see [the
        /// crate](crate#what-a-start-costs).
        ///
        /// # Safety
        /// That of [`CommandExt::pre_exec`]: between fork and exec most of what a program may do is not allowed,
        /// allocation among it.
        #[doc(alias = "preexec_fn")]
        #[allow(unsafe_code)] // It is the user's promise.
        pub unsafe fn pre_exec(
            mut self,
            function: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
        ) -> Self {
            // SAFETY: the caller's promise.
            unsafe { self.settings.command.pre_exec(function) };
            self
        }
    };
}

impl<F> Exec<F> {
    pre_exec!();
}

impl Run {
    pre_exec!();
}
