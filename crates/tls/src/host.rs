//! [`LayerHost`]: the loop as the stream above TLS sees it, and the memory that all TLS connections on a loop share.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Instant;

use wharf_core::buffer::WriteQueue;
use wharf_core::driver::{Host, Traffic};
use wharf_core::guard::FaultReport;
use wharf_core::resource::Resources;
use wharf_core::schedule::{Settle, Timer};
use wharf_core::{Scheduler, TransportId};

/// How much is read from the transport below, and delivered to the protocol above, in one go: four records.
const BUFFER: usize = 64 * 1024;

/// How many buffers, and how many queues, an idle loop keeps.
const KEPT: usize = 4;

/// The memory that is lent to a connection while a record is in work. An idle connection owns none of it.
#[derive(Default)]
pub(crate) struct Pool {
    #[allow(clippy::vec_box)]
    // The boxes are lent as they are: a connection has one word for its buffer, and one for its queue.
    buffers: RefCell<Vec<Box<Buffer>>>,
    #[allow(clippy::vec_box)] // As above.
    queues: RefCell<Vec<Box<WriteQueue>>>,
    /// The host that was made last.
    host: RefCell<Weak<Shared>>,
}

/// A buffer that is lent, and the part of it that is in use.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Pool {
    /// Borrows a buffer of [`BUFFER`] bytes, with nothing in it.
    pub(crate) fn take_buffer(&self) -> Box<Buffer> {
        let kept = self.buffers.borrow_mut().pop();
        kept.unwrap_or_else(|| Box::new(Buffer { bytes: vec![0; BUFFER], start: 0, end: 0 }))
    }

    /// Gives a buffer back; one that has grown is dropped.
    pub(crate) fn put_buffer(&self, mut buffer: Box<Buffer>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < KEPT && buffer.bytes.len() == BUFFER {
            (buffer.start, buffer.end) = (0, 0);
            buffers.push(buffer);
        }
    }
}

/// The loop that the transport below lives on. One word, because every connection has it twice.
#[derive(Clone)]
pub(crate) struct LayerHost(Rc<Shared>);

/// What the layers of a loop have in common.
struct Shared {
    scheduler: Rc<dyn Scheduler>,
    pool: Rc<Pool>,
}

impl LayerHost {
    /// The host of the layers on `scheduler`: the last one again, if it was for the same.
    pub(crate) fn new(scheduler: Rc<dyn Scheduler>) -> Self {
        let pool = scheduler.resources().get(Pool::default);
        let last = pool.host.borrow().upgrade();
        let same = last.filter(|last| Rc::ptr_eq(&last.scheduler, &scheduler));
        Self(same.unwrap_or_else(|| {
            let shared = Rc::new(Shared { scheduler, pool: Rc::clone(&pool) });
            pool.host.replace(Rc::downgrade(&shared));
            shared
        }))
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl Scheduler for LayerHost {
    fn now(&self) -> Instant {
        self.0.scheduler.now()
    }

    fn call_soon(&self, callback: Box<dyn FnOnce()>) {
        self.0.scheduler.call_soon(callback);
    }

    fn call_at(&self, deadline: Instant, callback: Box<dyn FnOnce()>) -> Box<dyn Timer> {
        self.0.scheduler.call_at(deadline, callback)
    }

    fn resources(&self) -> &Resources {
        self.0.scheduler.resources()
    }

    fn report(&self, report: FaultReport) {
        self.0.scheduler.report(report);
    }

    fn enlist(&self, item: Rc<dyn Settle>) {
        self.0.scheduler.enlist(item);
    }
}

impl Host for LayerHost {
    fn with_read_buffer<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R {
        // Another layer may stand on this one, and reads within its callback.
        let mut buffer = self.0.pool.take_buffer();
        let outcome = read(&mut buffer.bytes);
        self.0.pool.put_buffer(buffer);
        outcome
    }

    fn take_queue(&self) -> Box<WriteQueue> {
        self.0.pool.queues.borrow_mut().pop().unwrap_or_default()
    }

    fn put_queue(&self, mut queue: Box<WriteQueue>) {
        queue.shrink();
        let mut queues = self.0.pool.queues.borrow_mut();
        if queues.len() < KEPT {
            queues.push(queue);
        }
    }

    // The callbacks above run within those of the transport below, whose loop looks at the clock.
    fn callback_returned(&self, _: TransportId, _: &'static str) {}

    // The transport below has counted the bytes, and will count the loss.
    fn count(&self, _: Traffic) {}
}
