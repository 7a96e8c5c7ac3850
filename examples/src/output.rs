//! Answers on their way: small ones are gathered and written together, and a full buffer is noticed.

use wharf::{Flow, TransportRef};

/// What is gathered before it is written; well below the high mark of a write buffer.
const GATHERED: usize = 16 * 1024;

/// A piece of this length is written without being gathered first.
const LONG: usize = 4 * 1024;

/// Where the answers of one turn go. Nothing is left in it when [`finish`](Self::finish) was called.
#[derive(Debug)]
pub struct Output<'a> {
    transport: &'a TransportRef,
    gathered: Vec<u8>,
    flow: Flow,
}

impl<'a> Output<'a> {
    /// Gathers in `space`, which is empty.
    #[must_use]
    pub fn new(transport: &'a TransportRef, space: Vec<u8>) -> Self {
        Self { transport, gathered: space, flow: Flow::Open }
    }

    /// Where they go.
    #[must_use]
    pub fn transport(&self) -> &'a TransportRef {
        self.transport
    }

    /// To be appended to.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Takes a piece of any length.
    pub fn data(&mut self, data: &[u8]) {
        if data.len() < LONG {
            self.gathered.extend_from_slice(data);
        } else {
            self.flush();
            self.flow = self.transport.write(data);
        }
    }

    /// Takes a piece that need not be copied.
    pub fn page(&mut self, page: &'static [u8]) {
        self.flush();
        self.flow = self.transport.write_bytes(page.into());
    }

    /// Whether there is room for more.
    pub fn is_open(&mut self) -> bool {
        if self.gathered.len() >= GATHERED {
            self.flush();
        }
        self.flow == Flow::Open
    }

    /// Writes what is gathered.
    pub fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.flow = self.transport.write(&self.gathered);
            self.gathered.clear();
        }
    }

    /// Writes what is left. Says whether there is room for more, and gives the space back.
    #[must_use]
    pub fn finish(mut self) -> (Flow, Vec<u8>) {
        self.flush();
        (self.flow, self.gathered)
    }
}
