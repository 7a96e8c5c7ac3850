//! Running a program to its end: [`run`], [`run_shell`] and [`run_command`].

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use wharf_core::{PipeTransport, SubprocessProtocol, SubprocessTransportRef};
use wharf_reactor::LoopHandle;

use crate::exec::{shell_command, start};
use crate::settings::{Settings, Stdio, command_setters};

/// Enough for what programs say, and little enough that one which does not stop is harmless.
const LIMIT: usize = 16 * 1024 * 1024;

/// Runs `program` with `args` to its end, and gives its status and what it wrote to stdout and stderr.
///
/// Await it, after any of the settings of [`Run`].
/// It ends when the program has ended and nobody holds its stdout and stderr any more.
/// Dropping the future kills the program.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wharf_reactor::EventLoop;
/// use wharf_subprocess as subprocess;
///
/// let mut ev = EventLoop::new()?;
/// let handle = ev.handle().clone();
/// let output = ev.block_on(async { subprocess::run(&handle, "tr", ["a-z", "A-Z"]).input("hello").await })?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"HELLO");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Awaiting it fails with a [`RunError`]. A program that ends with another status than zero is not an error.
#[doc(alias = "communicate")]
pub fn run(
    handle: &LoopHandle,
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Run {
    let mut command = Command::new(program);
    command.args(args);
    run_command(handle, command)
}

/// Runs a line of the shell to its end. See [`run`], and the warning of [`shell`](crate::shell()).
pub fn run_shell(handle: &LoopHandle, line: impl AsRef<OsStr>) -> Run {
    run_command(handle, shell_command(line))
}

/// Runs a command of the standard library to its end. See [`run`].
pub fn run_command(handle: &LoopHandle, command: Command) -> Run {
    let stdio = [Some(Stdio::Null), Some(Stdio::Piped), Some(Stdio::Piped)];
    Run {
        handle: handle.clone(),
        settings: Settings::new(command, stdio),
        input: Bytes::new(),
        limit: LIMIT,
        timeout: None,
    }
}

/// A program to be run to its end: its settings. Awaiting it runs the program.
#[must_use = "a program is run when this is awaited"]
pub struct Run {
    handle: LoopHandle,
    pub(crate) settings: Settings,
    input: Bytes,
    limit: usize,
    timeout: Option<Duration>,
}

/// Why a program was not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] io::Error),
    /// It wrote more than the limit to this descriptor, and was killed. What was kept of it is no more than the limit.
    #[error("more than {limit} bytes came on descriptor {fd}")]
    TooMuch {
        /// stdout or stderr.
        fd: i32,
        /// The limit.
        limit: usize,
        /// What came until then.
        output: Output,
    },
    /// It took longer than it may, and was killed.
    #[error("it took longer than {timeout:?}")]
    TimedOut {
        /// How long it may take.
        timeout: Duration,
        /// What came until then.
        output: Output,
    },
}

impl Run {
    command_setters!();

    /// What the program reads on stdin; nothing unless said otherwise. A program that does not read it all does not mind.
    pub fn input(mut self, input: impl Into<Bytes>) -> Self {
        self.input = input.into();
        self.settings.stdio[0] = Some(Stdio::Piped);
        self
    }

    /// Keeps no more than `bytes` of stdout, and of stderr; a program that writes more is killed. 16 MiB unless said
    /// otherwise.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Kills the program when it, and whoever has inherited its pipes, take longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes stderr the same as stdout.
    pub fn merge_stderr(mut self) -> Self {
        self.settings.merged = true;
        self
    }

    async fn start(self) -> Result<Output, RunError> {
        let keep = Keep { limit: self.limit, ..Keep::default() };
        let (starting, keep) = start(&self.handle, self.settings, || keep)?;
        let running = Running(starting.await?);
        if let Some(PipeTransport::Write(stdin)) = running.0.pipe_transport(0) {
            stdin.write_bytes(self.input);
            stdin.close();
        }
        let finished = running.0.finished();
        let in_time = match self.timeout {
            None => Some(finished.await),
            Some(timeout) => self.handle.timeout(timeout, finished).await.ok(),
        };
        let status = match in_time {
            Some(status) => status,
            None => {
                running.0.abort();
                running.0.finished().await
            }
        };
        let keep = keep.take();
        let [stdout, stderr] = keep.kept;
        let output = Output { status, stdout, stderr };
        match (keep.exceeded, self.timeout) {
            (Some(fd), _) => Err(RunError::TooMuch { fd, limit: self.limit, output }),
            (None, Some(timeout)) if in_time.is_none() => {
                Err(RunError::TimedOut { timeout, output })
            }
            _ => Ok(output),
        }
    }
}

impl IntoFuture for Run {
    type Output = Result<Output, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("command", &self.settings.command).finish_non_exhaustive()
    }
}

/// Kills the program when whoever waits for it gives up.
struct Running(SubprocessTransportRef);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps what comes, up to a limit.
#[derive(Default)]
struct Keep {
    limit: usize,
    kept: [Vec<u8>; 2],
    exceeded: Option<i32>,
}

impl SubprocessProtocol for Keep {
    fn pipe_data_received(&mut self, transport: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        let kept = &mut self.kept[usize::from(fd == 2)];
        let room = self.limit - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room && self.exceeded.is_none() {
            self.exceeded = Some(fd);
            transport.abort();
        }
    }
}
