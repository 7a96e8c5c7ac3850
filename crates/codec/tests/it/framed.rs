//! A protocol of frames in memory: what it is told, and what it writes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wharf_codec::{
    AfterError, BytesCodec, Decoder, Encoder, FrameError, Framed, FramedProtocol, FramedTransport,
    LengthCodec, LineCodec, Oversize,
};
use wharf_core::driver::StreamOptions;
use wharf_core::memory::{Seen, Stage};
use wharf_core::{Flow, KeepOpen, Limits, Lost};

/// Writes down what it is told.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// A protocol of lines that answers `echo ..`, and is told what to do after an error.
pub(crate) struct Lines {
    pub(crate) log: Log,
    pub(crate) after: AfterError,
    pub(crate) keep_open: KeepOpen,
}

impl Lines {
    pub(crate) fn new(log: &Log) -> Self {
        Self { log: log.clone(), after: AfterError::default(), keep_open: KeepOpen::No }
    }
}

impl FramedProtocol<LineCodec> for Lines {
    fn connection_made(&mut self, _: &FramedTransport<LineCodec>) {
        self.log.add("made");
    }

    fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, line: Bytes) {
        let line = String::from_utf8_lossy(&line).into_owned();
        self.log.add(line.clone());
        match line.split_once(' ') {
            Some(("echo", what)) => drop(transport.write_frame(what)),
            Some(("close", _)) => transport.close(),
            Some(("abort", _)) => transport.abort(),
            Some(("pause", _)) => transport.pause_reading(),
            Some(("panic", _)) => panic!("as it was told"),
            _ => {}
        }
    }

    fn decode_error(
        &mut self,
        transport: &FramedTransport<LineCodec>,
        error: &FrameError,
    ) -> AfterError {
        self.log.add(format!("error: {error}"));
        let _ = transport.write_frame("no frame");
        self.after
    }

    fn eof_received(&mut self, _: &FramedTransport<LineCodec>) -> KeepOpen {
        self.log.add("eof");
        self.keep_open
    }

    fn pause_writing(&mut self, _: &FramedTransport<LineCodec>) {
        self.log.add("pause");
    }

    fn resume_writing(&mut self, _: &FramedTransport<LineCodec>) {
        self.log.add("resume");
    }

    fn connection_lost(&mut self, _: &FramedTransport<LineCodec>, why: &Lost) {
        self.log.add(format!("lost: {why}"));
    }
}

#[test]
fn frames_come_one_by_one_however_bytes_come() {
    for limit in [1, 2, 3, 5, 100] {
        let (stage, log) = (Stage::new(), Log::default());
        let (_, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
        wire.limit_reads(limit);
        wire.send(b"one\r\necho two\n\nlast");
        wire.shutdown();
        stage.run();
        let expected = ["made", "one", "echo two", "", "last", "eof", "lost: ended by the peer"];
        assert_eq!(log.take(), expected, "{limit} bytes at a time");
        assert_eq!(wire.take(), b"two\n");
    }
}

#[test]
fn an_error_ends_the_connection_unless_said_otherwise() {
    let (stage, log) = (Stage::new(), Log::default());
    let codec = LineCodec::builder().limit(3).build().unwrap();
    let (_, _, wire) = stage.wire(Framed::new(codec, Lines::new(&log)));
    wire.send(b"one\nfour\ntwo\n");
    stage.run();
    let told = [
        "made",
        "one",
        "error: a frame is longer than 3 bytes",
        "lost: a frame is longer than 3 bytes",
    ];
    assert_eq!(log.take(), told);
}

/// A protocol of short lines that answers an error and closes.
fn closing(log: &Log) -> Framed<LineCodec, Lines> {
    let codec = LineCodec::builder().limit(8).build().unwrap();
    Framed::new(codec, Lines { after: AfterError::Close, ..Lines::new(log) })
}

#[test]
fn an_error_may_be_answered_before_the_close() {
    let (stage, log) = (Stage::new(), Log::default());
    let (transport, _, wire) = stage.wire(closing(&log));
    wire.send(b"much too long\ntwo\n");
    stage.run();
    assert_eq!(wire.take(), b"no frame\n");
    assert_eq!(wire.seen(), Seen::Eof);
    assert!(transport.is_closing());
    let error = "error: a frame is longer than 8 bytes";
    assert_eq!(log.take(), ["made", error]);
    wire.close();
    stage.run();
    assert_eq!(log.take(), ["lost: closed by us"]);
}

#[test]
fn a_peer_that_goes_on_after_its_error_hears_the_answer() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(closing(&log));
    wire.send(b"much too long\n");
    // The rest is more than one read takes, and would be left unread by a plain close, which a reset answers.
    wire.send(&[b'x'; 600_000]);
    stage.run();
    wire.send(b"and more\n");
    stage.run();
    assert_eq!(wire.seen(), Seen::Eof, "no reset overtakes the answer");
    assert_eq!(wire.take(), b"no frame\n");
    assert_eq!(log.take(), ["made", "error: a frame is longer than 8 bytes"], "nothing is decoded");
    stage.advance(Duration::from_secs(5));
    stage.run();
    assert_eq!(log.take(), ["lost: closed by us"], "but not for ever");
}

