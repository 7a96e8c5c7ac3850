//! [`LoopHandle`]: the loop as those who live on it refer to it.
//!
//! Cheap to clone and bound to the loop's thread:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<wharf_reactor::LoopHandle>(); // `Rc<..>` cannot be sent between threads safely
//! ```

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wharf_core::buffer::WriteQueue;
use wharf_core::datagram::{Inbox, Outbox};
use wharf_core::driver::{Host, Traffic};
use wharf_core::guard::{self, FaultReport};
use wharf_core::resource::Resources;
use wharf_core::schedule::{Settle, Timer, deadline};
use wharf_core::tray::Tray;
use wharf_core::{Address, Scheduler, TransportId, trace};

use crate::ages::Ages;
use crate::duties::{Duties, Duty};
use crate::fault::{FaultPolicy, Faults};
use crate::former::Former;
use crate::job::{Job, Soon, Timed};
use crate::poll::Poller;
use crate::pool::Pool;
use crate::ready::{ReadyQueue, Ticket};
use crate::registry::{Key, Registry};
use crate::remote::{Remote, Shared};
use crate::resolve::Resolver;
use crate::signal::Signals;
use crate::source::Source;
use crate::statistics::{Counters, Group, SlowCallback, Statistics};
use crate::task::Tasks;
use crate::time::{Time, TimerHandle};
use crate::watch::Watches;

/// How many write queues an idle loop keeps for the connections to come.
const QUEUES: usize = 16;

/// What a loop consists of.
pub(crate) struct LoopState {
    pub(crate) duties: Duties,
    pub(crate) time: Rc<Time>,
    pub(crate) poller: Poller,
    pub(crate) registry: RefCell<Registry>,
    pub(crate) ready: RefCell<ReadyQueue>,
    pub(crate) enlisted: RefCell<Vec<Rc<dyn Settle>>>,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// What the callback that runs has written.
    pub(crate) tray: Rc<Tray>,
    /// The queue that was given back last: what most turns need.
    pub(crate) queue: Cell<Option<Box<WriteQueue>>>,
    /// A few more. The boxes are lent as they are: a connection has one word for its queue.
    #[allow(clippy::vec_box)]
    pub(crate) queues: RefCell<Vec<Box<WriteQueue>>>,
    /// What datagrams are received into; made by the first endpoint.
    pub(crate) inbox: Cell<Option<Rc<Inbox>>>,
    /// Queues of datagrams that were given back.
    #[allow(clippy::vec_box)] // As above.
    pub(crate) outboxes: RefCell<Vec<Box<Outbox>>>,
    /// Streams that are over, whose memory is used again.
    pub(crate) former: Former,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    pub(crate) tasks: Tasks,
    pub(crate) pool: Pool,
    pub(crate) resolver: Box<dyn Resolver>,
    pub(crate) signals: Signals,
    pub(crate) watches: Watches,
    pub(crate) resources: Resources,
    /// The handle that layers share, while one of them has it.
    pub(crate) scheduler: RefCell<Weak<LoopHandle>>,
    pub(crate) next_id: Cell<u64>,
    pub(crate) ages: RefCell<Ages>,
    /// How long to poll before going to sleep, if at all.
    pub(crate) busy_poll: Option<Duration>,
    /// The time as of this turn, once somebody has asked for it.
    pub(crate) turn_time: Cell<Option<Instant>>,
    pub(crate) running: Cell<bool>,
    pub(crate) closed: Cell<bool>,
}

impl LoopState {
    /// Keeps a queue for the connections to come, if there are not enough already.
    #[cold]
    fn keep_queue(&self, queue: Box<WriteQueue>) {
        let mut queues = self.queues.borrow_mut();
        if queues.len() < QUEUES {
            queues.push(queue);
        }
    }
}

/// The event loop, as its callbacks, transports and tasks refer to it.
///
/// Every method may be called from inside a callback.
/// After the loop has been dropped a handle is harmless: what is scheduled is dropped instead of run.
#[derive(Clone)]
pub struct LoopHandle(pub(crate) Rc<LoopState>);

