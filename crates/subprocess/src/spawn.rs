//! Starting a child: from the settings to a process with our ends of its pipes.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process;

use rustix::io::fcntl_dupfd_cloexec;

use crate::child::Child;
use crate::fork;
use crate::pipe::Direction;
use crate::settings::{Extra, Settings, Stdio};

/// A child that runs.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// The child's number, and our end.
    pub(crate) pipes: Vec<(RawFd, Direction, OwnedFd)>,
}

/// Why a program could not be started; inside the `io::Error` of [`exec`](crate::exec()), which has its kind.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?}: {error}")]
pub struct StartError {
    /// The program, as it was given.
    pub program: OsString,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl Settings {
    /// Starts the child.
    ///
    /// # Errors
    /// When it cannot be started; nothing is left of it then.
    pub(crate) fn spawn(mut self, portable: bool) -> io::Result<Spawned> {
        self.try_spawn(portable).map_err(|error| {
            let program = self.command.get_program().to_owned();
            io::Error::new(error.kind(), StartError { program, error })
        })
    }

    fn try_spawn(&mut self, portable: bool) -> io::Result<Spawned> {
        let mut pipes = Vec::new();
        self.set_stdio(&mut pipes)?;
        let reserved = self.set_extra(&mut pipes)?;
        let mut child = self.command.spawn()?;
        drop(reserved);
        let standard = [
            child.stdin.take().map(|pipe| (0, Direction::Write, pipe.into())),
            child.stdout.take().map(|pipe| (1, Direction::Read, pipe.into())),
            child.stderr.take().map(|pipe| (2, Direction::Read, pipe.into())),
        ];
        pipes.extend(standard.into_iter().flatten());
        pipes.sort_by_key(|(fd, ..)| *fd);
        Ok(Spawned { child: Child::new(child, portable)?, pipes })
    }

    fn set_stdio(&mut self, pipes: &mut Vec<(RawFd, Direction, OwnedFd)>) -> io::Result<()> {
        if let Some(terminal) = &self.terminal {
            for stdio in self.stdio.iter_mut().filter(|stdio| stdio.is_none()) {
                *stdio = Some(Stdio::Fd(terminal.try_clone()?));
            }
        }
        let [stdin, mut stdout, mut stderr] = std::mem::take(&mut self.stdio);
        if self.merged {
            let (first, second) = self.merge(stdout.take(), pipes)?;
            stdout = Some(first);
            stderr = Some(second);
        }
        if let Some(stdin) = stdin {
            self.command.stdin(standard(stdin));
        }
        if let Some(stdout) = stdout {
            self.command.stdout(standard(stdout));
        }
        if let Some(stderr) = stderr {
            self.command.stderr(standard(stderr));
        }
        Ok(())
    }

    /// What stdout and stderr are when they are to be one.
    fn merge(
        &self,
        stdout: Option<Stdio>,
        pipes: &mut Vec<(RawFd, Direction, OwnedFd)>,
    ) -> io::Result<(Stdio, Stdio)> {
        let theirs = match stdout {
            Some(Stdio::Null) => return Ok((Stdio::Null, Stdio::Null)),
            Some(Stdio::Fd(fd)) => fd,
            Some(Stdio::Piped) => {
                let (ours, theirs) = pipe()?;
                pipes.push((1, Direction::Read, ours));
                theirs
            }
            Some(Stdio::Inherit) | None => io::stdout().as_fd().try_clone_to_owned()?,
        };
        let second = theirs.try_clone()?;
        Ok((Stdio::Fd(theirs), Stdio::Fd(second)))
    }

    /// Has the child take over what it gets beyond stderr. Gives what must live until it has been started.
    fn set_extra(
        &mut self,
        pipes: &mut Vec<(RawFd, Direction, OwnedFd)>,
    ) -> io::Result<Vec<OwnedFd>> {
        let extra = std::mem::take(&mut self.extra);
        let mut reserved = Vec::new();
        let mut passed = Vec::new();
        let Some(last) = extra.iter().map(|(number, _)| *number).max() else {
            if self.session || self.terminal.is_some() {
                fork::prepare(&mut self.command, self.session, self.terminal.take(), passed);
            }
            return Ok(reserved);
        };
        for (number, what) in extra {
            if number <= 2 || passed.iter().any(|(taken, _)| *taken == number) {
                let text = format!("{number} is not the number of one more descriptor");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let theirs = match what {
                Extra::Passed(fd) => fd,
                Extra::FromChild => {
                    let (ours, theirs) = pipe()?;
                    pipes.push((number, Direction::Read, ours));
                    theirs
                }
                Extra::ToChild => {
                    let (theirs, ours) = pipe()?;
                    pipes.push((number, Direction::Write, ours));
                    theirs
                }
            };
            // Beyond every number that will be taken over, so that taking over one does not close another.
            passed.push((number, fcntl_dupfd_cloexec(&theirs, last + 1)?));
            // Nothing that the start itself opens may have such a number either.
            let place = fcntl_dupfd_cloexec(&theirs, number)?;
            if place.as_raw_fd() == number {
                reserved.push(place);
            }
        }
        fork::prepare(&mut self.command, self.session, self.terminal.take(), passed);
        Ok(reserved)
    }
}

fn standard(stdio: Stdio) -> process::Stdio {
    match stdio {
        Stdio::Piped => process::Stdio::piped(),
        Stdio::Inherit => process::Stdio::inherit(),
        Stdio::Null => process::Stdio::null(),
        Stdio::Fd(fd) => fd.into(),
    }
}

/// A pipe: the end to read from, and the end to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    return Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?);
    #[cfg(target_vendor = "apple")]
    {
        use rustix::io::{FdFlags, fcntl_setfd};
        let ends = rustix::pipe::pipe()?;
        fcntl_setfd(&ends.0, FdFlags::CLOEXEC)?;
        fcntl_setfd(&ends.1, FdFlags::CLOEXEC)?;
        Ok(ends)
    }
}
