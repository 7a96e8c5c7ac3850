//! Children: starting one and waiting for it, and much data through one; plain system calls, tokio, wharf.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf::subprocess::{self, Stdio as WharfStdio};
use wharf::{
    EventLoop, Flow, LoopHandle, PipeTransport, SubprocessProtocol, SubprocessTransportRef,
};

use super::{Contender, contender, timed, worked, wrong};

/// Children started one after the other.
pub(super) const CHILDREN: u64 = 300;

/// MiB sent through a child.
pub(super) const MIB: u64 = 64;

const SIZE: usize = MIB as usize * 1024 * 1024;

/// What is written and read at a time, by hand and by tokio: as much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Ends at once, and costs as little as a program can.
const PROGRAM: &str = "true";

const NONE: [&str; 0] = [];

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Measure {
    /// The CPU time of this thread; what the children take is not in it.
    Own,
    /// The clock on the wall.
    Wall,
}

impl Measure {
    fn of(self, work: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
        let (took, outcome) = match self {
            Self::Own => worked(work),
            Self::Wall => timed(work),
        };
        outcome.map(|()| took)
    }
}

/// Starts children and waits for each, without pipes.
pub(super) fn starts(measure: Measure) -> Vec<Contender> {
    vec![
        contender("std: posix_spawn and wait", move || measure.of(starts_std)),
        contender("tokio process", move || {
            let runtime = runtime()?;
            measure.of(|| runtime.block_on(starts_tokio()))
        }),
        contender("wharf subprocess", move || {
            let mut ev = EventLoop::new()?;
            let handle = ev.handle().clone();
            measure.of(|| ev.block_on(starts_wharf(&handle)))
        }),
    ]
}

/// Sends data through `cat` and counts what comes back.
pub(super) fn through(measure: Measure) -> Vec<Contender> {
    vec![
        contender("poll and pipes of 64 KiB", move || measure.of(through_poll)),
        contender("tokio process", move || {
            let runtime = runtime()?;
            measure.of(|| runtime.block_on(through_tokio()))
        }),
        contender("wharf subprocess", move || {
            let mut ev = EventLoop::new()?;
            let handle = ev.handle().clone();
            measure.of(|| ev.block_on(through_wharf(&handle)))
        }),
    ]
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

// ---- starting ----

fn starts_std() -> io::Result<()> {
    for _ in 0..CHILDREN {
        let status = Command::new(PROGRAM).status()?;
        if !status.success() {
            return Err(wrong("a child failed"));
        }
    }
    Ok(())
}

async fn starts_tokio() -> io::Result<()> {
    for _ in 0..CHILDREN {
        let status = tokio::process::Command::new(PROGRAM).status().await?;
        if !status.success() {
            return Err(wrong("a child failed"));
        }
    }
    Ok(())
}

struct Quiet;

impl SubprocessProtocol for Quiet {}

async fn starts_wharf(handle: &LoopHandle) -> io::Result<()> {
    for _ in 0..CHILDREN {
        let child = subprocess::exec(handle, PROGRAM, NONE, || Quiet)
            .stdin(WharfStdio::Inherit)
            .stdout(WharfStdio::Inherit)
            .stderr(WharfStdio::Inherit);
        let (transport, _) = child.await?;
        if !transport.finished().await.success() {
            return Err(wrong("a child failed"));
        }
    }
    Ok(())
}

// ---- much data ----

fn through_poll() -> io::Result<()> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(wrong("a pipe is missing"));
    };
    let (stdin, stdout) = (OwnedFd::from(stdin), OwnedFd::from(stdout));
    for fd in [&stdin, &stdout] {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    let mut stdin = Some(stdin);
    let (chunk, mut buffer) = (vec![b'x'; CHUNK], vec![0; CHUNK]);
    let (mut sent, mut received) = (0, 0);
    while received < SIZE {
        let mut fds = vec![PollFd::new(&stdout, PollFlags::IN)];
        if let Some(stdin) = &stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        poll(&mut fds, None)?;
        if let Some(pipe) = &stdin {
            match rustix::io::write(pipe, &chunk[..CHUNK.min(SIZE - sent)]) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            if sent == SIZE {
                stdin = None;
            }
        }
        match rustix::io::read(stdout.as_fd(), &mut buffer) {
            Ok(0) => return Err(wrong("cat ended too early")),
            Ok(count) => received += count,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    child.wait().map(drop)
}

async fn through_tokio() -> io::Result<()> {
    let mut child =
        tokio::process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(wrong("a pipe is missing"));
    };
    let send = async move {
        let chunk = vec![b'x'; CHUNK];
        for _ in 0..SIZE / CHUNK {
            stdin.write_all(&chunk).await?;
        }
        Ok::<_, io::Error>(())
    };
    let receive = async move {
        let (mut buffer, mut received) = (vec![0; CHUNK], 0);
        loop {
            match stdout.read(&mut buffer).await? {
                0 => return Ok::<_, io::Error>(received),
                count => received += count,
            }
        }
    };
    let sending = tokio::spawn(send);
    let received = receive.await?;
    sending.await.map_err(io::Error::other)??;
    if received != SIZE {
        return Err(wrong("bytes were lost"));
    }
    child.wait().await.map(drop)
}

/// Sends what `cat` takes, and counts.
struct Through {
    chunk: Vec<u8>,
    sent: usize,
    received: Rc<Cell<usize>>,
}

impl Through {
    fn send(&mut self, transport: &SubprocessTransportRef) {
        let Some(PipeTransport::Write(stdin)) = transport.pipe_transport(0) else { return };
        while self.sent < SIZE {
            self.sent += CHUNK;
            if stdin.write(&self.chunk) != Flow::Open {
                return;
            }
        }
        stdin.close();
    }
}

impl SubprocessProtocol for Through {
    fn connection_made(&mut self, transport: &SubprocessTransportRef) {
        self.send(transport);
    }

    fn resume_writing(&mut self, transport: &SubprocessTransportRef, _: i32) {
        self.send(transport);
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, _: i32, data: &[u8]) {
        self.received.set(self.received.get() + data.len());
    }
}

async fn through_wharf(handle: &LoopHandle) -> io::Result<()> {
    let received = Rc::new(Cell::new(0));
    let counted = Rc::clone(&received);
    let factory = || Through { chunk: vec![b'x'; CHUNK], sent: 0, received: counted };
    let child = subprocess::exec(handle, "cat", NONE, factory).stderr(WharfStdio::Inherit);
    let (transport, _) = child.await?;
    transport.finished().await;
    if received.get() == SIZE { Ok(()) } else { Err(wrong("bytes were lost")) }
}
