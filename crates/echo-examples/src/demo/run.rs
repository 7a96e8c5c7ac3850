//! The main thread: one transport after the other, then the table.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;

use super::fleet::{self, Progress};
use super::options::{self, Options, Request};
use super::place::{Kind, Target};
use super::progress::Line;
use super::server::{self, ServerThread};
use super::table::{self, Row};
use super::{Error, idle, secrets, units};

/// Runs the demo with these arguments.
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    let outcome = match options::parse(args) {
        Ok(Request::Help) => say(options::HELP.trim_end()),
        Ok(Request::IdleServer(kind, folder)) => idle::serve(kind, &folder),
        Ok(Request::Run(options)) => everything(&options),
        Err(message) => {
            complain(&message);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn everything(options: &Options) -> Result<(), Error> {
    say(&heading(options))?;
    let folder = Folder::new()?;
    let mut rows = Vec::new();
    for kind in &options.kinds {
        let name = kind.name();
        if let Some(why) = kind.missing() {
            say(&format!("{name:<9} skipped: {why}"))?;
            continue;
        }
        if kind.is_secure() {
            secrets::make(&folder.0)?;
        }
        let row = one(*kind, options, &folder.0).map_err(|error| format!("{name}: {error}"))?;
        let elapsed = units::duration(row.voyage.elapsed);
        say(&format!("{name:<9} {} messages came back in {elapsed}", row.voyage.messages))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err("nothing was run".into());
    }
    say(&format!("\n{}", table::format(&rows)))?;
    say("every byte came back as it was sent")
}

fn heading(options: &Options) -> String {
    let each = match options.seconds {
        Some(duration) => format!("{} s", duration.as_secs()),
        None => format!("{} messages each", options.messages),
    };
    let (clients, size) = (options.clients, units::bytes(options.size));
    format!("wharf demo: {clients} clients, {each}, of 1 B to {size}, seed {}\n", options.seed)
}

/// Starts a server, drives it, ends it, and examines what it has counted.
fn one(kind: Kind, options: &Options, folder: &Path) -> Result<Row, Error> {
    let line = Line::new(options);
    line.show(kind.name(), Progress { messages: 0, elapsed: Duration::ZERO });
    let idle = idle::measure(kind, folder, options.idle)
        .map_err(|error| Error::from(format!("measuring idle connections: {error}")));
    let outcome = idle.and_then(|idle| Ok((idle, drive(kind, options, folder, &line)?)));
    line.clear();
    let (idle, voyage) = outcome?;
    Ok(Row { kind, clients: options.clients, voyage, idle })
}

fn drive(
    kind: Kind,
    options: &Options,
    folder: &Path,
    line: &Line,
) -> Result<fleet::Voyage, Error> {
    // As many may wait as will come at once.
    let backlog = u16::try_from(options.clients).unwrap_or(u16::MAX);
    let server = ServerThread::start(kind, folder, backlog)?;
    let target = Target::new(kind, server.address.clone(), folder)?;
    let voyage = fleet::run(options, &target, |progress| line.show(kind.name(), progress))?;
    server::examine(kind, &server.stop()?, options.clients)?;
    Ok(voyage)
}

/// Where the socket files are; removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("wharf-demo-{}", process::id()));
        // For us alone: there are keys in it.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is in the way of nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn say(text: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{text}").map_err(Error::from)
}

fn complain(message: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr(), "error: {message}");
}
