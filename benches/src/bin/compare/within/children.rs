//! Children: starting one and waiting for it, and much data through one; plain system calls, tokio, wharf.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf::subprocess::{self, Stdio as WharfStdio};
use wharf::{
    EventLoop, Flow, LoopHandle, PipeTransport, SubprocessProtocol, SubprocessTransportRef,
};

use wharf_benches::affinity::{GENERATOR_CPU, SERVER_CPU, pin, pin_process};

use super::{Contender, contender, timed, worked, wrong};

/// Children started one after the other.
pub(super) const CHILDREN: u64 = 300;

/// MiB sent through a child.
pub(super) const MIB: u64 = 64;

const SIZE: usize = MIB as usize * 1024 * 1024;

/// What is written at a time, by tokio and by wharf: as much as a pipe holds from its making on.
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
        contender("the same with a pidfd", move || measure.of(starts_pidfd)),
        contender("the same with a pidfd on epoll", move || measure.of(starts_epoll)),
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

/// Sends data through `cat` and counts what comes back; we on one CPU and `cat` on another, because what this costs
/// depends on that more than on anything else.
pub(super) fn through(measure: Measure) -> Vec<Contender> {
    let by_hand = |name, pipe| contender(name, move || measure.of(|| through_poll(pipe)));
    let wharf = |name, owned| {
        contender(name, move || {
            let mut ev = EventLoop::new()?;
            let handle = ev.handle().clone();
            measure.of(|| ev.block_on(through_wharf(&handle, owned)))
        })
    };
    vec![
        by_hand("poll and pipes of 64 KiB", 64 * 1024),
        by_hand("poll and pipes of 256 KiB", 256 * 1024),
        by_hand("poll and pipes of 1 MiB", 1024 * 1024),
        contender("tokio process", move || {
            let runtime = runtime()?;
            measure.of(|| runtime.block_on(through_tokio()))
        }),
        wharf("wharf subprocess, write", false),
        wharf("wharf subprocess, write_bytes", true),
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

/// What a pidfd costs by itself: it is waited for as the child was, in place.
fn starts_pidfd() -> io::Result<()> {
    for _ in 0..CHILDREN {
        let child = Command::new(PROGRAM).spawn()?;
        let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        reap(&end, WaitIdOptions::EXITED)?;
    }
    Ok(())
}

/// What a loop cannot do without: it waits for a child as for anything else.
fn starts_epoll() -> io::Result<()> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut events = Vec::with_capacity(8);
    for _ in 0..CHILDREN {
        let child = Command::new(PROGRAM).spawn()?;
        let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        epoll::add(&poller, &end, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        events.clear();
        epoll::wait(&poller, spare_capacity(&mut events), None)?;
        reap(&end, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
    }
    Ok(())
}

fn reap(end: &OwnedFd, options: WaitIdOptions) -> io::Result<()> {
    let status = waitid(WaitId::PidFd(end.as_fd()), options)?;
    match status.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        _ => Err(wrong("a child failed")),
    }
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

/// We here, the child there.
fn apart(child: u32) -> io::Result<()> {
    pin(SERVER_CPU)?;
    pin_process(child, GENERATOR_CPU)
}

/// With pipes that hold `size` bytes, and as much written and read at a time.
fn through_poll(size: usize) -> io::Result<()> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(wrong("a pipe is missing"));
    };
    apart(child.id())?;
    let (stdin, stdout) = (OwnedFd::from(stdin), OwnedFd::from(stdout));
    for fd in [&stdin, &stdout] {
        rustix::io::ioctl_fionbio(fd, true)?;
        fcntl_setpipe_size(fd, size)?;
    }
    let mut stdin = Some(stdin);
    let (chunk, mut buffer) = (vec![b'x'; size], vec![0; size]);
    let (mut sent, mut received) = (0, 0);
    while received < SIZE {
        let mut fds = vec![PollFd::new(&stdout, PollFlags::IN)];
        if let Some(stdin) = &stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        poll(&mut fds, None)?;
        if let Some(pipe) = &stdin {
            match rustix::io::write(pipe, &chunk[..size.min(SIZE - sent)]) {
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
    apart(child.id().ok_or_else(|| wrong("it has ended"))?)?;
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
    chunk: Bytes,
    /// Whether it is given away, and not copied where it must be queued.
    owned: bool,
    sent: usize,
    received: Rc<Cell<usize>>,
}

impl Through {
    fn send(&mut self, transport: &SubprocessTransportRef) {
        let Some(PipeTransport::Write(stdin)) = transport.pipe_transport(0) else { return };
        while self.sent < SIZE {
            self.sent += CHUNK;
            let flow = if self.owned {
                stdin.write_bytes(self.chunk.clone())
            } else {
                stdin.write(&self.chunk)
            };
            if flow != Flow::Open {
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

async fn through_wharf(handle: &LoopHandle, owned: bool) -> io::Result<()> {
    let received = Rc::new(Cell::new(0));
    let counted = Rc::clone(&received);
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let factory = move || Through { chunk, owned, sent: 0, received: counted };
    let child = subprocess::exec(handle, "cat", NONE, factory).stderr(WharfStdio::Inherit);
    let (transport, _) = child.await?;
    apart(transport.pid())?;
    transport.finished().await;
    if received.get() == SIZE { Ok(()) } else { Err(wrong("bytes were lost")) }
}
