//! [`Tracer`]: spans and events of `tracing` for what lives on a loop; with the feature `tracing` only.
//!
//! Each connection has a span for its life, and its callbacks run inside of it, so that what they log says where it
//! belongs.
//! Spans are kept in a table of the loop and not in the connection, which is no larger for them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tracing::field::{DisplayValue, display};
use tracing::{Span, debug, error, info_span, warn};
use wharf_core::extra::{LocalAddr, PeerAddr, Request};
use wharf_core::guard::{self, FaultReport};
use wharf_core::observe::Moment;
use wharf_core::vitals::{Below, TransportKind, Vitals};
use wharf_core::{Address, BaseTransport, Lost, TransportId};

use crate::statistics::{SlowCallback, SlowObserver};

/// The spans of the transports that live on a loop, those of them that somebody wants to see.
#[derive(Default)]
pub(crate) struct Tracer(RefCell<HashMap<TransportId, Rc<Span>>>);

impl Tracer {
    /// Runs a callback of the transport's protocol inside its span.
    #[inline]
    pub(crate) fn inside<R>(&self, id: TransportId, callback: impl FnOnce() -> R) -> R {
        match self.known(id) {
            Some(span) => span.in_scope(callback),
            None => callback(),
        }
    }

    #[inline]
    fn known(&self, id: TransportId) -> Option<Rc<Span>> {
        self.0.borrow().get(&id).cloned()
    }

    fn span(&self, id: Option<TransportId>) -> Rc<Span> {
        id.and_then(|id| self.known(id)).unwrap_or_else(|| Rc::new(Span::none()))
    }

    /// Something has happened to `transport`.
    pub(crate) fn observe(&self, transport: &dyn BaseTransport, moment: &Moment<'_>) {
        quietly(|| self.tell(transport, moment));
    }

    fn tell(&self, transport: &dyn BaseTransport, moment: &Moment<'_>) {
        let id = transport.id();
        if let Moment::Made = moment {
            self.open(transport);
        }
        let (span, id) = (self.span(Some(id)), id.get());
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
                    let closed = self.0.borrow_mut().remove(&transport.id());
                    drop(closed);
                }
            }
            other => debug!(target: "wharf", parent: &*span, id, moment = ?other),
        }
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

    /// The observer of slow callbacks, with this tracer before it.
    pub(crate) fn before(self: &Rc<Self>, mut observer: Option<SlowObserver>) -> SlowObserver {
        let tracer = Rc::clone(self);
        Box::new(move |slow| {
            tracer.slow(&slow);
            if let Some(observer) = &mut observer {
                observer(slow);
            }
        })
    }

    /// A callback was slow.
    fn slow(&self, slow: &SlowCallback) {
        let SlowCallback { transport, callback, duration } = *slow;
        let (span, id) = (self.span(transport), transport.map(TransportId::get));
        quietly(|| {
            warn!(target: "wharf", parent: &*span, id, callback, ?duration, "slow callback");
        });
    }

    /// User code has failed.
    pub(crate) fn fault(&self, report: &FaultReport) {
        let FaultReport { fault, transport, protocol, .. } = report;
        let (span, id) = (self.span(*transport), transport.map(TransportId::get));
        let (callback, cause) = (fault.callback(), fault.message());
        quietly(|| {
            error!(target: "wharf", parent: &*span, id, callback, cause, protocol, "fault");
        });
    }

    /// The system could not give a connection.
    pub(crate) fn accept_trouble(
        address: Option<&Address>,
        trouble: &io::Error,
        resting: Duration,
    ) {
        quietly(|| {
            let local = shown(address.cloned());
            warn!(target: "wharf", local, error = %trouble, ?resting, "cannot accept");
        });
    }
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
