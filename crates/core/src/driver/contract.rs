//! What a stream driver needs: an I/O object below it, a loop around it, and perhaps an owner.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::buffer::WriteQueue;
use crate::datagram::{Inbox, Outbox};
use crate::extra::Request;
use crate::flow::Limits;
use crate::lost::Lost;
use crate::schedule::Scheduler;
use crate::stream::Interest;
use crate::trace;
use crate::transport::TransportId;
use crate::tray::Tray;

/// What a stream driver moves bytes over.
///
/// Nothing here blocks: what cannot be done now answers [`WouldBlock`](io::ErrorKind::WouldBlock).
pub trait StreamIo: Sized + 'static {
    /// The place that a driver of such an object has on its host.
    type Seat: Seat;

    /// Reads into `buffer`; zero is the peer's end.
    ///
    /// # Errors
    /// The system's.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `bytes`.
    ///
    /// # Errors
    /// The system's. A peer that is gone is an error and never a signal.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes from several slices.
    ///
    /// # Errors
    /// The system's.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts our direction down.
    ///
    /// # Errors
    /// The system's.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// The error that waits on the descriptor, if one does.
    ///
    /// # Errors
    /// When it cannot be asked for.
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;

    /// Polls for exactly this from now on. Called only when the interest has changed.
    ///
    /// # Errors
    /// When the poller refuses the descriptor.
    fn set_interest(&mut self, seat: &Self::Seat, interest: Interest) -> io::Result<()>;

    /// Stops polling, closes, and leaves the place. With `keep_facts` somebody may still ask for addresses.
    fn close(&mut self, seat: &Self::Seat, keep_facts: bool);

    /// Answers a question for a fact. By way of the seat a fact may lead back to the driver, as [`IoAccess`].
    fn provide(&self, seat: &Self::Seat, request: &mut Request<'_>);

    /// Whether there is one direction only, as in a pipe: shutting it down is closing.
    const ONE_WAY: bool = false;

    /// Whether each direction can end by itself. Where it cannot, as on a terminal, `write_eof` does nothing and the
    /// peer's end is the end of the stream whatever the protocol answers.
    #[inline]
    fn can_half_close(&self) -> bool {
        true
    }

    // ---- for layers over another transport ----

    /// Whether this is a layer over another transport: what is written goes to that one's buffer and not to the system.
    /// What follows is asked of layers only. A layer's [`read`](Self::read) says by `UnexpectedEof` that the peer ended
    /// without a goodbye.
    const LAYERED: bool = false;

    /// How many bytes were taken by a write and have not reached the system. They count as queued.
    fn unsent_below(&self) -> usize {
        0
    }

    /// Whether the transport below is closing, which closes this one.
    fn is_closing_below(&self) -> bool {
        false
    }

    /// The stream closes in order, and everything that was queued has been written: says goodbye to the peer. Answers
    /// whether that is over; asked again until it is, and only then is the loss told.
    fn say_goodbye(&mut self) -> bool {
        true
    }

    /// The limits of the write buffer are these from now on.
    fn limits_changed(&mut self, limits: &Limits) {
        let _ = limits;
    }
}

/// A way back to the I/O object of a live driver, for facts that are views of it.
pub trait IoAccess<I> {
    /// Lends the I/O object to `view`, unless it has been closed.
    fn with_io(&self, view: &mut dyn FnMut(&mut I));

    /// Sends `outflow` after everything that is queued and before everything that is written later.
    ///
    /// # Errors
    /// When the stream does not take writes any more, or another outflow is under way; the outflow comes back.
    fn send_outflow(&self, outflow: Box<dyn Outflow<I>>) -> Result<(), Box<dyn Outflow<I>>>;

    /// Takes the outflow that is under way out of the stream, if there is one.
    fn cancel_outflow(&self);
}

/// Bytes that go from elsewhere straight to the I/O object, in their place between queued writes: a file, for example.
pub trait Outflow<I> {
    /// Sends some, no more than `budget` bytes; zero when all has been sent.
    ///
    /// # Errors
    /// `WouldBlock` when the system takes no more for now. Any other error ends the connection.
    fn send(&mut self, io: &mut I, budget: usize) -> io::Result<usize>;

    /// It is over: all sent, an error of the connection, or the connection ended before. Must not call user code.
    fn finish(self: Box<Self>, result: io::Result<()>);
}

/// The place of a stream driver on its host: the way there, and the way back.
pub trait Seat: 'static {
    /// The loop.
    type Host: Host;

    /// The loop.
    fn host(&self) -> &Self::Host;

    /// The driver that has this place; `None` before it has taken it, and once it has left or is being dropped.
    fn driver<D: 'static>(&self) -> Option<Rc<D>>;
}

