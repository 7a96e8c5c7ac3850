//! Rows of the conformance suite: the loop underneath, and the rules that are the loop's.

mod blocking;
mod descriptors;
mod fairness;
mod faults;
mod queue;
mod rules;
mod signals;
mod timers;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use wharf::EventLoop;
use wharf::memory::ManualClock;

use crate::support::loop_builder;

/// A loop under a clock that stands still.
fn manual_loop() -> (EventLoop, ManualClock) {
    let clock = ManualClock::new();
    let ev = loop_builder().clock(clock.clone()).build().expect("a loop can be made");
    (ev, clock)
}

/// Takes turns that do not sleep.
fn turns(ev: &mut EventLoop, count: usize) {
    for _ in 0..count {
        ev.turn(Some(Duration::ZERO)).expect("the poller works");
    }
}

/// Sleeps and works until `done`, on a loop under the system's clock. Only an event ends a sleep, so a wake-up that is
/// lost fails the test.
#[track_caller]
fn run_until(ev: &mut EventLoop, mut done: impl FnMut() -> bool) {
    let overdue = Rc::new(Cell::new(false));
    let ring = Rc::clone(&overdue);
    let bell = ev.call_later(Duration::from_secs(60), move || ring.set(true));
    while !done() {
        assert!(!overdue.get(), "nothing woke the loop");
        ev.turn(None).expect("the poller works");
    }
    bell.cancel();
}

/// The message of the panic of `run`, which must panic.
#[track_caller]
fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { panic!("there was no panic") };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Lines in the order in which callbacks wrote them.
#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<String>>>);

impl Lines {
    fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    /// A callback that writes `line`.
    fn note(&self, line: &str) -> impl FnOnce() + 'static {
        let (lines, line) = (self.clone(), line.to_owned());
        move || lines.add(line)
    }

    /// The same, to be called again and again.
    fn notes(&self, line: &'static str) -> impl FnMut() + 'static {
        let lines = self.clone();
        move || lines.add(line)
    }

    /// What was written since the last call.
    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}
