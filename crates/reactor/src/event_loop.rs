//! [`EventLoop`]: the owner of a loop, and what one turn does.
//!
//! A turn, in order:
//!
//! 1. settle what was written or closed from outside;
//! 2. decide how long to sleep: not at all while something is queued, else until the first timer;
//! 3. wait for readiness;
//! 4. take what other threads have sent, unless that kept the loop awake and was taken in 3, and the signals that have
//!    come;
//! 5. run what was queued before this point, and nothing that is queued meanwhile;
//! 6. hand out readiness: each connection reads, calls its protocol, flushes and settles;
//! 7. run the timers that are due, and none that is set meanwhile;
//! 8. settle what was written or closed from outside: flush, and tell what is untold.

mod builder;
mod main_future;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf_core::guard::{self, FaultReport};
use wharf_core::schedule::Settle;

pub use builder::EventLoopBuilder;
use main_future::{Forever, Main, MainFuture};

use crate::duties::{Duties, Duty};
use crate::fault::FaultPolicy;
use crate::handle::{LoopHandle, LoopState};
use crate::job::{Incoming, Job};
use crate::poll::Batch;
use crate::ready::ReadyQueue;
use crate::registry::Key;
use crate::statistics::Group;

/// No wait is longer than a day, so that no system's timeout overflows.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often step 8 settles what settling itself has enlisted, before the rest waits for the next turn.
const SETTLE_ROUNDS: usize = 16;

/// An event loop: it owns everything that lives on it. Dropping it tells every connection that it is lost.
///
/// It derefs to its [`LoopHandle`].
///
/// ```
/// use std::time::Duration;
/// use wharf_reactor::EventLoop;
///
/// let mut ev = EventLoop::new()?;
/// let handle = ev.handle().clone();
/// ev.call_later(Duration::from_millis(1), move || handle.stop());
/// ev.run_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventLoop {
    handle: LoopHandle,
    batch: Batch,
    incoming: Incoming,
}

impl EventLoop {
    /// A loop with the system's clock and resolver.
    ///
    /// # Errors
    /// When the system gives no descriptors for it.
    #[doc(alias = "new_event_loop")]
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A loop to be made otherwise.
    #[must_use]
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    /// A handle on the loop.
    #[must_use]
    pub fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Runs until [`LoopHandle::stop`]. If that was called before, takes one turn.
    ///
    /// # Errors
    /// When the system's poller fails.
    ///
    /// # Panics
    /// From inside a callback (rule T10), and with the panic of a callback under
    /// [`FaultPolicy::Resume`](crate::FaultPolicy::Resume).
    pub fn run_forever(&mut self) -> io::Result<()> {
        self.run(&mut Forever)
    }

    /// Runs until `future` is ready, and gives its result. The future need not be `'static`.
    ///
    /// # Panics
    /// When the loop is stopped before, when the system's poller fails, and as [`run_forever`](Self::run_forever).
    #[doc(alias = "Runner")]
    #[doc(alias = "run_until_complete")]
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let future = pin!(future);
        let mut main = MainFuture::new(future, Arc::clone(self.handle.shared()));
        if let Err(error) = self.run_until(&mut main) {
            panic!("the poller failed: {error}");
        }
        main.into_output().expect("the loop was stopped before the future was ready")
    }

    /// Takes one turn, waiting no longer than `timeout` for something to do; `None` waits as long as it takes.
    ///
    /// # Errors
    /// When the system's poller fails.
    ///
    /// # Panics
    /// As [`run_forever`](Self::run_forever).
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Self { handle, batch, incoming } = self;
        let _running = Running::begin(&handle.0);
        handle.turn(batch, incoming, timeout, &mut Forever)
    }

    /// How long a foreign loop may wait on the loop's descriptor before it takes a turn: zero when something is queued,
    /// `None` for as long as it likes.
    ///
    /// Ask right before waiting: from then on, what other threads post makes the descriptor readable.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let timeout = self.handle.sleep_time(None);
        let may_wait = timeout == Some(Duration::ZERO) || self.handle.shared().inbox.may_sleep();
        if may_wait { timeout } else { Some(Duration::ZERO) }
    }

    /// [`run`](Self::run) for all futures, compiled once.
    fn run_until(&mut self, main: &mut dyn Main) -> io::Result<()> {
        self.run(main)
    }

    /// Takes turns until the loop is stopped, or `main` is over.
    fn run<M: Main + ?Sized>(&mut self, main: &mut M) -> io::Result<()> {
        let Self { handle, batch, incoming } = self;
        let _running = Running::begin(&handle.0);
        loop {
            let limit = main.is_awake().then_some(Duration::ZERO);
            handle.turn(batch, incoming, limit, main)?;
            if main.is_over() || handle.0.duties.has(Duty::Stop) {
                // A stop in the very turn in which the future has become ready is served by returning.
                handle.0.duties.cross_out(Duty::Stop);
                return Ok(());
            }
        }
    }
}

