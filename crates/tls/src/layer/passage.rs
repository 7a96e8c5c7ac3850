//! [`Passage`]: what a layer has while it begins and while it ends, and an idle one does without.

use std::rc::Weak;
use std::sync::Arc;
use std::task::Waker;

use wharf_core::schedule::Timer;
use wharf_core::{StreamProtocol, TransportRef};

use crate::admission::Ticket;
use crate::error::Error;
use crate::layer::Layer;
use crate::side::Side;

/// Runs once the handshake is over, or has failed.
pub(super) type Established = Box<dyn FnOnce(Result<&TransportRef, &Error>)>;

/// What a layer needs on its way in, and a part of it on its way out.
#[derive(Default)]
pub(super) struct Passage {
    /// Until there is a transport below.
    pub(super) outset: Option<Outset>,
    /// Whether the protocol above knew the transport below before; until the handshake is over.
    pub(super) took_over: bool,
    pub(super) outcome: Outcome,
    /// Whether somebody has an answer that he may await.
    pub(super) awaited: bool,
    /// The transport above, while whoever waits for it waits for a layer that is above it.
    pub(super) above: Option<TransportRef>,
    /// The protocol above, when whoever waits for it asked last.
    pub(super) upper: Option<StreamProtocol>,
    pub(super) callback: Option<Established>,
    pub(super) ticket: Option<Ticket>,
    pub(super) timer: Option<Box<dyn Timer>>,
    /// A deadline has passed, and was not looked at.
    pub(super) expired: bool,
    /// How much the transport below still had when the deadline of the goodbye was set.
    pub(super) unsent: usize,
}

/// What a layer begins with.
pub(super) struct Outset {
    /// The layer itself.
    pub(super) layer: Weak<Layer>,
    pub(super) side: Arc<Side>,
    /// The protocol above.
    pub(super) protocol: StreamProtocol,
}

/// How the handshake ended, for whoever waits for it.
#[derive(Default)]
pub(super) enum Outcome {
    Pending(Option<Waker>),
    Known(Result<TransportRef, Error>),
    /// Somebody has it, or nobody wants it.
    #[default]
    Told,
}

impl Passage {
    /// Takes note of the outcome; gives whoever waits for it. A success that nobody waits for need not be kept.
    pub(super) fn settle(&mut self, outcome: Result<TransportRef, Error>) -> Option<Waker> {
        let waker = match std::mem::take(&mut self.outcome) {
            Outcome::Pending(waker) => waker,
            _ => None,
        };
        if waker.is_some() || self.awaited || outcome.is_err() {
            self.outcome = Outcome::Known(outcome);
        }
        waker
    }

    /// Whether nothing is in it.
    pub(super) fn is_over(&self) -> bool {
        let Self { outset, outcome, above, upper, callback, ticket, timer, .. } = self;
        matches!(outcome, Outcome::Told)
            && !(self.awaited || self.took_over || self.expired)
            && outset.is_none()
            && above.is_none()
            && upper.is_none()
            && callback.is_none()
            && ticket.is_none()
            && timer.is_none()
    }
}
