//! From a protocol to a stream and back, in mid-stream, without losing a byte.

use std::cell::RefCell;
use std::rc::Rc;

use wharf_core::{Flow, Lost, Protocol, TransportRef};
use wharf_streams::{Stream, StreamError};

use crate::support::Ground;

/// Keeps what comes.
#[derive(Default)]
struct Keep(Vec<u8>);

impl Protocol for Keep {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.extend(data);
    }
}

/// Turns into a stream after the first byte.
struct Upgrade(Rc<RefCell<Option<Stream>>>);

impl Protocol for Upgrade {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.pause_reading();
        *self.0.borrow_mut() = Some(wharf_streams::take(transport, &data[1..]));
    }
}

#[test]
fn a_transport_that_talks_already_becomes_a_stream() {
    for trickle in [1, 2, 100] {
        let ground = Ground::new();
        let slot = Rc::default();
        let (_, _, wire) = ground.wire(Upgrade(Rc::clone(&slot)));
        wire.limit_reads(trickle);
        wire.send(b"!line\nrest");
        wire.shutdown();
        ground.run();
        let mut stream = slot.take().unwrap();
        assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), "line\n");
        assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), "rest");
    }
}

#[test]
fn a_stream_of_a_connection_that_is_over_is_at_its_end() {
    let ground = Ground::new();
    let (transport, _, _wire) = ground.wire(Keep::default());
    ground.run();
    transport.abort();
    ground.run();
    let mut stream = wharf_streams::take(&transport, b"");
    assert_eq!(ground.block_on(stream.reader.read(1)).unwrap(), "");
    assert_eq!(stream.writer.write(b"x"), Flow::Closed);
    assert!(matches!(ground.block_on(stream.writer.drain()), Err(StreamError::Lost(_))));
    assert!(matches!(ground.block_on(stream.writer.closed()), Lost::Closed));
}

#[test]
fn a_stream_whose_transport_is_full_waits_for_room() {
    let ground = Ground::new();
    let (transport, _, wire) = ground.wire(Keep::default());
    ground.run();
    wire.set_capacity(0);
    transport.write(&[b'x'; 100_000]);
    ground.run();
    let stream = wharf_streams::take(&transport, b"");
    ground.run();
    let mut room = false;
    let make_room = || {
        room = true;
        wire.set_capacity(1 << 20);
    };
    ground.block_on_after(stream.writer.drain(), make_room).unwrap();
    assert!(room, "the stream was not told that its transport is full");
}

#[test]
fn a_stream_becomes_a_protocol_that_gets_what_was_not_read() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(b"line\nheld ");
    assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), "line\n");
    wire.send(b"arrived ");
    ground.run();
    let (transport, keep) = stream.into_protocol(Keep::default());
    wire.send(b"later");
    ground.run();
    assert_eq!(keep.borrow().0, b"held arrived later");
    assert!(!transport.is_closing(), "the halves that were given away close nothing");
    transport.write(b"callback");
    ground.run();
    assert_eq!(wire.take(), b"callback");
}

#[test]
fn a_stream_that_paused_its_peer_hands_over_a_transport_that_reads() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.send(&vec![b'x'; 1_000_000]);
    ground.run();
    assert!(!stream.transport().is_reading());
    let (_, keep) = stream.into_protocol(Keep::default());
    ground.run();
    assert_eq!(keep.borrow().0.len(), 1_000_000);
}

#[test]
#[should_panic(expected = "a reader and a writer of two connections")]
fn halves_of_two_connections_are_no_stream() {
    let ground = Ground::new();
    let (first, _wire) = ground.open();
    let (second, _wire) = ground.open();
    let mixed = Stream { reader: first.reader, writer: second.writer };
    drop(mixed.into_protocol(Keep::default()));
}