impl LoopState {
    /// Resumes the panic that was put off until now, if a fault of this turn was one.
    #[cold]
    fn resume(&self) {
        if let Some(payload) = self.faults.take_pending() {
            resume_unwind(payload);
        }
    }

    /// Takes what other threads have sent.
    #[inline(never)]
    fn take_posts(&self, incoming: &mut Incoming) {
        // What was taken before and has not run comes first: it came before the wait, or a panic has cut the last turn short.
        // What waits meanwhile does not let the loop sleep.
        if let Some(room) = incoming.room() {
            self.duties.add(Duty::Jobs);
            self.shared.inbox.take(room);
        }
    }

    /// Waits for readiness and for other threads, no longer than `timeout`; not at all when a panic has cut the last turn
    /// short and left something in `batch`. What other threads have sent by the time that the loop would sleep is
    /// `incoming`.
    #[inline(always)]
    fn wait(
        &self,
        mut timeout: Option<Duration>,
        batch: &mut Batch,
        incoming: &mut Incoming,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            if self.duties.cross_out(Duty::HandOut) {
                return Ok(());
            }
        } else {
            if let Some(longest) = self.busy_poll {
                let limit = timeout.map_or(longest, |timeout| timeout.min(longest));
                if self.spin(limit, batch)? {
                    return Ok(());
                }
                timeout = timeout.map(|timeout| timeout - limit);
            }
            if !self.shared.inbox.may_sleep() {
                // Right away: coming back to it after the poll would take it from the senders once more.
                self.take_posts(incoming);
                timeout = Some(Duration::ZERO);
            }
        }
        self.poller.wait(batch, timeout)
    }

    /// Polls without sleeping until there is something to do, or `limit` has passed; says whether there is.
    fn spin(&self, limit: Duration, batch: &mut Batch) -> io::Result<bool> {
        let start = self.time.clock.now();
        loop {
            self.poller.wait(batch, Some(Duration::ZERO))?;
            // The last two are asked for because a poll takes the wake-up, and says nothing of it.
            if batch.len() > 0 || !self.shared.inbox.is_empty() || self.signals.are_pending() {
                return Ok(true);
            }
            if self.time.clock.now().saturating_duration_since(start) >= limit {
                return Ok(false);
            }
        }
    }
}

/// What is still to be settled, in reverse; it goes back to where it came from if a panic cuts the settling short.
struct Rest<'a> {
    of: &'a RefCell<Vec<Rc<dyn Settle>>>,
    items: Vec<Rc<dyn Settle>>,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if !self.items.is_empty() {
            self.of.borrow_mut().extend(self.items.drain(..).rev());
        }
    }
}

/// The loop is running, until this is dropped: at the end, or by a panic.
struct Running<'a>(&'a LoopState);

