//! What the stories share: loops to test with, and turns with a bound.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use wharf_core::Clock;
use wharf_core::memory::ManualClock;
use wharf_reactor::{EventLoop, EventLoopBuilder, FaultPolicy};

/// How a loop waits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path {
    /// As is best on this system.
    Direct,
    /// As on any system.
    Portable,
}

/// A loop to be, on this path.
pub(crate) fn builder(path: Path) -> EventLoopBuilder {
    let forced = std::env::var_os("WHARF_POLL").is_some_and(|poll| poll == "portable");
    EventLoop::builder().portable_poll(forced || matches!(path, Path::Portable))
}

/// A loop that resumes the panics of its callbacks, so that an assertion in one fails its test.
pub(crate) fn event_loop(path: Path) -> EventLoop {
    builder(path).fault_policy(FaultPolicy::Resume).build().unwrap()
}

/// The same under a clock that stands still.
pub(crate) fn manual_loop(path: Path) -> (EventLoop, ManualClock) {
    let clock = ManualClock::new();
    let ev = builder(path).fault_policy(FaultPolicy::Resume).clock(clock.clone()).build().unwrap();
    (ev, clock)
}

/// Far beyond what any test takes: it ends one that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sleeps and works until `done`. Nothing but an event ends a sleep, so a wake-up that is lost fails the test.
///
/// For loops under the system's clock.
pub(crate) fn run_until(ev: &mut EventLoop, done: impl Fn() -> bool) {
    let overdue = Rc::new(Cell::new(false));
    let ring = Rc::clone(&overdue);
    let bell = ev.call_later(PATIENCE, move || ring.set(true));
    while !done() {
        assert!(!overdue.get(), "nothing woke the loop");
        ev.turn(None).unwrap();
    }
    bell.cancel();
}

/// Takes `count` turns that do not sleep.
pub(crate) fn turns(ev: &mut EventLoop, count: usize) {
    for _ in 0..count {
        ev.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// The message of the panic of `run`, which must panic.
pub(crate) fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { panic!("there was no panic") };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// What happened, in order; to be cloned into callbacks.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    /// A callback that adds `line`.
    pub(crate) fn note(&self, line: &str) -> impl FnOnce() + 'static {
        let (log, line) = (self.clone(), line.to_owned());
        move || log.add(line)
    }

    /// What was added since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Counts how often clones of it were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }

    /// Something whose drop counts.
    pub(crate) fn token(&self) -> Token {
        Token(Rc::clone(&self.0))
    }
}

/// See [`Drops`].
pub(crate) struct Token(Rc<Cell<usize>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A clock that lives exactly as long as its loop's state.
pub(crate) struct TokenClock(pub(crate) ManualClock, #[expect(dead_code)] pub(crate) Token);

impl Clock for TokenClock {
    fn now(&self) -> std::time::Instant {
        self.0.now()
    }

    fn is_manual(&self) -> bool {
        true
    }
}
