//! Two descriptors as one byte stream, and a child's pipes as one.

use std::fs::File;
use std::future::{IntoFuture, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use futures_core::Stream as _;
use futures_sink::Sink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Framed, LinesCodec};
use wharf::streams::{self, Endpoint, Stream};
use wharf::subprocess::{self, Stdio};
use wharf::{LoopHandle, SubprocessProtocol, SubprocessTransportRef, TransportRef, pipe};

use super::hearing::pipe as files;
use crate::servers::rig::TestLoop;
use crate::support::{Call, Log, Peer, Seen, pattern, poll};

/// Two pipes under one transport, and the peer that has the other ends.
fn joined(ev: &mut TestLoop) -> (Log, TransportRef, Peer) {
    let (reader, to_us) = pipe::pair().unwrap();
    let (from_us, writer) = pipe::pair().unwrap();
    let log = Log::new();
    let both = pipe::connect_both(&ev.handle, reader, writer, log.plain());
    let (transport, _) = ev.finish(both).unwrap();
    (log, transport, Peer::pipes(Some(from_us), Some(to_us)))
}

#[test]
fn pi_23_two_pipes_are_one_stream() {
    let mut ev = TestLoop::new();
    let (log, transport, peer) = joined(&mut ev);
    peer.send(b"question");
    ev.until(|| log.has(Call::Data));
    transport.write(b"answer");
    ev.until(|| peer.read() == 6);
    assert!(transport.can_write_eof());
    transport.write_eof();
    ev.until(|| peer.seen() == Seen::Eof);
    peer.send(b" goes on");
    peer.shutdown();
    ev.until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data question goes on", "eof", "lost eof"]);
    assert_eq!(peer.bytes(), b"answer");
}

#[test]
fn pi_23_whoever_reads_no_more_is_met_by_a_write_and_costs_nothing_before() {
    let mut ev = TestLoop::new();
    let (reader, _to_us) = pipe::pair().unwrap();
    let (from_us, writer) = pipe::pair().unwrap();
    let log = Log::new();
    let both = pipe::connect_both(&ev.handle, reader, writer, log.plain());
    let (transport, _) = ev.finish(both).unwrap();
    // It has been full once, and is not any more.
    let peer = Peer::pipes(Some(from_us), None);
    let sent = pattern(200_000);
    transport.write(&sent);
    ev.until(|| peer.read() == sent.len());
    peer.close();
    ev.quieten();
    let events = ev.statistics().events;
    ev.quieten();
    assert_eq!(ev.statistics().events, events, "a reader that has left is looked at for ever");
    assert!(!log.is_lost());
    transport.write(b"for nobody");
    ev.until(|| log.is_lost());
    assert_eq!(log.why().unwrap().kind, Some(ErrorKind::BrokenPipe));
    assert!(!log.has(Call::Eof));
}

#[test]
fn pi_23_an_end_that_is_kept_does_not_wake_the_loop() {
    let mut ev = TestLoop::new();
    let (log, transport, peer) = joined(&mut ev);
    log.keep_open();
    peer.shutdown();
    ev.until(|| log.has(Call::Eof));
    ev.quieten();
    let events = ev.statistics().events;
    ev.quieten();
    assert_eq!(ev.statistics().events, events, "a writer that has left is looked at for ever");
    transport.write(b"last words");
    transport.close();
    ev.until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost closed"]);
    assert_eq!(peer.bytes(), b"last words");
}

#[test]
fn pi_23_what_cannot_be_both_is_refused_and_closed() {
    let mut ev = TestLoop::new();
    let (reader, writer) = files();
    let log = Log::new();
    let twisted = pipe::connect_both(&ev.handle, writer, reader, log.plain());
    let error = ev.finish(twisted).unwrap_err();
    assert_eq!(error.to_string(), "the descriptor is open for writing only");
    let (reader, mut writer) = files();
    let file = File::open("/proc/self/exe").unwrap();
    let error = ev.finish(pipe::connect_both(&ev.handle, reader, file, log.plain())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // The end that would have done is closed as well.
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!((log.story().len(), log.protocols()), (0, 0));
}

#[test]
fn pi_23_giving_up_before_the_beginning_tells_nothing_and_closes_both() {
    let mut ev = TestLoop::new();
    let (reader, to_us) = pipe::pair().unwrap();
    let (from_us, writer) = pipe::pair().unwrap();
    let (from_us, to_us) = (Peer::pipes(Some(from_us), None), Peer::pipes(None, Some(to_us)));
    let log = Log::new();
    let both = pipe::connect_both(&ev.handle, reader, writer, log.plain());
    let mut connecting = both.into_future();
    assert!(poll(&mut connecting).is_pending());
    drop(connecting);
    ev.quieten();
    assert_eq!((log.story().len(), log.protocols()), (0, 0));
    assert_eq!((from_us.seen(), to_us.seen()), (Seen::Eof, Seen::Eof));
}

#[test]
fn pi_23_the_ends_of_a_pair_are_the_loops_alone() {
    let (reader, writer) = pipe::pair().unwrap();
    for fd in [&reader, &writer] {
        let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert!(
            nix::fcntl::FdFlag::from_bits_retain(flags).contains(nix::fcntl::FdFlag::FD_CLOEXEC)
        );
    }
    File::from(writer).write_all(b"abc").unwrap();
    let mut got = [0; 3];
    File::from(reader).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"abc");
}