impl<'a> Running<'a> {
    fn begin(state: &'a LoopState) -> Self {
        assert!(
            !state.running.replace(true),
            "an event loop cannot be run from inside one of its callbacks"
        );
        Self(state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
        self.0.turn_time.set(None);
    }
}

/// A batch that is to be handed out. Dropped only by a panic: what is left then is a duty.
struct ToHandOut<'a> {
    batch: &'a mut Batch,
    duties: &'a Duties,
}

impl Drop for ToHandOut<'_> {
    fn drop(&mut self) {
        if self.batch.has_rest() {
            self.duties.add(Duty::HandOut);
        }
    }
}

impl LoopHandle {
    /// One turn, which waits no longer than `limit`; its step 5 begins with `main`.
    #[inline(always)]
    fn turn<M: Main + ?Sized>(
        &self,
        batch: &mut Batch,
        incoming: &mut Incoming,
        limit: Option<Duration>,
        main: &mut M,
    ) -> io::Result<()> {
        let state = &*self.0;
        let mut timeout = limit;
        if !state.duties.are_none() {
            self.settle(); // 1
            timeout = self.sleep_time(limit); // 2
        }
        state.counters.wait_begins();
        let waited = state.wait(timeout, batch, incoming); // 3
        state.counters.wait_ends();
        state.turn_time.set(None);
        waited?;
        let found = ToHandOut { batch, duties: &state.duties };

        if state.shared.inbox.awake() {
            state.take_posts(incoming); // 4
        }
        self.deliver_signals();

        let round = if state.duties.has(Duty::Jobs) { state.ready.borrow().len() } else { 0 }; // 5
        main.poll();
        if state.duties.has(Duty::Jobs) {
            self.run_jobs(round, incoming);
        }

        found.batch.each(|ready| {
            // 6; not a shared borrow, which would be dearer to begin and to end
            let source = state.registry.borrow_mut().get(Key::from_usize(ready.key));
            if let Some(source) = source {
                state.counters.event();
                source.ready(ready.readiness);
            }
        });
        mem::forget(found);

        if !state.duties.are_none() {
            self.run_due_timers(); // 7
            self.settle(); // 8
            if state.duties.cross_out(Duty::Resume) {
                state.resume();
            }
        }
        Ok(())
    }

    /// How long a turn may sleep, given that the caller allows `limit`.
    fn sleep_time(&self, limit: Option<Duration>) -> Option<Duration> {
        let state = &*self.0;
        if state.duties.are_due() {
            return Some(Duration::ZERO);
        }
        let Some(deadline) = state.time.timers.borrow_mut().next_deadline() else { return limit };
        let deadline = state.time.moment(deadline);
        let until = deadline.saturating_duration_since(state.time.clock.now());
        if state.time.clock.is_manual() && !until.is_zero() {
            return limit;
        }
        let until = until.min(LONGEST_WAIT);
        Some(limit.map_or(until, |limit| limit.min(until)))
    }

    /// Runs the first `round` jobs of the ready queue, then what has come in, and nothing that these queue.
    #[inline(never)]
    fn run_jobs(&self, mut round: usize, incoming: &mut Incoming) {
        let mut group = Group::default();
        while let Some(job) = self.next_job(&mut round, incoming) {
            let name = job.name();
            if !group.admits(name) {
                self.group_returned(&mut group);
            }
            if let Err(caught) = guard::call(name, || job.run(self)) {
                self.report(FaultReport::caught(caught));
            }
            group.add(name);
        }
        self.group_returned(&mut group);
        if self.0.ready.borrow().is_empty() {
            self.0.duties.cross_out(Duty::Jobs);
        }
    }

    #[inline]
    fn next_job(&self, round: &mut usize, incoming: &mut Incoming) -> Option<Job> {
        while *round > 0 {
            *round -= 1;
            // An empty place is that of a job that was cancelled.
            let place = self.0.ready.borrow_mut().pop();
            if let Some(Some(job)) = place {
                return Some(job);
            }
        }
        incoming.pop().map(Job::from)
    }

