//! Models of the queue between threads: every interleaving that loom can reach of senders and a receiver that sleeps.
//!
//! Built only under `--cfg loom`:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p wharf-reactor --test loom`.
#![cfg(loom)]

// Of the queue, a model uses what it is about.
#[allow(dead_code)]
#[path = "../src/inbox.rs"]
mod inbox;
#[path = "../src/sync.rs"]
mod sync;

use std::collections::VecDeque;

use inbox::{Inbox, Pushed, Queue};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The poller, as far as it matters here: a wait that a wake-up ends, also one that came before it.
#[derive(Default)]
struct Poller {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Poller {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }

    /// Loom reports a deadlock when nothing is left that could end this: a lost wake-up.
    fn wait(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// Runs `story` in every interleaving with this many preemptions at most: two threads that miss each other need two, and
/// each more costs ten times the time.
fn model(story: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(story);
}

const PREEMPTIONS: usize = 3;

impl<T> Queue for VecDeque<T> {
    type Item = T;

    fn add(&mut self, item: T) {
        self.push_back(item);
    }
}

/// A loop as its remotes share it.
struct Shared {
    inbox: Inbox<VecDeque<usize>>,
    poller: Poller,
    wakes: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inbox: Inbox::new(),
            poller: Poller::default(),
            wakes: AtomicUsize::new(0),
        })
    }

    fn send(&self, item: usize) -> bool {
        match self.inbox.push(item) {
            Pushed::Seen => true,
            Pushed::WakeIt => {
                self.wakes.fetch_add(1, Ordering::SeqCst);
                self.poller.wake();
                true
            }
            Pushed::Refused(back) => {
                assert_eq!(back, item);
                false
            }
        }
    }

    /// One turn, in the order of the event loop's.
    fn turn(&self, got: &mut Vec<usize>) {
        let mut buffer = VecDeque::new();
        if self.inbox.may_sleep() {
            self.poller.wait();
        } else {
            self.inbox.take(&mut buffer);
        }
        if buffer.is_empty() && self.inbox.awake() {
            self.inbox.take(&mut buffer);
        }
        got.extend(buffer);
    }
}

#[test]
fn a_sleeping_receiver_gets_everything_from_two_senders() {
    model(|| {
        let shared = Shared::new();
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || assert!(shared.send(sender)))
            })
            .collect();
        let (mut got, mut turns) = (Vec::new(), 0);
        while got.len() < 2 {
            shared.turn(&mut got);
            turns += 1;
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [0, 1]);
        let wakes = shared.wakes.load(Ordering::SeqCst);
        assert!(wakes <= turns, "a sleep is ended by one sender: {wakes} in {turns} turns");
    });
}

#[test]
fn what_one_sender_sends_comes_in_its_order() {
    model(|| {
        let shared = Shared::new();
        let remote = Arc::clone(&shared);
        let sender = thread::spawn(move || (0..3).for_each(|item| assert!(remote.send(item))));
        let mut got = Vec::new();
        while got.len() < 3 {
            shared.turn(&mut got);
        }
        sender.join().unwrap();
        assert_eq!(got, [0, 1, 2]);
    });
}

/// A foreign loop asks how long it may wait, waits elsewhere, and then takes a turn that does not sleep.
#[test]
fn a_host_that_announced_its_sleep_is_woken() {
    model(|| {
        let shared = Shared::new();
        let remote = Arc::clone(&shared);
        let sender = thread::spawn(move || (0..2).for_each(|item| assert!(remote.send(item))));
        let mut got = Vec::new();
        while got.len() < 2 {
            // Asking twice is asking once.
            if shared.inbox.may_sleep() && shared.inbox.may_sleep() {
                shared.poller.wait();
            }
            let mut buffer = VecDeque::new();
            if shared.inbox.awake() {
                shared.inbox.take(&mut buffer);
            }
            got.extend(buffer);
        }
        sender.join().unwrap();
        assert_eq!(got, [0, 1]);
    });
}

#[test]
fn what_is_sent_while_the_receiver_goes_is_refused_or_given_back() {
    model(|| {
        let shared = Shared::new();
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || usize::from(shared.send(sender)))
            })
            .collect();
        let left = shared.inbox.close().len();
        assert!(shared.inbox.is_closed());
        let taken: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(left, taken, "what was taken in is what is given back");
        assert!(!shared.send(9) && shared.inbox.close().is_empty());
    });
}
