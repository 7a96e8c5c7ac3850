//! What a connection at rest costs: connections to a server process of its own, and a look at that process's memory.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::{env, fs};

use wharf::{Address, EventLoop, LoopHandle, OneshotSender, Protocol, TransportRef, oneshot};

use super::options::IDLE_SERVER;
use super::place::{self, Kind, Target};
use super::{Error, PATIENCE, server};

/// Connections that are there before the first look, so that what a server sets up once is not counted.
const FIRST: usize = 16;

/// Descriptors that are not connections: standard ones, the loop's.
const OTHER_DESCRIPTORS: usize = 64;

/// What each connection says once.
const WORD: &[u8] = &[b'x'; 64];

/// The bytes of one of `count` idle connections, where this system can tell.
///
/// # Errors
/// When the server does not start or a connection fails.
pub(super) fn measure(kind: Kind, folder: &Path, count: usize) -> Result<Option<u64>, Error> {
    let count = count.min(descriptors().saturating_sub(FIRST + OTHER_DESCRIPTORS));
    // A peer that sends no datagrams is nothing to an endpoint, and a child at rest is no connection at rest.
    let none = kind.has_datagrams() || kind == Kind::Cat;
    if count == 0 || none || anonymous_memory("self").is_none() {
        return Ok(None);
    }
    let mut server = IdleServer::start(kind, folder)?;
    let to = Target::new(kind, server.listening_on()?, folder)?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let process = server.0.id().to_string();
    let speak = async |count| {
        let mut transports = Vec::with_capacity(count);
        for _ in 0..count {
            transports.push(speak_once(&handle, &to).await?);
        }
        Ok::<_, Error>(transports)
    };
    let (before, after) = ev.block_on(async {
        let first = speak(FIRST).await?;
        let before = anonymous_memory(&process);
        let idle = speak(count).await?;
        let after = anonymous_memory(&process);
        drop((first, idle));
        Ok::<_, Error>((before, after))
    })?;
    let growth = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(growth.map(|bytes| bytes / count as u64))
}

/// Makes a connection, says a word, and waits until it comes back.
async fn speak_once(handle: &LoopHandle, to: &Target) -> Result<TransportRef, Error> {
    let (sender, heard) = oneshot();
    let speaker = Speaker { missing: WORD.len(), heard: Some(sender) };
    let (transport, _): (_, Rc<RefCell<Speaker>>) = to.connect(handle, speaker).await?;
    transport.write(WORD);
    match handle.timeout(PATIENCE, heard).await? {
        Some(()) => Ok(transport),
        None => Err("an idle connection was lost".into()),
    }
}

struct Speaker {
    missing: usize,
    heard: Option<OneshotSender<()>>,
}

impl Protocol for Speaker {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.missing = self.missing.saturating_sub(data.len());
        if self.missing == 0 {
            if let Some(heard) = self.heard.take() {
                let _ = heard.send(());
            }
        }
    }
}

/// The demo once more, as a server only; it ends when its standard input does.
struct IdleServer(Child);

impl IdleServer {
    fn start(kind: Kind, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args([IDLE_SERVER, kind.name()]).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map(Self)
    }

    fn listening_on(&mut self) -> Result<Address, Error> {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().ok_or("the server has no standard output")?;
        // Not without a bound: a server that fails ends, and with it its output.
        BufReader::new(stdout).read_line(&mut line)?;
        let line = line.trim_end();
        place::parse(line).map_err(|_| format!("the idle server said {line:?}").into())
    }
}

impl Drop for IdleServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves until standard input ends; prints where.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn serve(kind: Kind, folder: &Path) -> Result<(), Error> {
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server = ev.block_on(server::listen(&handle, kind, kind.place(folder), 1024, folder))?;
    let mut stdout = io::stdout();
    for address in server.addresses() {
        writeln!(stdout, "{address}")?;
    }
    stdout.flush()?;
    let stop = handle.clone();
    handle.add_reader(io::stdin(), move || {
        if io::stdin().read(&mut [0; 64]).is_ok_and(|count| count == 0) {
            stop.stop();
        }
    })?;
    ev.run_forever()?;
    server.close();
    Ok(())
}

/// How many bytes of heap and stack a process has in memory, where the system tells.
fn anonymous_memory(process: &str) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// How many descriptors this process, and a server like it, may have; a careful guess where the system does not tell.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(256)
}
