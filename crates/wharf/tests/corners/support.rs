//! What the stories share: loops, turns with a bound, and a protocol that notes what it is told.

use std::cell::RefCell;
use std::future::Future;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wharf::memory::ManualClock;
use wharf::{
    EventLoop, EventLoopBuilder, FaultPolicy, LoopHandle, Lost, Protocol, TransportRef, tcp,
};

/// How long a turn waits for something to do. A test never depends on it: it only spares the processor.
const PATIENCE: Duration = Duration::from_millis(1);

/// After this many turns a condition is taken never to come true.
const TURNS: usize = 5_000;

/// The builder of every loop here: `WHARF_POLL=portable` makes it wait by the portable path, and a panic in a callback
/// fails the test.
pub(crate) fn builder() -> EventLoopBuilder {
    let portable = std::env::var_os("WHARF_POLL").is_some_and(|poll| poll == "portable");
    EventLoop::builder().portable_poll(portable).fault_policy(FaultPolicy::Resume)
}

/// A loop of [`builder`], with the system's clock.
pub(crate) fn event_loop() -> EventLoop {
    builder().build().expect("a loop can be made")
}

/// A loop of [`builder`], with a clock that stands still.
pub(crate) fn manual_loop() -> (EventLoop, ManualClock) {
    let clock = ManualClock::new();
    let ev = builder().clock(clock.clone()).build().expect("a loop can be made");
    (ev, clock)
}

/// The handle of a loop that has been dropped.
pub(crate) fn closed_loop() -> LoopHandle {
    event_loop().handle().clone()
}

/// Takes `count` turns that do not wait.
pub(crate) fn turns(ev: &mut EventLoop, count: usize) {
    for _ in 0..count {
        ev.turn(Some(Duration::ZERO)).expect("a turn can be taken");
    }
}

/// Takes turns until `done`.
pub(crate) fn run_until(ev: &mut EventLoop, mut done: impl FnMut() -> bool) {
    for _ in 0..TURNS {
        if done() {
            return;
        }
        ev.turn(Some(PATIENCE)).expect("a turn can be taken");
    }
    panic!("it has not come to pass in {TURNS} turns");
}

/// Polls `future` before each turn until it is ready. Needs no waker, so it also works for what another loop owes.
pub(crate) fn outcome<F: Future>(ev: &mut EventLoop, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut output = None;
    run_until(ev, || {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            output = Some(value);
        }
        output.is_some()
    });
    output.expect("it was ready")
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether `run` panics.
pub(crate) fn panics<R>(run: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// A protocol that notes what it is told.
#[derive(Debug, Default)]
pub(crate) struct Log(Vec<String>);

impl Log {
    /// What it was told so far.
    pub(crate) fn story(&self) -> &[String] {
        &self.0
    }
}

impl Protocol for Log {
    fn connection_made(&mut self, _: &TransportRef) {
        self.0.push("made".into());
    }

    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.push(format!("data {}", String::from_utf8_lossy(data)));
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.0.push(format!("lost {why}"));
    }
}

/// A [`Log`] as it is shared between a test and a transport.
pub(crate) type SharedLog = Rc<RefCell<Log>>;

/// Puts a [`Log`] on one end of a socket pair. The other end is the test's, and does not block.
pub(crate) fn adopted(ev: &mut EventLoop) -> (TransportRef, SharedLog, UnixStream) {
    let (ours, peer) = UnixStream::pair().expect("a socket pair can be made");
    peer.set_nonblocking(true).expect("a socket can be made non-blocking");
    let handle = ev.handle().clone();
    let adopting = tcp::adopt(&handle, ours, Log::default);
    let (transport, log) = ev.block_on(adopting).expect("a socket can be adopted");
    (transport, log, peer)
}
