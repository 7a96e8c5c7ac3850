//! Starting a child under a protocol: [`exec`], [`shell`] and [`from_command`].

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use wharf_core::{BaseTransport, IntoSubprocessProtocol, SubprocessTransportRef};
use wharf_reactor::{LoopClosed, LoopHandle};

use crate::process::Process;
use crate::settings::{Extra, Settings, Stdio, command_setters};

/// What starting gives: the transport, and the protocol as the user keeps it.
pub type Started<P> = (SubprocessTransportRef, <P as IntoSubprocessProtocol>::Shared);

/// Starts `program` with `args` and puts the protocol of `factory` on it; stdin, stdout and stderr are piped unless said
/// otherwise.
///
/// Await it, after any of the settings of [`Exec`].
/// It ends after `connection_made` has returned and before anything else is told.
/// Dropping the future takes everything back: the child is killed and reaped.
///
/// # Errors
/// Awaiting it fails with a [`StartError`](crate::StartError) inside an `io::Error` of its kind, `NotFound` and
/// `PermissionDenied` among them; the protocol hears nothing then.
#[doc(alias = "subprocess_exec")]
pub fn exec<P, F>(
    handle: &LoopHandle,
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item: AsRef<OsStr>>,
    factory: F,
) -> Exec<F>
where
    P: IntoSubprocessProtocol,
    F: FnOnce() -> P,
{
    let mut command = Command::new(program);
    command.args(args);
    Exec::new(handle, Settings::new(command, all_piped()), factory)
}

/// Starts the shell, `/bin/sh`, with a command line. See [`exec`].
///
/// What is put into the line is run: never build it from what others have sent, but pass that by
/// [`arg`](Exec::arg) after a name for `$0`, and write `"$1"` in the line.
#[doc(alias = "subprocess_shell")]
pub fn shell<P, F>(handle: &LoopHandle, line: impl AsRef<OsStr>, factory: F) -> Exec<F>
where
    P: IntoSubprocessProtocol,
    F: FnOnce() -> P,
{
    Exec::new(handle, Settings::new(shell_command(line), all_piped()), factory)
}

/// Starts a command of the standard library. What it says about stdin, stdout and stderr holds: what is piped there is a
/// transport, and what it does not mention is inherited. See [`exec`].
#[doc(alias = "Popen")]
pub fn from_command<P, F>(handle: &LoopHandle, command: Command, factory: F) -> Exec<F>
where
    P: IntoSubprocessProtocol,
    F: FnOnce() -> P,
{
    Exec::new(handle, Settings::new(command, [None, None, None]), factory)
}

fn all_piped() -> [Option<Stdio>; 3] {
    [Some(Stdio::Piped), Some(Stdio::Piped), Some(Stdio::Piped)]
}

pub(crate) fn shell_command(line: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line);
    command
}

/// A child to be: its settings. Awaiting it starts the child.
#[must_use = "a child is started when this is awaited"]
pub struct Exec<F> {
    handle: LoopHandle,
    pub(crate) settings: Settings,
    factory: F,
}

impl<F> Exec<F> {
    command_setters!();

    fn new(handle: &LoopHandle, settings: Settings, factory: F) -> Self {
        Self { handle: handle.clone(), settings, factory }
    }

    /// What the child reads from.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.settings.stdio[0] = Some(stdin.into());
        self
    }

    /// What the child writes to.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.settings.stdio[1] = Some(stdout.into());
        self
    }

    /// What the child writes its errors to.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.settings.stdio[2] = Some(stderr.into());
        self
    }

    /// Gives the child a terminal: `slave`, of [`pty::open`](crate::pty::open), is its stdin, stdout and stderr, and
    /// the terminal that controls the [`session`](Self::session) that it begins, so that what is typed into the master
    /// reaches it as signals, too. Slow: see [the crate](crate#what-a-start-costs).
    ///
    /// What is said about a standard descriptor after this holds instead.
    /// Awaiting it fails when `slave` is no terminal, or already controls a session.
    /// `slave` is closed here once the child has it, so that the master hears of the child's end.
    pub fn terminal(mut self, slave: impl Into<OwnedFd>) -> Self {
        self.settings.stdio = [None, None, None];
        self.settings.terminal = Some(slave.into());
        self
    }

    /// Makes stderr the same as stdout, so that both come on descriptor 1, in the order in which the child writes.
    #[doc(alias = "STDOUT")]
    pub fn merge_stderr(mut self) -> Self {
        self.settings.merged = true;
        self
    }

    /// One more pipe that the child writes to, as its descriptor `number`, from 3 on. Slow: see [the
    /// crate](crate#what-a-start-costs).
    pub fn pipe_from_child(mut self, number: i32) -> Self {
        self.settings.extra.push((number, Extra::FromChild));
        self
    }

    /// One more pipe that the child reads from, as its descriptor `number`, from 3 on. Slow: see [the
    /// crate](crate#what-a-start-costs).
    pub fn pipe_to_child(mut self, number: i32) -> Self {
        self.settings.extra.push((number, Extra::ToChild));
        self
    }
}

/// Starts a child and puts the protocol of `factory` on it. What is to be awaited ends after `connection_made` has returned.
///
/// Not `async`, because then the settings would be moved from one future into another, and a start is short of caches.
pub(crate) fn start<P: IntoSubprocessProtocol>(
    handle: &LoopHandle,
    settings: Settings,
    factory: impl FnOnce() -> P,
) -> io::Result<(Starting, P::Shared)> {
    if handle.is_closed() {
        return Err(io::Error::other(LoopClosed));
    }
    let (shared, protocol) = factory().share();
    let process = Process::new(handle, settings, protocol)?;
    process.begin_soon();
    Ok((Starting { process, begun: false }, shared))
}

impl<P, F> IntoFuture for Exec<F>
where
    P: IntoSubprocessProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    type Output = io::Result<Started<P>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (starting, shared) = start(&self.handle, self.settings, self.factory)?;
            Ok((starting.await?, shared))
        })
    }
}

impl<F> fmt::Debug for Exec<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("command", &self.settings.command).finish_non_exhaustive()
    }
}

/// A child whose maker waits for it to begin. Without that, dropping this takes the child back: without a word if its
/// protocol knows nothing, else by an abort.
pub(crate) struct Starting {
    process: Rc<Process>,
    begun: bool,
}

impl Future for Starting {
    type Output = io::Result<SubprocessTransportRef>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outcome) = ready!(self.process.poll_begun(cx)) else {
            return Poll::Ready(Err(io::Error::other(LoopClosed)));
        };
        self.begun = true;
        Poll::Ready(outcome.map(|()| self.process.transport()).map_err(io::Error::other))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if !self.begun && !self.process.abandon() {
            self.process.abort();
        }
    }
}
