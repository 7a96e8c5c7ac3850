//! A future that is dropped has read nothing, and nothing is lost.

use std::pin::pin;

use wharf_core::Lost;

use crate::support::Ground;

#[test]
fn a_dropped_read_has_read_nothing() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    let reader = &mut stream.reader;
    let send = |text: &[u8]| {
        wire.send(text);
        ground.run();
    };
    ground.assert_waits(pin!(reader.read(10)));
    send(b"ab");
    ground.assert_waits(pin!(reader.read_exact(3)));
    ground.assert_waits(pin!(reader.read_line()));
    ground.assert_waits(pin!(reader.read_until(b"--")));
    ground.assert_waits(pin!(reader.read_to_end(10)));
    send(b"c-");
    ground.assert_waits(pin!(reader.read_until(b"--")));
    send(b"-\n");
    assert_eq!(ground.block_on(reader.read_until(b"--")).unwrap(), "abc--");
    assert_eq!(ground.block_on(reader.read_line()).unwrap(), "\n");
}

#[test]
fn a_dropped_drain_or_wait_for_the_end_changes_nothing() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.set_capacity(0);
    let _ = stream.writer.write(&[b'x'; 100_000]);
    ground.assert_waits(pin!(stream.writer.drain()));
    ground.assert_waits(pin!(stream.writer.closed()));
    wire.set_capacity(1 << 20);
    ground.block_on(stream.writer.drain()).unwrap();
    let lost = ground.block_on_after(stream.writer.closed(), || stream.writer.close());
    assert!(matches!(lost, Lost::Closed));
    assert_eq!(wire.take().len(), 100_000);
}

#[test]
fn a_dropped_write_all_has_written_the_front() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.set_capacity(0);
    let data: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    ground.assert_waits(pin!(stream.writer.write_all(&data)));
    wire.set_capacity(1 << 20);
    ground.run();
    let got = wire.take();
    assert!(!got.is_empty() && got.len() < data.len() && data.starts_with(&got));
}

#[test]
fn a_dropped_wait_for_a_connection_loses_none() {
    let ground = Ground::new();
    let (mut accept, mut incoming) = wharf_streams::incoming(10);
    ground.assert_waits(pin!(incoming.next()));
    let (_, _, _wire) = ground.wire(accept());
    ground.run();
    assert!(ground.block_on(incoming.next()).is_some());
}
