//! A protocol, a stage and a wire, in every mood.

use std::io;

use super::*;
use crate::driver::{Outflow, StreamIo};
use crate::{BaseTransport, Flow, KeepOpen, Limits, Lost, Protocol};

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    keep_open: KeepOpen,
    echo: bool,
}

impl Protocol for Log {
    fn connection_made(&mut self, _: &TransportRef) {
        self.lines.push("made".into());
    }
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.lines.push(format!("data {}", data.escape_ascii()));
        if self.echo {
            transport.write(data);
        }
    }
    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.lines.push("eof".into());
        self.keep_open
    }
    fn pause_writing(&mut self, _: &TransportRef) {
        self.lines.push("pause".into());
    }
    fn resume_writing(&mut self, _: &TransportRef) {
        self.lines.push("resume".into());
    }
    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.lines.push(format!("lost {why}"));
    }
}

#[test]
fn a_conversation_in_order() {
    let stage = Stage::new();
    let (_, log, wire) = stage.wire(Log { echo: true, ..Log::default() });
    assert!(log.borrow().lines.is_empty(), "nothing is told before the first turn");
    wire.limit_reads(2);
    wire.send(b"abc");
    wire.shutdown();
    stage.run();
    assert_eq!(log.borrow().lines, ["made", "data ab", "data c", "eof", "lost ended by the peer"]);
    assert_eq!((wire.take(), wire.seen()), (b"abc".to_vec(), Seen::Eof));
    assert_eq!(stage.connections(), 0);
}

#[test]
fn bytes_before_a_reset_are_delivered_first() {
    let stage = Stage::new();
    let (_, log, wire) = stage.wire(Log::default());
    wire.send(b"data");
    wire.reset();
    stage.run();
    assert_eq!(log.borrow().lines, ["made", "data data", "lost connection reset"]);
}

#[test]
fn a_full_stream_pauses_and_a_drained_one_resumes() {
    let stage = Stage::new();
    let (transport, log, wire) = stage.wire(Log::default());
    stage.run();
    wire.set_capacity(10);
    transport.set_write_buffer_limits(Limits::high(4));
    assert_eq!(transport.write(&[7; 20]), Flow::Full);
    stage.run();
    assert_eq!(transport.write_buffer_len(), 10);
    assert_eq!(wire.take().len(), 10);
    stage.run();
    assert_eq!(log.borrow().lines, ["made", "pause", "resume"]);
    transport.close();
    stage.run();
    assert_eq!(wire.take().len(), 10);
    assert_eq!(wire.seen(), Seen::Eof);
}

/// A relay waits for `resume_writing` once it was answered `Full`, even if the system had room again before anybody
/// was told.
#[test]
fn a_write_that_was_answered_full_is_followed_by_resume() {
    struct Relay(TransportRef);
    impl Protocol for Relay {
        fn data_received(&mut self, from: &TransportRef, data: &[u8]) {
            assert_eq!(self.0.write(data), Flow::Full);
            from.pause_reading();
        }
    }
    let stage = Stage::new();
    let (upstream, log, upstream_wire) = stage.wire(Log::default());
    stage.run();
    let (_, _, wire) = stage.wire(Relay(upstream.clone()));
    stage.run();
    // Blocked below the high mark, and room again in the turn in which the relay fills it.
    upstream_wire.set_capacity(0);
    upstream.write(&[1; 60_000]);
    stage.run();
    upstream_wire.set_capacity(1_000_000);
    upstream_wire.limit_writes(0);
    wire.send(&[2; 10_000]);
    let actors = stage.shared.0.actors.borrow().clone();
    actors[1].clone().act();
    upstream_wire.limit_writes(usize::MAX);
    actors[0].clone().act();
    stage.run();
    assert_eq!(log.borrow().lines, ["made", "pause", "resume"]);
}

