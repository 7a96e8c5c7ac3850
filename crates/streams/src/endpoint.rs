//! [`Endpoint`]: the protocol under a stream, as it is put on a connection.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use wharf_core::{IntoProtocol, KeepOpen, Lost, Protocol, StreamProtocol, TransportRef};

use crate::reader::StreamReader;
use crate::shared::{DEFAULT_LIMIT, Shared};
use crate::stream::Stream;
use crate::writer::StreamWriter;

/// What is done with a stream when its connection is made.
pub(crate) type OnMade = Box<dyn FnOnce(Stream)>;

/// The protocol under a stream. It goes where a protocol goes, and comes back as what connecting gives:
/// `tcp::connect(&handle, address, Endpoint::new).await` gives the transport and the endpoint, whose
/// [`take`](Self::take) gives the stream; [`open`](crate::open) does both.
#[doc(alias = "StreamReaderProtocol")]
#[derive(Clone)]
pub struct Endpoint(Rc<Inner>);

struct Inner {
    shared: Rc<Shared>,
    taken: RefCell<Taken>,
}

enum Taken {
    No,
    /// The stream goes there as soon as there is one.
    Promised(OnMade),
    Yes,
}

impl Endpoint {
    /// An endpoint with asyncio's limit of 64 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// An endpoint with another limit, in bytes: reading pauses when more than twice as many are unread, and resumes at
    /// the limit; [`read_line`](StreamReader::read_line) and [`read_until`](StreamReader::read_until) give up beyond it.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self::build(limit, Taken::No)
    }

    pub(crate) fn promised(on_made: OnMade) -> Self {
        Self::build(DEFAULT_LIMIT, Taken::Promised(on_made))
    }

    fn build(limit: usize, taken: Taken) -> Self {
        Self(Rc::new(Inner { shared: Shared::new(limit), taken: RefCell::new(taken) }))
    }

    /// The stream; `None` before `connection_made`, and after the first call.
    #[must_use]
    pub fn take(&self) -> Option<Stream> {
        let transport = self.0.shared.transport()?;
        if !matches!(self.0.taken.replace(Taken::Yes), Taken::No) {
            return None;
        }
        Some(self.stream(&transport))
    }

    fn stream(&self, transport: &TransportRef) -> Stream {
        let reader = StreamReader::new(Rc::clone(&self.0.shared), transport.clone());
        let writer = StreamWriter::new(Rc::clone(&self.0.shared), transport.clone());
        Stream { reader, writer }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("transport", &self.0.shared.transport()).finish()
    }
}

impl IntoProtocol for Endpoint {
    type Shared = Self;

    fn share(self) -> (Self, StreamProtocol) {
        // What the transport holds is another object than what the user keeps, so the user can never be in its way.
        let (_, protocol) = Callbacks(self.clone()).share();
        (self, protocol)
    }
}

/// The endpoint as its transport calls it.
struct Callbacks(Endpoint);

impl Protocol for Callbacks {
    fn connection_made(&mut self, transport: &TransportRef) {
        let Self(endpoint) = self;
        endpoint.shared().made(transport);
        let taken = endpoint.0.taken.replace(Taken::No);
        if let Taken::Promised(on_made) = taken {
            endpoint.0.taken.replace(Taken::Yes);
            on_made(endpoint.stream(transport));
        }
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.0.shared().received(transport, data);
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.0.shared().ended();
        // As asyncio: where our direction cannot end by itself, it ends with the peer's.
        if transport.can_write_eof() { KeepOpen::Yes } else { KeepOpen::No }
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.0.shared().set_full(true);
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.0.shared().set_full(false);
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.0.shared().lost(why);
    }
}
