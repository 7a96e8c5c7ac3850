//! Other people's programs: found, run, and ended after a while whatever they do.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use crate::throwaway::Throwaway;

/// How long a program may take that takes milliseconds on a healthy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether `tool` can be started with `probe`; says so when it cannot.
// A notice belongs where the test's reader looks.
#[allow(clippy::print_stderr)]
pub(crate) fn is_there(tool: &str, probe: &[&str]) -> bool {
    let mut command = Command::new(tool);
    command.args(probe).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("notice: {tool} is not there; this test is skipped");
    }
    there
}

/// What a program printed, and whether it was content.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) success: bool,
}

impl Output {
    /// Fails the test unless all of `wanted` was printed.
    #[track_caller]
    pub(crate) fn has(&self, wanted: &[&str]) {
        for wanted in wanted {
            assert!(self.text.contains(wanted), "no {wanted:?} in\n{}", self.text);
        }
    }
}

/// A program that runs; it is ended with the value.
pub(crate) struct Program {
    child: Child,
    output: Receiver<String>,
    /// What it printed until it was ready.
    heard: String,
}

impl Program {
    /// Starts `command` and writes `input` to it, without ending the input.
    pub(crate) fn start(mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // One more line than asked for would be a surprise: the user's settings are left out.
        command.env_remove("SSLKEYLOGFILE").env("OPENSSL_CONF", "/dev/null");
        let mut child = command.spawn().expect("the program was found before");
        let (sender, output) = channel();
        let errors = child.stderr.take().expect("it is piped");
        let text = child.stdout.take().expect("it is piped");
        let copy = sender.clone();
        thread::spawn(move || tell(errors, &copy));
        thread::spawn(move || tell(text, &sender));
        let stdin = child.stdin.as_mut().expect("it is piped");
        // A program that has ended already says why in its output.
        let _ = stdin.write_all(input.as_bytes());
        Self { child, output, heard: String::new() }
    }

    /// Waits for the line that begins with `prefix`, and gives the rest of it.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut lines = self.heard.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(rest) = lines.find_map(|line| line.strip_prefix(prefix)) {
                return rest.trim().to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(text) => self.heard.push_str(&text),
                Err(_) => panic!("no line {prefix:?} in\n{}", self.heard),
            }
        }
    }

    /// Waits until it has printed `wanted`, after what was waited for before.
    pub(crate) fn until(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.find(wanted) {
                self.heard.drain(..at + wanted.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(text) => self.heard.push_str(&text),
                Err(_) => panic!("no {wanted:?} in\n{}", self.heard),
            }
        }
    }

    /// Writes to it.
    pub(crate) fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("the program reads");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        let mut text = std::mem::take(&mut self.heard);
        while let Ok(more) =
            self.output.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            text.push_str(&more);
        }
        if Instant::now() >= deadline {
            let _ = self.child.kill();
            panic!("the program did not end; it printed\n{text}");
        }
        let success = self.child.wait().expect("it was started").success();
        Output { text, success }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what is printed, as it is printed.
fn tell<R: Read>(from: R, to: &Sender<String>) {
    let mut from = BufReader::new(from);
    loop {
        let count = match from.fill_buf() {
            Ok([]) | Err(_) => return,
            Ok(bytes) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                if to.send(text).is_err() {
                    return;
                }
                bytes.len()
            }
        };
        from.consume(count);
    }
}

/// Runs `command` to its end.
pub(crate) fn run(command: Command, input: &str) -> Output {
    Program::start(command, input).end()
}

/// An authority and a folder with what it has issued, in files; the folder is gone when the test is over.
pub(crate) struct Papers {
    pub(crate) authority: Throwaway,
    folder: PathBuf,
}

impl Papers {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("wharf-interop-{}-{number}", process::id()));
        fs::create_dir(&folder).expect("a folder can be made");
        let authority = Throwaway::new().expect("there is randomness");
        let papers = Self { authority, folder };
        papers.authority.publish(&papers.path("ca.pem")).expect("a file can be written");
        for name in ["localhost", "me.example"] {
            let (certificate, key) = papers.authority.issue(&[name, "127.0.0.1"]).unwrap();
            fs::write(papers.path(&format!("{name}.crt")), certificate).unwrap();
            fs::write(papers.path(&format!("{name}.key")), key).unwrap();
        }
        papers
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The path as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        let path: &Path = &self.path(name);
        path.to_str().expect("the folder has a plain name").to_owned()
    }

    pub(crate) fn identity(&self, name: &str) -> wharf::tls::config::Identity {
        let file = |kind: &str| self.path(&format!("{name}.{kind}"));
        wharf::tls::config::Identity::pem_files(file("crt"), file("key"))
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
