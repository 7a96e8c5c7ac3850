//! [`EventLoopBuilder`]: what a loop may be made with, and the making of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf_core::Clock;
use wharf_core::driver::TRAY;
use wharf_core::resource::Resources;
use wharf_core::tray::Tray;

use super::EventLoop;
use crate::clock::SystemClock;
use crate::duties::Duties;
use crate::fault::{FaultPolicy, Faults};
use crate::former::Former;
use crate::handle::{LoopHandle, LoopState};
use crate::job::Incoming;
use crate::poll::Poller;
use crate::pool::Pool;
use crate::remote::Shared;
use crate::resolve::{Resolver, SystemResolver};
use crate::signal::Signals;
use crate::statistics::{Counters, SlowCallback, SlowObserver};
use crate::task::Tasks;
use crate::time::Time;

/// The loop's one read buffer: the size of asyncio's largest read.
const READ_BUFFER: usize = 256 * 1024;

/// What a loop is made with.
#[derive(Default)]
pub struct EventLoopBuilder {
    clock: Option<Box<dyn Clock>>,
    resolver: Option<Box<dyn Resolver>>,
    faults: FaultPolicy,
    slow: SlowThreshold,
    observer: Option<SlowObserver>,
    portable: bool,
    busy_poll: Duration,
}

struct SlowThreshold(Option<Duration>);

impl Default for SlowThreshold {
    /// asyncio's.
    fn default() -> Self {
        Self(Some(Duration::from_millis(100)))
    }
}

impl EventLoopBuilder {
    /// Puts another clock in the place of the system's. Under a manual one the loop never sleeps towards a timer.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Resolves names by another resolver than the system's.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// What happens to panics of callbacks; contained unless said otherwise.
    #[must_use]
    pub fn fault_policy(mut self, policy: FaultPolicy) -> Self {
        self.faults = policy;
        self
    }

    /// Reports each callback that takes at least `threshold`; without this the loop counts those that take 100 ms.
    #[doc(alias = "set_debug")]
    #[must_use]
    pub fn on_slow_callback(
        mut self,
        threshold: Duration,
        observer: impl FnMut(SlowCallback) + 'static,
    ) -> Self {
        self.slow = SlowThreshold(Some(threshold));
        self.observer = Some(Box::new(observer));
        self
    }

    /// Polls without sleeping for up to `duration` before each sleep; not at all unless asked for.
    ///
    /// A message that comes meanwhile is answered without the wake-up of a sleeping processor, which is most of the time
    /// that a request takes on a quiet machine; and other threads post without a system call.
    /// The price is that processor: it is busy for `duration` after everything that happens, all the time if something
    /// happens more often.
    /// It pays where the loop has a processor for itself, and costs where it must share one with whom it waits for.
    /// Some 50 to 200 microseconds are usual.
    /// Under a manual clock there is nothing to wait for, and no polling.
    #[must_use]
    pub fn busy_poll(mut self, duration: Duration) -> Self {
        self.busy_poll = duration;
        self
    }

    /// Waits by the portable path even where there is a direct one: slower, and the same to the eye. For tests.
    #[must_use]
    pub fn portable_poll(mut self, portable: bool) -> Self {
        self.portable = portable;
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// When the system gives no descriptors for it.
    pub fn build(self) -> io::Result<EventLoop> {
        let poller = Poller::new(self.portable)?;
        let waker = poller.waker();
        let batch = poller.batch();
        let clock = self.clock.unwrap_or_else(|| Box::new(SystemClock));
        let polls = !clock.is_manual() && !self.busy_poll.is_zero();
        let busy_poll = polls.then_some(self.busy_poll);
        let state = LoopState {
            duties: Duties::default(),
            time: Rc::new(Time::new(clock)),
            poller,
            registry: RefCell::default(),
            ready: RefCell::default(),
            enlisted: RefCell::default(),
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            tray: Rc::new(Tray::new(TRAY)),
            queue: Cell::default(),
            queues: RefCell::default(),
            inbox: Cell::default(),
            outboxes: RefCell::default(),
            former: Former::default(),
            shared: Arc::new(Shared::new(waker.clone())),
            counters: Counters::new(self.slow.0, self.observer),
            faults: Faults::new(self.faults),
            tasks: Tasks::default(),
            pool: Pool::default(),
            resolver: self.resolver.unwrap_or_else(|| Box::new(SystemResolver)),
            signals: Signals::new(waker),
            watches: RefCell::default(),
            resources: Resources::default(),
            scheduler: RefCell::default(),
            next_id: Cell::new(1),
            ages: RefCell::default(),
            busy_poll,
            turn_time: Cell::default(),
            running: Cell::new(false),
            closed: Cell::new(false),
        };
        Ok(EventLoop { handle: LoopHandle(Rc::new(state)), batch, incoming: Incoming::default() })
    }
}

impl fmt::Debug for EventLoopBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoopBuilder").field("portable", &self.portable).finish_non_exhaustive()
    }
}
