//! [`Settings`] of a child to be, and the setters that every builder has.

use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::process::Command;
use std::time::Duration;

use wharf_core::Limits;
use wharf_core::driver::StreamOptions;

use crate::pipe::BUSY;

/// What a standard descriptor of a child is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// A pipe, whose other end is a transport: see
    /// [`pipe_transport`](wharf_core::SubprocessTransport::pipe_transport).
    #[doc(alias = "PIPE")]
    Piped,
    /// Ours.
    Inherit,
    /// `/dev/null`.
    #[doc(alias = "DEVNULL")]
    Null,
    /// This one; it is closed here once the child has it.
    Fd(OwnedFd),
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self::Fd(fd)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::Fd(file.into())
    }
}

/// A descriptor of the child beyond 0, 1 and 2.
#[derive(Debug)]
pub(crate) enum Extra {
    FromChild,
    ToChild,
    Passed(OwnedFd),
}

pub(crate) struct Settings {
    pub(crate) command: Command,
    /// stdin, stdout and stderr; `None` leaves it as the command says.
    pub(crate) stdio: [Option<Stdio>; 3],
    pub(crate) merged: bool,
    pub(crate) extra: Vec<(RawFd, Extra)>,
    pub(crate) session: bool,
    /// What its session has as its terminal, and what a standard descriptor is of which nothing else was said.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) pipes: StreamOptions,
}

impl Settings {
    pub(crate) fn new(command: Command, stdio: [Option<Stdio>; 3]) -> Self {
        let pipes = StreamOptions {
            // A child may take its time before it reads on, and its end is the end of every write to it.
            close_timeout: None,
            // What may be queued is what a busy pipe holds, so that one write fills it; with less, a paused protocol is
            // resumed for a part of a pipe at a time.
            limits: Limits::high(BUSY),
            ..StreamOptions::default()
        };
        Self {
            command,
            stdio,
            merged: false,
            extra: Vec::new(),
            session: false,
            terminal: None,
            pipes,
        }
    }

    pub(crate) fn limits(&mut self, limits: Limits) {
        self.pipes.limits = limits;
    }

    pub(crate) fn close_timeout(&mut self, timeout: Option<Duration>) {
        self.pipes.close_timeout = timeout;
    }
}

/// Gives a builder with a field `settings: Settings` the setters of a command.
macro_rules! command_setters {
    () => {
        /// One more argument.
        pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
            self.settings.command.arg(arg);
            self
        }

        /// More arguments.
        pub fn args(mut self, args: impl IntoIterator<Item: AsRef<std::ffi::OsStr>>) -> Self {
            self.settings.command.args(args);
            self
        }

        /// What the child finds as its own name; the program's, unless said otherwise.
        pub fn arg0(mut self, name: impl AsRef<std::ffi::OsStr>) -> Self {
            std::os::unix::process::CommandExt::arg0(&mut self.settings.command, name);
            self
        }

        /// Sets a variable of the child's environment; it inherits the others.
        pub fn env(
            mut self,
            name: impl AsRef<std::ffi::OsStr>,
            value: impl AsRef<std::ffi::OsStr>,
        ) -> Self {
            self.settings.command.env(name, value);
            self
        }

        /// Sets several variables.
        pub fn envs<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
        where
            N: AsRef<std::ffi::OsStr>,
            V: AsRef<std::ffi::OsStr>,
        {
            self.settings.command.envs(variables);
            self
        }

        /// Takes a variable out of the child's environment.
        pub fn env_remove(mut self, name: impl AsRef<std::ffi::OsStr>) -> Self {
            self.settings.command.env_remove(name);
            self
        }

        /// The child inherits no variable.
        pub fn env_clear(mut self) -> Self {
            self.settings.command.env_clear();
            self
        }

        /// The child's working directory; ours unless said otherwise. A program with a relative path may be looked for
        /// from here or from there, so give it an absolute one.
        #[doc(alias = "cwd")]
        pub fn current_dir(mut self, folder: impl AsRef<std::path::Path>) -> Self {
            self.settings.command.current_dir(folder);
            self
        }

        /// The process group of the child; zero begins one of its own, which a signal to our terminal does not reach.
        pub fn process_group(mut self, group: i32) -> Self {
            std::os::unix::process::CommandExt::process_group(&mut self.settings.command, group);
            self
        }

        /// The limits of the write buffer of each pipe; 256 KiB and 64 KiB unless said otherwise, as much as a busy
        /// pipe holds, so that a child that reads fast is fed by few calls.
        pub fn write_buffer_limits(mut self, limits: wharf_core::Limits) -> Self {
            self.settings.limits(limits);
            self
        }

        /// How long closing a pipe to the child may go without the child's reading; for ever unless said otherwise.
        /// Closing the child itself does not wait for it.
        pub fn close_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
            self.settings.close_timeout(timeout);
            self
        }

        /// Begins a session of its own, without a terminal. Slow: see [the crate](crate#what-a-start-costs).
        #[doc(alias = "start_new_session")]
        #[doc(alias = "setsid")]
        pub fn session(mut self) -> Self {
            self.settings.session = true;
            self
        }

        /// The user that the child runs as. Slow: see [the crate](crate#what-a-start-costs).
        ///
        /// The groups of the child are then none but its [`group`](Self::group).
        pub fn user(mut self, user: u32) -> Self {
            std::os::unix::process::CommandExt::uid(&mut self.settings.command, user);
            self
        }

        /// The group that the child runs as. Slow: see [the crate](crate#what-a-start-costs).
        pub fn group(mut self, group: u32) -> Self {
            std::os::unix::process::CommandExt::gid(&mut self.settings.command, group);
            self
        }

        /// Gives the child `fd` under the number `number`, from 3 on. Slow: see [the
        /// crate](crate#what-a-start-costs).
        #[doc(alias = "pass_fds")]
        pub fn pass_fd(mut self, number: i32, fd: impl Into<std::os::fd::OwnedFd>) -> Self {
            self.settings.extra.push((number, $crate::settings::Extra::Passed(fd.into())));
            self
        }
    };
}
pub(crate) use command_setters;
