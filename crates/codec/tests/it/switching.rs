//! Switching the protocol between two frames loses no byte.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use wharf_codec::{Framed, FramedProtocol, FramedTransport, LengthCodec, LineCodec};
use wharf_core::memory::Stage;
use wharf_core::{Buffered, BufferedProtocol, Protocol, TransportRef};

use crate::framed::Log;

/// What comes after the switch.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Raw,
    RawByPlainHandle,
    Buffered,
    Framed,
}

/// Lines until one says `switch`.
struct Lines {
    log: Log,
    next: Next,
    raw: Rc<RefCell<Vec<u8>>>,
    pause: bool,
}

struct Raw(Rc<RefCell<Vec<u8>>>, [u8; 3]);

impl Protocol for Raw {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.borrow_mut().extend(data);
    }
}

impl BufferedProtocol for Raw {
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, _: &TransportRef, count: usize) {
        self.0.borrow_mut().extend(&self.1[..count]);
    }
}

struct Lengths(Rc<RefCell<Vec<u8>>>);

impl FramedProtocol<LengthCodec> for Lengths {
    fn frame_received(&mut self, transport: &FramedTransport<LengthCodec>, frame: Bytes) {
        self.0.borrow_mut().extend(&frame);
        transport.write_frame(frame).unwrap();
    }
}

impl FramedProtocol<LineCodec> for Lines {
    fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, line: Bytes) {
        if &line[..] != b"switch" {
            return self.log.add(String::from_utf8_lossy(&line));
        }
        let raw = Raw(Rc::clone(&self.raw), [0; 3]);
        match self.next {
            Next::Raw => drop(transport.set_protocol(raw, &[])),
            Next::RawByPlainHandle => drop(transport.transport().set_protocol(raw, &[])),
            Next::Buffered => drop(transport.set_protocol(Buffered(raw), &[])),
            Next::Framed => {
                let lengths = Lengths(Rc::clone(&self.raw));
                drop(transport.set_protocol(Framed::new(LengthCodec::new(), lengths), &[]));
            }
        }
        if self.pause {
            transport.pause_reading();
        }
    }
}

#[test]
fn a_switch_between_two_frames_loses_no_byte() {
    for next in [Next::Raw, Next::RawByPlainHandle, Next::Buffered, Next::Framed] {
        for limit in [1, 2, 7, 9, 1000] {
            for pause in [false, true] {
                let (stage, log) = (Stage::new(), Log::default());
                let raw = Rc::new(RefCell::default());
                let lines = Lines { log: log.clone(), next, raw: Rc::clone(&raw), pause };
                let (transport, _, wire) = stage.wire(Framed::new(LineCodec::new(), lines));
                wire.limit_reads(limit);
                wire.send(b"one\nswitch\n\0\0\0\x0behind\nlines");
                stage.run();
                assert_eq!(log.take(), ["one"]);
                if pause {
                    assert!(raw.borrow().is_empty());
                    transport.resume_reading();
                    stage.run();
                }
                let expected: &[u8] = match next {
                    Next::Framed => b"ehind\nlines",
                    _ => b"\0\0\0\x0behind\nlines",
                };
                assert_eq!(*raw.borrow(), expected, "{limit} bytes at a time");
            }
        }
    }
}

#[test]
fn what_a_frame_was_not_used_up_of_comes_first() {
    struct Header(Rc<RefCell<Vec<u8>>>);
    impl FramedProtocol<LineCodec> for Header {
        fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, line: Bytes) {
            transport.set_protocol(Raw(Rc::clone(&self.0), [0; 3]), &line[4..]);
        }
    }
    let stage = Stage::new();
    let raw = Rc::new(RefCell::default());
    let (_, _, wire) = stage.wire(Framed::new(LineCodec::new(), Header(Rc::clone(&raw))));
    wire.send(b"PUT first\nsecond");
    stage.run();
    assert_eq!(*raw.borrow(), b"firstsecond");
}

#[test]
fn a_switch_from_outside_while_paused_keeps_the_order() {
    struct Pausing;
    impl FramedProtocol<LineCodec> for Pausing {
        fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, _: Bytes) {
            transport.pause_reading();
        }
    }
    let stage = Stage::new();
    let raw = Rc::new(RefCell::default());
    let (transport, framed, wire) = stage.wire(Framed::new(LineCodec::new(), Pausing));
    wire.send(b"one\ntwo\nthree\n");
    stage.run();
    let framed_transport = framed.borrow().transport().unwrap();
    assert_eq!(framed_transport.buffered(), 9, "the last byte waits in the transport");
    framed_transport.set_protocol(Raw(Rc::clone(&raw), [0; 3]), &[]);
    transport.resume_reading();
    wire.send(b"four\n");
    stage.run();
    assert_eq!(*raw.borrow(), b"two\nthree\nfour\n");
    drop(framed_transport);
    let parts = Rc::into_inner(framed).unwrap().into_inner().into_parts();
    assert!(parts.leftover.is_empty(), "everything was handed over");
}

#[test]
fn a_framed_protocol_is_put_on_in_mid_stream() {
    struct Start(Log);
    impl Protocol for Start {
        fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
            let lines =
                Lines { log: self.0.clone(), next: Next::Raw, raw: Rc::default(), pause: false };
            let framed = Framed::new(LineCodec::new(), lines);
            transport.set_protocol(framed, &data[2..]);
        }
    }
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(Start(log.clone()));
    wire.send(b"##one\ntwo\nth");
    stage.run();
    wire.send(b"ree\n");
    stage.run();
    assert_eq!(log.take(), ["one", "two", "three"]);
}
