//! [`Child`]: a child process as the system knows it, from its start until it is reaped.
//!
//! A descriptor becomes readable when the child ends, so a loop waits for it as for anything else: a pidfd where the
//! system has them, elsewhere one that a thread closes which waits for the child.
//! Either way nobody handles SIGCHLD, and no child of others is reaped.
//! Whatever happens, none of ours is left behind: dropping this kills and reaps.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use crate::signal;

/// How long the end of a killed child is waited for in place. It takes a millisecond unless the kernel holds the child
/// in the midst of something, such as a file system that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A waiting thread does nothing but wait.
const STACK: usize = 64 * 1024;

/// What is told of a child whose status somebody else has taken: asyncio's answer too.
const UNKNOWN: i32 = 255 << 8;

pub(crate) struct Child {
    child: process::Child,
    /// `None` once it is reaped.
    end: Option<End>,
    status: Option<ExitStatus>,
}

/// What becomes readable when the child ends.
pub(crate) enum End {
    #[cfg(target_os = "linux")]
    PidFd(OwnedFd),
    /// The other end belongs to a thread, which waits.
    Thread(UnixStream),
}

/// What a look at a child has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// It runs.
    Not,
    /// It has ended.
    Ended(ExitStatus),
    /// It has ended, and somebody else has taken its status.
    Stolen(ExitStatus),
}

impl Child {
    /// Watches `child` for its end; by portable means where the system has no better ones, or if `portable`.
    ///
    /// # Errors
    /// When the system has no descriptor or no thread for it; the child is killed and reaped then.
    pub(crate) fn new(mut child: process::Child, portable: bool) -> io::Result<Self> {
        match End::of(&child, portable) {
            Ok(end) => Ok(Self { child, end: Some(end), status: None }),
            Err(error) => {
                // It is our own and runs, so neither fails.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What becomes readable when the child ends; `None` once it is reaped.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// Reaps the child if it has ended.
    pub(crate) fn reap(&mut self) -> Reaped {
        if let Some(status) = self.status {
            return Reaped::Ended(status);
        }
        let outcome = match &self.end {
            #[cfg(target_os = "linux")]
            Some(End::PidFd(fd)) => match wait_by_pidfd(fd.as_fd()) {
                // Linux 5.3 has pidfds that cannot be waited for.
                Err(Errno::INVAL) => self.child.try_wait(),
                outcome => outcome.map_err(io::Error::from),
            },
            _ => self.child.try_wait(),
        };
        let reaped = match outcome {
            Ok(None) => return Reaped::Not,
            Ok(Some(status)) => Reaped::Ended(status),
            // There is no child to wait for.
            Err(_) => Reaped::Stolen(ExitStatus::from_raw(UNKNOWN)),
        };
        let (Reaped::Ended(status) | Reaped::Stolen(status)) = reaped else { return reaped };
        self.status = Some(status);
        reaped
    }

    /// What became readable when the child ended: from a child that was reaped, once.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        self.status.and_then(|_| self.end.take())
    }

    /// Sends a signal; never to anybody else, because a child that is not reaped keeps its number.
    pub(crate) fn signal(&self, number: i32) -> io::Result<()> {
        let signal = signal::from_number(number)?;
        if self.status.is_some() {
            return Err(gone());
        }
        // Zero asks whether there is somebody to send to.
        let Some(signal) = signal else { return Ok(()) };
        let sent = match &self.end {
            #[cfg(target_os = "linux")]
            Some(End::PidFd(fd)) => rustix::process::pidfd_send_signal(fd, signal),
            _ => rustix::process::kill_process(Pid::from_child(&self.child), signal),
        };
        sent.map_err(|error| if error == Errno::SRCH { gone() } else { error.into() })
    }

    /// Kills the child and reaps it before returning; one that the kernel does not let go of is left to a thread.
    pub(crate) fn finish(&mut self) -> Reaped {
        if self.status.is_none() {
            // A child that may not be signalled, because it runs as somebody else by now, ends when it likes.
            let _ = self.signal(Signal::KILL.as_raw());
            if self.end.as_ref().is_some_and(|end| !comes_soon(end.as_fd())) {
                self.leave_to_a_thread();
            }
        }
        self.reap()
    }

    fn leave_to_a_thread(&mut self) {
        let pid = Pid::from_child(&self.child);
        let wait = move || {
            let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        };
        // Without a thread there is nobody left who could.
        let _ = thread::Builder::new().name("wharf-reaper".into()).stack_size(STACK).spawn(wait);
        self.status = Some(ExitStatus::from_raw(UNKNOWN));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.finish();
    }
}

impl End {
    fn of(child: &process::Child, portable: bool) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if !portable {
            use rustix::process::{PidfdFlags, pidfd_open};
            match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
                Ok(fd) => return Ok(Self::PidFd(fd)),
                // Older than Linux 5.3, or a sandbox that has not heard of it.
                Err(Errno::NOSYS | Errno::PERM) => {}
                // It has ended and was reaped, because this process ignores SIGCHLD: the thread will see that at once.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let _ = portable;
        let pid = Pid::from_child(child);
        let (ours, theirs) = UnixStream::pair()?;
        let wait = move || {
            // Without reaping: until the loop has done that, the number is the child's, and signals find it.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            drop(theirs);
        };
        thread::Builder::new().name("wharf-wait".into()).stack_size(STACK).spawn(wait)?;
        Ok(Self::Thread(ours))
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(target_os = "linux")]
            Self::PidFd(fd) => fd.as_fd(),
            Self::Thread(stream) => stream.as_fd(),
        }
    }
}

/// Reaps by the pidfd, which names this child and no other, even if somebody has reaped it and its number is another's.
#[cfg(target_os = "linux")]
fn wait_by_pidfd(fd: BorrowedFd<'_>) -> rustix::io::Result<Option<ExitStatus>> {
    const CORE_DUMPED: i32 = 0x80;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let found = retry_on_intr(|| waitid(WaitId::PidFd(fd), options))?;
    Ok(found.map(|status| {
        let raw = match status.terminating_signal() {
            Some(signal) if status.dumped() => signal | CORE_DUMPED,
            Some(signal) => signal,
            None => status.exit_status().unwrap_or_default() << 8,
        };
        ExitStatus::from_raw(raw)
    }))
}

fn comes_soon(end: BorrowedFd<'_>) -> bool {
    let timeout = Timespec::try_from(PATIENCE).ok();
    let mut fds = [PollFd::new(&end, PollFlags::IN)];
    retry_on_intr(|| poll(&mut fds, timeout.as_ref())).is_ok_and(|ready| ready > 0)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the child has ended")
}
