//! The driver's receiving side: from the I/O object to the protocol, a budget at a time (rule T12).

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;

use super::DatagramDriver;
use super::contract::DatagramIo;
use crate::address::Address;
use crate::datagram::batch::{Batch, Progress};
use crate::datagram::inbox::{Inbox, Position};
use crate::datagram::shared::EndpointProtocol;
use crate::driver::{Host, Traffic};

/// What is being handed out, while it is.
#[derive(Default)]
pub(super) struct Delivery {
    inbox: RefCell<Option<Rc<Inbox>>>,
    /// Whether it is known of any datagram in there which address of ours it came to.
    has_locals: Cell<bool>,
    progress: Progress,
}

impl Delivery {
    /// Hands out nothing more of the present batch, because of something that the protocol did.
    pub(super) fn stop(&self) {
        self.progress.stop();
    }

    fn begin(&self, inbox: &Rc<Inbox>) {
        self.has_locals.set(inbox.has_locals());
        self.inbox.replace(Some(Rc::clone(inbox)));
    }

    fn end(&self) {
        self.has_locals.set(false);
        self.inbox.replace(None);
    }

    /// The address of ours that the datagram which is being answered came to.
    #[inline]
    pub(super) fn answered(&self, peer: &Address) -> Option<IpAddr> {
        if !self.has_locals.get() {
            return None;
        }
        self.inbox.borrow().as_ref()?.local_for(peer, self.progress.reached())
    }
}

impl<I: DatagramIo, H: Host> DatagramDriver<I, H> {
    /// Receives once, and again as long as the call was filled and the budget lasts.
    pub(super) fn receive(self: &Rc<Self>) {
        let mut total = 0;
        while let Some(protocol) = self.receiver(total) {
            let (count, more) = self.receive_once(&protocol);
            self.release(protocol);
            if !more {
                return;
            }
            total += count;
            // What was answered leaves before more is received.
            self.inner.borrow_mut().flush(&self.host);
        }
    }

    /// Who is to be given more, after `total` datagrams in this turn.
    fn receiver(&self, total: usize) -> Option<EndpointProtocol> {
        let inner = self.inner.borrow();
        let may = inner.state.may_receive() && inner.rest.is_none();
        if may && total < inner.options.read_budget.max(1) {
            return inner.protocol.clone();
        }
        None
    }

    /// Says how many datagrams came, and whether more may be waiting.
    fn receive_once(self: &Rc<Self>, protocol: &EndpointProtocol) -> (usize, bool) {
        // Before anything is received that could be lost (rule T11).
        protocol.assert_free();
        let mut inbox = self.host.take_inbox();
        let more = self.fill(&mut inbox);
        let count = inbox.len();
        let rest = if count > 0 { self.hand_out(&inbox, Position::default()) } else { None };
        if let Some(position) = rest {
            self.inner.borrow_mut().rest =
                Some((Rc::new(inbox.rest(position)), Position::default()));
        }
        self.host.put_inbox(inbox);
        (count, more)
    }

    /// Receives into `inbox`; says whether more may be waiting.
    fn fill(&self, inbox: &mut Rc<Inbox>) -> bool {
        let Some(inbox) = Rc::get_mut(inbox) else { return false };
        inbox.clear();
        let mut inner = self.inner.borrow_mut();
        match inner.io.receive(inbox) {
            Ok(more) => {
                inner.empty = 0;
                let statistics = &mut inner.statistics;
                statistics.receives += 1;
                statistics.received += inbox.len() as u64;
                statistics.truncated += inbox.truncated() as u64;
                self.host.count(Traffic::Read(inbox.bytes()));
                more
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::WouldBlock => inner.received_nothing(),
                    ErrorKind::Interrupted => {}
                    _ => {
                        inner.empty = 0;
                        inner.meet(error);
                    }
                }
                false
            }
        }
    }

    /// Hands out what a pause, a switch or a fault has left of a batch.
    pub(super) fn deliver_rest(self: &Rc<Self>) {
        let Some(protocol) = self.protocol_now() else { return };
        protocol.assert_free();
        let Some((inbox, position)) = self.inner.borrow_mut().rest.take() else { return };
        if let Some(position) = self.hand_out(&inbox, position) {
            self.inner.borrow_mut().rest = Some((inbox, position));
        }
        self.release(protocol);
    }

    /// Hands out `inbox` from `position` on, in one call; says from where on it must be handed out again.
    fn hand_out(self: &Rc<Self>, inbox: &Rc<Inbox>, position: Position) -> Option<Position> {
        let protocol = self.protocol_now()?;
        self.delivery.begin(inbox);
        let batch = Batch::new(inbox, &self.delivery.progress, position);
        let called = self.call(&protocol, "datagrams_received", |transport| {
            protocol.datagrams_received(transport, &batch);
        });
        self.delivery.end();
        self.release(protocol);
        let reached = self.delivery.progress.reached();
        let wanted = match called {
            // What was not looked at is not wanted, unless something stopped the handing out.
            Ok(()) => self.delivery.progress.is_stopped(),
            // A protocol that cannot even look at its batch must not be given it for ever.
            Err(_) => reached > position,
        };
        (wanted && reached < inbox.end() && !self.inner.borrow().state.is_closing())
            .then_some(reached)
    }
}
