//! What a datagram driver needs: an I/O object below it, and its settings. The loop around it is a [`Host`].
//!
//! [`Host`]: crate::driver::Host

use std::io;
use std::time::Duration;

use crate::address::Address;
use crate::datagram::inbox::Inbox;
use crate::datagram::outbox::Outbox;
use crate::datagram::state::QueueLimits;
use crate::extra::Request;
use crate::stream::Interest;

/// What a datagram driver moves datagrams over.
///
/// Nothing here blocks: what cannot be done now answers [`WouldBlock`](io::ErrorKind::WouldBlock).
pub trait DatagramIo: 'static {
    /// Receives once, as much as the system gives in one call, into `inbox`, which is empty. Says whether more may be
    /// waiting: the call was filled.
    ///
    /// # Errors
    /// The system's. Nothing is in `inbox` then, unless the error came after something was received: that is kept for
    /// the next call.
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool>;

    /// Sends from `outbox`, which is not empty, in order, as many datagrams as the system takes in one call; says how
    /// many. What cannot go as a train goes as single datagrams.
    ///
    /// # Errors
    /// The system's, about the first datagram of `outbox`: that one is dropped. An error about a later one is found
    /// again by the next call, or kept for it.
    fn send(&mut self, outbox: &Outbox) -> io::Result<usize>;

    /// Whether datagrams can be sent to `to` from here: the family is right, and the name is complete.
    ///
    /// # Errors
    /// `InvalidInput`, with a sentence for the one who sent.
    fn admits(&self, to: &Address) -> io::Result<()>;

    /// Polls for exactly this from now on. Called only when the interest has changed.
    ///
    /// # Errors
    /// When the poller refuses the descriptor.
    fn set_interest(&mut self, interest: Interest) -> io::Result<()>;

    /// Stops polling and closes. With `keep_facts` somebody may still ask for addresses.
    fn close(&mut self, keep_facts: bool);

    /// Answers a question for a fact. `access` leads back to the driver, for facts that are views of the I/O object.
    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> std::rc::Rc<dyn DatagramAccess<Self>>,
    ) where
        Self: Sized;
}

/// A way back to the I/O object of a live driver.
pub trait DatagramAccess<I> {
    /// Lends the I/O object to `view`, unless it has been closed.
    fn with_io(&self, view: &mut dyn FnMut(&mut I));
}

/// Where a datagram goes that names no address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// Nowhere: every send must name one.
    #[default]
    None,
    /// To the peer that the socket is connected to; `None` for one without a name, such as the other end of a socket
    /// pair. A send may name that peer, and no other.
    Connected(Option<Address>),
    /// To this address, although the socket is not connected and hears everybody. A send may name it, and no other.
    Default(Address),
}

/// What happens to a send that finds the queue above its ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DropPolicy {
    /// The send fails with `WouldBlock`.
    #[default]
    Refuse,
    /// What is being sent is dropped, and the sender is answered [`Flow::Full`](crate::Flow::Full).
    DropNewest,
    /// What was sent first is dropped until the queue is at its ceiling, and the new datagrams are taken.
    DropOldest,
}

/// What an endpoint counts about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatagramStatistics {
    /// Datagrams that were received.
    pub received: u64,
    /// Receives that brought them: system calls, on a socket that can batch.
    pub receives: u64,
    /// Datagrams that came truncated.
    pub truncated: u64,
    /// Datagrams that the system has taken.
    pub sent: u64,
    /// Sends that it took them by.
    pub sends: u64,
    /// Errors of the system, each told by `error_received`.
    pub errors: u64,
    /// Datagrams that were refused because the queue was over-full.
    pub refused: u64,
    /// New datagrams that were dropped because the queue was over-full.
    pub dropped_newest: u64,
    /// Old datagrams that were dropped because the queue was over-full.
    pub dropped_oldest: u64,
}

/// The settings of an endpoint.
#[derive(Debug, Clone)]
pub struct DatagramOptions {
    /// Where a datagram goes that names no address.
    pub target: Target,
    /// The limits of the queue.
    pub limits: QueueLimits,
    /// What happens to a send that finds the queue above its ceiling.
    pub drop_policy: DropPolicy,
    /// How long a close may go without progress before it becomes an abort (rule T13); `None` waits for ever.
    pub close_timeout: Option<Duration>,
    /// How many datagrams are received before others get their turn, by whole receives (rule T12).
    pub read_budget: usize,
}

impl Default for DatagramOptions {
    fn default() -> Self {
        Self {
            target: Target::None,
            limits: QueueLimits::DEFAULT,
            drop_policy: DropPolicy::Refuse,
            // That of streams: a Unix peer that does not read can hold a queue as well.
            close_timeout: Some(Duration::from_secs(30)),
            // Some tens of microseconds of work, and far more than wait while a loop is on time.
            read_budget: 256,
        }
    }
}
