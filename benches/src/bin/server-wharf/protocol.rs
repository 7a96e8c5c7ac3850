//! What the wharf server does with its connections.

use wharf::{Address, DatagramProtocol, DatagramTransportRef, Flow, Protocol, TransportRef};
use wharf_benches::load::datagrams::wants_answer;
use wharf_benches::pattern::CHUNK_BYTES;
use wharf_benches::request::Requests;

/// Sends back what it receives.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

/// Answers each request by eight plain writes.
#[derive(Default)]
pub(crate) struct Chatty {
    requests: Requests,
}

impl Protocol for Chatty {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.requests.feed(data, |piece| {
            transport.write(piece);
        });
    }
}

/// Reads and discards.
pub(crate) struct Sink;

impl Protocol for Sink {
    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

/// One plain write for each chunk, as long as there is room.
pub(crate) struct Source;

impl Protocol for Source {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.resume_writing(transport);
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}

    fn resume_writing(&mut self, transport: &TransportRef) {
        while transport.write(&CHUNK_BYTES) == Flow::Open {}
    }
}

/// Sends each datagram back to where it came from.
pub(crate) struct DatagramEcho;

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&Address>,
    ) {
        // An endpoint that is closing has nobody to answer.
        let _ = transport.send_to(data, from);
    }
}

/// Reads and discards, and answers the datagrams that ask for it.
pub(crate) struct DatagramSink;

impl DatagramProtocol for DatagramSink {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&Address>,
    ) {
        if wants_answer(data) {
            let _ = transport.send_to(&data[..1], from);
        }
    }
}
