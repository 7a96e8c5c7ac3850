//! The program of an example: started, listened to, ended.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::wire::wait_for;
use crate::Result;

/// How a server says where it listens; its first line.
const LISTENING: &str = "listening on ";

pub(super) struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    pub(super) fn start(program: &Path, args: &[String]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let output = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Ok(Self { child, output, reader: Some(reader) })
    }

    /// What it has printed so far.
    pub(super) fn printed(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it says that it listens.
    pub(super) fn listening_on(&mut self) -> Result<String> {
        wait_for("the line `listening on ..`", || {
            let printed = self.printed();
            let address = printed.split_once('\n').map(|(first, _)| {
                let address = first.strip_prefix(LISTENING).map(str::to_owned);
                address.ok_or_else(|| {
                    format!("the first line is {first:?}, not `{LISTENING}..`").into()
                })
            });
            if address.is_none() && self.child.try_wait()?.is_some() {
                return Err("the program ended before it listened".into());
            }
            address.transpose()
        })
    }

    /// Waits for it to end by itself, which must be a success.
    pub(super) fn exits(&mut self) -> Result {
        let status = wait_for("the program's end", || Ok(self.child.try_wait()?))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the program ended with {status}").into())
        }
    }

    /// Ends it, and returns all that it printed.
    pub(super) fn end(mut self) -> String {
        self.stop();
        self.printed()
    }

    fn stop(&mut self) {
        // A program that has ended already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