#[test]
fn a_close_without_progress_times_out() {
    let stage = Stage::new();
    let (transport, log, wire) = stage.wire(Log::default());
    wire.limit_writes(0);
    stage.run();
    transport.write(b"never");
    transport.close();
    stage.run();
    stage.advance(Duration::from_secs(29));
    assert_eq!(log.borrow().lines, ["made"]);
    stage.advance(Duration::from_secs(1));
    assert_eq!(log.borrow().lines, ["made", "lost timed out"]);
}

#[test]
fn what_is_sent_from_elsewhere_is_progress_of_a_close() {
    struct Endless;
    impl<const ONE_WAY: bool> Outflow<MemoryIo<ONE_WAY>> for Endless {
        fn send(&mut self, io: &mut MemoryIo<ONE_WAY>, _: usize) -> io::Result<usize> {
            io.write(b"x")
        }
        fn finish(self: Box<Self>, _: io::Result<()>) {}
    }
    let stage = Stage::new();
    let (log, protocol) = Log::default().share();
    let link = Link::new();
    let driver = stage.drive::<false>(protocol, MemoryIo::new(&link, 0), &StreamOptions::default());
    let wire = Wire { link: LinkRef(link) };
    wire.set_capacity(1);
    stage.run();
    assert!(driver.send_outflow(Box::new(Endless)).is_ok());
    driver.close();
    stage.run();
    for _ in 0..5 {
        stage.advance(Duration::from_secs(20));
        assert_eq!(log.borrow().lines, ["made"]);
        assert_eq!(wire.take(), b"x");
        stage.run();
    }
    stage.advance(Duration::from_secs(30));
    stage.advance(Duration::from_secs(30));
    assert_eq!(log.borrow().lines, ["made", "lost timed out"]);
}

#[test]
fn dropping_the_stage_tells_everybody() {
    let stage = Stage::new();
    let pair = stage.pair(Log::default(), Log::default());
    stage.run();
    let logs = [pair.first.1, pair.second.1];
    drop(stage);
    for log in logs {
        assert_eq!(log.borrow().lines.last().map(String::as_str), Some("lost aborted by us"));
    }
}

#[test]
fn a_panic_comes_out_of_the_turn_unless_it_is_contained() {
    struct Clumsy;
    impl Protocol for Clumsy {
        fn data_received(&mut self, _: &TransportRef, _: &[u8]) {
            panic!("clumsy");
        }
    }
    let stage = Stage::new();
    let (_, _, wire) = stage.wire(Clumsy);
    wire.send(b"x");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.run())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"clumsy"));

    stage.contain_faults();
    let (transport, _, wire) = stage.wire(Clumsy);
    wire.send(b"x");
    stage.run();
    assert!(transport.is_closing());
    let faults = stage.take_faults();
    assert_eq!((faults.len(), faults[0].transport), (1, Some(transport.id())));
}

#[test]
fn the_protocol_of_a_pipe_stands_on_the_stage_without_its_other_half() {
    #[derive(Default)]
    struct Half(Vec<String>);

    impl crate::ReadPipeProtocol for Half {
        fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
            self.0.push(format!("data {}", data.escape_ascii()));
        }
        fn eof_received(&mut self, _: &ReadTransportRef) {
            self.0.push("eof".into());
        }
    }
    impl crate::WritePipeProtocol for Half {
        fn connection_lost(&mut self, _: &WriteTransportRef, why: &Lost) {
            self.0.push(format!("lost {why}"));
        }
    }

    let stage = Stage::new();
    let (reader, read, writer) = stage.read_pipe(Half::default());
    writer.send(b"abc");
    stage.run();
    writer.close();
    stage.run();
    assert_eq!(read.borrow().0, ["data abc", "eof"]);
    assert!(reader.is_closing());

    let (writer, written, reader) = stage.write_pipe(Half::default());
    stage.run();
    writer.write(b"abc");
    writer.write_eof();
    stage.run();
    assert_eq!((reader.take(), reader.seen()), (b"abc".to_vec(), Seen::Eof));
    assert_eq!(written.borrow().0, ["lost closed by us"]);
    assert_eq!(stage.connections(), 0);
}
