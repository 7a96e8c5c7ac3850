//! A loop that polls before it sleeps: whatever ends a sleep ends the polling too.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use wharf_core::Clock;
use wharf_core::memory::ManualClock;
use wharf_reactor::EventLoop;

use crate::support::{Path, builder, run_until, turns};

both_paths!(
    what_other_threads_post_ends_the_polling,
    a_ready_descriptor_ends_the_polling,
    a_timer_ends_the_polling,
    polling_ends_in_a_sleep,
    nothing_is_polled_under_a_manual_clock,
);

/// A loop that would poll for longer than any test takes.
fn busy_loop(path: Path) -> EventLoop {
    builder(path).busy_poll(Duration::from_secs(3600)).build().unwrap()
}

fn what_other_threads_post_ends_the_polling(path: Path) {
    let mut ev = busy_loop(path);
    let remote = ev.remote();
    let thread = thread::spawn(move || {
        for _ in 0..10 {
            remote.post(|_| ()).unwrap();
        }
        remote.stop();
    });
    ev.run_forever().unwrap();
    thread.join().unwrap();
}

fn a_ready_descriptor_ends_the_polling(path: Path) {
    let mut ev = busy_loop(path);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ready = Rc::new(Cell::new(false));
    let note = Rc::clone(&ready);
    ev.add_reader(ours, move || note.set(true)).unwrap();
    let thread = thread::spawn(move || theirs.write_all(b"x").map(|()| theirs).unwrap());
    run_until(&mut ev, || ready.get());
    drop(thread.join().unwrap());
}

fn a_timer_ends_the_polling(path: Path) {
    let mut ev = busy_loop(path);
    let ran = Rc::new(Cell::new(false));
    let run = Rc::clone(&ran);
    ev.call_later(Duration::from_millis(1), move || run.set(true));
    run_until(&mut ev, || ran.get());
}

/// A clock on which a millisecond passes whenever somebody looks.
#[derive(Clone)]
struct WatchedClock {
    start: Instant,
    looks: Rc<Cell<u32>>,
}

impl Clock for WatchedClock {
    fn now(&self) -> Instant {
        self.looks.set(self.looks.get() + 1);
        self.start + Duration::from_millis(u64::from(self.looks.get()))
    }
}

fn polling_ends_in_a_sleep(path: Path) {
    let clock = WatchedClock { start: ManualClock::new().now(), looks: Rc::default() };
    let wait = Duration::from_millis(10);
    let mut ev = builder(path).clock(clock.clone()).busy_poll(wait).build().unwrap();
    let before = clock.looks.get();
    ev.turn(Some(2 * wait)).unwrap();
    assert_eq!(clock.looks.get() - before, 11, "a look at the beginning, and one after each poll");
    ev.call_soon(|| ());
    turns(&mut ev, 1);
    assert_eq!(clock.looks.get() - before, 11, "with something to do there is no polling");
}

fn nothing_is_polled_under_a_manual_clock(path: Path) {
    let clock = ManualClock::new();
    let mut ev = builder(path).clock(clock).busy_poll(Duration::from_secs(1)).build().unwrap();
    ev.turn(Some(Duration::from_millis(1))).unwrap();
}
