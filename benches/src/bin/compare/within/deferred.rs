//! Calls that are put off to the next turn of the loop: a queue of boxes, a spawned task, `call_soon`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::{Contender, contender, worked, wrong};

/// Calls in all.
pub(super) const CALLS: u64 = 1_000_000;

/// Calls put off in one turn.
pub(super) const BATCH: u64 = 1000;

pub(super) fn contenders() -> Vec<Contender> {
    vec![
        contender("a queue of boxes", queue),
        contender("tokio spawn_local", tokio),
        contender("wharf call_soon", wharf),
    ]
}

/// What each call does: it adds its number.
fn expected() -> u64 {
    (0..CALLS).sum()
}

fn verify(sum: u64, took: Duration) -> io::Result<Duration> {
    if sum == expected() { Ok(took) } else { Err(wrong("a deferred call was lost")) }
}

fn queue() -> io::Result<Duration> {
    let sum = Rc::new(Cell::new(0));
    let mut queue: VecDeque<Box<dyn FnOnce()>> = VecDeque::new();
    let (took, ()) = worked(|| {
        for turn in 0..CALLS / BATCH {
            for n in turn * BATCH..(turn + 1) * BATCH {
                let sum = Rc::clone(&sum);
                queue.push_back(Box::new(move || sum.set(sum.get() + n)));
            }
            while let Some(call) = queue.pop_front() {
                call();
            }
        }
    });
    verify(sum.get(), took)
}

fn tokio() -> io::Result<Duration> {
    let sum = Rc::new(Cell::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let local = tokio::task::LocalSet::new();
    let work = async {
        for turn in 0..CALLS / BATCH {
            for n in turn * BATCH..(turn + 1) * BATCH {
                let sum = Rc::clone(&sum);
                tokio::task::spawn_local(async move { sum.set(sum.get() + n) });
            }
            let end = (turn + 1) * BATCH;
            let done = end * (end - 1) / 2;
            while sum.get() < done {
                tokio::task::yield_now().await;
            }
        }
    };
    let (took, ()) = worked(|| local.block_on(&runtime, work));
    verify(sum.get(), took)
}

fn wharf() -> io::Result<Duration> {
    let sum = Rc::new(Cell::new(0));
    let mut event_loop = wharf::EventLoop::new()?;
    let (took, outcome) = worked(|| {
        for turn in 0..CALLS / BATCH {
            for n in turn * BATCH..(turn + 1) * BATCH {
                let sum = Rc::clone(&sum);
                event_loop.call_soon(move || sum.set(sum.get() + n));
            }
            event_loop.turn(Some(Duration::ZERO))?;
        }
        Ok::<_, io::Error>(())
    });
    outcome?;
    verify(sum.get(), took)
}