/// A place on a host that does not know who lives there: the driver is found by a weak reference.
pub struct Anchor<H> {
    host: H,
    driver: Weak<dyn Any>,
}

impl<H: Host> Anchor<H> {
    /// The place of the driver that this is a reference to.
    pub(super) fn new(host: H, driver: Weak<dyn Any>) -> Self {
        Self { host, driver }
    }
}

impl<H: Host> Seat for Anchor<H> {
    type Host = H;

    #[inline]
    fn host(&self) -> &H {
        &self.host
    }

    fn driver<D: 'static>(&self) -> Option<Rc<D>> {
        self.driver.upgrade()?.downcast().ok()
    }
}

impl<H> fmt::Debug for Anchor<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").finish_non_exhaustive()
    }
}

/// What a stream driver needs of the loop it lives on.
pub trait Host: Scheduler + Clone {
    /// The loop as whoever stands on a transport sees it. A host that gives the same object again spares each layer one of
    /// its own.
    fn to_scheduler(&self) -> Rc<dyn Scheduler> {
        Rc::new(self.clone())
    }

    /// Lends the loop's read buffer to `read`, for the time of one read and its callback.
    fn with_read_buffer<R>(&self, read: impl FnOnce(&mut [u8]) -> R) -> R;

    /// Borrows a write queue; it is empty.
    fn take_queue(&self) -> Box<WriteQueue>;

    /// Gives it back, empty.
    fn put_queue(&self, queue: Box<WriteQueue>);

    /// The loop's tray, if it has one: what a callback writes is gathered there rather than in a queue.
    #[inline]
    fn tray(&self) -> Option<&Rc<Tray>> {
        None
    }

    /// Takes the loop's inbox for the time of one receive and its callback. Nobody else holds it.
    fn take_inbox(&self) -> Rc<Inbox> {
        Rc::new(Inbox::with_capacity(64 * 1024))
    }

    /// Gives it back.
    fn put_inbox(&self, inbox: Rc<Inbox>) {
        drop(inbox);
    }

    /// Borrows an outbox; it is empty.
    fn take_outbox(&self) -> Box<Outbox> {
        Box::default()
    }

    /// Gives it back, empty.
    fn put_outbox(&self, outbox: Box<Outbox>) {
        drop(outbox);
    }

    /// A stream driver is at its end, and its protocol knows. A host that makes many may keep its memory for one to come.
    fn retire(&self, driver: Rc<dyn Any>) {
        drop(driver);
    }

    /// A driver of this type that was given to [`retire`](Self::retire), for one that is to live in the same memory. Somebody
    /// may still have a handle on it.
    fn former<D: 'static>(&self) -> Option<Rc<D>> {
        None
    }

    /// Runs `callback`, which calls the protocol of `transport`, inside whatever stands around its callbacks: with the
    /// feature `tracing` the transport's span, otherwise nothing.
    #[inline(always)]
    fn inside<R>(&self, transport: TransportId, callback: impl FnOnce() -> R) -> R {
        trace::inside(self, transport, callback)
    }

    /// A callback of `transport` has returned: the moment to see whether it was slow.
    fn callback_returned(&self, transport: TransportId, callback: &'static str);

    /// Bytes have moved, or a connection was lost: for the loop's counters.
    fn count(&self, traffic: Traffic);
}

/// What the counters of a loop are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Bytes were read.
    Read(usize),
    /// Bytes were written.
    Written(usize),
    /// A connection was lost, for the cause with this [`Lost::index`].
    Lost(usize),
}

/// Who wants to know that a connection is over: the server it belongs to.
pub trait Owner {
    /// The connection was lost, and its descriptor is closed.
    fn connection_lost(&self, transport: TransportId, why: &Lost);
}

/// The settings of a stream; a server shares one set among its connections.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The limits of the write buffer.
    pub limits: Limits,
    /// How long a close may go without progress before it becomes an abort (rule T13); `None` waits for ever.
    pub close_timeout: Option<Duration>,
    /// How many bytes are read from one connection before others get their turn (rule T12).
    pub read_budget: usize,
    /// Who is told that the stream is over: the server it belongs to.
    pub owner: Option<Weak<dyn Owner>>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            // Long enough for a peer that lost its network for a moment, short enough that a stalled one does not hold
            // a server's shutdown for minutes.
            close_timeout: Some(Duration::from_secs(30)),
            // The size of asyncio's largest read.
            read_budget: 256 * 1024,
            owner: None,
        }
    }
}

/// What is ready on an I/O object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Reading would not block; an error or a hang-up counts.
    pub read: bool,
    /// Writing would not block; an error or a hang-up counts.
    pub write: bool,
}
