//! Programs: found, run, heard, and ended after a while whatever they do.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long anything may take that takes milliseconds on a healthy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether `tool` can be started; says so when it cannot.
// A notice belongs where the test's reader looks.
#[allow(clippy::print_stderr)]
pub(crate) fn is_there(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok();
    if !there {
        eprintln!("notice: {tool} is not there; this test is skipped");
    }
    there
}

/// What a program printed, on either stream.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) out: Vec<u8>,
    pub(crate) errors: String,
}

impl Printed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Runs `tool` to its end, which must be a success.
#[track_caller]
pub(crate) fn run(tool: &str, args: &[impl AsRef<OsStr>], input: &[u8]) -> Printed {
    let mut command = Command::new(tool);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was found before");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // It may answer before it has read everything, and it may end before.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let (out, errors) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let printed = |from: &Receiver<Vec<u8>>| from.recv_timeout(PATIENCE);
    let (out, errors) = match (printed(&out), printed(&errors)) {
        (Ok(out), Ok(errors)) => (out, String::from_utf8_lossy(&errors).into_owned()),
        _ => {
            let _ = child.kill();
            panic!("{tool} did not end");
        }
    };
    let status = child.wait().expect("it was started");
    writer.join().expect("writing does not fail");
    let printed = Printed { out, errors };
    assert!(status.success(), "{tool}: {status}\n{}{}", printed.text(), printed.errors);
    printed
}

/// Everything that comes, once it has ended.
fn collect(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let mut from = from.expect("it is piped");
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = sender.send(all);
    });
    receiver
}

/// An example that serves; it is ended with the value.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: String,
}

impl Server {
    /// Starts the example at `path` on a port of its own, with these arguments behind the address.
    pub(crate) fn start(path: &str, more: &[&str]) -> Self {
        let mut command = Command::new(path);
        command.arg("127.0.0.1:0").args(more).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("cargo has built it");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, lines, address: String::new() };
        let line = server.line();
        server.address = line.strip_prefix("listening on ").expect("it says where").to_owned();
        server
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        stream
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it prints a line")
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        run("sh", &["-c", &format!("kill -TERM {}", self.child.id())], b"");
    }

    /// Waits for its end, which must be a success, and gives what it printed meanwhile.
    pub(crate) fn end(mut self) -> String {
        let mut printed = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => printed += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; it printed\n{printed}"),
            }
        }
        let status = self.child.wait().expect("it was started");
        assert!(status.success(), "{status}\n{printed}");
        printed
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