impl LoopHandle {
    /// The time, by the loop's clock. Read anew at each call.
    #[doc(alias = "time")]
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.time.clock.now()
    }

    /// The time as of this turn: by the loop's clock, when it was first asked for in this turn; outside of a turn, now.
    ///
    /// Reading the clock costs more than setting a timer.
    /// For a deadline that is pushed back again and again, such as that of an idle connection,
    /// `timer.reset_at(handle.turn_time() + limit)` spares it; the timer is early by as much as the turn had taken before.
    #[inline]
    #[must_use]
    pub fn turn_time(&self) -> Instant {
        self.0.turn_time.get().unwrap_or_else(|| {
            let now = self.now();
            self.0.turn_time.set(self.is_running().then_some(now));
            now
        })
    }

    /// Runs `callback` in the next turn, after everything that was queued before.
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        let ticket = self.push_job(Job::new(Soon(callback)));
        Handle { state: Rc::downgrade(&self.0), ticket }
    }

    /// Runs `callback` when `delay` has passed from now on.
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.call_at(deadline(self.now(), delay), callback)
    }

    /// Runs `callback` when the loop's clock has reached `deadline`, never before; one that is past runs in the next
    /// turn. Equal deadlines run in the order in which they were set.
    pub fn call_at(&self, deadline: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        if self.is_closed() {
            drop(callback);
            return TimerHandle::dead(&self.0.time, deadline);
        }
        self.0.duties.add(Duty::Timers);
        TimerHandle::set(&self.0.time, deadline, Job::new(Timed(callback)))
    }

    /// Ends the run of the loop when this turn is over; what is queued by then stays for the next run.
    pub fn stop(&self) {
        self.0.duties.add(Duty::Stop);
    }

    /// Whether the loop has been dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Whether the loop is running: true inside its callbacks.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.running.get()
    }

    /// A reference to the loop for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.0.shared))
    }

    /// The loop's counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.counters.read(self.0.registry.borrow().len(), self.0.time.timers.borrow().len())
    }

    /// Sets what happens to panics of callbacks, and gives the policy that was in force; from inside a report, which
    /// holds it meanwhile, [`FaultPolicy::Contain`].
    #[doc(alias = "set_exception_handler")]
    pub fn set_fault_policy(&self, policy: FaultPolicy) -> FaultPolicy {
        self.0.faults.set(policy)
    }

    /// From which duration on a callback counts as slow; `None` for never. See
    /// [`EventLoopBuilder::on_slow_callback`](crate::EventLoopBuilder::on_slow_callback).
    #[doc(alias = "slow_callback_duration")]
    pub fn set_slow_callback_threshold(&self, threshold: Option<Duration>) {
        self.0.counters.set_threshold(threshold);
    }

    // ---- for transport crates ----

    /// A number for a new transport.
    #[inline]
    #[must_use]
    pub fn next_id(&self) -> TransportId {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        self.0.ages.borrow_mut().made(id, self.turn_time());
        TransportId::new(id)
    }

    /// How long ago this number was given, about.
    pub(crate) fn age(&self, id: TransportId) -> Duration {
        self.0.ages.borrow().age(id, self.now())
    }

    /// Whether the loop was told to do by portable means what the system has better ones for. See
    /// [`EventLoopBuilder::portable_poll`](crate::EventLoopBuilder::portable_poll).
    #[must_use]
    pub fn is_portable(&self) -> bool {
        self.0.poller.is_portable()
    }

    /// How much the loop has done since it was made, in readiness events that were handed out and connections that were
    /// accepted: to weigh against what is done now and then.
    #[inline]
    #[must_use]
    pub fn work_done(&self) -> u64 {
        self.0.counters.work_done()
    }

    /// A connection was accepted.
    pub fn count_accepted(&self) {
        self.0.counters.accepted();
    }

    /// The system could not give a connection to the listener at `address`, which rests for a while: for those who trace
    /// it.
    pub fn note_accept_trouble(
        &self,
        address: Option<&Address>,
        trouble: &io::Error,
        resting: Duration,
    ) {
        trace::accept_trouble(address, trouble, resting);
    }

    /// Hands a fault to the policy.
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, report: FaultReport) {
        self.0.counters.fault();
        trace::fault(self, &report);
        self.0.faults.report(report);
        self.0.duties.add(Duty::Resume);
    }

    /// Drops what user code may belong to, with nothing borrowed; a panic in that is a fault like any other.
    pub(crate) fn drop_guarded<T>(&self, value: T) {
        if let Err(caught) = guard::call("drop", || drop(value)) {
            self.report(FaultReport::caught(caught));
        }
    }

    /// A callback has returned: the moment to see whether it was slow.
    #[inline]
    pub fn callback_returned(&self, transport: Option<TransportId>, callback: &'static str) {
        if let Some(slow) = self.0.counters.callback_returned(transport, callback) {
            self.note_slow(slow);
        }
    }

    /// The jobs of a group have returned.
    pub(crate) fn group_returned(&self, group: &mut Group) {
        if let Some(slow) = self.0.counters.group_returned(group) {
            self.note_slow(slow);
        }
    }

    #[cold]
    fn note_slow(&self, slow: SlowCallback) {
        let SlowCallback { transport, callback, duration } = slow;
        trace::slow_callback(self, transport, callback, duration);
        if let Some(caught) = self.0.counters.tell_slow(slow) {
            self.report(FaultReport::caught(caught));
        }
    }

    /// Everything that lives on the loop.
    #[must_use]
    pub fn sources(&self) -> Vec<Rc<dyn Source>> {
        self.0.registry.borrow().sources()
    }

    /// The loop's only value of this type, made when it is first asked for: memory that all transports of one kind share.
    /// It lives until the loop is dropped and nobody holds it any more, and must not hold the loop itself.
    pub fn resource<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        if self.is_closed() {
            return Rc::new(make());
        }
        self.0.resources.get(make)
    }

    pub(crate) fn push_job(&self, job: Job) -> Ticket {
        if self.is_closed() {
            // The job is dropped here.
            return Ticket::DEAD;
        }
        self.0.duties.add(Duty::Jobs);
        self.0.ready.borrow_mut().push(job)
    }

    #[inline]
    pub(crate) fn attach(&self, key: Key, source: Rc<dyn Source>) {
        // On a loop that is gone nobody would ever break the circle of loop and source.
        if !self.is_closed() {
            self.0.registry.borrow_mut().fill(key, source);
        }
    }

    /// Gives back a place, and what was there.
    #[inline(never)]
    pub(crate) fn detach(&self, key: Key) {
        let mut registry = self.0.registry.borrow_mut();
        let known = registry.is_ebb();
        let source = registry.remove(key);
        let news = registry.is_ebb() && !known;
        drop((registry, source));
        if news {
            self.ebb_later();
        }
    }

    pub(crate) fn registry(&self) -> &RefCell<Registry> {
        &self.0.registry
    }

    pub(crate) fn poller(&self) -> &Poller {
        &self.0.poller
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn resolver(&self) -> &dyn Resolver {
        &*self.0.resolver
    }

    pub(crate) fn signals(&self) -> &Signals {
        &self.0.signals
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.0.watches
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("closed", &self.is_closed())
            .field("running", &self.is_running())
            .finish()
    }
}