#[test]
fn an_error_in_the_last_bytes_is_answered_and_closed_at_once() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(closing(&log));
    wire.send(b"much too long");
    wire.shutdown();
    stage.run();
    assert_eq!(wire.take(), b"no frame\n");
    let told = ["made", "error: a frame is longer than 8 bytes", "lost: closed by us"];
    assert_eq!(log.take(), told);
}

#[test]
fn an_error_may_be_passed_over() {
    let (stage, log) = (Stage::new(), Log::default());
    let codec = LineCodec::builder().limit(3).build().unwrap();
    let after = AfterError::GoOn;
    let (_, _, wire) = stage.wire(Framed::new(codec, Lines { after, ..Lines::new(&log) }));
    wire.limit_reads(1);
    wire.send(b"too long\ntwo\ntoo long");
    wire.shutdown();
    stage.run();
    let error = "error: a frame is longer than 3 bytes";
    assert_eq!(log.take(), ["made", error, "two", error, "eof", "lost: ended by the peer"]);
}

#[test]
fn the_policy_to_close_is_stronger_than_going_on() {
    let (stage, log) = (Stage::new(), Log::default());
    let codec = LineCodec::builder().limit(3).oversize(Oversize::Close).build().unwrap();
    let after = AfterError::GoOn;
    let (_, _, wire) = stage.wire(Framed::new(codec, Lines { after, ..Lines::new(&log) }));
    wire.send(b"too long\ntwo\n");
    stage.run();
    let error = "a frame is longer than 3 bytes";
    assert_eq!(log.take(), ["made", &format!("error: {error}"), &format!("lost: {error}")]);
}

/// Finds nothing but mistakes.
struct Stubborn;

impl Decoder for Stubborn {
    type Item = ();
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<()>> {
        if buffer.is_empty() { Ok(None) } else { Err(io::Error::other("no")) }
    }
}

/// Goes on whatever comes.
struct Patient(Log);

impl<C: Decoder<Error: ToString>> FramedProtocol<C> for Patient {
    fn frame_received(&mut self, _: &FramedTransport<C>, _: C::Item) {}

    fn decode_error(&mut self, _: &FramedTransport<C>, error: &C::Error) -> AfterError {
        self.0.add(error.to_string());
        AfterError::GoOn
    }

    fn eof_received(&mut self, _: &FramedTransport<C>) -> KeepOpen {
        self.0.add("eof");
        KeepOpen::No
    }

    fn connection_lost(&mut self, _: &FramedTransport<C>, why: &Lost) {
        self.0.add(format!("lost: {why}"));
    }
}