/// The protocol of a child whose pipes are somebody else's.
struct Silent;

impl SubprocessProtocol for Silent {}

/// A child, and what it writes and what it reads as one stream.
async fn child_and_stream(handle: &LoopHandle, line: &str) -> (SubprocessTransportRef, Stream) {
    let (stdin, to_child) = pipe::pair().unwrap();
    let (from_child, stdout) = pipe::pair().unwrap();
    let child = subprocess::shell(handle, line, || Silent).stdin(stdin).stdout(stdout);
    let (child, _) = child.stderr(Stdio::Inherit).await.unwrap();
    let both = pipe::connect_both(handle, from_child, to_child, Endpoint::new());
    (child, streams::open(both).await.unwrap())
}

#[test]
fn pi_24_a_childs_pipes_are_a_stream_for_async_code() {
    let mut ev = TestLoop::new();
    let handle = ev.handle.clone();
    ev.finish(async move {
        let line = r#"while read line; do echo "<$line>"; done; echo over; exit 3"#;
        let (child, Stream { mut reader, writer }) = child_and_stream(&handle, line).await;
        writer.write_all(b"one\n").await.unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "<one>\n");
        writer.write_all(b"two\n").await.unwrap();
        writer.write_eof();
        assert_eq!(reader.read_to_end(100).await.unwrap(), "<two>\nover\n");
        assert_eq!(child.exited().await.code(), Some(3));
        writer.close();
        assert!(writer.closed().await.is_clean());
    });
}

#[test]
fn pi_24_codecs_of_tokio_util_frame_a_childs_pipes() {
    let mut ev = TestLoop::new();
    let handle = ev.handle.clone();
    ev.finish(async move {
        let (child, stream) = child_and_stream(&handle, "tr a-z A-Z").await;
        let mut framed = Box::pin(Framed::new(stream, LinesCodec::new()));
        let lines: Vec<String> = (0..2000).map(|number| format!("line {number}")).collect();
        for line in &lines {
            poll_fn(|cx| Sink::<&String>::poll_ready(framed.as_mut(), cx)).await.unwrap();
            framed.as_mut().start_send(line).unwrap();
        }
        poll_fn(|cx| Sink::<&String>::poll_close(framed.as_mut(), cx)).await.unwrap();
        let mut got = Vec::new();
        while let Some(line) = poll_fn(|cx| framed.as_mut().poll_next(cx)).await {
            got.push(line.unwrap());
        }
        let expected: Vec<String> = lines.iter().map(|line| line.to_uppercase()).collect();
        assert!(got == expected, "{} lines came", got.len());
        assert!(child.exited().await.success());
    });
}

#[test]
fn pi_24_more_than_the_pipes_hold_is_copied_through_a_child() {
    let mut ev = TestLoop::new();
    let handle = ev.handle.clone();
    ev.finish(async move {
        const SIZE: usize = 8 * 1024 * 1024;
        let (child, Stream { mut reader, mut writer }) =
            child_and_stream(&handle, "exec cat").await;
        let sending = handle.spawn(async move {
            let sent = pattern(SIZE);
            AsyncWriteExt::write_all(&mut writer, &sent).await.unwrap();
            AsyncWriteExt::shutdown(&mut writer).await.unwrap();
            (writer, sent)
        });
        let mut got = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut got).await.unwrap();
        let (_writer, sent) = sending.await.unwrap();
        assert!(got == sent, "{} bytes came back", got.len());
        assert!(child.exited().await.success());
    });
}

#[test]
fn pi_24_dropping_the_stream_is_the_end_for_the_child() {
    let mut ev = TestLoop::new();
    let handle = ev.handle.clone();
    ev.finish(async move {
        let (child, stream) = child_and_stream(&handle, "exec cat").await;
        drop(stream);
        assert!(child.exited().await.success());
    });
}

#[test]
fn pi_24_a_child_that_dies_ends_the_stream_after_its_last_words() {
    let mut ev = TestLoop::new();
    let handle = ev.handle.clone();
    ev.finish(async move {
        let (child, mut stream) =
            child_and_stream(&handle, "printf 'last words'; kill -9 $$").await;
        assert_eq!(stream.reader.read_to_end(100).await.unwrap(), "last words");
        child.exited().await;
        assert_eq!(child.returncode(), Some(-9));
        // It is written to nobody.
        while stream.writer.write_all(&[b'x'; 1000]).await.is_ok() {}
        let error = AsyncWriteExt::write_all(&mut stream, b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn pi_24_a_terminal_may_be_both() {
    let mut ev = TestLoop::new();
    let (master, slave) = subprocess::pty::open().unwrap();
    subprocess::pty::set_raw(&slave).unwrap();
    let again: OwnedFd = slave.try_clone().unwrap();
    let log = Log::new();
    let (transport, _) =
        ev.finish(pipe::connect_both(&ev.handle, slave, again, log.plain())).unwrap();
    let mut master = File::from(master);
    master.write_all(b"typed").unwrap();
    ev.until(|| log.data_len() == 5);
    transport.write(b"shown");
    ev.until(|| transport.write_buffer_len() == 0);
    let mut got = [0; 5];
    master.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"shown");
    transport.close();
    ev.until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data typed", "lost closed"]);
}
