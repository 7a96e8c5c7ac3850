//! Cancels and arms again a random one of many live timers: a binary heap, tokio's wheel, `call_later`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use wharf::{LoopHandle, TimerHandle};

use super::{Contender, contender, worked};

/// Timers armed again in all.
pub(super) const OPERATIONS: u64 = 1_000_000;

pub(super) fn contenders(outstanding: usize) -> Vec<Contender> {
    vec![
        contender("a binary heap", move || Ok(heap(outstanding))),
        contender("tokio Sleep::reset", move || tokio(outstanding)),
        contender("wharf call_later", move || wharf(outstanding, set_anew(LoopHandle::now))),
        contender("wharf call_at, the turn's time", move || {
            wharf(outstanding, set_anew(LoopHandle::turn_time))
        }),
        contender("wharf reset", move || wharf(outstanding, reset)),
    ]
}

/// Which timers, and for how long: the same for every contender.
struct Choice(u64);

impl Choice {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn one_of(&mut self, outstanding: usize) -> usize {
        (self.next() % outstanding as u64) as usize
    }

    /// Between ten seconds and a minute, so that none comes due during the run.
    fn delay(&mut self) -> Duration {
        Duration::from_micros(10_000_000 + self.next() % 50_000_000)
    }
}

/// A heap whose cancelled entries stay until half of it is dead; exact, and as plain as can be.
fn heap(outstanding: usize) -> Duration {
    let mut choice = Choice::new();
    let mut live: Vec<u32> = vec![0; outstanding];
    let mut heap = BinaryHeap::with_capacity(2 * outstanding + 1);
    for key in 0..outstanding {
        heap.push(Reverse((Instant::now() + choice.delay(), key, 0)));
    }
    let (took, ()) = worked(|| {
        for _ in 0..OPERATIONS {
            let key = choice.one_of(outstanding);
            live[key] = live[key].wrapping_add(1);
            heap.push(Reverse((Instant::now() + choice.delay(), key, live[key])));
            if heap.len() > 2 * outstanding {
                heap.retain(|Reverse((_, key, version))| live[*key] == *version);
            }
        }
    });
    black_box(heap.peek());
    took
}

fn tokio(outstanding: usize) -> io::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(async {
        let mut choice = Choice::new();
        let mut waiting = Context::from_waker(Waker::noop());
        let mut sleeps = Vec::with_capacity(outstanding);
        for _ in 0..outstanding {
            let mut sleep = Box::pin(tokio::time::sleep(choice.delay()));
            assert!(sleep.as_mut().poll(&mut waiting).is_pending());
            sleeps.push(sleep);
        }
        let (took, ()) = worked(|| {
            for _ in 0..OPERATIONS {
                let key = choice.one_of(outstanding);
                sleeps[key].as_mut().reset(tokio::time::Instant::now() + choice.delay());
            }
        });
        took
    }))
}

/// In a callback of the loop: `again` cancels and arms a timer that is to run after the given time.
fn wharf(
    outstanding: usize,
    again: impl Fn(&LoopHandle, &mut TimerHandle, Duration),
) -> io::Result<Duration> {
    let mut event_loop = wharf::EventLoop::new()?;
    let handle = event_loop.handle().clone();
    Ok(event_loop.block_on(async {
        let mut choice = Choice::new();
        let mut timers: Vec<_> =
            (0..outstanding).map(|_| handle.call_later(choice.delay(), || ())).collect();
        let (took, ()) = worked(|| {
            for _ in 0..OPERATIONS {
                let key = choice.one_of(outstanding);
                again(&handle, &mut timers[key], choice.delay());
            }
        });
        took
    }))
}

/// By two calls; the deadline is counted from what `time` says, as `call_later` counts it from now.
fn set_anew(
    time: fn(&LoopHandle) -> Instant,
) -> impl Fn(&LoopHandle, &mut TimerHandle, Duration) + Copy {
    move |handle, timer, delay| {
        timer.cancel();
        *timer = handle.call_at(time(handle) + delay, || ());
    }
}

/// By the call that is meant for it.
fn reset(_: &LoopHandle, timer: &mut TimerHandle, delay: Duration) {
    assert!(timer.reset(delay));
}
