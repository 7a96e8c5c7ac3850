//! The driver as a transport: what users call. None of it calls user code (rule T1).

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::DatagramDriver;
use super::contract::{DatagramAccess, DatagramIo, DatagramStatistics, DropPolicy, Target};
use super::inner::Inner;
use crate::address::Address;
use crate::datagram::outgoing::Outgoing;
use crate::datagram::shared::EndpointProtocol;
use crate::datagram::state::{Notice, Phase, QueueLimits};
use crate::driver::Host;
use crate::extra::{PeerAddr, Request, WritingPaused};
use crate::flow::Flow;
use crate::lost::Lost;
use crate::schedule::{Scheduler, Settle};
use crate::transport::{BaseTransport, DatagramTransport, ReadTransport, TransportId};
use crate::vitals::{Life, Vitals};

impl<I: DatagramIo, H: Host> Settle for DatagramDriver<I, H> {
    fn settle(self: Rc<Self>) {
        self.enlisted.set(false);
        self.settle_now();
    }
}

impl<I: DatagramIo, H: Host> DatagramAccess<I> for DatagramDriver<I, H> {
    fn with_io(&self, view: &mut dyn FnMut(&mut I)) {
        let mut inner = self.inner.borrow_mut();
        if inner.state.phase() != Phase::Lost {
            view(&mut inner.io);
        }
    }
}

fn vitals<I>(inner: &Inner<I>) -> Vitals {
    let made = inner.state.untold() != Some(Notice::Made);
    Vitals {
        reading: inner.state.may_deliver(),
        writing_paused: inner.state.told_paused(),
        queued: inner.state.queued(),
        protocol: inner.protocol.as_ref().map(EndpointProtocol::type_name),
        ..Vitals::new(Life::of_datagrams(made, inner.state.phase()))
    }
}

impl<I: DatagramIo, H: Host> BaseTransport for DatagramDriver<I, H> {
    fn id(&self) -> TransportId {
        self.id
    }

    fn close(&self) {
        self.inner.borrow_mut().state.close();
        self.delivery.stop();
        self.settle_soon();
    }

    fn abort(&self) {
        self.inner.borrow_mut().state.fail(Lost::Aborted);
        self.delivery.stop();
        self.settle_soon();
    }

    fn fail(&self, error: Box<dyn Error>) {
        let refused = self.inner.borrow_mut().state.fail(Lost::Failed(error));
        self.delivery.stop();
        self.settle_soon();
        // With nothing of ours borrowed: it is the user's.
        drop(refused);
    }

    fn is_closing(&self) -> bool {
        self.inner.borrow().state.is_closing()
    }

    fn provide(&self, request: &mut Request<'_>) {
        let access = || {
            self.me.upgrade().expect("a driver that is asked is alive") as Rc<dyn DatagramAccess<I>>
        };
        let inner = self.inner.borrow();
        request
            .provide(|| vitals(&inner))
            .provide_some(|| inner.state.told_paused().then_some(WritingPaused))
            .provide_some(|| match &inner.options.target {
                Target::Connected(Some(peer)) => Some(PeerAddr(peer.clone())),
                _ => None,
            })
            .provide(|| inner.options.target.clone());
        inner.io.provide(request, &access);
    }

    fn scheduler(&self) -> Rc<dyn Scheduler> {
        self.host.to_scheduler()
    }
}

impl<I: DatagramIo, H: Host> ReadTransport for DatagramDriver<I, H> {
    fn is_reading(&self) -> bool {
        self.inner.borrow().state.may_deliver()
    }

    fn pause_reading(&self) {
        self.inner.borrow_mut().state.pause_reading();
        self.delivery.stop();
        self.settle_soon();
    }

    fn resume_reading(&self) {
        self.inner.borrow_mut().state.resume_reading();
        self.settle_soon();
    }
}

impl<I: DatagramIo, H: Host> DatagramTransport for DatagramDriver<I, H> {
    fn send(&self, batch: &[Outgoing<'_>]) -> io::Result<Flow> {
        self.accept(batch)
    }

    fn send_to(&self, data: &[u8], to: Option<&Address>) -> io::Result<Flow> {
        // As by default, but with nothing between: this is how most datagrams are sent.
        self.accept(&[Outgoing { to, ..Outgoing::new(data) }])
    }

    fn write_buffer_len(&self) -> usize {
        self.inner.borrow().state.queued()
    }

    fn queued_datagrams(&self) -> usize {
        self.inner.borrow().state.queued_datagrams()
    }

    fn queue_limits(&self) -> QueueLimits {
        self.inner.borrow().options.limits
    }

    fn set_queue_limits(&self, limits: QueueLimits) {
        let mut inner = self.inner.borrow_mut();
        inner.options.limits = limits;
        inner.state.limits_changed(&limits);
        self.settle_soon();
    }

    fn drop_policy(&self) -> DropPolicy {
        self.inner.borrow().options.drop_policy
    }

    fn set_drop_policy(&self, policy: DropPolicy) {
        self.inner.borrow_mut().options.drop_policy = policy;
    }

    fn statistics(&self) -> DatagramStatistics {
        self.inner.borrow().statistics
    }

    fn protocol(&self) -> Option<EndpointProtocol> {
        self.protocol_now()
    }

    fn replace_protocol(&self, protocol: EndpointProtocol) -> Option<EndpointProtocol> {
        let mut inner = self.inner.borrow_mut();
        if inner.state.phase() == Phase::Lost {
            return None;
        }
        if inner.protocol.as_ref() != Some(&protocol) {
            inner.state.protocol_changed();
            self.delivery.stop();
        }
        self.settle_soon();
        inner.protocol.replace(protocol)
    }
}

impl<I: DatagramIo, H: Host> DatagramDriver<I, H> {
    /// Takes all of `batch`, or says why not.
    // Once for each of its two callers, so that for one of them a batch is one datagram and no loop.
    #[inline(always)]
    fn accept(&self, batch: &[Outgoing<'_>]) -> io::Result<Flow> {
        let mut inner = self.inner.borrow_mut();
        if inner.state.is_closing() {
            return Ok(Flow::Closed);
        }
        for outgoing in batch {
            inner.check(outgoing)?;
        }
        let count = batch.iter().map(Outgoing::datagrams).sum();
        if count > 0 && inner.make_room(count)? {
            let answered = |peer: &Address| self.delivery.answered(peer);
            inner.queue(batch, count, answered, || self.host.take_outbox());
            if inner.state.flow() == Flow::Full {
                // Full of what was gathered, perhaps, and not of what the system would not take.
                inner.flush(&self.host);
            }
            self.settle_soon();
        }
        Ok(inner.state.answer_send())
    }
}

impl<I: DatagramIo, H: Host> fmt::Debug for DatagramDriver<I, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramDriver")
            .field("id", &self.id)
            .field("state", &self.inner.borrow().state)
            .finish_non_exhaustive()
    }
}
