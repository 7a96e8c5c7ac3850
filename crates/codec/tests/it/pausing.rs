//! Pausing between two frames: what has come stays where it is until reading is resumed, by whatever handle.

use bytes::Bytes;
use wharf_codec::{Framed, FramedProtocol, FramedTransport, LineCodec};
use wharf_core::memory::Stage;
use wharf_core::{Protocol, TransportRef};

use crate::framed::{Lines, Log};

#[test]
fn a_pause_within_a_frame_holds_the_frames_behind_it() {
    for limit in [1, 3, 100] {
        let (stage, log) = (Stage::new(), Log::default());
        let (transport, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
        wire.limit_reads(limit);
        wire.send(b"one\npause a\ntwo\npause b\nthree\nfour");
        stage.run();
        assert_eq!(log.take(), ["made", "one", "pause a"], "{limit}");
        wire.send(b"teen\n");
        wire.shutdown();
        stage.run();
        assert!(log.take().is_empty(), "nothing is told while reading is paused");
        transport.resume_reading();
        stage.run();
        assert_eq!(log.take(), ["two", "pause b"], "{limit}");
        transport.resume_reading();
        stage.run();
        assert_eq!(log.take(), ["three", "fourteen", "eof", "lost: ended by the peer"], "{limit}");
    }
}

#[test]
fn a_pause_after_the_last_frame_holds_nothing_back() {
    let (stage, log) = (Stage::new(), Log::default());
    let (transport, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
    wire.send(b"pause a\n");
    stage.run();
    assert_eq!(log.take(), ["made", "pause a"]);
    transport.resume_reading();
    wire.send(b"two\n");
    stage.run();
    assert_eq!(log.take(), ["two"]);
}

#[test]
fn a_close_while_paused_drops_what_is_held() {
    let (stage, log) = (Stage::new(), Log::default());
    let (transport, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
    wire.send(b"pause a\ntwo\n");
    stage.run();
    transport.close();
    stage.run();
    assert_eq!(log.take(), ["made", "pause a", "lost: closed by us"]);
}

/// One frame at a time: pauses in each.
struct Single(Log);

impl FramedProtocol<LineCodec> for Single {
    fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, line: Bytes) {
        transport.pause_reading();
        self.0.add(String::from_utf8_lossy(&line));
    }
}

#[test]
fn one_frame_at_a_time_costs_no_copy_of_the_rest() {
    let (stage, log) = (Stage::new(), Log::default());
    let (transport, _, wire) = stage.wire(Framed::new(LineCodec::new(), Single(log.clone())));
    // Sixty thousand frames in one read: copying the rest for each would be two gigabytes.
    wire.send(&b"\n".repeat(60_000));
    stage.run();
    for _ in 1..60_000 {
        transport.resume_reading();
        stage.turn();
    }
    stage.run();
    assert_eq!(log.take().len(), 60_000);
}

/// Passes everything on to a framed protocol inside.
struct Outer<P>(P);

impl<P: Protocol> Protocol for Outer<P> {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.0.data_received(transport, data);
    }
}

#[test]
fn a_framed_protocol_inside_another_protocol_is_paused_likewise() {
    let (stage, log) = (Stage::new(), Log::default());
    let framed = Framed::new(LineCodec::new(), Single(log.clone()));
    let (transport, _, wire) = stage.wire(Outer(framed));
    wire.send(b"one\ntwo\n");
    stage.run();
    assert_eq!(log.take(), ["one"]);
    transport.resume_reading();
    stage.run();
    assert_eq!(log.take(), ["two"]);
}
