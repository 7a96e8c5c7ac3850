//! The loop that a driver lives on: its future, which is polled by tokio, is the loop.
//!
//! What is scheduled waits in here for the next poll; scheduling from elsewhere wakes the future.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Instant;

use wharf_core::buffer::WriteQueue;
use wharf_core::datagram::{Inbox, Outbox};
use wharf_core::driver::{Host, Owner, Traffic};
use wharf_core::guard::{self, FaultReport};
use wharf_core::resource::Resources;
use wharf_core::schedule::{Scheduler, Settle, Timer};
use wharf_core::{Lost, TransportId, trace};

/// How much is read at once: what the other transports read.
const READ: usize = 64 * 1024;

/// How many write queues are kept for the connections that share them.
const QUEUES: usize = 16;

/// The read buffer and the write queues of several connections in one thread, so that one that is idle owns none.
///
/// Clones are the same buffers. See [`Serve::buffers`](crate::Serve::buffers).
#[derive(Clone, Default)]
pub struct Buffers(Rc<Shelf>);

#[derive(Default)]
struct Shelf {
    read: Cell<Box<[u8]>>,
    // Lent as they are: a connection has one word for its queue.
    #[allow(clippy::vec_box)]
    queues: RefCell<Vec<Box<WriteQueue>>>,
    /// How many connections there were.
    connections: Cell<u64>,
    resources: Resources,
}

impl Buffers {
    /// No buffers yet; they are made when they are needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A number for a new transport.
    pub(crate) fn next_id(&self) -> TransportId {
        let number = self.0.connections.get() + 1;
        self.0.connections.set(number);
        TransportId::new(number)
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("queues", &self.0.queues.borrow().len())
            .finish_non_exhaustive()
    }
}

/// The loop of one driver, as those who live on it refer to it.
#[derive(Clone)]
pub(crate) struct TaskHost(Rc<Turn>);

struct Turn {
    buffers: Buffers,
    ready: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    timers: RefCell<BTreeMap<Key, Box<dyn FnOnce()>>>,
    enlisted: RefCell<Vec<Rc<dyn Settle>>>,
    /// Whom to wake: the task that polled last.
    waker: RefCell<Waker>,
    /// Whether the future is being polled, and will see what is scheduled by itself.
    polling: Cell<bool>,
    /// Whether something was scheduled since the last look.
    stirred: Cell<bool>,
    closed: Cell<bool>,
    next: Cell<u64>,
    fault: RefCell<Option<FaultReport>>,
}

/// A deadline, and the order of insertion.
type Key = (Instant, u64);

impl TaskHost {
    pub(crate) fn new(buffers: &Buffers) -> Self {
        Self(Rc::new(Turn {
            buffers: buffers.clone(),
            ready: RefCell::default(),
            timers: RefCell::default(),
            enlisted: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            polling: Cell::new(false),
            stirred: Cell::new(false),
            closed: Cell::new(false),
            next: Cell::new(1),
            fault: RefCell::default(),
        }))
    }

    /// Whom a poll of the I/O object is to wake.
    pub(crate) fn waker(&self) -> Waker {
        self.0.waker.borrow().clone()
    }

    /// The future is polled by the task of `waker` until what this gives is dropped.
    pub(crate) fn enter(&self, waker: &Waker) -> Entered {
        if !self.0.waker.borrow().will_wake(waker) {
            let former = self.0.waker.replace(waker.clone());
            drop(former);
        }
        self.0.polling.set(true);
        Entered(self.clone())
    }

    /// Whether something was scheduled since the last call.
    pub(crate) fn stirred(&self) -> bool {
        self.0.stirred.replace(false)
    }

    fn stir(&self) {
        self.0.stirred.set(true);
        if !self.0.polling.get() {
            let waker = self.waker();
            waker.wake();
        }
    }

    /// Runs what was queued before this call, and nothing that is queued meanwhile.
    pub(crate) fn run_ready(&self) {
        let round = self.0.ready.borrow().len();
        for _ in 0..round {
            let callback = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = callback {
                self.run("call_soon", callback);
            }
        }
    }

    /// Runs the timers that are due, and none that is set meanwhile.
    pub(crate) fn run_timers(&self) {
        if self.0.timers.borrow().is_empty() {
            return;
        }
        let (now, last) = (self.now(), self.0.next.get());
        loop {
            let due = {
                let mut timers = self.0.timers.borrow_mut();
                let mut due = timers.keys().take_while(|key| key.0 <= now);
                let key = due.find(|key| key.1 < last).copied();
                key.and_then(|key| timers.remove(&key))
            };
            match due {
                Some(callback) => self.run("call_later", callback),
                None => return,
            }
        }
    }

    /// Settles what was enlisted before this call.
    pub(crate) fn settle(&self) {
        let items = self.0.enlisted.take();
        items.into_iter().for_each(Settle::settle);
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.timers.borrow().keys().next().map(|key| key.0)
    }