#[test]
fn a_codec_that_only_finds_mistakes_does_not_hang_the_loop() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(Framed::new(Stubborn, Patient(log.clone())));
    wire.send(b"x");
    stage.run();
    assert_eq!(log.take(), ["no", "lost: no"]);
}

/// Wants more, always.
struct Greedy;

impl Decoder for Greedy {
    type Item = ();
    type Error = io::Error;

    fn decode(&mut self, _: &mut BytesMut) -> io::Result<Option<()>> {
        Ok(None)
    }
}

#[test]
fn a_rest_at_the_end_is_an_error_that_may_be_passed_over() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(Framed::new(Greedy, Patient(log.clone())));
    wire.send(b"x");
    wire.shutdown();
    stage.run();
    assert_eq!(log.take(), ["bytes remaining on stream", "eof", "lost: ended by the peer"]);
}

#[test]
fn a_codec_without_a_limit_has_one_above_it() {
    let (stage, log) = (Stage::new(), Log::default());
    let framed = Framed::new(Greedy, Patient(log.clone())).max_buffered(1000);
    let (_, _, wire) = stage.wire(framed);
    wire.send(&[0; 1000]);
    stage.run();
    assert!(log.take().is_empty());
    wire.send(&[0; 1]);
    stage.run();
    assert_eq!(log.take(), ["lost: a frame is longer than 1000 bytes"]);
}

#[test]
fn nothing_comes_after_a_close_or_an_abort_within_a_frame() {
    for (order, cause) in [("close now", "closed by us"), ("abort now", "aborted by us")] {
        let (stage, log) = (Stage::new(), Log::default());
        let (_, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
        wire.send(format!("one\n{order}\ntwo\nthree").as_bytes());
        wire.shutdown();
        stage.run();
        assert_eq!(log.take(), ["made", "one", order, &format!("lost: {cause}")]);
    }
}

#[test]
fn a_close_within_the_last_frame_needs_no_answer_to_the_end() {
    let (stage, log) = (Stage::new(), Log::default());
    let keep_open = KeepOpen::Yes;
    let (_, _, wire) =
        stage.wire(Framed::new(LineCodec::new(), Lines { keep_open, ..Lines::new(&log) }));
    wire.send(b"close now");
    wire.shutdown();
    stage.run();
    assert_eq!(log.take(), ["made", "close now", "lost: closed by us"]);
}

#[test]
fn the_answer_to_the_end_is_the_protocols() {
    let (stage, log) = (Stage::new(), Log::default());
    let keep_open = KeepOpen::Yes;
    let lines = Lines { keep_open, ..Lines::new(&log) };
    let (_, framed, wire) = stage.wire(Framed::new(LineCodec::new(), lines));
    wire.send(b"one\n");
    wire.shutdown();
    stage.run();
    assert_eq!(log.take(), ["made", "one", "eof"]);
    let transport = framed.borrow().transport().unwrap();
    assert_eq!(transport.write_frame("still here").unwrap(), Flow::Open);
    stage.run();
    assert_eq!(wire.take(), b"still here\n");
}

#[test]
fn a_panic_costs_the_connection_and_is_told() {
    let (stage, log) = (Stage::new(), Log::default());
    stage.contain_faults();
    let (_, _, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
    wire.send(b"panic now\ntwo\n");
    stage.run();
    let told = ["made", "panic now", "lost: data_received failed: as it was told"];
    assert_eq!(log.take(), told);
}

#[test]
fn flow_control_is_passed_on_and_answered_at_once() {
    let (stage, log) = (Stage::new(), Log::default());
    let options =
        StreamOptions { limits: Limits::new(100, 10).unwrap(), ..StreamOptions::default() };
    let (_, framed, wire) =
        stage.wire_with(Framed::new(LineCodec::new(), Lines::new(&log)), &options);
    stage.run();
    wire.set_capacity(0);
    let transport = framed.borrow().transport().unwrap();
    assert_eq!(transport.write_frame("x".repeat(90)).unwrap(), Flow::Open);
    assert_eq!(transport.write_frame("x".repeat(90)).unwrap(), Flow::Full);
    stage.run();
    assert_eq!(log.take(), ["made", "pause"]);
    wire.set_capacity(1000);
    stage.run();
    assert_eq!(log.take(), ["resume"]);
    transport.close();
    assert_eq!(transport.write_frame("x").unwrap(), Flow::Closed);
    stage.run();
    assert_eq!(transport.write_frame("x").unwrap(), Flow::Closed);
    assert_eq!(wire.take().len(), 182);
    assert!(framed.borrow().transport().is_none(), "the handle is let go of at the end");
}

#[test]
fn an_item_that_cannot_be_encoded_leaves_no_byte() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, framed, wire) = stage.wire(Framed::new(LineCodec::new(), Lines::new(&log)));
    stage.run();
    let transport = framed.borrow().transport().unwrap();
    assert!(transport.write_frame("two\nlines").is_err());
    assert!(transport.write_frame("one line").is_ok());
    stage.run();
    assert_eq!(wire.take(), b"one line\n");
}

