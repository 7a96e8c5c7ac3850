//! A program for ThreadSanitizer to be tried on: what it must see, and with the argument `race`, what it must report.
//!
//! Everything but the race goes through what the standard library synchronises out of line: locks with waiters, condition
//! variables, channels, parked threads, and the last owner of an `Arc`.

use std::cell::UnsafeCell;
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread;

/// Enough for threads on two processors to wait for each other.
const ROUNDS: usize = 20_000;

/// What two threads touch without asking each other.
struct Unguarded(UnsafeCell<usize>);

// SAFETY: none, that is the point; the program is run for the report only.
unsafe impl Sync for Unguarded {}

impl Unguarded {
    fn touch(&self) {
        // SAFETY: as above.
        unsafe { *self.0.get() += 1 };
    }
}

fn main() {
    let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
    let once = Arc::new(OnceLock::new());
    let (sender, receiver) = mpsc::channel::<Vec<usize>>();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (lines, once, sender) = (Arc::clone(&lines), Arc::clone(&once), sender.clone());
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let mut line = lines.0.lock().unwrap();
                    line.push(round);
                    if line.len() == 100 {
                        *line = Vec::new();
                    }
                    drop(line);
                    lines.1.notify_one();
                }
                let first: &Vec<usize> = once.get_or_init(|| vec![number]);
                sender.send(first.clone()).unwrap();
            })
        })
        .collect();
    drop(sender);
    let line = lines.0.lock().unwrap();
    drop(lines.1.wait_while(line, |line| line.is_empty()).unwrap());
    let firsts: Vec<_> = receiver.into_iter().collect();
    assert!(firsts.iter().all(|first| *first == firsts[0]));
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    // No lock and no join tells the last owner that the other one has read: the count of owners alone does.
    let (owned, parked) = (Arc::new(vec![1]), thread::current());
    let other = Arc::clone(&owned);
    let thread = thread::spawn(move || {
        parked.unpark();
        assert_eq!(other.len(), 1);
    });
    thread::park();
    while Arc::strong_count(&owned) > 1 {
        thread::yield_now();
    }
    drop(owned);
    thread.join().unwrap();

    if std::env::args().any(|arg| arg == "race") {
        let shared = Arc::new(Unguarded(UnsafeCell::new(0)));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || other.touch());
        shared.touch();
        thread.join().unwrap();
    }
}
