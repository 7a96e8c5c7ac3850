//! What a crowd leaves behind when it has gone, as the system sees it.
//!
//! A program of its own without the harness, whose threads have heaps of their own; and for glibc's allocator, since others
//! have ways of their own.

use std::fs::File;
use std::io::Read;
use std::rc::Rc;
use std::str;
use std::time::Duration;

use wharf_core::driver::Readiness;
use wharf_core::memory::ManualClock;
use wharf_reactor::EventLoop;
use wharf_reactor::source::{Registration, Source};

/// As many as make a heap of half a megabyte.
const CROWD: usize = 4000;

/// What may be left, in KiB: pages at the edges of what was there before, and of the stack.
const LEFT: usize = 80;

/// As large as the driver of a connection.
struct Connection {
    _place: Registration,
    _facts: [u64; 10],
    _protocol: Rc<u64>,
}

impl Source for Connection {
    fn ready(self: Rc<Self>, _: Readiness) {}
    fn shut(self: Rc<Self>) {}
}

fn connect(ev: &EventLoop) -> Rc<Connection> {
    let place = Registration::new(ev.handle());
    Rc::new(Connection { _place: place, _facts: [1; 10], _protocol: Rc::new(1) })
}

/// Takes turns, with a pause before each in which the loop may think that no more will leave.
fn turns(ev: &mut EventLoop, clock: &ManualClock) {
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        ev.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// KiB of this process that no file stands behind.
fn resident() -> usize {
    // Without asking for memory.
    let mut text = [0; 4096];
    let length = File::open("/proc/self/smaps_rollup").unwrap().read(&mut text).unwrap();
    let text = str::from_utf8(&text[..length]).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")).unwrap().trim().parse().unwrap()
}

/// Lets a crowd come and go, in steps through it of this width.
fn come_and_go(
    (ev, clock): (&mut EventLoop, &ManualClock),
    crowd: &mut Vec<Option<Rc<Connection>>>,
    step: usize,
) {
    crowd.extend((0..CROWD).map(|_| Some(connect(ev))));
    turns(ev, clock);
    for n in 0..CROWD {
        crowd[n * step % CROWD] = None;
        // As many leave in one turn as a turn has events for.
        if n % 256 == 255 {
            turns(ev, clock);
        }
    }
    crowd.clear();
    turns(ev, clock);
}

fn main() {
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        a_crowd_leaves_next_to_nothing_behind_whatever_the_order_of_leaving();
    }
}

fn a_crowd_leaves_next_to_nothing_behind_whatever_the_order_of_leaving() {
    // What the test itself needs lies there before.
    let mut crowd = Vec::with_capacity(CROWD);
    let clock = ManualClock::new();
    let mut ev = EventLoop::builder().clock(clock.clone()).build().unwrap();
    let listener = connect(&ev);
    turns(&mut ev, &clock);
    resident();
    let before = resident();
    // In the order of coming, in the reverse, and in none.
    for step in [1, CROWD - 1, 1337] {
        come_and_go((&mut ev, &clock), &mut crowd, step);
        let after = resident();
        assert!(after <= before + LEFT, "step {step}: {before} KiB before, {after} KiB after");
    }
    drop(listener);
}
