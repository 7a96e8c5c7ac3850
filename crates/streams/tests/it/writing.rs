//! Writing: room, draining, half-closing, and what a dropped writer means.

use std::cell::Cell;
use std::io::IoSlice;

use bytes::Bytes;
use wharf_core::memory::Seen;
use wharf_core::{Flow, Lost};
use wharf_streams::{Stream, StreamError};

use crate::support::Ground;

#[test]
fn what_is_written_goes_out_in_order() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    assert_eq!(stream.writer.write(b"one "), Flow::Open);
    assert_eq!(stream.writer.write_bytes(Bytes::from_static(b"two ")), Flow::Open);
    let chunks = [IoSlice::new(b"three "), IoSlice::new(b"four")];
    assert_eq!(stream.writer.writelines(&chunks), Flow::Open);
    ground.run();
    assert_eq!(wire.take(), b"one two three four");
    ground.block_on(stream.writer.drain()).unwrap();
}

#[test]
fn drain_waits_for_the_low_mark_even_when_nobody_was_told_yet() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.set_capacity(0);
    assert_eq!(stream.writer.write(&[b'x'; 65_537]), Flow::Full);
    let waited = Cell::new(false);
    let open = || {
        waited.set(true);
        wire.set_capacity(1 << 20);
    };
    ground.block_on_after(stream.writer.drain(), open).unwrap();
    assert!(waited.get(), "it ended although nothing could go out");
    assert!(stream.transport().write_buffer_len() <= 16 * 1024);
}

#[test]
fn write_all_never_queues_much_more_than_the_mark() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let got = std::cell::RefCell::new(Vec::new());
    let most = Cell::new(0);
    let both = async {
        let reading = async {
            while got.borrow().len() < data.len() {
                got.borrow_mut().extend(wire.take());
                most.set(most.get().max(stream.transport().write_buffer_len()));
                yield_once().await;
            }
        };
        let writing = async { stream.writer.write_all(&data).await.unwrap() };
        join(writing, reading).await;
    };
    ground.block_on(both);
    assert!(*got.borrow() == data);
    assert!(most.get() <= 2 * 64 * 1024, "{} bytes were queued", most.get());
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut yielded, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn join(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    let mut done = [false; 2];
    std::future::poll_fn(|cx| {
        done[0] = done[0] || first.as_mut().poll(cx).is_ready();
        done[1] = done[1] || second.as_mut().poll(cx).is_ready();
        if done == [true; 2] { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn the_loss_wakes_whoever_drains() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.set_capacity(0);
    let _ = stream.writer.write(&[b'x'; 100_000]);
    let outcome = ground.block_on_after(stream.writer.drain(), || stream.writer.abort());
    assert!(matches!(outcome, Err(StreamError::Lost(Lost::Aborted))), "{outcome:?}");
    assert_eq!(stream.writer.write(b"x"), Flow::Closed);
    let outcome = ground.block_on(stream.writer.write_all(b"x"));
    assert!(matches!(outcome, Err(StreamError::Lost(Lost::Aborted))), "{outcome:?}");
}

#[test]
fn after_the_end_of_our_direction_reading_goes_on() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    assert!(stream.writer.can_write_eof());
    stream.writer.write(b"request");
    stream.writer.write_eof();
    ground.run();
    assert_eq!((wire.take(), wire.seen()), (b"request".to_vec(), Seen::Eof));
    let outcome = ground.block_on(stream.writer.write_all(b"x"));
    assert!(matches!(outcome, Err(StreamError::Closed)), "{outcome:?}");
    wire.send(b"answer");
    wire.shutdown();
    assert_eq!(ground.block_on(stream.reader.read_to_end(100)).unwrap(), "answer");
    assert!(matches!(ground.block_on(stream.writer.closed()), Lost::Eof));
}

#[test]
fn the_peers_end_leaves_our_direction_open() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.shutdown();
    assert_eq!(ground.block_on(stream.reader.read(1)).unwrap(), "");
    assert!(!stream.writer.is_closing());
    ground.block_on(stream.writer.write_all(b"still here")).unwrap();
    stream.writer.close();
    assert!(stream.writer.is_closing());
    assert!(matches!(ground.block_on(stream.writer.closed()), Lost::Closed));
    assert_eq!(wire.take(), b"still here");
}

#[test]
fn a_dropped_writer_closes_after_what_was_written() {
    let ground = Ground::new();
    let (Stream { mut reader, writer }, wire) = ground.open();
    writer.write(b"goodbye");
    drop(writer);
    ground.run();
    assert_eq!((wire.take(), wire.seen()), (b"goodbye".to_vec(), Seen::Eof));
    assert_eq!(ground.block_on(reader.read(1)).unwrap(), "");
    assert_eq!(ground.connections(), 0);
}

#[test]
fn several_may_wait_for_one_writer() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.set_capacity(0);
    let _ = stream.writer.write(&[b'x'; 100_000]);
    let both = join(async { stream.writer.drain().await.unwrap() }, async {
        stream.writer.drain().await.unwrap()
    });
    ground.block_on_after(both, || wire.set_capacity(1 << 20));
    let ends = join(async { assert!(stream.writer.closed().await.is_clean()) }, async {
        assert!(stream.writer.closed().await.is_clean())
    });
    ground.block_on_after(ends, || stream.writer.close());
}
