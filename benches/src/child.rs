//! A server process that has been started: it is ended when the value is dropped, whatever happened.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::affinity::{self, GENERATOR_CPU, SERVER_CPU};
use crate::allocations::Allocations;
use crate::foreign::{self, Folder, Foreign};
use crate::mode::Mode;

/// How long a server may take to end by itself; valgrind and strace write their files then.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    port: u16,
    /// What a foreign server keeps its files in.
    folder: Option<Folder>,
}

impl Server {
    /// Starts `binary` in `mode`, under `wrapper` (a tool and its arguments) if that is not empty, and waits for its port.
    ///
    /// # Errors
    ///
    /// The binary is missing, or ended before it told its port.
    pub fn start(binary: &str, mode: Mode, wrapper: &[&OsStr]) -> io::Result<Self> {
        if let Some(server) = Foreign::named(binary) {
            return Self::start_foreign(server, wrapper);
        }
        let path = sibling(binary)?;
        let mut child = wrapped(&path, wrapper)
            .arg(mode.to_string())
            .arg(SERVER_CPU.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        let Some(out) = child.stdout.take() else { unreachable!("standard output is piped") };
        let mut server = Self { child, out: BufReader::new(out), port: 0, folder: None };
        let mut line = String::new();
        server.out.read_line(&mut line)?;
        server.port = line.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{binary} {mode} told no port: {line:?}"),
            )
        })?;
        Ok(server)
    }

    /// Starts one that neither pins itself nor tells its port, and waits until it listens.
    fn start_foreign(server: Foreign, wrapper: &[&OsStr]) -> io::Result<Self> {
        let (path, port, folder) = (server.path()?, foreign::free_port()?, Folder::new()?);
        let mut command = wrapped(&path, wrapper);
        command.args(server.arguments(port, &folder.0)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // What is started inherits the CPU.
        affinity::pin(SERVER_CPU)?;
        let child = command.spawn();
        affinity::pin(GENERATOR_CPU)?;
        let mut child = child?;
        let Some(out) = child.stdout.take() else { unreachable!("standard output is piped") };
        let server = Self { child, out: BufReader::new(out), port, folder: Some(folder) };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = TcpStream::connect(server.address()) {
            if Instant::now() > deadline {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its process, or that of its wrapper.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order and gives what it counted.
    ///
    /// # Errors
    ///
    /// It did not tell.
    pub fn finish(mut self) -> io::Result<Allocations> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        self.wait_or_kill();
        let mut words = line.split_ascii_whitespace().skip(1).map(str::parse);
        match (words.next(), words.next()) {
            (Some(Ok(count)), Some(Ok(bytes))) => Ok(Allocations { count, bytes }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the server's last words were {line:?}"),
            )),
        }
    }

    fn wait_or_kill(&mut self) {
        let runs = matches!(self.child.try_wait(), Ok(None));
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Some(_), true) = (pid, &self.folder, runs) {
            // One that is ending already is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Both may fail only because the child is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.wait_or_kill();
    }
}

/// Whether `binary` was built, or is installed.
#[must_use]
pub fn exists(binary: &str) -> bool {
    let path = Foreign::named(binary).map_or_else(|| sibling(binary), Foreign::path);
    path.is_ok_and(|path| path.exists())
}

/// The command that runs `path` under a tool, if there is one.
fn wrapped(path: &Path, wrapper: &[&OsStr]) -> Command {
    match wrapper {
        [] => Command::new(path),
        [tool, arguments @ ..] => {
            let mut command = Command::new(tool);
            command.args(arguments).arg(path);
            command
        }
    }
}

/// The binary that lies beside this one.
pub(crate) fn sibling(binary: &str) -> io::Result<PathBuf> {
    let mut path = env::current_exe()?;
    path.set_file_name(binary);
    Ok(path)
}
