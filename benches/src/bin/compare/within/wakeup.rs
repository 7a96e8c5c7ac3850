//! Messages between threads: a locked queue with an eventfd, tokio's channel, `Remote::post`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use wharf_benches::affinity::{SERVER_CPU, pin};

use super::{Contender, contender, timed, wrong};

/// Messages sent without a pause.
pub(super) const MESSAGES: u64 = 1_000_000;

/// Messages sent to and fro.
pub(super) const TRIPS: u64 = 20_000;

/// One thread sends as fast as it can, another one's loop receives.
pub(super) fn posts() -> Vec<Contender> {
    vec![
        contender("eventfd and a locked queue", posts_raw),
        contender("tokio mpsc", posts_tokio),
        contender("wharf Remote::post", wharf::posts),
    ]
}

/// Two loops; the second one runs on `cpu`.
pub(super) fn round_trips(cpu: usize) -> Vec<Contender> {
    vec![
        contender("eventfd and a locked queue", move || trips_raw(cpu)),
        contender("tokio mpsc", move || trips_tokio(cpu)),
        contender("wharf Remote::post", move || wharf::round_trips(cpu)),
    ]
}

/// Runs `work` in a thread on `cpu`.
fn on<T: Send + 'static>(
    cpu: usize,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> JoinHandle<io::Result<T>> {
    thread::spawn(move || {
        pin(cpu)?;
        work()
    })
}

fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(wrong("a thread panicked")))
}

/// Waits for both, whatever becomes of the first.
fn both<T>(this: JoinHandle<io::Result<T>>, other: JoinHandle<io::Result<T>>) -> io::Result<()> {
    let (this, other) = (joined(this), joined(other));
    this.and(other).map(drop)
}

/// A queue that wakes its reader when it was empty.
struct Mailbox {
    queue: Mutex<VecDeque<u64>>,
    wake: OwnedFd,
}

impl Mailbox {
    fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { queue: Mutex::default(), wake: eventfd(0, EventfdFlags::CLOEXEC)? }))
    }

    fn send(&self, message: u64) -> io::Result<()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.push_back(message);
        drop(queue);
        if was_empty {
            rustix::io::write(&self.wake, &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Waits, and puts everything that is there into `batch`.
    fn receive(&self, batch: &mut VecDeque<u64>) -> io::Result<()> {
        rustix::io::read(&self.wake, &mut [0_u8; 8])?;
        std::mem::swap(batch, &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

fn posts_raw() -> io::Result<Duration> {
    let mailbox = Mailbox::new()?;
    let there = Arc::clone(&mailbox);
    let (took, received) = timed(|| {
        let reader = on(SERVER_CPU, move || {
            let (mut sum, mut count, mut batch) = (0, 0, VecDeque::new());
            while count < MESSAGES {
                there.receive(&mut batch)?;
                count += batch.len() as u64;
                sum += batch.drain(..).sum::<u64>();
            }
            Ok(sum)
        });
        (0..MESSAGES).try_for_each(|n| mailbox.send(n))?;
        joined(reader)
    });
    verify(received?, took)
}

fn posts_tokio() -> io::Result<Duration> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let (took, received) = timed(|| {
        let reader = on(SERVER_CPU, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            Ok(runtime.block_on(async {
                let mut sum = 0;
                while let Some(n) = receiver.recv().await {
                    sum += n;
                }
                sum
            }))
        });
        for n in 0..MESSAGES {
            sender.send(n).map_err(|_| wrong("the channel closed"))?;
        }
        drop(sender);
        joined(reader)
    });
    verify(received?, took)
}

fn verify(sum: u64, took: Duration) -> io::Result<Duration> {
    if sum == (0..MESSAGES).sum() { Ok(took) } else { Err(wrong("a message was lost")) }
}

fn trips_raw(cpu: usize) -> io::Result<Duration> {
    let (here, there) = (Mailbox::new()?, Mailbox::new()?);
    let (inbox, outbox) = (Arc::clone(&there), Arc::clone(&here));
    let (took, outcome) = timed(|| {
        let other = on(cpu, move || bounce_raw(&inbox, &outbox));
        let this = on(SERVER_CPU, move || {
            there.send(0)?;
            bounce_raw(&here, &there)
        });
        both(this, other)
    });
    outcome.map(|()| took)
}

/// Sends back what comes, one greater, until it was there and back often enough.
fn bounce_raw(inbox: &Mailbox, outbox: &Mailbox) -> io::Result<()> {
    let mut batch = VecDeque::new();
    loop {
        inbox.receive(&mut batch)?;
        while let Some(n) = batch.pop_front() {
            if n <= 2 * TRIPS {
                outbox.send(n + 1)?;
            }
            if n >= 2 * TRIPS {
                return Ok(());
            }
        }
    }
}

fn trips_tokio(cpu: usize) -> io::Result<Duration> {
    let (to_here, mut here) = tokio::sync::mpsc::unbounded_channel::<u64>();
    let (to_there, mut there) = tokio::sync::mpsc::unbounded_channel::<u64>();
    let first = to_there.clone();
    let bounce = async |inbox: &mut tokio::sync::mpsc::UnboundedReceiver<u64>,
                        outbox: tokio::sync::mpsc::UnboundedSender<u64>| {
        while let Some(n) = inbox.recv().await {
            // The other side may be content already.
            let _ = outbox.send(n + 1);
            if n >= 2 * TRIPS {
                return;
            }
        }
    };
    let (took, outcome) = timed(|| {
        let other = on(cpu, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(bounce(&mut there, to_here));
            Ok(())
        });
        let this = on(SERVER_CPU, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            first.send(0).map_err(|_| wrong("the channel closed"))?;
            runtime.block_on(bounce(&mut here, to_there));
            Ok(())
        });
        both(this, other)
    });
    outcome.map(|()| took)
}

