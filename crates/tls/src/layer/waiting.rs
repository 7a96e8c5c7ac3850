//! Whoever waits for the handshake: what came of it, once, by a callback or a future.

use std::io;
use std::task::{Context, Poll};

use wharf_core::TransportRef;

use super::Layer;
use super::passage::{Established, Outcome};
use crate::error::Error;

impl Layer {
    /// Runs `callback` with the outcome, which is not known yet.
    pub(crate) fn on_established(&self, callback: Established) {
        let former = self.with_passage(|passage| passage.callback.replace(callback));
        drop(former);
    }

    /// The outcome, if it is known and nobody has taken it.
    pub(crate) fn outcome(&self) -> Option<Result<TransportRef, Error>> {
        self.take(|passage| match &passage.outcome {
            Outcome::Known(known) => Some(known.clone()),
            Outcome::Pending(_) | Outcome::Told => None,
        })
    }

    pub(crate) fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Result<TransportRef, Error>> {
        let known = self.take(|passage| match std::mem::take(&mut passage.outcome) {
            Outcome::Known(known) => Some(known),
            Outcome::Pending(_) => {
                passage.outcome = Outcome::Pending(Some(cx.waker().clone()));
                None
            }
            Outcome::Told => None,
        });
        match known {
            Some(known) => {
                self.forget_waiter();
                Poll::Ready(known)
            }
            None => match self.established() {
                Some(transport) => Poll::Ready(Ok(transport)),
                None => Poll::Pending,
            },
        }
    }

    /// What came of the handshake, and of what stands above, which may be a layer, too.
    pub(super) fn poll_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<TransportRef>> {
        let above = match self.poll_outcome(cx)? {
            Poll::Ready(above) => {
                self.with_passage(|passage| passage.above = Some(above.clone()));
                above
            }
            Poll::Pending => match self.take(|passage| passage.above.clone()) {
                Some(above) => above,
                None if self.is_over() => {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                }
                None => return Poll::Pending,
            },
        };
        // One that was lost has let go of its protocol, which knows what came of it.
        match above.protocol().or_else(|| self.take(|passage| passage.upper.clone())) {
            Some(protocol) => protocol.poll_established(&above, cx),
            None => Poll::Ready(Ok(above)),
        }
    }

    /// Whether the layer has stood and is lost, and nobody was told.
    fn is_over(&self) -> bool {
        let parts = self.parts.borrow();
        let outcome = parts.passage.as_deref().map(|passage| &passage.outcome);
        parts.stream.is_none() && matches!(outcome, None | Some(Outcome::Told))
    }

    /// The transport above, once the handshake is over, and while neither side is broken or lost.
    pub(super) fn established(&self) -> Option<TransportRef> {
        let stream = self.stream().filter(|stream| stream.session().can_say_goodbye())?;
        Some(stream.driver.handle())
    }

    /// Nobody waits any more: what has come is delivered.
    pub(crate) fn forget_waiter(&self) {
        let forgotten = self.take(|passage| {
            passage.awaited = false;
            match &mut passage.outcome {
                Outcome::Pending(waker) => {
                    *waker = None;
                    None
                }
                outcome => Some(std::mem::take(outcome)),
            }
        });
        drop(forgotten);
        self.leave_passage();
        if let Some(stream) = self.stream() {
            if stream.session().release() {
                self.enlist();
            }
        }
    }
}
