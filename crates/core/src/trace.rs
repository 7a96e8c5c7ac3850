//! Spans and events of `tracing` for what lives on a loop: the one place that makes them, for every host.
//!
//! Each transport has a span for its life, and its callbacks run inside of it, so that what they log says where it
//! belongs.
//! Spans are kept in a table of the loop and not in the transport, which is no larger for them.
//!
//! What drivers tell comes here by [`Scheduler::observe`] and [`Host::inside`](crate::driver::Host::inside); what a host
//! tells itself has a function of its own.
//! Without the feature `tracing` the same functions do nothing, in `trace/silent.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tracing::field::{DisplayValue, display};
use tracing::{Span, debug, error, info_span, warn};

use crate::extra::{LocalAddr, PeerAddr, Request};
use crate::guard::{self, FaultReport};
use crate::observe::Moment;
use crate::vitals::{Below, TransportKind, Vitals};
use crate::{Address, BaseTransport, Lost, Scheduler, TransportId};

/// The spans of the transports that live on a loop, those of them that somebody wants to see.
#[derive(Default)]
pub(crate) struct Spans(RefCell<HashMap<TransportId, Rc<Span>>>);

impl Spans {
    #[inline]
    fn known(&self, id: TransportId) -> Option<Rc<Span>> {
        self.0.borrow().get(&id).cloned()
    }

    fn of(&self, id: Option<TransportId>) -> Rc<Span> {
        id.and_then(|id| self.known(id)).unwrap_or_else(|| Rc::new(Span::none()))
    }

    fn open(&self, transport: &dyn BaseTransport) {
        let span = info_span!(
            target: "wharf",
            parent: None,
            "connection",
            id = transport.id().get(),
            kind = %kind(transport),
            local = shown(ask(transport).map(|LocalAddr(address)| address)),
            peer = shown(ask(transport).map(|PeerAddr(address)| address)),
        );
        if !span.is_disabled() {
            self.0.borrow_mut().insert(transport.id(), Rc::new(span));
        }
    }

    fn close(&self, id: TransportId) {
        let closed = self.0.borrow_mut().remove(&id);
        drop(closed);
    }

    fn tell(&self, transport: &dyn BaseTransport, moment: &Moment<'_>) {
        let id = transport.id();
        if let Moment::Made = moment {
            self.open(transport);
        }
        let (span, id) = (self.of(Some(id)), id.get());
        match moment {
            Moment::Made => {
                debug!(target: "wharf", parent: &*span, id, protocol = protocol(transport), "made");
            }
            Moment::Established => {
                let kind = kind(transport);
                debug!(target: "wharf", parent: &*span, id, to = %kind, "upgraded");
            }
            Moment::Failed(error) => {
                debug!(target: "wharf", parent: &*span, id, error = %error, "upgrade failed");
            }
            Moment::Switched { from, to } => {
                debug!(target: "wharf", parent: &*span, id, from, to, "switched");
            }
            Moment::WritingPaused => {
                debug!(target: "wharf", parent: &*span, id, direction = "writing", "paused");
            }
            Moment::WritingResumed => {
                debug!(target: "wharf", parent: &*span, id, direction = "writing", "resumed");
            }
            Moment::ReadingPaused => {
                debug!(target: "wharf", parent: &*span, id, direction = "reading", "paused");
            }
            Moment::ReadingResumed => {
                debug!(target: "wharf", parent: &*span, id, direction = "reading", "resumed");
            }
            Moment::Eof => debug!(target: "wharf", parent: &*span, id, "eof"),
            Moment::Error(error) => {
                debug!(target: "wharf", parent: &*span, id, error = %error, "error");
            }
            Moment::Exited(status) => {
                debug!(target: "wharf", parent: &*span, id, status = %status, "exited");
            }
            Moment::Lost(why) => {
                let layer = ask::<Below>(transport).is_some();
                let (cause, clean) = (Lost::NAMES[why.index()], why.is_clean());
                let kind = kind(transport);
                debug!(target: "wharf", parent: &*span, id, kind = %kind, cause, clean, why = %why, "lost");
                if !layer {
                    self.close(transport.id());
                }
            }
        }
    }
}

fn spans<S: Scheduler + ?Sized>(host: &S) -> &Spans {
    host.resources().spans()
}

/// Runs a callback of the transport's protocol inside its span.
#[inline]
pub(crate) fn inside<S, R>(host: &S, id: TransportId, callback: impl FnOnce() -> R) -> R
where
    S: Scheduler + ?Sized,
{
    match spans(host).known(id) {
        Some(span) => span.in_scope(callback),
        None => callback(),
    }
}

/// Something has happened to `transport`.
pub(crate) fn observe<S>(host: &S, transport: &dyn BaseTransport, moment: &Moment<'_>)
where
    S: Scheduler + ?Sized,
{
    quietly(|| spans(host).tell(transport, moment));
}

/// A callback was slow. For hosts that look at the time.
pub fn slow_callback<S>(
    host: &S,
    transport: Option<TransportId>,
    callback: &'static str,
    duration: Duration,
) where
    S: Scheduler + ?Sized,
{
    let (span, id) = (spans(host).of(transport), transport.map(TransportId::get));
    quietly(|| {
        warn!(target: "wharf", parent: &*span, id, callback, ?duration, "slow callback");
    });
}

/// User code has failed. For [`Scheduler::report`].
pub fn fault<S: Scheduler + ?Sized>(host: &S, report: &FaultReport) {
    let FaultReport { fault, transport, protocol, .. } = report;
    let (span, id) = (spans(host).of(*transport), transport.map(TransportId::get));
    let (callback, cause) = (fault.callback(), fault.message());
    quietly(|| {
        error!(target: "wharf", parent: &*span, id, callback, cause, protocol, "fault");
    });
}

/// The system could not give a connection to the listener at `address`. For hosts with listeners.
pub fn accept_trouble(address: Option<&Address>, trouble: &io::Error, resting: Duration) {
    quietly(|| {
        let local = shown(address.cloned());
        warn!(target: "wharf", local, error = %trouble, ?resting, "cannot accept");
    });
}

/// What a subscriber does wrong costs what it was to write, and nothing else: the panic hook has printed it.
fn quietly(tell: impl FnOnce()) {
    let _ = guard::call("tracing", tell);
}

fn ask<T: 'static>(transport: &dyn BaseTransport) -> Option<T> {
    Request::ask(|request| transport.provide(request))
}

fn kind(transport: &dyn BaseTransport) -> TransportKind {
    ask(transport).unwrap_or_else(|| TransportKind("unknown".into()))
}

fn protocol(transport: &dyn BaseTransport) -> Option<&'static str> {
    ask::<Vitals>(transport)?.protocol
}

fn shown(address: Option<Address>) -> Option<DisplayValue<Address>> {
    address.map(display)
}
