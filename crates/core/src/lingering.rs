//! [`Lingering`]: the end of a connection whose peer may still be talking, so that it hears our last words.
//!
//! ```text
//!   write_eof()          the peer's end, the time, or the limit           everything has gone out
//!   ───────────▶ hearing out ───────────────────────────────▶ close() ───────────────────────────▶ connection_lost
//! ```
//!
//! It stands in for the protocol and uses what every transport has; a transport only knows that it looks closed meanwhile.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::handle::TransportRef;
use crate::lost::Lost;
use crate::protocol::KeepOpen;
use crate::schedule::Timer;
use crate::shared::{Held, Layer, Reception, StreamProtocol};
use crate::transport::Transport;

/// How much is heard out: more than the buffers of both systems hold on the way (10 MiB at most, by Linux's defaults). A peer
/// that has sent as much after our last words does not listen.
const LIMIT: usize = 16 * 1024 * 1024;

/// Stands in for a protocol that has said its last words.
struct Lingering {
    protocol: StreamProtocol,
    heard: Cell<usize>,
    timer: RefCell<Option<Box<dyn Timer>>>,
}

/// Ends `transport` as [`TransportRef::close_lingering`] says.
pub(crate) fn close(transport: &TransportRef, weak: Weak<dyn Transport>, patience: Duration) {
    if transport.is_closing() {
        return;
    }
    transport.resume_reading();
    let hears = transport.is_reading() && transport.can_write_eof() && !patience.is_zero();
    let Some(protocol) = transport.protocol().filter(|_| hears) else {
        return transport.close();
    };
    transport.write_eof();
    let timer = transport.scheduler().call_later(
        patience,
        Box::new(move || {
            if let Some(transport) = weak.upgrade() {
                transport.close();
            }
        }),
    );
    let lingering = Lingering { protocol, heard: Cell::new(0), timer: RefCell::new(Some(timer)) };
    transport.hear_out(StreamProtocol::from_layer(Rc::new(lingering)));
}

impl Layer for Lingering {
    fn assert_free(&self) {
        self.protocol.assert_free();
    }

    fn reception(&self) -> Reception {
        Reception::Plain
    }

    fn type_name(&self) -> &'static str {
        self.protocol.type_name()
    }

    fn connection_made(&self, transport: &TransportRef) {
        self.protocol.connection_made(transport);
    }

    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        self.heard.set(self.heard.get() + data.len());
        if self.heard.get() > LIMIT {
            transport.close();
        }
        Ok(())
    }

    fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
        // We have ended it, and that is what the protocol is told.
        transport.close();
        KeepOpen::No
    }

    fn pause_writing(&self, transport: &TransportRef) {
        self.protocol.pause_writing(transport);
    }

    fn resume_writing(&self, transport: &TransportRef) {
        self.protocol.resume_writing(transport);
    }

    fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
        // Whatever is cut off was not wanted.
        let why = if matches!(why, Lost::Truncated) { &Lost::Closed } else { why };
        self.protocol.connection_lost(transport, why);
    }

    fn poll_established(
        &self,
        below: &TransportRef,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TransportRef>> {
        self.protocol.poll_established(below, cx)
    }

    fn uppermost(&self, below: &TransportRef) -> TransportRef {
        self.protocol.uppermost(below)
    }
}