mod wharf {
    use std::cell::Cell;
    use std::sync::mpsc;

    use wharf::{EventLoop, Remote};

    use super::{
        Duration, MESSAGES, SERVER_CPU, TRIPS, both, io, joined, on, timed, verify, wrong,
    };

    thread_local! {
        /// What the loop of this thread has received.
        static SUM: Cell<u64> = const { Cell::new(0) };
    }

    /// Starts a loop in a thread on `cpu` that runs until it is stopped.
    fn start(cpu: usize) -> io::Result<(Remote, std::thread::JoinHandle<io::Result<u64>>)> {
        let (tell, told) = mpsc::channel();
        let thread = on(cpu, move || {
            let mut event_loop = EventLoop::new()?;
            tell.send(event_loop.remote()).map_err(|_| wrong("nobody waits for the loop"))?;
            event_loop.run_forever()?;
            Ok(SUM.get())
        });
        Ok((told.recv().map_err(|_| wrong("the loop did not start"))?, thread))
    }

    pub(super) fn posts() -> io::Result<Duration> {
        let (took, received) = timed(|| {
            let (remote, reader) = start(SERVER_CPU)?;
            for n in 0..MESSAGES {
                remote
                    .post(move |_| SUM.set(SUM.get() + n))
                    .map_err(|_| wrong("the loop closed"))?;
            }
            remote.post(|handle| handle.stop()).map_err(|_| wrong("the loop closed"))?;
            joined(reader)
        });
        verify(received?, took)
    }

    pub(super) fn round_trips(cpu: usize) -> io::Result<Duration> {
        let (there, other) = start(cpu)?;
        let (here, this) = start(SERVER_CPU)?;
        let (took, outcome) = timed(|| {
            bounce(0, here, there)?;
            both(this, other)
        });
        outcome.map(|()| took)
    }

    /// Posts to `there` what posts to `here` what posts to `there`, until it was there and back often enough.
    fn bounce(n: u64, here: Remote, there: Remote) -> io::Result<()> {
        let target = there.clone();
        let sent = target.post(move |_| {
            if n >= 2 * TRIPS {
                here.stop();
                there.stop();
            } else if bounce(n + 1, there, here).is_err() {
                // The loop is gone, and with it the run.
            }
        });
        sent.map_err(|_| wrong("the loop closed"))
    }
}