#[test]
fn frames_of_every_size_go_out_whole_and_in_order() {
    let (stage, log) = (Stage::new(), Log::default());
    let framed = Framed::new(LengthCodec::new(), Patient(log));
    let (_, framed, wire) = stage.wire(framed);
    stage.run();
    let transport = framed.borrow().transport().unwrap();
    let mut expected = Vec::new();
    for len in [0, 1, 1019, 1020, 1021, 16_379, 16_380, 16_381, 100_000] {
        let frame = vec![u8::try_from(len % 251).unwrap(); len];
        transport.write_frame(&frame).unwrap();
        expected.extend(u32::try_from(len).unwrap().to_be_bytes());
        expected.extend(frame);
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        stage.run();
        got.extend(wire.take());
    }
    assert!(got == expected);
}

/// Notes what is in the transport's handle while it is called.
struct Chunks(Log);

impl FramedProtocol<BytesCodec> for Chunks {
    fn frame_received(&mut self, transport: &FramedTransport<BytesCodec>, chunk: BytesMut) {
        self.0.add(format!("{} bytes, {} buffered", chunk.len(), transport.buffered()));
        transport.write_frame(chunk.freeze()).expect("bytes are bytes");
    }
}

#[test]
fn the_bytes_codec_of_tokio_util_is_a_protocol_as_it_is() {
    let (stage, log) = (Stage::new(), Log::default());
    let (_, _, wire) = stage.wire(Framed::new(BytesCodec::new(), Chunks(log.clone())));
    wire.send(b"hello");
    stage.run();
    assert_eq!(log.take(), ["5 bytes, 0 buffered"]);
    assert_eq!(wire.take(), b"hello");
}

#[test]
fn the_settings_of_a_codec_are_within_reach() {
    /// Counts what it encodes.
    #[derive(Default)]
    struct Counting(LineCodec, usize);
    impl Decoder for Counting {
        type Item = Bytes;
        type Error = FrameError;
        fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
            self.0.decode(buffer)
        }
    }
    impl Encoder<&str> for Counting {
        type Error = FrameError;
        fn encode(&mut self, item: &str, buffer: &mut BytesMut) -> Result<(), FrameError> {
            self.1 += 1;
            self.0.encode(item, buffer)
        }
    }
    let stage = Stage::new();
    let framed = Framed::new(Counting::default(), Patient(Log::default()));
    let (_, framed, _wire) = stage.wire(framed);
    stage.run();
    let transport = framed.borrow().transport().unwrap();
    transport.write_frame("one").unwrap();
    assert_eq!(transport.codec(|codec| codec.1), Some(1));
    transport.abort();
    stage.run();
    drop(stage);
    let parts = Rc::into_inner(framed).unwrap().into_inner().into_parts();
    assert_eq!(parts.codec.1, 1);
    assert_eq!(transport.codec(|codec| codec.1), None);
}