    #[inline]
    fn run_due_timers(&self) {
        if self.0.duties.has(Duty::Timers) {
            self.run_timers();
        }
    }

    #[inline(never)]
    fn run_timers(&self) {
        let timers = &self.0.time.timers;
        let now = self.0.time.nanos(self.now());
        // One that is set by a timer of this turn waits for the next, however early its deadline.
        timers.borrow_mut().begin_run(now);
        loop {
            let callback = timers.borrow_mut().pop_due();
            let Some(callback) = callback else { break };
            if let Err(caught) = guard::call("timer", || callback.run(self)) {
                self.report(FaultReport::caught(caught));
            }
            self.callback_returned(None, "timer");
        }
        if timers.borrow().len() == 0 {
            self.0.duties.cross_out(Duty::Timers);
        }
    }

    /// Settles everything that was enlisted. What settling enlists is settled too, up to a bound.
    #[inline]
    fn settle(&self) {
        if self.0.duties.has(Duty::Settle) {
            self.settle_enlisted();
        }
    }

    #[inline(never)]
    fn settle_enlisted(&self) {
        for _ in 0..SETTLE_ROUNDS {
            let items = self.0.enlisted.take();
            if items.is_empty() {
                self.0.duties.cross_out(Duty::Settle);
                return;
            }
            let mut rest = Rest { of: &self.0.enlisted, items };
            rest.items.reverse();
            while let Some(item) = rest.items.pop() {
                item.settle();
            }
        }
    }

    /// Ends everything that lives on the loop: connections are told, the rest is dropped.
    fn close(&self) {
        let state = &*self.0;
        // A protocol that is told its loss may put something new on the loop; it is ended in its turn.
        for _ in 0..SETTLE_ROUNDS {
            let sources = self.sources();
            if sources.is_empty() {
                break;
            }
            for source in sources {
                // A protocol that its user holds (rule T11) must not keep the others from being told.
                if let Err(caught) = guard::call("shut", || source.shut()) {
                    state.faults.resume_later(caught.payload);
                }
            }
        }
        state.closed.set(true);
        // One by one, because two that panic in one drop end the process.
        for callback in state.signals.clear() {
            self.drop_guarded(callback);
        }
        for work in state.pool.close() {
            self.drop_guarded(work);
        }
        state.tasks.wake_all();
        let mut abandoned = Incoming::from(state.shared.inbox.close());
        while let Some(parcel) = abandoned.pop() {
            self.drop_guarded(parcel);
        }
        for future in state.tasks.rest() {
            if let Err(caught) = guard::call("drop", || future.discard()) {
                self.report(FaultReport::caught(caught));
            }
        }
        let mut ready: ReadyQueue = state.ready.take();
        while let Some(job) = ready.pop() {
            self.drop_guarded(job);
        }
        let mut timers = state.time.timers.take().into_places();
        while let Some(job) = timers.pop() {
            self.drop_guarded(job);
        }
        let enlisted = state.enlisted.take();
        self.drop_guarded(enlisted);
        let watches = state.watches.take();
        self.drop_guarded(watches);
        self.drop_guarded(state.resources.take());
        state.former.clear();
        // Last, because they were told of what went before; either may hold a handle on this very loop.
        self.drop_guarded(state.counters.take_observer());
        self.drop_guarded(state.faults.set(FaultPolicy::Contain));
    }
}

impl Deref for EventLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl AsFd for EventLoop {
    /// A descriptor that is readable when a turn has something to do, besides timers and queued callbacks: a foreign
    /// loop waits on it no longer than [`next_timeout`](EventLoop::next_timeout) says, and then takes a turn.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.0.poller.as_fd()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.handle.close();
        let panic = self.handle.0.faults.take_pending();
        if let Some(payload) = panic.filter(|_| !std::thread::panicking()) {
            resume_unwind(payload);
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("statistics", &self.handle.statistics())
            .finish_non_exhaustive()
    }
}