impl PartialEq for LoopHandle {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopHandle {}

impl Scheduler for LoopHandle {
    fn now(&self) -> Instant {
        self.now()
    }

    fn call_soon(&self, callback: Box<dyn FnOnce()>) {
        self.push_job(Job::new(Soon(callback)));
    }

    fn call_at(&self, deadline: Instant, callback: Box<dyn FnOnce()>) -> Box<dyn Timer> {
        Box::new(self.call_at(deadline, callback))
    }

    fn enlist(&self, item: Rc<dyn Settle>) {
        if self.is_closed() {
            return;
        }
        self.0.duties.add(Duty::Settle);
        self.0.enlisted.borrow_mut().push(item);
    }

    fn resources(&self) -> &Resources {
        &self.0.resources
    }

    fn report(&self, report: FaultReport) {
        self.report(report);
    }
}

impl Host for LoopHandle {
    fn to_scheduler(&self) -> Rc<dyn Scheduler> {
        let mut shared = self.0.scheduler.borrow_mut();
        shared.upgrade().unwrap_or_else(|| {
            let handle = Rc::new(self.clone());
            *shared = Rc::downgrade(&handle);
            handle
        })
    }

    #[inline(always)]
    fn with_read_buffer<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R {
        read(&mut self.0.read_buffer.borrow_mut())
    }

    #[inline(always)]
    fn tray(&self) -> Option<&Rc<Tray>> {
        Some(&self.0.tray)
    }

    #[inline]
    fn take_queue(&self) -> Box<WriteQueue> {
        self.0.queue.take().unwrap_or_else(|| self.0.queues.borrow_mut().pop().unwrap_or_default())
    }

    #[inline(always)]
    fn put_queue(&self, mut queue: Box<WriteQueue>) {
        queue.shrink();
        if let Some(another) = self.0.queue.replace(Some(queue)) {
            self.0.keep_queue(another);
        }
    }

    fn take_inbox(&self) -> Rc<Inbox> {
        // The first datagram endpoint of the loop makes it.
        self.0.inbox.take().unwrap_or_else(|| Rc::new(Inbox::with_capacity(Inbox::CAPACITY)))
    }

    fn put_inbox(&self, inbox: Rc<Inbox>) {
        self.0.inbox.set(Some(inbox));
    }

    fn take_outbox(&self) -> Box<Outbox> {
        self.0.outboxes.borrow_mut().pop().unwrap_or_default()
    }

    fn put_outbox(&self, mut outbox: Box<Outbox>) {
        let mut outboxes = self.0.outboxes.borrow_mut();
        if outboxes.len() < QUEUES {
            outbox.shrink();
            outboxes.push(outbox);
        }
    }

    #[inline]
    fn retire(&self, driver: Rc<dyn Any>) {
        // What is kept holds the loop, so a loop that is gone keeps nothing.
        if !self.is_closed() {
            self.0.former.keep(driver);
        }
    }

    #[inline]
    fn former<D: 'static>(&self) -> Option<Rc<D>> {
        self.0.former.take()
    }

    #[inline]
    fn callback_returned(&self, transport: TransportId, callback: &'static str) {
        self.callback_returned(Some(transport), callback);
    }

    #[inline]
    fn count(&self, traffic: Traffic) {
        self.0.counters.count(traffic);
    }
}

/// A callback that was scheduled with [`LoopHandle::call_soon`]. Dropping this does not cancel it.
pub struct Handle {
    state: Weak<LoopState>,
    ticket: Ticket,
}

impl Handle {
    /// Takes the callback back, also from an earlier callback of the same turn. Without effect once it has run.
    pub fn cancel(&self) {
        if let Some(state) = self.state.upgrade() {
            let job = state.ready.borrow_mut().cancel(self.ticket);
            drop(job);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.ticket).finish()
    }
}