    /// The first fault.
    pub(crate) fn take_fault(&self) -> Option<FaultReport> {
        self.0.fault.take()
    }

    /// What is scheduled is dropped from now on.
    pub(crate) fn close(&self) {
        self.0.closed.set(true);
        let ready = self.0.ready.take();
        let timers = self.0.timers.take();
        let enlisted = self.0.enlisted.take();
        // Dropped outside the borrows, because they may own anything; one by one, because two that panic in one drop end the
        // process.
        for callback in ready.into_iter().chain(timers.into_values()) {
            self.drop_guarded(callback);
        }
        self.drop_guarded(enlisted);
    }

    fn drop_guarded<T>(&self, value: T) {
        if let Err(caught) = guard::call("drop", || drop(value)) {
            self.report(FaultReport::caught(caught));
        }
    }

    fn run(&self, name: &'static str, callback: Box<dyn FnOnce()>) {
        if let Err(caught) = guard::call(name, callback) {
            self.report(FaultReport::caught(caught));
        }
    }
}

/// The time of one poll.
pub(crate) struct Entered(TaskHost);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.polling.set(false);
    }
}

impl Scheduler for TaskHost {
    fn now(&self) -> Instant {
        // tokio's clock, which stands still where its tests stop it.
        tokio::time::Instant::now().into_std()
    }

    fn call_soon(&self, callback: Box<dyn FnOnce()>) {
        if !self.0.closed.get() {
            self.0.ready.borrow_mut().push_back(callback);
            self.stir();
        }
    }

    fn call_at(&self, deadline: Instant, callback: Box<dyn FnOnce()>) -> Box<dyn Timer> {
        let key = (deadline, self.0.next.get());
        self.0.next.set(key.1 + 1);
        if !self.0.closed.get() {
            self.0.timers.borrow_mut().insert(key, callback);
            self.stir();
        }
        Box::new(TaskTimer { turn: Rc::downgrade(&self.0), key })
    }

    fn resources(&self) -> &Resources {
        &self.0.buffers.0.resources
    }

    fn report(&self, report: FaultReport) {
        trace::fault(self, &report);
        let mut fault = self.0.fault.borrow_mut();
        if fault.is_none() {
            *fault = Some(report);
        }
    }

    fn enlist(&self, item: Rc<dyn Settle>) {
        if !self.0.closed.get() {
            self.0.enlisted.borrow_mut().push(item);
            self.stir();
        }
    }
}

struct TaskTimer {
    turn: Weak<Turn>,
    key: Key,
}

impl Timer for TaskTimer {
    fn cancel(&self) {
        if let Some(turn) = self.turn.upgrade() {
            let callback = turn.timers.borrow_mut().remove(&self.key);
            drop(callback);
        }
    }
}

impl Host for TaskHost {
    fn with_read_buffer<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R {
        // Out of its cell meanwhile: a callback may poll a future that drives another connection.
        let mut buffer = self.0.buffers.0.read.take();
        if buffer.is_empty() {
            buffer = vec![0; READ].into();
        }
        let outcome = read(&mut buffer);
        self.0.buffers.0.read.set(buffer);
        outcome
    }

    fn take_queue(&self) -> Box<WriteQueue> {
        self.0.buffers.0.queues.borrow_mut().pop().unwrap_or_default()
    }

    fn put_queue(&self, mut queue: Box<WriteQueue>) {
        let mut queues = self.0.buffers.0.queues.borrow_mut();
        if queues.len() < QUEUES {
            queue.shrink();
            queues.push(queue);
        }
    }

    fn take_inbox(&self) -> Rc<Inbox> {
        Rc::new(Inbox::with_capacity(READ))
    }

    fn put_inbox(&self, inbox: Rc<Inbox>) {
        drop(inbox);
    }

    fn take_outbox(&self) -> Box<Outbox> {
        Box::default()
    }

    fn put_outbox(&self, outbox: Box<Outbox>) {
        drop(outbox);
    }

    fn callback_returned(&self, _: TransportId, _: &'static str) {}

    fn count(&self, _: Traffic) {}
}

/// How the connection ended, for the driver, which goes on after it; and for whoever else wants to know.
pub(crate) struct Ended {
    clean: Cell<bool>,
    next: Option<Weak<dyn Owner>>,
}

impl Ended {
    pub(crate) fn new(next: Option<Weak<dyn Owner>>) -> Self {
        Self { clean: Cell::new(false), next }
    }

    /// Whether everything that was written is to go out.
    pub(crate) fn is_clean(&self) -> bool {
        self.clean.get()
    }
}

impl Owner for Ended {
    fn connection_lost(&self, transport: TransportId, why: &Lost) {
        self.clean.set(why.is_clean());
        if let Some(next) = self.next.as_ref().and_then(Weak::upgrade) {
            next.connection_lost(transport, why);
        }
    }
}
