//! What a datagram driver guards: the I/O object, the state, and what is queued. Nothing in here calls user code.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;

use super::contract::{DatagramIo, DatagramOptions, DatagramStatistics, DropPolicy, Target};
use crate::address::Address;
use crate::datagram::inbox::{Inbox, Position};
use crate::datagram::outbox::Outbox;
use crate::datagram::outgoing::Outgoing;
use crate::datagram::shared::EndpointProtocol;
use crate::datagram::state::DatagramState;
use crate::driver::{Host, Traffic};
use crate::lost::Lost;
use crate::schedule::Timer;
use crate::stream::Interest;

/// So many receives in a row may bring nothing before polling is no longer believed. A datagram with a wrong checksum
/// wakes in vain, and so does one that another holder of the socket was quicker to take.
pub(super) const EMPTY_RECEIVES: u32 = 16;

pub(super) struct Inner<I> {
    pub(super) io: I,
    pub(super) state: DatagramState,
    /// Borrowed from the loop while something is queued.
    pub(super) outbox: Option<Box<Outbox>>,
    pub(super) options: DatagramOptions,
    /// What was registered last.
    pub(super) interest: Interest,
    /// Changes whenever the system takes something.
    pub(super) progress: u32,
    /// `progress` when the system last said that it would take more.
    pub(super) promised: Option<u32>,
    /// The timer that asks again where polling cannot tell, and how often it has asked in vain.
    pub(super) retry: Option<Box<dyn Timer>>,
    pub(super) retries: u32,
    /// The same for receiving, and how many receives in a row have brought nothing.
    pub(super) listen: Option<Box<dyn Timer>>,
    pub(super) empty: u32,
    /// The deadline of a draining close, and `progress` when it was set.
    pub(super) drain: Option<(Box<dyn Timer>, u32)>,
    /// The error that is to be told.
    pub(super) error: Option<io::Error>,
    /// What a pause, a switch or a fault has left of a batch, and how much of it was handed out since.
    pub(super) rest: Option<(Rc<Inbox>, Position)>,
    pub(super) statistics: DatagramStatistics,
    /// Until the loss is told.
    pub(super) protocol: Option<EndpointProtocol>,
}

impl<I: DatagramIo> Inner<I> {
    pub(super) fn new(io: I, protocol: EndpointProtocol, options: DatagramOptions) -> Self {
        Self {
            io,
            state: DatagramState::new(),
            outbox: None,
            options,
            interest: Interest::default(),
            progress: 0,
            promised: None,
            retry: None,
            retries: 0,
            listen: None,
            empty: 0,
            drain: None,
            error: None,
            rest: None,
            statistics: DatagramStatistics::default(),
            protocol: Some(protocol),
        }
    }

    // ---- sending ----

    /// Whether `outgoing` can be sent from here at all.
    #[inline]
    pub(super) fn check(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        if outgoing.segment == Some(0) {
            return Err(invalid("the size of the segments is zero"));
        }
        match (&self.options.target, outgoing.to) {
            (Target::None, None) => {
                Err(invalid("the endpoint has no peer, so a datagram needs an address"))
            }
            (Target::None, Some(to)) => self.io.admits(to),
            (_, None) => Ok(()),
            (Target::Connected(Some(peer)) | Target::Default(peer), Some(to)) if to == peer => {
                Ok(())
            }
            (Target::Connected(_) | Target::Default(_), Some(_)) => {
                Err(invalid("the address is not that of the endpoint's peer"))
            }
        }
    }

    /// Whether the queue has room for a batch of `count` datagrams, or is made to have it by its policy.
    #[inline]
    pub(super) fn make_room(&mut self, count: usize) -> io::Result<bool> {
        if self.state.is_over_full(&self.options.limits) { self.drop_some(count) } else { Ok(true) }
    }

    /// Does with `count` datagrams, or with those that are queued, what the policy for an over-full queue says.
    #[cold]
    fn drop_some(&mut self, count: usize) -> io::Result<bool> {
        match self.options.drop_policy {
            DropPolicy::Refuse => {
                self.statistics.refused += count as u64;
                Err(io::Error::new(ErrorKind::WouldBlock, "the queue of datagrams is full"))
            }
            DropPolicy::DropNewest => {
                self.statistics.dropped_newest += count as u64;
                Ok(false)
            }
            DropPolicy::DropOldest => {
                while self.state.is_over_full(&self.options.limits) {
                    self.statistics.dropped_oldest += 1;
                    self.give_up(1);
                }
                Ok(true)
            }
        }
    }

    /// Queues `count` datagrams, which are `batch`, in an outbox that is borrowed if there is none.
    // A part of the driver's `accept`.
    #[inline(always)]
    pub(super) fn queue(
        &mut self,
        batch: &[Outgoing<'_>],
        count: usize,
        answered: impl Fn(&Address) -> Option<IpAddr>,
        borrow: impl FnOnce() -> Box<Outbox>,
    ) {
        let outbox = self.outbox.get_or_insert_with(borrow);
        let before = outbox.bytes();
        for outgoing in batch {
            // The address that the system is to be given.
            let to = match &self.options.target {
                Target::None => outgoing.to,
                Target::Connected(_) => None,
                Target::Default(peer) => Some(peer),
            };
            let local = outgoing.local.or_else(|| to.and_then(&answered));
            outbox.push(&Outgoing { to, local, ..*outgoing });
        }
        self.state.queued_more(count, outbox.bytes() - before, &self.options.limits);
    }

    /// The first `count` datagrams leave the queue; says how many bytes they had.
    fn give_up(&mut self, count: usize) -> usize {
        let Some(outbox) = self.outbox.as_deref_mut() else { return 0 };
        let bytes = outbox.advance(count);
        self.state.gone(count, bytes, &self.options.limits);
        bytes
    }

    /// Sends what is queued until the system takes no more, or meets an error, which must be told first.
    pub(super) fn flush<H: Host>(&mut self, host: &H) {
        while self.state.may_flush() {
            let Some(outbox) = self.outbox.as_deref() else { break };
            match self.io.send(outbox) {
                Ok(0) => self.state.blocked(),
                Ok(count) => {
                    self.progress = self.progress.wrapping_add(1);
                    self.statistics.sends += 1;
                    self.statistics.sent += count as u64;
                    host.count(Traffic::Written(self.give_up(count)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.state.blocked(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.progress = self.progress.wrapping_add(1);
                    self.give_up(1);
                    self.meet(error);
                }
            }
        }
        if self.state.queued_datagrams() == 0 {
            self.return_outbox(host);
        }
    }

    /// Takes note of an error that is to be told.
    pub(super) fn meet(&mut self, error: io::Error) {
        self.statistics.errors += 1;
        self.state.met_error();
        self.error = Some(error);
    }

    /// A receive brought nothing although polling promised something.
    pub(super) fn received_nothing(&mut self) {
        self.empty = self.empty.saturating_add(1);
        if self.empty >= EMPTY_RECEIVES {
            self.state.misled();
        }
    }

    pub(super) fn return_outbox<H: Host>(&mut self, host: &H) {
        if let Some(mut outbox) = self.outbox.take() {
            outbox.clear();
            host.put_outbox(outbox);
        }
    }

    // ---- polling ----

    /// Makes what is polled for agree with the state.
    pub(super) fn update_interest(&mut self) -> io::Result<()> {
        let wanted = self.state.interest();
        if wanted != self.interest {
            if let Err(error) = self.io.set_interest(wanted) {
                self.state.fail(Lost::Io(error));
                return Err(ErrorKind::Other.into());
            }
            self.interest = wanted;
        }
        Ok(())
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}
